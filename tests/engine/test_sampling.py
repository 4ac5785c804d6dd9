"""Draws from the posterior: where the answer is known, all methods give it; and they can be stopped and repeated.

Of n draws the mean of a Gaussian is known to 1/√n of its deviation, the deviation to 1/√(2n) of itself, and a
correlation ρ to (1 - ρ²)/√n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deblend import Constraint, ConstraintKind, PowerLaw, Program, Scene, Status, compilations, sample
from deblend.infer import Method

N_DRAWS = 60
METHODS = [method.value for method in Method if method is not Method.DIFFUSION]
"""Of scenes whose numbers are free; pictures under a learned prior are in test_scene_draws."""
INDEPENDENT = ["gaussian", "rto"]
N_OF_CHAINS = 240
"""Draws of NUTS: a deviation is known from a third of them, means from more than all."""


@pytest.fixture(scope="module")
def pair(systems: Any) -> Scene:
    """Two stars a pixel and a half apart, of which fluxes alone are free, and which trade flux: a linear problem."""
    scene = systems.scene(*(("point", 20.2 + x, 24.4, (300.0, 300.0)) for x in (0.0, 1.5)))
    return scene.with_sources(
        systems.with_spectrum(s.with_status(Status.FIXED), s.components[0].spectrum) for s in scene.sources
    )


def exact(program: Program, systems: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (source, channel) and covariance (channel, source, source) of the fluxes [nJy] of stars in white
    noise, by the inverse of the dense normal matrix."""
    image = program.observations[0].images
    columns = [column[0].on(image.shape) for column in program.columns()]
    means, covariances = [], []
    for channel, noise in enumerate(systems.noise):
        design = np.stack([column[channel].ravel() for column in columns]).astype(float) / noise
        covariances.append(np.linalg.inv(design @ design.T))
        means.append(covariances[-1] @ design @ (image[channel].ravel() / noise))
    return np.stack(means, axis=1), np.stack(covariances)


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_scene_has_the_exact_mean_and_covariance(systems: Any, pair: Scene, method: str) -> None:
    """Within 4.5 Monte-Carlo errors of each number, from a start that is not the minimum."""
    program = systems.program([systems.observe(pair)], pair)
    n = N_OF_CHAINS if method == "nuts" else N_DRAWS
    sampling = sample(pair, program.observations, method, n, 3, program)
    drawn = np.stack([draw.scene.fluxes for draw in sampling])
    worth = n / 4 if method == "nuts" else n
    mean, covariance = exact(program, systems)
    for channel in range(2):
        expected, found = covariance[channel], np.cov(drawn[:, :, channel].T)
        deviation = np.sqrt(np.diagonal(expected))
        off = (drawn[:, :, channel].mean(axis=0) - mean[:, channel]) / deviation
        assert np.all(np.abs(off) < 4.5 / np.sqrt(worth))
        ratio = np.sqrt(np.diagonal(found)) / deviation
        assert np.all(np.abs(ratio - 1) < 4.5 / np.sqrt(2 * worth))
        rho = expected[0, 1] / np.prod(deviation)
        assert rho < -0.3
        between = found[0, 1] / np.sqrt(found[0, 0] * found[1, 1])
        assert between == pytest.approx(rho, abs=4.5 * (1 - rho**2) / np.sqrt(worth))
    diagnosis = sampling.diagnosis()
    assert (diagnosis is None) == (method != "nuts")
    if diagnosis is not None:
        assert diagnosis.n_divergent == 0 and diagnosis.worst_r_hat < 1.05 and diagnosis.least_ess > n / 2
        assert "source" in diagnosis.names[0]


def test_refits_keep_fluxes_positive_and_gaussian_errors_do_not(systems: Any) -> None:
    """Of a flux that is zero, about half of the draws of a Gaussian are negative; of the refits about half are zero."""
    scene = systems.scene(("point", 22.0, 24.0, (0.0, 0.0)))
    scene = scene.with_sources(
        systems.with_spectrum(s.with_status(Status.FIXED), s.components[0].spectrum) for s in scene.sources
    )
    program = systems.program([systems.seen(np.zeros((2, 48, 48)), seed=None)], scene)
    drawn = {
        method: np.stack([draw.scene.fluxes for draw in sample(scene, program.observations, method, 40, 5, program)])
        for method in INDEPENDENT
    }
    error = systems.noise / np.sqrt([np.sum(psf**2) for psf in systems.psfs])
    assert np.all(drawn["rto"] >= 0.0)
    # 80 draws: a half is known to 0.056
    assert np.mean(drawn["rto"] < 0.01 * error) == pytest.approx(0.5, abs=0.25)
    assert np.mean(drawn["gaussian"] < 0) == pytest.approx(0.5, abs=0.25)


def test_bounds_are_kept(systems: Any) -> None:
    """A size that the data would have smaller than it may be."""
    truth = systems.scene(("gaussian", 24.0, 24.0, (500.0, 500.0), {"half_light_radius": 1.5}))
    source = truth.sources[0]
    size = source.components[0].morphology.parameters["half_light_radius"].bounded(1.45, 1.52)
    scene = truth.with_sources([systems.with_morphology(source, half_light_radius=size)])
    program = systems.program([systems.observe(truth)], scene)
    for method in METHODS:
        drawn = sample(scene, program.observations, method, 8, 1, program)
        sizes = [d.scene.sources[0].components[0].morphology.parameters["half_light_radius"].value for d in drawn]
        assert np.all(np.array(sizes) >= 1.45 - 1e-5) and np.all(np.array(sizes) <= 1.52 + 1e-5)
        assert np.ptp(sizes) > 0.01


