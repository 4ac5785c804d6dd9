"""Errors of fluxes: what the scatter of fits over realisations of the noise says, they say beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deblend import Program, Scene, Status
from deblend.infer.errors import TIMES, draw
from deblend.infer.given_shapes import flux_covariances
from deblend.infer.noise_solver import NoiseSolver


@pytest.fixture(scope="module")
def stars(systems: Any) -> Scene:
    """Four stars, far from each other, of signal to noise about 20."""
    places = ((11.3, 12.6), (35.2, 11.8), (12.4, 36.1), (36.4, 35.5))
    return systems.scene(*(("point", x, y, (80.0, 80.0)) for x, y in places))


def expected_error_of_a_star(systems: Any) -> np.ndarray:
    """Return σ / √Σ P², per band: of an isolated star whose center, by symmetry, has no say in its flux."""
    return np.array([s / np.sqrt(np.sum(psf**2)) for s, psf in zip(systems.noise, systems.psfs, strict=True)])


def test_the_error_of_an_isolated_star_is_known(systems: Any, stars: Scene) -> None:
    """128 samples know an error to 6 %; 25 % is 4 of that."""
    program = systems.program([systems.observe(stars)], stars)
    errors = draw(program, n_samples=128).flux_errors
    assert errors.shape == (4, 2)
    np.testing.assert_allclose(errors, np.broadcast_to(expected_error_of_a_star(systems), (4, 2)), rtol=0.25)


@pytest.mark.slow
def test_fluxes_of_stars_pull_with_unit_variance(systems: Any, stars: Scene, trials: Callable[[int], int]) -> None:
    """8 fluxes a realisation: over n of them the mean of the pulls is known to 1/√(8n), their spread to 1/√(16n)."""
    n = trials(24)
    model = systems.model(stars)
    pulls = []
    for seed in range(n):
        start = systems.without_fluxes(stars.with_sources(s.moved(s.x + 0.1, s.y) for s in stars.sources))
        last = systems.fit(start, [systems.seen(model, seed=100 + seed)]).run()
        pulls.append((last.scene.fluxes - stars.fluxes) / expected_error_of_a_star(systems))
    assert np.mean(pulls) == pytest.approx(0.0, abs=4 / np.sqrt(8 * n))
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / np.sqrt(16 * n))


@pytest.mark.slow
def test_errors_agree_with_the_scatter_of_fits(systems: Any, trials: Callable[[int], int]) -> None:
    """Of blended pairs with free centers and sizes, where neighbours and shapes make errors larger.

    n realisations know a scatter to 1/√2n, 32 samples an error to 1/√64; two alike pairs in two bands are averaged.
    """
    n = trials(24)
    truth = systems.scene(
        ("point", 12.2, 12.4, (300.0, 250.0)),
        ("gaussian", 15.4, 14.1, (500.0, 600.0), {"half_light_radius": 1.8}),
        ("point", 34.2, 33.4, (300.0, 250.0)),
        ("gaussian", 37.4, 35.1, (500.0, 600.0), {"half_light_radius": 1.8}),
    )
    model = systems.model(truth)
    errors = draw(systems.program([systems.seen(model)], truth)).flux_errors
    fluxes = [
        systems.fit(truth, [systems.seen(model, seed=300 + seed)], tolerance=1e-4).run().scene.fluxes
        for seed in range(n)
    ]
    ratios = np.std(fluxes, axis=0, ddof=1) / errors
    assert np.all(errors[:, 0] > expected_error_of_a_star(systems)[0])
    spread = np.sqrt(1 / (2 * n) + 1 / 64)
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * spread / np.sqrt(4))
    assert np.all(np.abs(ratios - 1) < 4.5 * spread)


def test_a_neighbour_makes_an_error_larger_and_a_locked_one_does_not(systems: Any) -> None:
    alone = systems.scene(("point", 22.0, 24.0, (200.0, 200.0)))
    pair = alone.add(*systems.scene(("point", 24.2, 24.0, (200.0, 200.0))).sources)
    seen = systems.observe(pair)
    locked = pair.replace(pair.sources[1].with_status(Status.LOCKED))
    of_alone, of_pair, of_locked = (draw(systems.program([seen], scene)).flux_errors for scene in (alone, pair, locked))
    assert np.all(of_pair[0] > 1.3 * of_alone[0])
    np.testing.assert_allclose(of_locked[0], of_alone[0], rtol=0.3)
    assert np.all(of_locked[1] == 0)


@pytest.mark.parametrize("distance", [0.3, 1.0, 3.0])
def test_errors_of_twins_are_those_of_the_linear_problem(systems: Any, distance: float) -> None:
    """Positions known: errors and their correlation are the inverse of a 2 × 2 matrix. 128 samples know them to 6 %."""
    pair = systems.scene(*(("point", 20.2 + x, 24.4, (300.0, 300.0)) for x in (0.0, distance)))
    held = pair.with_sources(
        systems.with_spectrum(s.with_status(Status.FIXED), s.components[0].spectrum) for s in pair.sources
    )
    observation = systems.observe(held)
    program = systems.program([observation], held)
    fluxes = draw(program, n_samples=128).fluxes
    columns = [column[0].on(observation.images.shape) for column in program.columns()]
    for channel, noise in enumerate(systems.noise):
        design = np.stack([column[channel].ravel() for column in columns]).astype(float) / noise
        expected = np.linalg.inv(design @ design.T)
        found = fluxes[:, :, channel].T @ fluxes[:, :, channel] / len(fluxes)
        np.testing.assert_allclose(np.sqrt(np.diagonal(found)), np.sqrt(np.diagonal(expected)), rtol=0.25)
        between = expected[0, 1] / np.sqrt(expected[0, 0] * expected[1, 1])
        assert found[0, 1] / np.sqrt(found[0, 0] * found[1, 1]) == pytest.approx(
            between, abs=0.3 * (1 - between**2) + 0.01
        )


def test_few_solutions_say_what_many_plain_draws_do(systems: Any) -> None:
    """160 plain draws know an error to 6 %, 16 solutions of which only the shapes' part is drawn to about 5 %."""
    truth = systems.scene(
        ("point", 20.3, 24.4, (300.0, 250.0)),
        ("gaussian", 23.6, 25.1, (500.0, 600.0), {"half_light_radius": 1.8}),
        ("galaxy", 28.2, 22.3, (900.0, 700.0), {"half_light_radius": 2.4}),
    )
    program = systems.program([systems.observe(truth)], truth)
    few = draw(program, n_samples=16)
    changes = [change for change, _, _ in NoiseSolver(program, program.parameters).draws(np.random.default_rng(9), 160)]
    plain = np.zeros_like(few.flux_errors)
    for rows, groups in zip(program.rows, zip(*(c.groups for c in changes), strict=True), strict=True):
        drawn = np.array([np.asarray(group.flux)[: len(rows)] for group in groups])
        plain[rows] = np.sqrt(np.mean(drawn**2, axis=0)) * program.noise
    held = np.sqrt(np.einsum("css->sc", flux_covariances(program))) * program.noise
    assert np.all(plain[1:] > 1.02 * held[1:])
    np.testing.assert_allclose(few.flux_errors, plain, rtol=0.3)
    assert np.mean(few.flux_errors / plain) == pytest.approx(1.0, abs=0.12)
    np.testing.assert_allclose(np.sqrt(np.mean(few.fluxes**2, axis=0)), few.flux_errors, rtol=1e-6)
    assert few.centers.shape == (16 * TIMES, 3, 2)


