"""Constraints without a derivative, in second-order fits: they hold at the end, cost no truth, and compile nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from deblend import (
    Constraint,
    ConstraintKind,
    Fit,
    FitSettings,
    FitState,
    Observation,
    Outcome,
    Program,
    Scene,
    Status,
    empty_scene,
    fit,
    make_source,
)
from deblend.constraints import inward_weights_about, monotonicity_residual, nearest_monotonic
from deblend.infer.conjugate_gradients import dot
from deblend.infer.gauss_newton import linearized, normal_product
from deblend.infer.solvers import GaussNewton
from deblend.observe import gaussian_psf
from deblend.program.asked import PIXEL_KINDS, SPECTRUM_KINDS
from deblend.program.penalty import lag, penalty
from deblend.program.pictures import pictures_of
from tests.engine.jitted import jitted

PLACES = (16.0, 20.0), (26.0, 24.0)
"""On the middles of pixels, and held there: then pixels are the picture."""
FLUXES = (700.0, 900.0), (600.0, 450.0)
TOLERANCE = 2.0
"""Of light in a pixel, in units of the noise: fits end where all of it is off by no more than 0.3 as the data see it,
through a kernel that takes a pixel's noise down by five."""
RADIUS = 12


def on_each(systems: Any, scene: Scene, *constraints: Constraint) -> Scene:
    """Return the scene with these constraints on every source."""
    sources = scene.sources
    for constraint in constraints:
        sources = tuple(systems.with_constraint(s, constraint) for s in sources)
    return scene.with_sources(sources)


def held(scene: Scene) -> Scene:
    """Return the scene with its centers fixed, and seen alike by all channels."""
    return scene.with_sources(
        replace(
            s,
            center=s.center.with_status(Status.FIXED),
            channel_offsets=s.channel_offsets.with_status(Status.FIXED),
        )
        for s in scene.sources
    )


@pytest.fixture(scope="module")
def truth(systems: Any) -> Scene:
    """Two round sources that overlap: symmetric, monotonic, connected and positive."""
    sources = [
        ("free-form", *place, flux, {"half_light_radius": 2.0}) for place, flux in zip(PLACES, FLUXES, strict=True)
    ]
    return held(systems.scene(*sources))


@pytest.fixture(scope="module")
def observation(systems: Any, truth: Scene) -> Observation:
    return systems.observe(truth)


@pytest.fixture(scope="module")
def warm(systems: Any, truth: Scene, observation: Observation) -> Program:
    """A program that operators have asked something of before."""
    program = systems.program([observation], truth)
    program.update(on_each(systems, truth, Constraint(ConstraintKind.CENTER_ON)))
    return program


@pytest.fixture(scope="module")
def fitted(systems: Any, truth: Scene, observation: Observation, warm: Program) -> Callable[..., tuple[FitState, Fit]]:
    """Fit with some constraints; return the best state."""

    def run(*constraints: Constraint, **settings: Any) -> tuple[FitState, Fit]:
        start = systems.without_fluxes(on_each(systems, truth, *constraints))
        running = fit(start, [observation], FitSettings(**settings), warm)
        return running.run(), running

    return run


def lights(state: FitState, noise: np.ndarray) -> list[np.ndarray]:
    """Return the light of every source per pixel, of all channels together, in units of the noise."""
    result = []
    for source in state.scene.sources:
        component = source.components[0]
        pixels = component.morphology.pixels.value
        result.append(pixels / pixels.sum() * np.linalg.norm(component.spectrum.value / noise))
    return result


def rise(picture: np.ndarray) -> np.ndarray:
    """Return by how much every pixel outshines those inside of it."""
    return np.asarray(monotonicity_residual(jnp.asarray(picture, jnp.float32), jnp.ones((), jnp.float32)))


