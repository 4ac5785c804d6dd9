"""Correlated noise: its likelihood against dense matrices, and χ² of pure noise."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.observe import NoiseCorrelation, gaussian_psf, with_measured_noise
from deblend.observe.correlation import blank_pixels
from deblend.observe.whitening import REACH, STENCIL, whiten, whiten_adjoint
from deblend.program.noise import inverse_noise_power
from deblend.sky import PixelAffine
from tests.engine.noises import KERNEL, NOISES, SIZE, lags, masked, native_correlated, seen


def dense(by_lag: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the covariance of all pixels of an image."""
    y, x = (index.ravel() for index in np.indices(shape))
    middle = np.array(by_lag.shape) // 2
    dy, dx = y[:, None] - y + middle[0], x[:, None] - x + middle[1]
    inside = (dy >= 0) & (dx >= 0) & (dy < by_lag.shape[0]) & (dx < by_lag.shape[1])
    return np.where(inside, by_lag[np.where(inside, dy, 0), np.where(inside, dx, 0)], 0.0)


def as_matrix(whitening: np.ndarray) -> np.ndarray:
    """Return L of one band as a matrix (pixel, pixel)."""
    shape = whitening.shape[2:]
    units = np.eye(shape[0] * shape[1]).reshape(-1, *shape)
    return np.stack([whiten(whitening, unit[None], np).ravel() for unit in units], axis=1)


def markov(a: float, b: float) -> np.ndarray:
    """Return covariances by lag of noise that each pixel's three neighbours before it foretell wholly."""
    reach = np.abs(np.arange(-2 * REACH, 2 * REACH + 1))
    return np.outer(a**reach, b**reach)[None]


# -- the factor ----------------------------------------------------------------------------------------------------


def test_the_transpose_is_the_transpose(rng: np.random.Generator, double: None) -> None:
    weights = masked(rng, (2, 40, 36), True) * rng.uniform(0.5, 2.0, (2, 40, 36))
    whitening = NoiseCorrelation.of_lags(np.concatenate([lags(KERNEL), markov(0.5, 0.3)[:, 4:-4, 4:-4]])).whitening(
        weights
    )
    u, v = rng.normal(size=(2, 2, 40, 36))
    # op by op JAX would compile each of them
    jitted = jax.jit(lambda w, x: whiten(w, x, jnp)), jax.jit(lambda w, x: whiten_adjoint(w, x, jnp))
    plain = (lambda w, x: whiten(w, x, np)), (lambda w, x: whiten_adjoint(w, x, np))
    for forward, back in (plain, jitted):
        left = float((forward(whitening, u) * v).sum())
        right = float((u * back(whitening, v)).sum())
        assert left == pytest.approx(right, rel=1e-12)
    assert np.all(whiten_adjoint(whitening, v, np)[weights == 0] == 0)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(
    ("by_lag", "wrong"),
    [(np.ones((1, 1, 1)), 1e-12), (markov(0.5, 0.3), 1e-4), (lags(KERNEL), 2e-4)],
    ids=["white", "Markov", "convolved"],
)
def test_chi2_is_that_of_the_dense_inverse(
    rng: np.random.Generator, by_lag: np.ndarray, wrong: float, mask: bool
) -> None:
    """On 12², edges and masks and all: in the mean exactly, and for one noise to what the truncation and the floor do.

    `wrong` bounds the Kullback-Leibler distance of the two likelihoods per pixel, the difference of their determinants
    as their mean χ² are the same (measured: 3e-5, 9e-5). One χ² then differs from the dense one by 0.03 √n, a fiftieth
    of its own scatter.
    """
    shape = (12, 12)
    good = masked(rng, shape, False)
    if mask:
        good[rng.random(shape) < 0.1] = 0.0
        good[4:8, 5:8] = 0.0
    used = good.ravel() > 0
    covariance = dense(by_lag[0], shape)[np.ix_(used, used)]
    factor = as_matrix(NoiseCorrelation.of_lags(by_lag).whitening(good[None]))[np.ix_(used, used)]
    n = np.count_nonzero(used)
    mean_chi2 = np.trace(factor @ covariance @ factor.T)
    assert mean_chi2 == pytest.approx(n, rel=1e-9)
    exact = np.linalg.cholesky(covariance)
    distance = -np.log(np.diag(factor)).sum() - np.log(np.diag(exact)).sum()
    assert -1e-9 < distance / n < wrong
    # of zᵀ (W - C⁻¹) z
    spread = np.sqrt(2.0 * np.sum((factor @ exact @ exact.T @ factor.T - np.eye(n)) ** 2))
    noise = exact @ rng.normal(size=(n, 300))
    difference = np.sum((factor @ noise) ** 2, axis=0) - np.sum(np.linalg.solve(exact, noise) ** 2, axis=0)
    assert np.std(difference) < 1.2 * spread + 1e-9
    assert spread < 0.04 * np.sqrt(n)


