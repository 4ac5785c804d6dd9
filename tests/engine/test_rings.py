"""Radial profiles and growth curves against what is known of a Gaussian."""

from __future__ import annotations

import numpy as np

from deblend.measure import rings


def gaussian(center: tuple[float, float], sigma: float = 4.0, flux: float = 1000.0) -> np.ndarray:
    y, x = np.mgrid[:61, :61]
    r2 = (y - center[0]) ** 2 + (x - center[1]) ** 2
    return flux / (2 * np.pi * sigma**2) * np.exp(-r2 / 2 / sigma**2)


def test_profile_and_growth_are_those_of_a_gaussian() -> None:
    center = (30.3, 29.6)
    image = gaussian(center)[None]
    found = rings(image, np.ones_like(image), center)
    expected = 1000.0 / (2 * np.pi * 16) * np.exp(-(found.radius**2) / 32)
    np.testing.assert_allclose(found.mean[0, :12], expected[:12], rtol=0.02)
    inside = 1000.0 * (1 - np.exp(-(found.edge**2) / 32))
    np.testing.assert_allclose(found.growth[0, 5:], inside[5:], rtol=0.03)
    assert abs(found.growth[0, -1] - 1000.0) < 2


def test_masked_pixels_count_as_their_ring() -> None:
    center = (30.0, 30.0)
    image, weights = gaussian(center)[None], np.ones((1, 61, 61))
    weights[0, 30:36, 33:40] = 0.0
    spoiled = np.where(weights > 0, image, 1e6)
    whole, holed = rings(image, np.ones_like(image), center), rings(spoiled, weights, center)
    np.testing.assert_allclose(holed.growth[0, -1], whole.growth[0, -1], rtol=0.01)


def test_errors_are_the_scatter_of_noise(rng: np.random.Generator) -> None:
    noise = 2.0 * rng.normal(size=(400, 41, 41))
    weights = np.full_like(noise, 0.25)
    found = rings(noise, weights, (20.0, 20.0))
    np.testing.assert_allclose(found.mean.std(axis=0), found.error[0], rtol=0.15)
    np.testing.assert_allclose(found.growth.std(axis=0), found.growth_error[0], rtol=0.15)


def test_a_center_at_the_edge_has_two_rings_and_no_warning() -> None:
    image = gaussian((30.0, 30.0))[None]
    found = rings(image, np.zeros_like(image), (0.0, 0.0))
    assert found.mean.shape == (1, 2) and np.isnan(found.mean).all()
    assert (found.growth == 0).all()