def test_draws_of_both_methods_agree_on_a_scene_that_is_well_measured(systems: Any) -> None:
    """Positions and fluxes of a bright star beside a galaxy; 60 draws know a deviation to 9 %, two of them to 13 %."""
    truth = systems.scene(
        ("point", 20.3, 24.4, (900.0, 800.0)),
        ("gaussian", 25.1, 25.2, (1500.0, 1700.0), {"half_light_radius": 1.8}),
    )
    program = systems.program([systems.observe(truth)], truth)
    spread, means = [], []
    for method in INDEPENDENT:
        drawn = [d.scene for d in sample(truth, program.observations, method, 60, 11, program)]
        numbers = np.array([[*s.fluxes.ravel(), *(c for x in s.sources for c in (x.x, x.y))] for s in drawn])
        spread.append(numbers.std(axis=0, ddof=1))
        means.append(numbers.mean(axis=0))
    assert np.all(spread[0] > 0)
    np.testing.assert_allclose(spread[1] / spread[0], 1.0, atol=4.5 * 0.13)
    assert np.all(np.abs(means[1] - means[0]) < 4.5 * np.hypot(*spread) / np.sqrt(60))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_draws_and_a_cancelled_one_goes_on(systems: Any, pair: Scene, method: str) -> None:
    program = systems.program([systems.observe(pair)], pair)
    seen = program.observations

    def fluxes(drawn: Any) -> np.ndarray:
        return np.stack([draw.scene.fluxes for draw in drawn])

    whole = fluxes(sample(pair, seen, method, 6, 4, program))
    sampling = sample(pair, seen, method, 4, 4, program)
    first = []
    for draw in sampling:
        first.append(draw)
        if draw.index == 1:
            sampling.cancel()
    assert len(first) == sampling.n_done == 2 and [draw.index for draw in first] == [0, 1]
    sampling.resume()
    sampling.n_draws = 6
    again = fluxes([*first, *sampling])
    np.testing.assert_array_equal(whole, again)
    assert np.any(whole != fluxes(sample(pair, seen, method, 6, 5, program)))
    assert np.all(np.std(whole, axis=0) > 0)


@pytest.mark.parametrize("method", METHODS)
def test_draws_compile_nothing_after_the_first(
    systems: Any, method: str, compiles_nothing: Callable[[Callable[[], Any]], None]
) -> None:
    # chains are for profiles
    truth = systems.one_of_each() if method != "nuts" else systems.scene(("sersic", 24.0, 23.0, (900.0, 800.0)))
    program = systems.program([systems.observe(truth)], truth)
    sampling = sample(truth, program.observations, method, 3, 0, program)
    program.pictures_of(next(sampling).scene)
    before = compilations()
    compiles_nothing(lambda: [program.pictures_of(draw.scene) for draw in sampling])
    assert sampling.n_done == 3 and compilations() == before


def test_draws_of_a_law_stay_on_it(systems: Any) -> None:
    """Fluxes of a power law between two bands: its slope moves, and fluxes follow it exactly."""
    star = systems.scene(("point", 24.0, 24.0, (900.0, 800.0)))
    scene = star.with_sources(source.following(PowerLaw()) for source in star.sources)
    program = systems.program([systems.observe(star)], scene)
    drawn = [draw.scene.sources[0] for draw in sample(program.scene, program.observations, "gaussian", 6, 1, program)]
    slopes = np.array([source.components[0].law.parameters["slope"].value for source in drawn])
    logs = np.array([np.log(np.divide(*source.components[0].spectrum.value)) for source in drawn])
    assert np.ptp(slopes) > 0
    # ln(f_g / f_i) = slope ln(λ_g / λ_i), with weights of the passbands: about linear over such a small range
    np.testing.assert_allclose(np.corrcoef(slopes, logs)[0, 1] ** 2, 1.0, atol=1e-3)


def test_what_cannot_be_sampled_is_refused_with_a_sentence(systems: Any, pair: Scene) -> None:
    observations = [systems.observe(pair)]
    program = systems.program(observations, pair)

    def refused(scene: Scene, *options: Any) -> str:
        with pytest.raises(ValueError) as caught:
            sample(scene, observations, *options, program=program)
        return str(caught.value)

    assert "gaussian, rto, nuts" in refused(pair, "metropolis")
    assert "at least 1" in refused(pair, "rto", 0)
    assert "negative" in refused(pair, "rto", 3, -1)
    assert "no sources" in refused(systems.empty())
    assert "without fluxes" in refused(systems.without_fluxes(pair))
    galaxy = systems.scene(("galaxy", 24.0, 24.0, (500.0, 500.0)))
    lawful = pair.with_sources(source.following(PowerLaw()) for source in pair.sources)
    assert "follow a law" in refused(lawful, "rto")
    asked = galaxy.with_constraint(Constraint(ConstraintKind.SYMMETRIC, 1.0))
    assert "operators" in refused(asked, "rto")
    assert "no density" in refused(asked, "nuts") and "follow a law" in refused(lawful, "nuts")
    free_form = systems.scene(("free-form", 24.0, 24.0, (500.0, 500.0)))
    assert "free pixels" in refused(free_form, "nuts")
    with pytest.raises(ValueError, match="n_chains"):
        sample(pair, observations, "nuts", program=program, n_chains=0)