def test_a_pixel_is_predicted_from_neighbours_before_it_that_are_there(rng: np.random.Generator) -> None:
    good = masked(rng, (1, 30, 30), True)
    whitening = NoiseCorrelation.of_lags(lags(KERNEL)).whitening(good)
    assert np.all(whitening[:, good == 0] == 0) and np.all(whitening[0][good > 0] > 0)
    noise = rng.normal(size=good.shape)
    other = np.where(good > 0, noise, 1e6)
    np.testing.assert_allclose(whiten(whitening, noise, np), whiten(whitening, other, np))
    assert all(offset < (0, 0) for offset in STENCIL[1:]) and len(set(STENCIL)) == len(STENCIL)


def test_power_and_information_are_those_of_the_noise(rng: np.random.Generator) -> None:
    """22 neighbours follow the power of convolved noise, known in closed form, to 15 % at every frequency."""
    correlation = NoiseCorrelation.of_lags(lags(KERNEL))
    y, x = rng.uniform(-0.5, 0.5, (2, 50))
    power = ((0.7 + 0.3 * np.cos(2 * np.pi * y)) * (0.7 + 0.3 * np.cos(2 * np.pi * x))) ** 2
    np.testing.assert_allclose(1.0 / correlation.inverse_power(y, x)[0], power, rtol=0.15)
    white = NoiseCorrelation.of_lags(np.ones((1, 1, 1)))
    psf = gaussian_psf(3.0)[None]
    np.testing.assert_allclose(white.star_information(psf), np.sum(psf**2), rtol=1e-12)
    assert correlation.at((0, -1)) == pytest.approx(0.21 / 0.535)


def test_waves_of_the_model_are_worth_what_they_are_worth_on_the_pixels_of_the_image() -> None:
    """On pixels of 1.7, turned by 30°: what W makes of a wave, in the middle of an image, against the power."""
    angle, scale = np.radians(30.0), 1.7
    affine = PixelAffine.of(scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), (3, 4))
    correlation = NoiseCorrelation.of_lags(lags(KERNEL))
    whitening = correlation.whitening(np.ones((1, 31, 31)))
    y, x = affine(*np.indices((31, 31)))
    frequency = 0.11, -0.06
    wave = np.cos(2 * np.pi * (frequency[0] * y + frequency[1] * x))[None]
    out = whiten_adjoint(whitening, whiten(whitening, wave, np), np)
    expected = inverse_noise_power(correlation, affine, *map(np.array, frequency))
    np.testing.assert_allclose(out[0, 10:20, 10:20], expected * wave[0, 10:20, 10:20], atol=1e-9)


def test_what_is_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="odd sides"):
        NoiseCorrelation.of_lags(np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="opposite lags"):
        NoiseCorrelation.of_lags(np.arange(9.0).reshape(1, 3, 3))
    with pytest.raises(ValueError, match="negatively"):
        NoiseCorrelation.of_lags(np.array([[[0.9, 1.0, 0.9]]]))


# -- measured in blank sky -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mask", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("n_bands", [1, 3, 5])
@pytest.mark.parametrize("kind", NOISES)
def test_chi2_per_degree_of_freedom_is_one(kind: str, n_bands: int, mask: bool, trials: Callable[[int], int]) -> None:
    """Over 20 realisations of pure noise, each with what its own blank sky says: 1.00 ± 0.02.

    A realisation scatters by 0.003-0.015 in one band (it is measured where it is used, but for the 2-4 % of its pixels
    that look like light), the mean of 20 by 0.003 at most, of the five that CI takes by 0.007.
    """
    values = []
    for seed in range(trials(20)):
        rng = np.random.default_rng(1000 + seed)
        images = np.stack([NOISES[kind](rng) for _ in range(n_bands)])
        observation = seen(images, masked(rng, images.shape, mask)).with_measured_noise_correlation()
        values.append(observation.chi2(np.zeros_like(images)) / observation.n_unmasked)
    assert np.mean(values) == pytest.approx(1.0, abs=0.02)
    assert np.std(values) < 0.03