def between(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that gives light of a brightness that none may have."""
    return lambda picture: np.where((picture > low) & (picture < high), picture, 0.0)


VIOLATIONS: dict[ConstraintKind, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    ConstraintKind.SYMMETRIC: (1.0, lambda p: p - p[::-1, ::-1]),
    ConstraintKind.SYMMETRIC_MINIMUM: (1.0, lambda p: p - p[::-1, ::-1]),
    ConstraintKind.MONOTONIC: (1.0, rise),
    ConstraintKind.MONOTONIC_CUT: (1.0, rise),
    ConstraintKind.L0: (8.0, between(TOLERANCE, 8.0 - TOLERANCE)),
    ConstraintKind.CENTER_ON: (1.0, lambda p: np.minimum(p[len(p) // 2, len(p) // 2], 0.0)),
}
"""The strength that is tried, and what may not be."""


@pytest.mark.parametrize("kind", VIOLATIONS, ids=lambda kind: kind.value)
def test_a_constraint_holds_at_the_end(systems: Any, fitted: Any, kind: ConstraintKind) -> None:
    strength, violation = VIOLATIONS[kind]
    state, running = fitted(Constraint(kind, strength))
    assert running.state.outcome is Outcome.CONVERGED
    for light in lights(state, systems.noise):
        assert np.abs(violation(light)).max() < TOLERANCE
    assert 0.85 < state.chi2 < 1.05


def test_what_connected_sources_are_held_to_hangs_together(systems: Any, fitted: Any) -> None:
    """Paths may be as faint as any light, so that pictures near to connected ones say nothing: look at what they are
    near to."""
    state, running = fitted(Constraint(ConstraintKind.CONNECTED))
    assert running.state.outcome is Outcome.CONVERGED
    (tether,) = (t for t in running._position.split.tethers if t is not None)
    for light, allowed in zip(lights(running.state, systems.noise), np.asarray(tether.light), strict=False):
        labels, n_pieces = ndimage.label(allowed > 0)
        assert n_pieces == 1 and labels[len(labels) // 2, len(labels) // 2] == 1
        held = allowed[
            tuple(slice((n - m) // 2, (n + m) // 2) for n, m in zip(allowed.shape, light.shape, strict=True))
        ]
        assert np.abs(light - held).max() < TOLERANCE
    assert 0.85 < state.chi2 < 1.05


def test_images_of_other_bands_may_follow(systems: Any, truth: Scene, warm: Program) -> None:
    """What is compiled for a group has to be told apart by the number of channels, too."""
    assert warm.layout.groups
    data = Observation.from_arrays(
        np.ones((3, 48, 48)), [gaussian_psf(3.0)] * 3, np.ones((3, 48, 48)), channels=list("gri")
    )
    sources = [make_source("free-form", x, y, n_channels=3, half_light_radius=2.0) for x, y in PLACES]
    scene = on_each(systems, empty_scene([data]).add(*sources), Constraint(ConstraintKind.CENTER_ON))
    assert np.isfinite(next(fit(scene, [data])).loss)


def flux_errors(state: FitState) -> float:
    """Return the largest error of a flux, relative to the truth."""
    return float(np.abs(state.scene.fluxes / np.array(FLUXES) - 1.0).max())


@pytest.mark.parametrize("kind", [ConstraintKind.SYMMETRIC, ConstraintKind.MONOTONIC], ids=lambda kind: kind.value)
def test_what_the_truth_satisfies_costs_no_flux(fitted: Any, kind: ConstraintKind) -> None:
    # a fit that starts at the truth may stop there: go to the minima
    free, _ = fitted(tolerance=1e-4)
    state, _ = fitted(Constraint(kind), tolerance=1e-4)
    assert flux_errors(state) < flux_errors(free) + 0.02


def test_norms_take_what_they_say_and_the_loss_has_them_in_it(systems: Any, fitted: Any) -> None:
    free, _ = fitted(tolerance=1e-4)
    for kind, measure in (
        (ConstraintKind.L1, lambda p: np.sum(np.abs(p) > 0.1)),
        (ConstraintKind.TOTAL_VARIATION, lambda p: np.abs(np.diff(p, axis=0)).sum() + np.abs(np.diff(p, axis=1)).sum()),
        (ConstraintKind.STARLET_SPARSITY, lambda p: np.abs(p - ndimage.uniform_filter(p, 3)).sum()),
    ):
        less, _ = fitted(Constraint(kind), tolerance=1e-4)
        before, after = (sum(map(measure, lights(state, systems.noise))) for state in (free, less))
        assert after < before, kind
    state, _ = fitted(Constraint(ConstraintKind.L1, 0.1))
    norm = sum(np.abs(p).sum() for p in lights(state, systems.noise))
    data = 0.5 * state.chi2 * 2 * 48**2
    assert state.loss == pytest.approx(data + 0.1 * norm, rel=0.03)  # soft constraints are the rest


@pytest.mark.parametrize("kind", SPECTRUM_KINDS, ids=lambda kind: kind.value)
def test_spectra_are_held(systems: Any, truth: Scene, observation: Observation, warm: Program, kind: Any) -> None:
    """The true ratios are 1.286 and 0.75: one is allowed, the other is not."""
    settings: Any = (("lower", (0.0, 1.1)), ("upper", (2.0, 1.5)))
    if kind is ConstraintKind.BAND_RATIOS:
        settings = (("ratios", (1.0, 1.1)),)
    scene = on_each(systems, truth, Constraint(kind, settings=settings))
    state = fit(scene, [observation], program=warm).run()
    ratios = state.scene.fluxes[:, 1] / state.scene.fluxes[:, 0]
    assert ratios[1] == pytest.approx(1.1, abs=8e-3)  # 0.3 of what the data tell
    assert ratios[0] == pytest.approx(1.1 if kind is ConstraintKind.BAND_RATIOS else 1.286, abs=0.06)


def test_toggling_and_strength_compile_nothing(
    systems: Any, truth: Scene, observation: Observation, warm: Program, fitted: Any, compiles_nothing: Any
) -> None:
    fitted(Constraint(ConstraintKind.MONOTONIC))

    def edit() -> None:
        running = fit(truth, [observation], program=warm)
        for _ in range(2):
            next(running)
        for kind in (*PIXEL_KINDS, *SPECTRUM_KINDS):
            for constraint in (Constraint(kind), Constraint(kind, 0.5), Constraint(kind, active=False)):
                running.edit(on_each(systems, truth, constraint))
            next(running)

    compiles_nothing(edit)


def test_a_scene_that_nothing_is_asked_of_has_no_tethers(systems: Any, truth: Scene, observation: Observation) -> None:
    program = systems.program([observation], truth)
    assert all(not group.is_split for group in program.layout.groups)
    assert all(d.asked is None and d.tether is None for d in program.data.groups)
    program.update(on_each(systems, truth, Constraint(ConstraintKind.MONOTONIC, active=False)))
    assert all(not group.is_split for group in program.layout.groups)


def test_a_fit_goes_on_where_it_was_and_stays_where_it_ended(fitted: Any, systems: Any) -> None:
    whole, _ = fitted(Constraint(ConstraintKind.MONOTONIC))
    state, running = fitted(Constraint(ConstraintKind.MONOTONIC))
    assert state.loss == whole.loss
    again = running.edit(state.scene)
    assert again.loss == pytest.approx(state.loss, rel=1e-4)
    end = running.run()
    assert end.iteration - state.iteration < 8
    assert end.loss == pytest.approx(state.loss, rel=5e-3)
    np.testing.assert_allclose(end.scene.fluxes, state.scene.fluxes, rtol=0.02)


def test_projecting_after_every_step_stalls_and_the_splitting_converges(
    systems: Any, truth: Scene, observation: Observation, warm: Program, fitted: Any
) -> None:
    """A failure of others: an operator that does not act in the metric of the step undoes it."""
    state, running = fitted(Constraint(ConstraintKind.MONOTONIC))
    assert running.state.outcome is Outcome.CONVERGED and state.iteration < 40
    start = on_each(systems, systems.without_fluxes(truth), Constraint(ConstraintKind.MONOTONICITY, active=False))
    warm.update(start)
    solver = GaussNewton(warm, FitSettings())
    position = solver.start(solver.first_damping)
    weights = inward_weights_about(31, jnp.zeros(2), jnp.int32(2)).astype(jnp.float32)
    zero, one = jnp.zeros(()), jnp.ones(())
    losses = []
    for _ in range(20):
        position = solver.advance(position)
        scene = warm.snapshot()(position.parameters)
        projected = []
        for source in scene.sources:
            pixels = np.pad(source.components[0].morphology.pixels.value, 15 - RADIUS)
            nearest = np.asarray(nearest_monotonic(jnp.asarray(pixels, jnp.float32), weights, zero, one))
            inner = slice(15 - RADIUS, 16 + RADIUS)
            parameter = source.components[0].morphology.pixels.at(nearest[inner, inner])
            projected.append(systems.with_morphology(source, pixels=parameter))
        warm.take(scene.with_sources(projected))
        position = solver.start(position.damping)
        losses.append(position.loss)
    # with more steps than the whole fit has taken it is far above, and as good as stands still there
    assert len(losses) >= state.iteration
    assert min(losses) > state.loss + 20.0 and losses[-5] - losses[-1] < 5.0


@pytest.mark.usefixtures("double")
def test_a_tether_is_a_residual_like_any_other(systems: Any, truth: Scene, observation: Observation) -> None:
    """The gradient is that of finite differences, and the matrix its derivative where nothing is missing."""
    program = systems.program([observation], truth, dtype=np.float64)
    program.update(on_each(systems, truth, Constraint(ConstraintKind.MONOTONIC)))
    layout, data, parameters = program.layout, program.data, program.parameters
    rng = np.random.default_rng(4)

    def tethered(stiffness: float) -> Any:
        groups = []
        for d in data.groups:
            if d.tether is not None:
                fields = {
                    name: rng.normal(size=part.shape) if "stiffness" not in name else np.full(part.shape, stiffness)
                    for name, part in d.tether._asdict().items()
                }
                d = d._replace(tether=d.tether._replace(**fields))
            groups.append(d)
        return data._replace(groups=tuple(groups))

    held_to = tethered(0.3)
    step, loose = (compiled_linearized(layout, d, parameters) for d in (held_to, tethered(0.0)))
    way = jax.tree.map(lambda f: f * rng.normal(size=f.shape) * 1e-3, step.free)
    slope = dot(step.gradient, way) - dot(loose.gradient, way)
    ahead, behind = (
        compiled_penalty(layout, held_to, jax.tree.map(lambda p, w, s=sign: p + s * 1e-3 * w, parameters, way))
        for sign in (1, -1)
    )
    plain = [
        compiled_penalty(layout, tethered(0.0), jax.tree.map(lambda p, w, s=sign: p + s * 1e-3 * w, parameters, way))
        for sign in (1, -1)
    ]
    assert float(slope) == pytest.approx(float((ahead - behind) - (plain[0] - plain[1])) / 2e-3, rel=1e-4)
    other = jax.tree.map(lambda f: f * rng.normal(size=f.shape), step.free)
    one, two = (compiled_product(layout, held_to, parameters, step, v) for v in (way, other))
    assert float(dot(other, one)) == pytest.approx(float(dot(way, two)), rel=1e-9)


compiled_linearized, compiled_product = jitted(linearized), jitted(normal_product)


@jitted
def compiled_penalty(layout: Any, data: Any, parameters: Any) -> Any:
    return penalty(layout, data, parameters, lag(parameters), pictures_of(layout, data, parameters))
