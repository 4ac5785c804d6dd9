"""The learned prior: what it adds to the sum of squares, against dense algebra; and irregular galaxies under it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy import ndimage, signal

from deblend import Constraint, ConstraintKind, FitSettings, Observation, Program, Scene, Status, fit, make_source
from deblend.infer import gauss_newton, trial
from deblend.observe.kernel import difference_kernel
from deblend.priors import draw_galaxy, learned_classes
from deblend.priors.tables import WIDE, continued, learned_tables
from deblend.program import learned as learned_
from deblend.program import operator, pictures
from deblend.render.learned import FIRST_MODE, SIZE_CLASS, learned_light
from deblend.scene import LEARNED_RADII, LEARNED_SIGMA, N_MODES, Learned
from deblend.sky import PixelAffine
from tests.engine.conftest import NOISE, PSFS, SHAPE
from tests.engine.jitted import jitted

KINDS = ("galaxy", "learned")
FWHM = (2.8, 3.3)
"""Of the PSFs of `systems`, which are integrated over pixels [pix]."""
STEP = 1e-5
value_and_gradient = jitted(gauss_newton.value_and_gradient)
linearize = jitted(pictures.linearize)
settled = jitted(trial.settled)
pictures_of = jitted(pictures.pictures_of)


@jitted
def forward(layout: Any, data: Any, parameters: Any, lines: Any, v: Any) -> Any:
    return operator.apply_jacobian(layout, data, parameters, lines, v, pictures.picture_changes(data, lines, v))


@jitted
def backward(layout: Any, data: Any, parameters: Any, lines: Any, images: Any) -> Any:
    return operator.apply_adjoint(layout, data, parameters, lines, images, (None,) * len(lines))


def sky(systems: Any) -> Scene:
    """Return an empty scene behind the model PSF that galaxies were learned behind: nothing is stretched."""
    return replace(systems.empty(), model_psf_sigma=LEARNED_SIGMA)


def program_of(systems: Any, observation: Observation, scene: Scene, dtype: Any = np.float32) -> Program:
    """Return a program with room for default galaxies and learned ones, one layout for all tests."""
    both = [make_source(kind, 24.0, 24.0, n_channels=2, flux=np.zeros(2), radius=12) for kind in KINDS]
    program = Program([observation], sky(systems).add(*both), dtype=dtype)
    program.update(scene, solve=not scene.is_solved)
    return program


def learned_scene(systems: Any, *places: tuple[float, float], radius: int = 12, **options: Any) -> Scene:
    options = {"half_light_radius": 2.0, "flux": (900.0, 1300.0), **options}
    return sky(systems).add(*(make_source("learned", x, y, n_channels=2, radius=radius, **options) for x, y in places))


def with_prior(source: Any, strength: float, **parameters: Any) -> Any:
    component = source.components[0]
    morphology = component.morphology.with_constraint(Constraint(ConstraintKind.LEARNED_PRIOR, strength, strength > 0))
    return replace(source, components=(replace(component, morphology=replace(morphology, **parameters)),))


def dot(a: Any, b: Any) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(sum(np.sum(np.multiply(x, y, dtype=float)) for x, y in pairs))


def stirred(program: Program, seed: int) -> Any:
    """Return the program's parameters, with the light of learned sources off the mean."""
    rng = np.random.default_rng(seed)
    parameters = program.parameters
    group = parameters.groups[1]
    group.theta[0, :2] = (0.31, -0.42)
    group.theta[0, FIRST_MODE:] = rng.normal(size=N_MODES)
    group.pixels[0, 3:28, 3:28] = 0.3 * rng.normal(size=(25, 25))
    return parameters