@pytest.mark.parametrize("kind", NOISES)
def test_it_holds_for_noise_that_it_was_not_measured_in(kind: str) -> None:
    """22 coefficients, fitted to 4096 pixels, err by 2 · 22 / 4096 = 1 % where they were not; χ² of 20 images of as
    many pixels by √(2 / 4096 / 20) = 0.5 %, and by up to three times that where fewer of them are independent."""
    values = []
    for seed in range(20):
        rng = np.random.default_rng(3000 + seed)
        images, others = (np.stack([NOISES[kind](rng)]) for _ in range(2))
        weights = masked(rng, images.shape, False)
        measured = seen(images, weights).with_measured_noise_correlation().noise_correlation
        assert measured is not None
        values.append(np.mean(whiten(measured.whitening(weights), others, np) ** 2))
    assert np.mean(values) == pytest.approx(1.01, abs=0.03)


def test_sources_are_not_taken_for_noise(rng: np.random.Generator) -> None:
    """Twelve sources of very different flux on 128²: what is measured beside them is what pure noise has."""
    shape = (128, 128)
    noise = native_correlated(rng, 128)
    y, x = np.indices(shape)
    light = sum(
        flux / (2 * np.pi * width**2) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2 / width**2)
        for flux, width, cy, cx in zip(
            rng.uniform(100, 5000, 12), rng.uniform(1.3, 4.0, 12), *rng.uniform(8, 120, (2, 12)), strict=True
        )
    )
    alone, beside = (
        seen(image[None], np.ones((1, *shape))).with_measured_noise_correlation() for image in (noise, noise + light)
    )
    blank = blank_pixels(noise + light, np.ones(shape, bool))
    assert 0.3 < blank.mean() < 0.95 and light[blank].max() < 0.5
    # the same noise, less of it: to 1/√(2 · 8000)
    np.testing.assert_allclose(beside.noise_correlation.variance, alone.noise_correlation.variance, rtol=0.05)
    np.testing.assert_allclose(beside.star_information, alone.star_information, rtol=0.15)


def test_weights_that_are_off_are_put_right_and_that_is_said(rng: np.random.Generator) -> None:
    """Of drizzled images weights often leave out what correlation takes from a pixel's scatter."""
    image = 3.0 * native_correlated(rng)[None]
    observation = seen(image, np.ones_like(image)).with_measured_noise_correlation()
    assert observation.chi2(np.zeros_like(image)) / observation.n_unmasked == pytest.approx(1.0, abs=0.02)
    note = observation.notes[-1]
    assert "correlation of neighbours" in note and "b0: 0." in note
    growth = np.sqrt(np.sum(observation.psf**2, axis=(1, 2)) / observation.star_information)
    assert growth[0] == pytest.approx(3.0 * 2.0, rel=0.1) and f"{growth[0]:.2f}" in note


def test_light_of_a_model_can_be_taken_off_first(rng: np.random.Generator) -> None:
    """Where a source fills the image there is no blank sky; beneath the source there is."""
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    light = 30.0 * np.exp(-(y**2 + x**2) / 2 / 30.0**2)[None]
    image = native_correlated(rng)[None] + light
    observation = seen(image, np.ones_like(image))
    with pytest.raises(ValueError, match=r"band b0: its faintest pixels .* light or background"):
        observation.with_measured_noise_correlation()
    measured = observation.with_measured_noise_correlation(light)
    assert measured.chi2(light) / measured.n_unmasked == pytest.approx(1.0, abs=0.02)


def test_where_blank_sky_is_missing_noise_counts_as_white_and_that_is_said(rng: np.random.Generator) -> None:
    wide, narrow = native_correlated(rng)[None], native_correlated(rng, 10)[None]
    both = with_measured_noise([seen(wide, np.ones_like(wide)), seen(narrow, np.ones_like(narrow))])
    assert both[0].noise_correlation is not None and both[1].noise_correlation is None
    assert "too few" in both[1].notes[-1] and "counts as white" in both[1].notes[-1]
    with pytest.raises(ValueError, match="too few"):
        with_measured_noise([both[1]])
