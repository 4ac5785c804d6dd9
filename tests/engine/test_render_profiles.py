"""Profiles against GalSim: both after the model PSF, within a thousandth of the brightest pixel."""

from __future__ import annotations

import galsim
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.render import KINDS, sersic_brightness, sersic_mixture
from deblend.render.sersic import INDEX_RANGE, sersic_b, weight_table
from deblend.scene import MODEL_PSF_SIGMA

SIDE = 63
EXACT = galsim.GSParams(
    folding_threshold=2e-4, maxk_threshold=1e-4, stepk_minimum_hlr=20, kvalue_accuracy=1e-6, maximum_fft_size=8192
)
OFFSETS = ((0.0, 0.0), (0.31, -0.44), (-1.27, 2.5))
"""(x, y) of the center from the middle of the box [pix]."""
SHAPES = ((0.0, 0.0), (0.4, -0.3), (-0.9, 0.5))
"""Conformal shears."""


def reference(profile: galsim.GSObject, eta: tuple[float, float], offset: tuple[float, float]) -> np.ndarray:
    """Return GalSim's image of a profile, sheared, after the model PSF (which has the pixel in it)."""
    size = float(np.hypot(*eta))
    angle = 0.5 * np.arctan2(eta[1], eta[0]) * galsim.radians
    sheared = profile.shear(galsim.Shear(eta=size, beta=angle))
    seen = galsim.Convolve([sheared, galsim.Gaussian(sigma=MODEL_PSF_SIGMA, gsparams=EXACT)], gsparams=EXACT)
    image: np.ndarray = seen.drawImage(nx=SIDE, ny=SIDE, scale=1.0, offset=offset, method="no_pixel", dtype=float).array
    return image


def ours(kind: str, theta: list[float]) -> np.ndarray:
    picture = KINDS[kind].profile(jnp.asarray(theta), jnp.asarray(1.0), SIDE, jnp.asarray(MODEL_PSF_SIGMA**2))
    return np.asarray(picture, np.float64)


def assert_close(picture: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(picture - expected).max() <= 1e-3 * expected.max()


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_point_is_the_model_psf(offset: tuple[float, float]) -> None:
    psf = galsim.Gaussian(sigma=MODEL_PSF_SIGMA)
    expected = psf.drawImage(nx=SIDE, ny=SIDE, scale=1.0, offset=offset, method="no_pixel").array
    assert_close(ours("point", [offset[1], offset[0]]), expected)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("eta", SHAPES)
@pytest.mark.parametrize("radius", [0.5, 1.7, 5.0])
def test_a_gaussian(radius: float, eta: tuple[float, float], offset: tuple[float, float]) -> None:
    expected = reference(galsim.Gaussian(half_light_radius=radius), eta, offset)
    assert_close(ours("gaussian", [offset[1], offset[0], np.log(radius), *eta]), expected)


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.3, 5.0])
@pytest.mark.parametrize("index", [0.5, 0.62, 0.8, 1.0, 1.5, 2.0, 2.77, 4.0])
def test_a_round_sersic_profile(index: float, radius: float) -> None:
    expected = reference(galsim.Sersic(n=index, half_light_radius=radius, gsparams=EXACT), (0.0, 0.0), (0.31, -0.44))
    assert_close(ours("sersic", [-0.44, 0.31, index, np.log(radius), 0.0, 0.0]), expected)


@pytest.mark.parametrize("eta", SHAPES[1:])
@pytest.mark.parametrize("index", [0.5, 1.0, 2.5, 4.0])
def test_a_sheared_sersic_profile_off_center(index: float, eta: tuple[float, float]) -> None:
    offset = (-1.27, 2.5)
    expected = reference(galsim.Sersic(n=index, half_light_radius=2.0, gsparams=EXACT), eta, offset)
    assert_close(ours("sersic", [offset[1], offset[0], index, np.log(2.0), *eta]), expected)


def test_the_sersic_index_is_held_to_the_range_of_its_table() -> None:
    low, high = INDEX_RANGE
    for outside, inside in ((0.2, low), (7.0, high)):
        for a, b in zip(sersic_mixture(jnp.asarray(outside), jnp.asarray(2.0)),
                        sersic_mixture(jnp.asarray(inside), jnp.asarray(2.0)), strict=True):  # fmt: skip
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_every_sersic_profile_of_the_table_holds_its_flux_and_half_of_it_inside_its_half_light_radius() -> None:
    weights = weight_table()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-3)
    # a Gaussian of width s holds 1 - exp(-1/2s²) inside of the unit circle
    for index in (0.5, 1.0, 2.0, 4.0):
        amplitudes, variances = sersic_mixture(jnp.asarray(index), jnp.asarray(1.0))
        assert float(jnp.sum(amplitudes * (1 - jnp.exp(-0.5 / variances)))) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("index", [0.5, 1.0, 4.0])
def test_the_brightness_of_a_sersic_profile_is_normalised(index: float) -> None:
    radius = np.geomspace(1e-6, 300.0, 40_000)
    light = 2 * np.pi * radius * sersic_brightness(radius, index)
    assert np.trapezoid(light, radius) == pytest.approx(1.0, abs=1e-3)
    inside = radius <= 1
    assert np.trapezoid(light[inside], radius[inside]) == pytest.approx(0.5, abs=1e-3)
    assert sersic_b(1.0) == pytest.approx(1.67835, abs=1e-5)


def test_between_the_nodes_of_the_table_a_profile_is_as_good_as_on_them() -> None:
    step = (INDEX_RANGE[1] - INDEX_RANGE[0]) / (len(weight_table()) - 1)
    for index in (0.5 + 0.5 * step, 0.5 + 1.5 * step, 1.0 + 0.37 * step, 4.0 - 0.5 * step):
        expected = reference(galsim.Sersic(n=index, half_light_radius=2.3, gsparams=EXACT), (0.0, 0.0), (0.0, 0.0))
        assert_close(ours("sersic", [0.0, 0.0, index, np.log(2.3), 0.0, 0.0]), expected)