def test_a_source_without_flux_has_an_error_too(systems: Any) -> None:
    """Fluxes are not held at their bounds, so that an upper limit can be told."""
    scene = systems.scene(("point", 22.0, 24.0, (0.0, 0.0)))
    errors = draw(systems.program([systems.seen(np.zeros((2, 48, 48)))], scene), n_samples=64).flux_errors
    np.testing.assert_allclose(errors[0], expected_error_of_a_star(systems), rtol=0.35)


def test_samples_are_the_same_for_a_seed_and_counted(systems: Any, stars: Scene) -> None:
    program: Program = systems.program([systems.observe(stars)], stars)
    before = program.scene
    told: list[tuple[int, int]] = []
    first = draw(program, n_samples=3, seed=4, progress=lambda done, of: told.append((done, of))).fluxes
    assert first.shape == (3 * TIMES, 4, 2) and told == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_array_equal(first, draw(program, n_samples=3, seed=4).fluxes)
    assert np.any(first != draw(program, n_samples=3, seed=5).fluxes)
    assert program.scene is before


def test_errors_of_every_kind_are_positive_and_finite(systems: Any) -> None:
    truth = systems.one_of_each()
    errors = draw(systems.program([systems.observe(truth)], truth), n_samples=16).flux_errors
    assert np.all(np.isfinite(errors)) and np.all(errors > 0)
    # an extended source is seen through more noise than a star
    assert np.all(errors[1:].min(axis=1) > 0.8 * errors[0].max())
