"""Normalizations of pixels: what is 1 on the way of first-order solvers, whose steps it conditions."""

from __future__ import annotations

from itertools import islice
from typing import Any

import jax
import numpy as np
import pytest

from deblend import Constraint, ConstraintKind, FitSettings, Observation, Program, Scene, fit
from deblend.infer.gauge import Gauge
from deblend.infer.solvers import compiled_value_and_gradient
from deblend.scene import NORMALIZATIONS


def blend(systems: Any) -> Scene:
    scene: Scene = systems.scene(
        ("free-form", 22.3, 24.6, (700.0, 900.0), {"half_light_radius": 2.0}),
        ("free-form", 27.8, 26.1, (500.0, 660.0), {"half_light_radius": 1.6}),
    )
    return scene


def asking(systems: Any, scene: Scene, of: str) -> Scene:
    constraint = Constraint(ConstraintKind.NORMALIZATION, settings=(("of", of),))
    return scene.with_sources(systems.with_constraint(source, constraint) for source in scene.sources)


@pytest.fixture(scope="module")
def observation(systems: Any) -> Observation:
    return systems.observe(blend(systems), seed=4)


def gauge_of(systems: Any, observation: Observation, of: str) -> tuple[Program, Gauge]:
    program = Program([observation], asking(systems, blend(systems), of))
    return program, Gauge.of(program).at(program.parameters)


@pytest.mark.parametrize("of", NORMALIZATIONS)
def test_what_is_said_is_one_and_the_light_stays(systems: Any, observation: Observation, of: str) -> None:
    program, gauge = gauge_of(systems, observation, of)
    parameters = program.parameters
    factors = gauge.factored(parameters)
    group = next(g for g in factors.groups if g.pixels is not None and np.any(g.flux))
    a, s = np.asarray(group.flux[:2]), np.asarray(group.pixels[:2])
    one = {"spectrum": a.sum(axis=1), "sum": s.sum(axis=(1, 2)), "peak": s.max(axis=(1, 2))}
    np.testing.assert_allclose(one.get(of, s.max(axis=(1, 2))), 1.0, rtol=1e-5)
    back, there = gauge.multiplied(factors, parameters)
    for before, after in zip(jax.tree.leaves(parameters), jax.tree.leaves(back), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6 * np.abs(before).max())
    np.testing.assert_allclose(there.sums, gauge.sums, rtol=1e-5)


@pytest.mark.parametrize("of", NORMALIZATIONS)
def test_gradients_are_those_of_the_numbers_that_are_moved(systems: Any, observation: Observation, of: str) -> None:
    program, gauge = gauge_of(systems, observation, of)
    layout, data, here = program.layout, program.data, program.parameters
    _, gradient = compiled_value_and_gradient(layout, data, here, here)
    factors, slope = gauge.factored(here), gauge.slope(gradient, here)
    rng = np.random.default_rng(8)
    for index, group in enumerate(factors.groups):
        if group.pixels is None or not np.any(group.flux):
            continue
        v = {
            "flux": group.flux * rng.normal(size=group.flux.shape),
            "pixels": group.pixels * rng.normal(size=group.pixels.shape),
        }
        told = sum(
            float(np.vdot(np.asarray(getattr(slope.groups[index], name), float), part)) for name, part in v.items()
        )

        def loss(by: float, index: int = index, group: Any = group, v: Any = v) -> float:
            moved = {name: (getattr(group, name) + by * part).astype(np.float32) for name, part in v.items()}
            groups = [g._replace(**moved) if k == index else g for k, g in enumerate(factors.groups)]
            end, _ = gauge.multiplied(factors._replace(groups=tuple(groups)), here)
            return float(compiled_value_and_gradient(layout, data, end, here)[0])

        found = (loss(3e-3) - loss(-3e-3)) / 6e-3
        assert told == pytest.approx(found, rel=0.03)


def test_it_changes_the_way_and_not_the_end(systems: Any, observation: Observation) -> None:
    start = systems.without_fluxes(blend(systems))
    best = fit(start, [observation], FitSettings(tolerance=1e-5, max_iterations=40)).run().loss
    ways = {}
    for of in NORMALIZATIONS:
        settings = FitSettings(solver="adaprox", max_iterations=15, tolerance=1e-9)
        losses = [state.loss for state in fit(asking(systems, start, of), [observation], settings)]
        # an interval is a constraint, too, and tethers that hold it let the loss rise a little
        assert np.all(np.diff(losses) <= (1e-4 * best if of == "interval" else 0.0))
        assert losses[-1] < 1.05 * best
        ways[of] = losses[3]
    assert max(ways.values()) > min(ways.values()) * 1.002


@pytest.mark.parametrize("of", NORMALIZATIONS)
def test_the_default_solver_does_not_notice(systems: Any, observation: Observation, of: str) -> None:
    if of == "interval":
        pytest.skip("it bounds pixels for every solver")
    start = systems.without_fluxes(blend(systems))
    plain, asked = (fit(each, [observation]) for each in (start, asking(systems, start, of)))
    for one, other in islice(zip(plain, asked, strict=False), 4):
        assert one.loss == pytest.approx(other.loss, rel=1e-6)
