"""What is painted for a source: where it has no light, and what is its own; exact, as data, and better by the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from deblend import ConstraintKind, FitSettings, Observation, Program, Scene, Solver, fit
from deblend.detect import carried
from deblend.infer import Glimpse
from deblend.infer.conjugate_gradients import dot
from deblend.infer.gauss_newton import range_at, value_and_gradient
from deblend.io.session import Session, read_session, write_script, write_session
from deblend.program.pictures import linearize
from deblend.program.support import BARRED, FREE, OWN, PROFILE
from deblend.scene import Area, Constraint, joined
from deblend.sky import PixelAffine
from tests.engine.conftest import BANDS, PSFS
from tests.engine.jitted import jitted
from tests.engine.test_operator import adjoint, jacobian

FIRST, SECOND, KNOT = (900.0, 1300.0), (700.0, 500.0), (120.0, 170.0)
"""Fluxes of two galaxies, and of a knot of the first one's, far out and near the second [nJy]."""
TRUE = np.array([np.add(FIRST, KNOT), SECOND])


def disk(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((48, 48))
    return np.hypot(columns - x, rows - y) <= radius


HERE = disk(25.0, 25.5, 3.5)
"""About the knot."""


def pair(systems: Any, kind: str) -> Scene:
    scene: Scene = systems.scene(
        (kind, 17.0, 24.0, None, {"half_light_radius": 2.6}), (kind, 31.0, 24.0, None, {"half_light_radius": 2.4})
    )
    return scene


@pytest.fixture(scope="module")
def observation(systems: Any) -> Observation:
    truth = systems.scene(
        ("sersic", 17.0, 24.0, FIRST, {"half_light_radius": 2.6}),
        ("gaussian", 25.0, 25.5, KNOT, {"half_light_radius": 1.2}),
        ("sersic", 31.0, 24.0, SECOND, {"half_light_radius": 2.4}),
    )
    seen: Observation = systems.observe(truth)
    return seen


@pytest.fixture(scope="module")
def warm(systems: Any, observation: Observation) -> Any:
    """One program for all tests that need no other."""
    return Program([observation], pair(systems, "galaxy"))


def worst(scene: Scene) -> float:
    return float(np.abs(scene.fluxes / TRUE - 1.0).max())


def test_what_is_claimed_goes_to_its_source(
    systems: Any, observation: Observation, warm: Any, compiles_nothing: Callable[..., None]
) -> None:
    """A knot of one galaxy beside another one: by default both get some of it, and colors are wrong by a third.

    The errors of the fluxes are 2 % with noise alone, so that five of them are 10 %.
    """
    scene = pair(systems, "galaxy")
    plain = fit(scene, [observation], FitSettings(max_iterations=40), warm).run().scene
    assert worst(plain) > 0.25
    claimed = scene.claiming(scene.sources[0].id, HERE)
    compiles_nothing(lambda: fit(claimed, [observation], FitSettings(max_iterations=40), warm).run())
    after = fit(claimed, [observation], FitSettings(max_iterations=40), warm).run().scene
    assert worst(after) < 0.1
    assert after.sources[0].claimed is claimed.sources[0].claimed


def test_what_is_barred_is_dark_to_the_last_digit(
    systems: Any, observation: Observation, warm: Any, compiles_nothing: Callable[..., None]
) -> None:
    """Before the telescope's PSF, in the middle of a fit, and back again; only neighbours gain."""
    scene = pair(systems, "galaxy")
    running = fit(scene, [observation], FitSettings(max_iterations=40), warm)
    before = [next(running) for _ in range(3)][-1].scene
    barred = before.barring(before.sources[1].id, HERE)
    compiles_nothing(lambda: (running.edit(barred), next(running), next(running)))
    (line,), (data,) = jitted(linearize)(warm.layout, warm.data, warm.parameters), warm.data.groups
    assert np.any(data.support[1] == BARRED) and np.all(data.support[0] == FREE)
    assert np.all(np.asarray(line.picture)[1][data.support[1] == BARRED] == 0.0)
    assert np.asarray(line.picture)[1].sum() == pytest.approx(1.0, abs=1e-5)
    running.edit(before)
    assert np.all(warm.data.groups[0].support == FREE)


def test_a_free_form_source_is_kept_from_the_light_of_its_neighbour(systems: Any, observation: Observation) -> None:
    scene = pair(systems, "free-form")
    program = Program([observation], scene)
    plain = fit(scene, [observation], FitSettings(max_iterations=40), program).run().scene
    painted = scene.barring(scene.sources[1].id, HERE | disk(17.0, 24.0, 7.0))
    after = fit(painted, [observation], FitSettings(max_iterations=40), program).run().scene
    assert worst(after) < worst(plain) - 0.02
    program.update(after)
    (line,), (data,) = jitted(linearize)(program.layout, program.data, program.parameters), program.data.groups
    assert np.any(data.support[1] == BARRED)
    assert np.all(np.asarray(line.picture)[1][data.support[1] == BARRED] == 0.0)


@pytest.mark.parametrize("solver", [Solver.PROXIMAL_GRADIENT, Solver.LBFGSB])
def test_other_solvers_keep_it(systems: Any, observation: Observation, warm: Any, solver: Solver) -> None:
    """They go on from where the default one was, down, and what is barred stays dark."""
    scene = pair(systems, "galaxy")
    painted = scene.claiming(scene.sources[0].id, HERE)
    start = fit(painted, [observation], FitSettings(max_iterations=1), warm).run()
    end = fit(start.scene, [observation], FitSettings(max_iterations=2, solver=solver), warm).run()
    assert end.loss <= start.loss * (1.0 + 1e-5)
    warm.update(end.scene)
    (data,) = warm.data.groups
    assert np.any(data.support[0] == OWN) and np.any(data.support[1] == PROFILE)


def test_operators_act_on_what_is_left(systems: Any, observation: Observation, warm: Any) -> None:
    scene = pair(systems, "galaxy")
    second = systems.with_constraint(scene.sources[1], Constraint(ConstraintKind.MONOTONIC))
    painted = scene.replace(second).barring(second.id, disk(17.0, 24.0, 12.0))
    warm.update(painted)
    lights = Glimpse.of(warm, second.id).lights()
    side = lights.before.shape[0]
    place = painted.sources[1].barred.on((side, side), (24 - side // 2, 31 - side // 2))
    assert place.any() and np.all(lights.before[place] == 0) and np.all(lights.after[place] == 0)


@pytest.mark.parametrize("kind", ["galaxy", "free-form"])
class TestDerivatives:
    def program(self, systems: Any, observation: Observation, kind: str) -> Any:
        scene = pair(systems, kind)
        first, second = (s.id for s in scene.sources)
        painted = scene.claiming(first, HERE).barring(second, disk(31.0, 30.0, 3.0))
        return Program([observation], painted, dtype=np.float64)

    def test_they_are_true(self, double: None, systems: Any, observation: Observation, kind: str, rng: Any) -> None:
        """J and its transpose agree, and the gradient is the slope along any direction."""
        program = self.program(systems, observation, kind)
        layout, data = program.layout, program.data
        # off the start, whose neighbours are equal: there a step that is not to rise has no slope
        u = jax.tree.map(lambda a, b: a + 1e-3 * b, program.parameters, _random(program.parameters, rng))
        lines, v = jitted(linearize)(layout, data, u), _random(u, rng)
        images = tuple(rng.normal(size=o.images.shape) for o in data.observations)
        moved, back = jitted(jacobian)(layout, data, u, lines, v), jitted(adjoint)(layout, data, u, lines, images)
        forward = sum(float(np.vdot(a, b)) for a, b in zip(moved, images, strict=True))
        assert forward == pytest.approx(float(dot(v, back)), rel=1e-9)

        free, value = jitted(range_at)(layout, data, u).movable, jitted(value_and_gradient)
        v = jax.tree.map(lambda a, f: 1e-2 * a * f, v, free)
        slope, step = float(dot(value(layout, data, u, u)[1], v)), 1e-5
        ends = [
            float(value(layout, data, jax.tree.map(lambda a, b, s=s: a + s * b, u, v), u)[0]) for s in (step, -step)
        ]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)


def _random(like: Any, rng: np.random.Generator) -> Any:
    return jax.tree.map(lambda a: rng.normal(size=np.shape(a)), like)


def test_pixels_stay_on_the_sky(systems: Any, warm: Any) -> None:
    """Of a source that moves, and of images that are cut."""
    scene = pair(systems, "galaxy")
    source = scene.sources[1]
    painted = scene.barring(source.id, HERE)
    warm.update(painted.moved({source.id: (33.0, 25.0)}))
    (data,) = warm.data.groups
    side = data.support.shape[1]
    rows, columns = np.nonzero(data.support[1] == BARRED)
    sky = np.zeros((48, 48), bool)
    sky[rows + data.origin[1][0] - side // 2, columns + data.origin[1][1] - side // 2] = True
    np.testing.assert_array_equal(sky, HERE)
    blank = systems.blank()
    piece = Observation.from_arrays(
        blank.images[:, 6:, 4:], PSFS, blank.weights[:, 6:, 4:], channels=list(BANDS), name=blank.name
    )
    moved, _ = carried(painted, [piece], PixelAffine(offset=(-6.0, -4.0)))
    area = moved.sources[1].barred
    assert area is not None
    np.testing.assert_array_equal(area.on((42, 44)), HERE[6:, 4:])


def test_a_claim_is_shared_by_those_who_make_it(systems: Any, warm: Any) -> None:
    scene = pair(systems, "galaxy")
    first, second = (s.id for s in scene.sources)
    warm.update(scene.claiming(first, HERE).claiming(second, HERE))
    support = warm.data.groups[0].support
    assert not np.any(support == PROFILE) and all(np.any(support[k] == OWN) for k in (0, 1))


def test_it_is_kept_in_sessions(systems: Any, observation: Observation, tmp_path: Path) -> None:
    scene = pair(systems, "galaxy")
    first, second = (s.id for s in scene.sources)
    painted = scene.claiming(first, HERE).barring(second, disk(5.0, 5.0, 2.0))
    path = tmp_path / "painted.asdf"
    write_session(path, Session(painted, (observation,)))
    write_script(tmp_path / "again.py", Session(painted, (observation,)))
    said: dict[str, Any] = {"__file__": str(tmp_path / "again.py")}
    exec((tmp_path / "again.py").read_text().split("program = Program")[0], said)
    for scene in (read_session(path).scene, said["scene"]):
        same_paint(painted, scene)


def same_paint(painted: Scene, back: Scene) -> None:
    for before, after in zip(painted.sources, back.sources, strict=True):
        for name in ("claimed", "barred"):
            one, other = getattr(before, name), getattr(after, name)
            assert (one is None) == (other is None)
            if one is not None:
                assert one.corner == other.corner
                np.testing.assert_array_equal(one.inside, other.inside)


def test_a_pixel_is_not_barred_and_claimed(systems: Any) -> None:
    scene = pair(systems, "galaxy")
    source = scene.sources[0].id
    both = scene.claiming(source, HERE).barring(source, disk(25.0, 25.5, 1.5))
    claimed, barred = both[source].claimed, both[source].barred
    assert claimed is not None and barred is not None
    assert not np.any(claimed.on((48, 48)) & barred.on((48, 48)))
    assert len(claimed) + len(barred) == HERE.sum()


def test_areas_are_joined() -> None:
    one, other = Area.of(disk(10.0, 10.0, 2.0)), Area.of(disk(20.0, 14.0, 3.0))
    both = joined([one, None, other])
    assert both is not None and joined([None]) is None
    np.testing.assert_array_equal(both.on((48, 48)), disk(10.0, 10.0, 2.0) | disk(20.0, 14.0, 3.0))


class TestBadInput:
    def test_a_profile_cannot_be_dark(self, systems: Any) -> None:
        scene = systems.scene(("sersic", 20.0, 20.0, None), ("point", 30.0, 30.0, None))
        for source in scene.sources:
            with pytest.raises(ValueError, match=r"Make it a galaxy or free-form first"):
                scene.barring(source.id, HERE)
            assert scene.claiming(source.id, HERE)[source.id].claimed is not None

    def test_another_shape(self, systems: Any) -> None:
        scene = pair(systems, "galaxy")
        with pytest.raises(ValueError, match=r"expected \(48, 48\), got \(3, 4\)"):
            scene.claiming(scene.sources[0].id, np.ones((3, 4), bool))

    def test_no_picture(self) -> None:
        with pytest.raises(ValueError, match=r"a picture \(y, x\), got shape \(3,\)"):
            Area((0, 0), np.ones(3, bool))

    def test_all_of_it(self, systems: Any, warm: Any) -> None:
        """Nothing is left of it, and nothing breaks."""
        scene = pair(systems, "galaxy")
        after = warm.update(scene.barring(scene.sources[1].id, np.ones((48, 48), bool)))
        assert np.all(np.isfinite(after.fluxes)) and after.fluxes[0, 0] > 0
