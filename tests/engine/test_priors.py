"""Priors of pictures against dense algebra: denoisers, densities, samples without data, and what fits them to a box."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from deblend.priors import (
    AbstractDensityPrior,
    Convention,
    GaussianPrior,
    MixturePrior,
    NoDensityError,
    Scheme,
    generated_stamps,
    learned_classes,
    noise_levels,
    on_box,
    require_density,
    scaled,
    stacked,
    tempered,
    tweedie_covariance,
    unconditional,
)
from deblend.priors.fitting import tile_starts

SIDE = 16


@pytest.fixture(scope="module")
def galaxies() -> GaussianPrior:
    """The Gaussian of stamps of the generator."""
    stamps = generated_stamps(SIDE, 300, seed=3).learn[:, :SIDE, :SIDE]
    return GaussianPrior.fitted(stamps, rank=24, floor=0.01)


def dense(prior: GaussianPrior) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(prior.mean, np.float64).ravel(), prior.covariance()


# -- the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.01, 0.1, 1.0])
def test_a_gaussian_denoises_as_wiener_does(galaxies: GaussianPrior, sigma: float) -> None:
    mean, covariance = dense(galaxies)
    x = np.random.default_rng(1).normal(size=SIDE**2)
    expected = mean + covariance @ np.linalg.solve(covariance + sigma**2 * np.eye(len(mean)), x - mean)
    x_32 = jnp.asarray(x.reshape(SIDE, SIDE), jnp.float32)
    denoised = np.asarray(galaxies.denoise(x_32, jnp.float32(sigma)))
    np.testing.assert_allclose(denoised.ravel(), expected, atol=1e-4)
    np.testing.assert_allclose(galaxies.score(x_32, jnp.float32(sigma)), (denoised - x_32) / sigma**2, rtol=1e-5)


def test_tweedies_covariance_is_that_of_the_clean_picture(galaxies: GaussianPrior) -> None:
    _, covariance = dense(galaxies)
    for sigma in (0.05, 0.5):
        expected = covariance - covariance @ np.linalg.solve(covariance + sigma**2 * np.eye(SIDE**2), covariance)
        found = tweedie_covariance(galaxies, jnp.zeros((SIDE, SIDE)), jnp.float32(sigma))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_densities_are_those_of_scipy(galaxies: GaussianPrior) -> None:
    mean, covariance = dense(galaxies)
    x = mean + 0.05 * np.random.default_rng(2).normal(size=len(mean))
    first = multivariate_normal(mean, covariance).logpdf(x)
    other = multivariate_normal(0.5 * mean, covariance).logpdf(x)
    picture = jnp.asarray(x.reshape(SIDE, SIDE), jnp.float32)
    assert float(galaxies.log_prob(picture)) == pytest.approx(first, rel=1e-4)
    half = eqx.tree_at(lambda p: p.mean, galaxies, 0.5 * galaxies.mean)
    mixture = MixturePrior((galaxies, half), (0.3, 0.7))
    expected = np.logaddexp(np.log(0.3) + first, np.log(0.7) + other)
    assert float(mixture.log_prob(picture)) == pytest.approx(expected, rel=1e-4)


def test_a_size_class_denoises_as_its_prior_does() -> None:
    each = learned_classes()[2]
    x = each.draw(np.random.default_rng(1))
    prior = GaussianPrior.of_class(each)
    denoised = prior.denoise(jnp.asarray(x, jnp.float32), jnp.float32(1e-3))
    np.testing.assert_allclose(denoised, each.denoised(x, 1e-3), atol=1e-5)


# -- samples without data --------------------------------------------------------------------------------------


def ratio_and_offset(prior: GaussianPrior, scheme: Scheme, n: int) -> tuple[float, float]:
    """Return the scatter of draws over the true one, and how far their mean is off [Monte-Carlo errors]."""
    drawn = np.asarray(prior.sample(jax.random.key(5), n, scheme=scheme), np.float64).reshape(n, -1)
    mean, covariance = dense(prior)
    trace = np.trace(covariance)
    offset = float(np.linalg.norm(drawn.mean(axis=0) - mean) / (trace / n) ** 0.5)
    return drawn.var(axis=0, ddof=1).sum() / trace, offset


def test_heun_draws_what_a_gaussian_is_and_first_order_scatters_less(galaxies: GaussianPrior) -> None:
    # a trace of an effective dozen of directions, from 6000 draws, has a spread of 1 %
    trace, offset = ratio_and_offset(galaxies, Scheme.HEUN, 6000)
    assert 0.97 <= trace <= 1.03 and offset < 3.0
    trace, _ = ratio_and_offset(galaxies, Scheme.DDPM, 2000)
    assert trace < 0.95
    trace, offset = ratio_and_offset(galaxies, Scheme.PREDICTOR_CORRECTOR, 2000)
    assert 0.9 <= trace <= 1.1 and offset < 3.0


def test_a_mixture_is_drawn_in_its_shares() -> None:
    """Two Gaussians far apart: the share of draws near each is known to √(0.3 · 0.7 / 2000) = 0.01."""
    bright, dark = np.full((4, 4), 1.0, np.float32), np.zeros((4, 4), np.float32)
    spread, modes = np.full((4, 4), 0.1, np.float32), np.zeros((1, 4, 4), np.float32)
    parts = tuple(GaussianPrior(mean, modes, spread) for mean in (bright, dark))
    mixture = MixturePrior(parts, (0.3, 0.7))
    levels = noise_levels(1e-3, 20.0, 64)
    drawn = np.asarray(unconditional(stacked(mixture), jax.random.key(1), (2000, 4, 4), levels))
    share = np.mean(drawn.mean(axis=(1, 2)) > 0.5)
    assert share == pytest.approx(0.3, abs=0.05)
    assert np.std(drawn[drawn.mean(axis=(1, 2)) > 0.5]) == pytest.approx(0.1, rel=0.1)


def test_noise_levels_fall_to_nothing() -> None:
    levels = noise_levels(0.01, 3.0, 12)
    assert levels[0] == pytest.approx(3.0) and levels[-2] == pytest.approx(0.01) and levels[-1] == 0.0
    assert all(high > low for high, low in pairwise(levels))
    with pytest.raises(ValueError, match="at least 2 steps"):
        noise_levels(0.01, 3.0, 1)
    with pytest.raises(ValueError, match="in order"):
        noise_levels(3.0, 0.01, 8)


# -- fitted to pictures ----------------------------------------------------------------------------------------


def test_brighter_and_warmer_gaussians_are_gaussians(galaxies: GaussianPrior) -> None:
    x, sigma = jnp.asarray(np.random.default_rng(4).normal(size=(SIDE, SIDE)), jnp.float32), jnp.float32(0.2)
    arrays = galaxies.mean, galaxies.modes, jnp.sqrt(galaxies.variance)
    brighter = GaussianPrior(*(3.0 * a for a in arrays))
    np.testing.assert_allclose(scaled(galaxies, 3.0).denoise(x, sigma), brighter.denoise(x, sigma), atol=2e-5)
    found, expected = scaled(galaxies, 3.0), brighter
    assert isinstance(found, AbstractDensityPrior)
    assert float(found.log_prob(x)) == pytest.approx(float(expected.log_prob(x)), rel=1e-4)
    warmer = GaussianPrior(arrays[0], 2.0 * arrays[1], 2.0 * arrays[2])
    np.testing.assert_allclose(tempered(galaxies, 4.0).denoise(x, sigma), warmer.denoise(x, sigma), atol=2e-5)
    assert tempered(galaxies, 4.0).levels == pytest.approx(warmer.levels, rel=1e-4)


def test_a_cut_prior_is_the_marginal_and_zeros_beyond_it_are_not(galaxies: GaussianPrior) -> None:
    box, sigma = (9, 12), 0.3
    mean, covariance = dense(galaxies)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[8 - 4 : 8 + 5, 8 - 6 : 8 + 6] = True
    own = inside.ravel()
    x = np.random.default_rng(6).multivariate_normal(mean, covariance)[own] + sigma * 0.3
    inner = covariance[np.ix_(own, own)]
    shrunk = inner @ np.linalg.solve(inner + sigma**2 * np.eye(own.sum()), x - mean[own])
    expected = (mean[own] + shrunk).reshape(box)

    def error(picture: np.ndarray) -> float:
        return float(np.abs(np.asarray(picture) - expected).max())

    picture = jnp.asarray(x.reshape(box), jnp.float32)
    padded = jnp.zeros((SIDE, SIDE)).at[4:13, 2:14].set(picture)
    zeros = error(galaxies.denoise(padded, jnp.float32(sigma))[4:13, 2:14])
    cut = error(on_box(galaxies, box).denoise(picture, jnp.float32(sigma)))
    assert cut < 2e-3 and cut < 0.1 * zeros


def test_a_tiled_prior_of_independent_pixels_is_one_of_more_of_them() -> None:
    def white(n: int, m: int) -> GaussianPrior:
        ones = np.ones((n, m), np.float32)
        return GaussianPrior(0.5 * ones, np.zeros((1, n, m), np.float32), ones)

    x = jnp.asarray(np.random.default_rng(7).normal(size=(21, 10)), jnp.float32)
    tiled = on_box(white(8, 8), (21, 10))
    assert tiled.shape == (21, 10)
    np.testing.assert_allclose(
        tiled.denoise(x, jnp.float32(0.7)), white(21, 10).denoise(x, jnp.float32(0.7)), atol=1e-6
    )
    assert tile_starts(21, 8)[0] == 0 and tile_starts(21, 8)[-1] == 13
    mixed = on_box(white(8, 8), (5, 20))
    assert mixed.denoise(jnp.zeros((5, 20)), jnp.float32(0.7)).shape == mixed.shape == (5, 20)


def test_conventions_of_brightness() -> None:
    picture = np.array([[1.0, 2.0], [4.0, 1.0]])
    assert Convention.PEAK.scale_of(picture) == 4.0 and Convention.SUM.scale_of(picture) == 8.0
    with pytest.raises(ValueError, match="peak of a picture must be positive"):
        Convention.PEAK.scale_of(-picture)
    for wrong in (partial(scaled, scale=0.0), partial(tempered, temperature=-1.0)):
        with pytest.raises(ValueError, match="must be positive"):
            wrong(GaussianPrior(picture, np.zeros((1, 2, 2)), np.ones((2, 2))))


# -- densities and who needs them ------------------------------------------------------------------------------


def test_a_prior_without_a_density_is_refused_with_the_reason(galaxies: GaussianPrior) -> None:
    assert require_density(galaxies, "NUTS") is galaxies
    assert isinstance(require_density(tempered(galaxies, 2.0), "NUTS"), AbstractDensityPrior)
    with pytest.raises(NoDensityError, match="NUTS accepts or refuses a step by the density"):
        require_density(on_box(galaxies, (8, 8)), "NUTS")
    with pytest.raises(ValueError, match="spread of a Gaussian must be positive"):
        GaussianPrior(np.zeros((2, 2)), np.zeros((1, 2, 2)), np.zeros((2, 2)))