# -- tables ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("scale", "sigma"), [(1.0, 0.8), (1.0, 0.6), (1.7, 0.8)])
def test_a_class_is_drawn_where_it_is_as_scipy_interpolates_it(scale: float, sigma: float) -> None:
    tables, number, offset = learned_tables(np.dtype(np.float64)), 3, (0.37, -0.81)
    modes = np.random.default_rng(1).normal(size=N_MODES)
    theta = np.concatenate([offset, [number], modes])
    picture, spread = learned_light(theta, scale, np.float64(sigma**2), 31, tables)
    each, stretch = learned_classes()[number], scale * sigma / LEARNED_SIGMA
    whole = continued(each.mean)
    margin = (WIDE - each.mean.shape[0]) // 2
    whole[margin:-margin, margin:-margin] += np.tensordot(modes, each.modes, axes=1)
    index = np.indices((31, 31)) - 15 - np.array(offset)[:, None, None]
    inside = np.abs(index / stretch).max(axis=0) < each.mean.shape[0] // 2 - 6
    expected = ndimage.map_coordinates(whole, index / stretch + WIDE // 2, order=3) / stretch**2
    np.testing.assert_allclose(np.asarray(picture)[inside], expected[inside], atol=2e-3 * expected.max())
    assert np.all(np.asarray(spread) > 0)


# -- the prior as a term ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("double")
def test_its_gradient_is_that_of_finite_differences(systems: Any) -> None:
    scene = learned_scene(systems, (24.2, 23.7))
    program = program_of(systems, systems.blank(), scene, np.float64)
    known = program.layout, program.data
    at = stirred(program, 1)
    _, gradient = value_and_gradient(*known, at, at)
    rng = np.random.default_rng(2)
    for part in ("theta", "pixels", "flux"):
        v = jax.tree.map(np.zeros_like, at)
        getattr(v.groups[1], part)[0] = rng.normal(size=getattr(v.groups[1], part)[0].shape)
        v.groups[1].theta[0, SIZE_CLASS] = 0.0
        ends = [jax.tree.map(lambda a, b, s=s: a + s * b, at, v) for s in (STEP, -STEP)]
        up, down = (float(value_and_gradient(*known, end, at)[0]) for end in ends)
        assert dot(gradient, v) == pytest.approx((up - down) / (2 * STEP), rel=2e-5)


@pytest.mark.usefixtures("double")
def test_its_derivative_and_the_transpose_are_transposes(systems: Any) -> None:
    program = program_of(systems, systems.blank(), learned_scene(systems, (24.2, 23.7)), np.float64)
    layout, data, at = program.layout, program.data, stirred(program, 3)
    lines, rng = linearize(layout, data, at), np.random.default_rng(4)
    v = jax.tree.map(lambda a: rng.normal(size=a.shape), at)
    images = tuple(rng.normal(size=o.images.shape) for o in data.observations)
    across = dot(forward(layout, data, at, lines, v), images), dot(v, backward(layout, data, at, lines, images))
    assert across[0] == pytest.approx(across[1], rel=1e-9)


def dense_class(number: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of a class on a box in the middle of which it lies."""
    each, half = learned_classes()[number], learned_classes()[0].mean.shape[0] // 2
    inner = slice(half - radius, half + radius + 1)
    modes = each.modes[:, inner, inner].reshape(N_MODES, -1)
    return each.mean[inner, inner].ravel(), modes.T @ modes + np.diag(each.spread[inner, inner].ravel() ** 2)


@pytest.mark.usefixtures("double")
def test_a_picture_is_written_anew_by_what_is_likeliest(systems: Any) -> None:
    """The picture stays, and the class is the one that λ² (n - μ)ᵀ C⁻¹ (n - μ) + ln det C is least for."""
    radius, strength = 12, 0.3
    (source,) = learned_scene(systems, (24.0, 24.0), radius=radius).sources
    program = program_of(systems, systems.blank(), sky(systems).add(with_prior(source, strength)), np.float64)
    layout, data = program.layout, program.data
    for seed in range(3):
        at = stirred(program, seed)
        at.groups[1].theta[0, :2] = 0.0
        before = np.asarray(pictures_of(layout, data, at)[1][0])
        after = settled(layout, data, at)
        np.testing.assert_allclose(pictures_of(layout, data, after)[1][0], before, atol=1e-9 * before.max())
        inner = slice(15 - radius, 15 + radius + 1)
        theta, u = np.asarray(after.groups[1].theta[0]), np.asarray(after.groups[1].pixels[0])[inner, inner]
        own = learned_light(theta, 1.0, np.float64(LEARNED_SIGMA**2), 31, learned_tables(np.dtype(np.float64)))
        picture = (np.asarray(own[0])[inner, inner] + np.asarray(own[1])[inner, inner] * u).ravel()
        costs = []
        for number in range(len(LEARNED_RADII)):
            mean, covariance = dense_class(number, radius)
            off = picture - mean
            costs.append(strength**2 * off @ np.linalg.solve(covariance, off) + np.linalg.slogdet(covariance)[1])
        chosen = int(theta[SIZE_CLASS])
        assert chosen == int(np.argmin(costs))
        mean, covariance = dense_class(chosen, radius)
        square = (picture - mean) @ np.linalg.solve(covariance, picture - mean)
        assert np.sum(theta[FIRST_MODE:] ** 2) + np.sum(u**2) == pytest.approx(square, rel=0.02)


def test_the_fit_is_the_dense_solution(systems: Any) -> None:
    """One galaxy of known place, flux and size: all that is left is its picture, under a Gaussian prior."""
    radius, strength, number, flux = 8, 0.5, 3, np.array([900.0, 1300.0])
    (source,) = learned_scene(systems, (24.0, 24.0), radius=radius, flux=flux).sources
    source = source.with_status(Status.FIXED)
    morphology = source.components[0].morphology
    source = with_prior(
        source,
        strength,
        modes=morphology.modes.with_status(Status.FREE),
        correction=morphology.correction.with_status(Status.FREE),
        size_class=morphology.size_class.at(float(number)),
    )
    source = systems.with_constraint(source, Constraint(ConstraintKind.POSITIVITY, 1.0, active=False))
    side = 2 * radius + 1
    # the truth is a draw of the class, cut to its box
    truth = learned_classes()[number].draw(np.random.default_rng(8))
    half = truth.shape[0] // 2
    truth = truth[half - radius : half + radius + 1, half - radius : half + radius + 1]
    kernels = [difference_kernel(psf, LEARNED_SIGMA, PixelAffine(), 1) for psf in PSFS]

    def seen(picture: np.ndarray) -> np.ndarray:
        canvas = np.zeros(SHAPE)
        canvas[24 - radius : 24 + radius + 1, 24 - radius : 24 + radius + 1] = picture
        images = [f * signal.fftconvolve(canvas, k, mode="same") for f, k in zip(flux, kernels, strict=True)]
        return np.array(images) / NOISE[:, None, None]

    images = seen(truth / truth.sum()) * NOISE[:, None, None]
    images += np.random.default_rng(9).normal(size=images.shape) * NOISE[:, None, None]
    observation = systems.seen(images, seed=None)
    program = program_of(systems, observation, sky(systems).add(source))
    best = fit(
        sky(systems).add(source), [observation], FitSettings(tolerance=1e-7, inner_iterations=200), program
    ).run()
    lines = linearize(program.layout, program.data, best.parameters)
    inner = slice(15 - radius, 15 + radius + 1)
    fitted = np.asarray(lines[1].picture[0])[inner, inner]

    design = np.stack([seen(unit.reshape(side, side)).ravel() for unit in np.eye(side**2)], axis=1)
    data = (images / NOISE[:, None, None]).ravel()
    mean, covariance = dense_class(number, radius)
    precision = strength**2 * np.linalg.inv(covariance)
    picture = mean.copy()
    for _ in range(12):
        # what is seen is the picture over its sum
        total = picture.sum()
        share = picture / total
        slope = (design - (design @ share)[:, None]) / total
        right = slope.T @ (data - design @ share) - precision @ (picture - mean)
        picture = picture + np.linalg.solve(slope.T @ slope + precision, right)
    expected = (picture / picture.sum()).reshape(side, side)
    # kernels of the engine are cut where they are next to nothing
    assert np.abs(fitted - expected).max() < 0.01 * expected.max()
    # the prior is felt: the data alone would have it otherwise
    assert np.abs(expected - truth / truth.sum()).max() > 0.02 * expected.max()


# -- in use ----------------------------------------------------------------------------------------------------


def test_switching_class_strength_and_prior_compiles_nothing(systems: Any, compiles_nothing: Any) -> None:
    scene = learned_scene(systems, (20.2, 23.7), (29.0, 25.0))
    observation = systems.seen(program_of(systems, systems.blank(), scene).model(), 1)
    program = program_of(systems, observation, scene)
    for _ in fit(scene, [observation], FitSettings(max_iterations=3), program):
        pass

    def act() -> None:
        first, second = scene.sources
        for edited in (
            with_prior(first, 1.0),
            with_prior(first, 0.0),
            with_prior(first, 0.2, size_class=first.components[0].morphology.size_class.at(6.0)),
            first.resized(9),
        ):
            state = fit(scene.replace(edited), [observation], FitSettings(max_iterations=2), program).run()
            assert np.isfinite(state.loss) and np.all(np.isfinite(state.scene[first.id].flux))
        assert second.kind == "learned"

    compiles_nothing(act)


def irregular_blend(systems: Any, seed: int) -> tuple[Observation, list[tuple[float, float]], np.ndarray]:
    """Return two irregular galaxies that overlap, drawn without the engine, with their places and fluxes."""
    rng = np.random.default_rng((9001, seed))
    places = [(20.2, 23.6), (27.4, 24.3)]
    fluxes = np.array([[1500.0, 2200.0], [1800.0, 2000.0]]) * rng.uniform(0.6, 1.6, (2, 1))
    images = np.zeros((2, *SHAPE))
    for (x, y), flux in zip(places, fluxes, strict=True):
        galaxy = draw_galaxy(rng, "irregular")
        size = galaxy.size_for(2.6, LEARNED_SIGMA)
        galaxy = galaxy.shifted(*-galaxy.mode(1.5 / size))
        for band, fwhm in enumerate(FWHM):
            images[band] += (
                flux[band] * galaxy.drawn(49, size, np.sqrt((fwhm / 2.3548) ** 2 + 1 / 12), (y - 24, x - 24))[:48, :48]
            )
    return systems.seen(images, seed), places, fluxes


@pytest.mark.slow
def test_irregular_galaxies_are_split_better_than_by_the_default(systems: Any) -> None:
    """Galaxies of the generator that no class has seen; the learned prior is right about them, the default is not."""
    errors: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for seed in range(8):
        observation, places, fluxes = irregular_blend(systems, seed)
        for kind in KINDS:
            start = [make_source(kind, x, y, n_channels=2, radius=14, half_light_radius=2.4) for x, y in places]
            scene = sky(systems).add(*start)
            best = fit(scene, [observation], program=program_of(systems, observation, scene)).run()
            errors[kind] += np.abs(best.scene.fluxes / fluxes - 1.0).ravel().tolist()
    means = {kind: float(np.mean(np.minimum(each, 1.0))) for kind, each in errors.items()}
    assert means["learned"] < 0.85 * means["galaxy"], means


def test_a_larger_galaxy_than_any_that_was_learned_starts_stretched() -> None:
    small, large = (Learned.start(radius, 40) for radius in (2.0, 12.0))
    assert small.scale == 1.0 and large.scale > 1.5
    assert large.half_light_radius_guess == pytest.approx(12.0, rel=0.15)
    assert small.half_light_radius_guess == pytest.approx(2.0, rel=0.15)
    assert learned_.REFINEMENTS > 0
