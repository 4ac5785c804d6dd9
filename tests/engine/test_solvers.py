"""Solvers, one interface: each comes down to where the others do, goes on where it was, and stays where it ended."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from deblend import FitSettings, Observation, Program, Scene, fit
from deblend.infer import solvers
from deblend.infer.adaptive import Learned, learn
from deblend.infer.settings import Scheme

BUDGETS: dict[str, tuple[dict[str, Any], int, float]] = {
    "gauss-newton": ({}, 30, 1.01),
    "l-bfgs-b": ({}, 30, 1.01),
    "fista": ({}, 30, 1.03),
    "proximal-gradient": ({}, 40, 1.03),
    "adam": ({}, 20, 1.1),
    "yogi": ({}, 20, 1.1),
    **{f"adaprox {s.value}": ({"scheme": s}, 20, 1.1) for s in Scheme},
}
"""Settings, iterations (of 14 steps each for first-order ones), and within what factor of the loss of Gauss-Newton."""


@pytest.fixture(scope="module")
def truth(systems: Any) -> Scene:
    return systems.scene(
        ("point", 14.3, 15.6, (400.0, 500.0)),
        ("gaussian", 34.4, 12.7, (900.0, 1100.0), {"half_light_radius": 2.5}),
        ("galaxy", 24.7, 33.2, (900.0, 700.0), {"half_light_radius": 2.2}),
    )


@pytest.fixture(scope="module")
def observation(systems: Any, truth: Scene) -> Observation:
    return systems.observe(truth)


@pytest.fixture(scope="module")
def start(systems: Any, truth: Scene) -> Scene:
    return systems.without_fluxes(truth.with_sources(s.moved(s.x + 0.3, s.y - 0.25) for s in truth.sources))


@pytest.fixture(scope="module")
def program(systems: Any, start: Scene, observation: Observation) -> Program:
    return systems.program([observation], start)


@pytest.fixture(scope="module")
def best_loss(start: Scene, observation: Observation, program: Program) -> float:
    return fit(start, [observation], FitSettings(tolerance=1e-4), program).run().loss


@pytest.mark.parametrize("name", BUDGETS)
def test_every_solver_comes_down(
    name: str, start: Scene, observation: Observation, program: Program, best_loss: float
) -> None:
    options, budget, factor = BUDGETS[name]
    settings = FitSettings(solver=name.split()[0], max_iterations=budget, tolerance=1e-4, **options)
    states = list(fit(start, [observation], settings, program))
    losses = [state.loss for state in states]
    assert np.all(np.diff(losses) <= 0)
    assert losses[-1] < factor * best_loss


@pytest.mark.parametrize("solver", ["l-bfgs-b", "fista", "adaprox", "yogi"])
def test_a_fit_goes_on_from_its_position(solver: str, start: Scene, observation: Observation, program: Program) -> None:
    settings = FitSettings(solver=solver, tolerance=1e-6)
    whole = [state.loss for state in islice(fit(start, [observation], settings, program), 6)]
    running = fit(start, [observation], settings, program)
    first = [state.loss for state in islice(running, 3)]
    kept = running._position
    rest = []
    for _ in whole[3:]:
        assert kept is not None
        kept = running._solver.advance(kept)
        rest.append(kept.loss)
    np.testing.assert_allclose(first + rest, whole, rtol=1e-6)


@pytest.mark.parametrize("solver", ["l-bfgs-b", "fista", "adaprox"])
def test_a_fit_that_has_converged_stays_put(
    solver: str, start: Scene, observation: Observation, program: Program
) -> None:
    end = fit(start, [observation], FitSettings(solver=solver), program).run()
    again = fit(end.scene, [observation], FitSettings(solver=solver), program).run()
    assert again.loss <= end.loss * (1 + 1e-5)
    np.testing.assert_allclose(again.scene.fluxes, end.scene.fluxes, rtol=0.05)


def test_schemes_give_what_their_papers_say() -> None:
    """By hand, for one number with gradients 1 and then 0.5."""
    zero = np.zeros(1)
    for scheme, expected in (
        (Scheme.ADAM, (0.14 / 0.19) / np.sqrt((0.999 * 0.001 + 0.001 * 0.25) / (1 - 0.999**2))),
        (Scheme.AMSGRAD, (0.14 / 0.19) / 1.0),
        (Scheme.PADAM, (0.14 / 0.19) / 1.0),
        (Scheme.RADAM, 1.0),
    ):
        known = Learned(zero, zero, zero, 0, None)
        known, first = learn(scheme, known, np.array([1.0]))
        assert first[0] == pytest.approx(1.0, rel=1e-6)
        _, second = learn(scheme, known, np.array([0.5]))
        assert second[0] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(("kept", "length"), [(0.1, 0.4), (0.9, 1.0)])
def test_a_step_that_keeps_little_of_its_promise_is_cut_where_that_is_better(
    systems: Any, start: Scene, observation: Observation, monkeypatch: pytest.MonkeyPatch, kept: float, length: float
) -> None:
    """From far away the linearized problem promises too much: here the whole step is made to keep a share of it."""
    search = solvers.search

    def spoiled(program: Any, data: Any, position: Any, step: Any, direction: Any, fraction: float, *rest: Any) -> Any:
        found = search(program, data, position, step, direction, fraction, *rest)
        worse = position.merit - kept * (position.merit - found.loss)
        return replace(found, loss=worse) if fraction == 1.0 else found

    program = systems.program([observation], start)
    solver = solvers.GaussNewton(program, FitSettings())
    position = solver.start(solver.first_damping)
    monkeypatch.setattr(solvers, "search", spoiled)
    after = solver.advance(position)
    assert after.step == length and after.loss < position.loss
