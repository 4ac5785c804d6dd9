"""Sources that others hide: proposed where two were fitted as one, kept where a fit says so, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import cholesky
from scipy.optimize import nnls

from deblend import Scene, Search, Source, find_hidden, find_missed, unneeded, with_hidden
from deblend.detect.hidden import most_fall
from deblend.infer import FitState

FIRST = ("gaussian", 21.6, 24.0, (2400.0, 2700.0), {"half_light_radius": 1.2})
SECOND = ("gaussian", 24.8, 25.0, (800.0, 2200.0), {"half_light_radius": 1.0})
BOTH_AS_ONE = ("gaussian", 22.6, 24.3, (3200.0, 4900.0), {"half_light_radius": 2.2})


def seen(state: FitState) -> tuple[Any, Any]:
    """Return what a state looks like: its model, and its sources."""
    return [state.model(0)], state.sources()


def test_two_that_were_fitted_as_one_are_parted(systems: Any) -> None:
    observation = systems.observe(systems.scene(FIRST, SECOND))
    one = systems.fit(systems.scene(BOTH_AS_ONE), [observation])
    alone = one.run()
    models, pictures = seen(alone)
    more = with_hidden(alone.scene, [observation], models, pictures, kind="gaussian")
    assert len(more) == 2 and more.sources[0] is alone.scene.sources[0]
    tried = [source.id for source in more.sources[1:]]
    one.edit(more)
    both = one.run()
    vain = unneeded(both.scene, [observation], *seen(both), models, tried)
    if vain:
        one.edit(both.scene.remove(*vain))
        both = one.run()
    found = sorted((s.x, s.y) for s in both.scene.sources)
    np.testing.assert_allclose(found, [FIRST[1:3], SECOND[1:3]], atol=0.3)
    assert len(find_hidden([observation], *seen(both), both.scene)) == 0
    # where it was tried in vain it is not tried again
    (tried_x, tried_y), *_ = places = [source.anchor for source in more.sources[1:]]
    again = find_hidden([observation], models, pictures, alone.scene, places)
    assert np.all(np.hypot(again.x - tried_x, again.y - tried_y) > 1.0)


def test_a_search_tries_what_may_hide_and_keeps_what_does(systems: Any) -> None:
    nearer = ("gaussian", 23.8, 24.6, (400.0, 1100.0), {"half_light_radius": 1.0})
    observation = systems.observe(systems.scene(FIRST, nearer))
    asked: list[int] = []

    def prepare(scene: Scene, new: Sequence[Source]) -> Sequence[Source]:
        asked.append(len(scene))
        return [source.renamed(f"more {len(asked)}") for source in new]

    search = Search(systems.scene(BOTH_AS_ONE), kind="gaussian", prepare=prepare)
    running = systems.fit(search.start, [observation])
    state, steps = running.run(), []
    while (more := search.after(state.scene, [observation], *seen(state))) is not None:
        steps.append((len(more) - len(state.scene), search.is_trying, len(search.new)))
        running.edit(more)
        state = running.run()
    # one is tried, stays, and nothing that is tried then does
    assert steps[0] == (1, True, 1) and sum(change for change, *_ in steps) == 1
    assert search.n_hidden == 1 and len(asked) == sum(n_new for *_, n_new in steps)
    assert [source.name for source in state.scene.sources] == ["1", "more 1"]
    found = sorted((s.x, s.y) for s in state.scene.sources)
    np.testing.assert_allclose(found, [FIRST[1:3], nearer[1:3]], atol=0.3)
    assert Search(systems.scene(BOTH_AS_ONE), rounds=0).after(state.scene, [observation], *seen(state)) is None


def test_nothing_is_tried_where_all_is_known_and_nothing_stays_that_brings_nothing(systems: Any) -> None:
    observation = systems.observe(systems.scene(FIRST))
    running = systems.fit(systems.scene(FIRST), [observation])
    alone = running.run()
    models, pictures = seen(alone)
    assert len(find_hidden([observation], models, pictures, alone.scene)) == 0
    assert len(find_missed([observation], models, alone.scene)) == 0
    assert with_hidden(alone.scene, [observation], models, pictures) is alone.scene
    one_more = systems.scene(FIRST, ("gaussian", 27.0, 20.0, (np.nan, np.nan), {"half_light_radius": 1.0}))
    fitted = systems.fit(one_more, [observation]).run()
    new = fitted.scene.sources[1].id
    assert unneeded(fitted.scene, [observation], *seen(fitted), models, [new]) == (new,)


def test_a_fall_is_nearly_that_of_the_best_fluxes_that_are_not_negative(rng: np.random.Generator) -> None:
    """Leaving bands out and never taking one back loses little: compared with non-negative least squares."""
    root = rng.normal(size=(200, 8, 4))
    matrix = np.einsum("pij,pik->pjk", root, root)
    gradient = np.einsum("pjk,pk->pj", matrix, rng.normal(1.0, 1.0, size=(200, 4)))
    falls = most_fall(matrix, gradient)
    best = []
    for each, right in zip(matrix, gradient, strict=True):
        factor = cholesky(each)
        best.append(nnls(factor, np.linalg.solve(factor.T, right))[0])
    most = [2 * f @ g - f @ m @ f for f, g, m in zip(best, gradient, matrix, strict=True)]
    assert np.all(falls <= np.array(most) * (1 + 1e-9) + 1e-9) and np.all(falls >= 0)
    assert np.mean(falls) > 0.97 * np.mean(most)
