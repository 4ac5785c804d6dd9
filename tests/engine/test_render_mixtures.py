"""Profiles of few parameters against truth: an integral for round ones, GalSim for sheared ones off their pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import galsim
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.special import gamma, ive, kv

from deblend.render import KINDS, sersic_brightness
from deblend.render.scale_mixtures import moffat_mixture, spergel_half_light, spergel_mixture
from deblend.scene import MODEL_PSF_SIGMA, MOFFAT_RANGE, RING_RADII, SPERGEL_RANGE, Moffat, Spline, start_morphology

SIZES = (0.3, 1.0, 4.0, 20.0)
SIDE = 63
EXACT = galsim.GSParams(folding_threshold=1e-3, maxk_threshold=3e-4, kvalue_accuracy=1e-6, maximum_fft_size=8192)
Brightness = Callable[[np.ndarray], np.ndarray]
"""Surface brightness at radii [half-light radii], of total flux 1."""


def moffat(beta: float) -> Brightness:
    core = 1.0 / np.sqrt(2.0 ** (1.0 / (beta - 1.0)) - 1.0)
    return lambda r: (beta - 1.0) / (np.pi * core**2) * (1.0 + (r / core) ** 2) ** -beta


def spergel(index: float) -> Brightness:
    c = spergel_half_light(index)
    return lambda r: c**2 / (2 * np.pi * gamma(index + 1)) * (0.5 * c * r) ** index * kv(index, c * r)


ROUND: list[tuple[str, tuple[float, ...], Brightness]] = [
    ("exponential", (), lambda r: sersic_brightness(r, 1.0)),
    ("de-vaucouleurs", (), lambda r: sersic_brightness(r, 4.0)),
    *(("moffat", (b,), moffat(b)) for b in (1.5, 2.5, 4.7, 6.0)),
    *(("spergel", (n,), spergel(n)) for n in (-0.6, -0.2, 0.5, 2.0, 4.0)),
]


def seen(brightness: Brightness, size: float, distances: np.ndarray) -> np.ndarray:
    """Return a round profile behind the model PSF at distances from its center: an integral over rings (Rice 1944)."""
    edges = np.concatenate([np.geomspace(1e-9, 1e-3, 60), np.geomspace(1e-3, 300.0, 4000)[1:]])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    half = 0.5 * np.diff(edges)[:, None]
    r = (edges[:-1, None] + half * (1 + nodes)).ravel()
    flux = brightness(r / size) / size**2 * 2 * np.pi * r * (half * weights).ravel()
    s2 = MODEL_PSF_SIGMA**2
    d = distances[:, None]
    return (np.exp(-0.5 * (r - d) ** 2 / s2) * ive(0, r * d / s2)) @ flux / (2 * np.pi * s2)


@cache
def compiled(kind: str, side: int) -> Any:
    variance = jnp.asarray(MODEL_PSF_SIGMA**2)
    return jax.jit(lambda theta, scale: KINDS[kind].profile(theta, scale, side, variance))


def ours(kind: str, theta: list[float], side: int = SIDE, scale: float = 1.0) -> np.ndarray:
    return np.asarray(compiled(kind, side)(np.array(theta, np.float32), np.float32(scale)), np.float64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "index", "brightness"), ROUND, ids=lambda v: v if isinstance(v, str) else None)
def test_a_round_profile_of_any_size(kind: str, index: tuple[float, ...], brightness: Brightness, size: float) -> None:
    side = 127 if size > 5 else 31
    row = ours(kind, [0.0, 0.0, *index, np.log(size), 0.0, 0.0], side)[side // 2, side // 2 :]
    expected = seen(brightness, size, np.arange(side // 2 + 1.0))
    assert np.abs(row - expected).max() <= 1e-3 * expected[0]
    # in the wings, where half of the light may be, relative to what is there
    assert np.abs(row / expected - 1)[expected > 1e-3 * expected[0]].max() < 0.03


@pytest.mark.parametrize("eta", [(0.4, -0.3), (-0.9, 0.5)])
@pytest.mark.parametrize(
    ("kind", "index", "profile"),
    [
        ("exponential", (), galsim.Exponential(half_light_radius=2.3, gsparams=EXACT)),
        ("de-vaucouleurs", (), galsim.DeVaucouleurs(half_light_radius=2.3, gsparams=EXACT)),
        ("moffat", (2.5,), galsim.Moffat(beta=2.5, half_light_radius=2.3, gsparams=EXACT)),
        ("spergel", (-0.5,), galsim.Spergel(nu=-0.5, half_light_radius=2.3, gsparams=EXACT)),
        ("spergel", (1.7,), galsim.Spergel(nu=1.7, half_light_radius=2.3, gsparams=EXACT)),
    ],
    ids=["exponential", "de-vaucouleurs", "moffat", "spergel-cusp", "spergel-core"],
)
def test_a_sheared_profile_off_its_pixel(kind: str, index: tuple[float, ...], profile: Any, eta: Any) -> None:
    offset = (-1.27, 2.5)
    shear = galsim.Shear(eta=float(np.hypot(*eta)), beta=0.5 * np.arctan2(eta[1], eta[0]) * galsim.radians)
    psf = galsim.Gaussian(sigma=MODEL_PSF_SIGMA, gsparams=EXACT)
    both = galsim.Convolve([profile.shear(shear), psf], gsparams=EXACT)
    expected = both.drawImage(nx=SIDE, ny=SIDE, scale=1.0, offset=offset, method="no_pixel", dtype=float).array
    picture = ours(kind, [offset[1], offset[0], *index, np.log(2.3), *eta])
    assert np.abs(picture - expected).max() <= 1e-3 * expected.max()
    assert picture.sum() == pytest.approx(expected.sum(), abs=1e-3)


@pytest.mark.parametrize("scale", [0.7, 2.0, 10.0])
@pytest.mark.parametrize("shares", ["a galaxy's", "a ring and a core", "one"])
def test_a_spline_is_the_spline_of_its_coefficients(shares: str, scale: float) -> None:
    n = len(RING_RADII)
    light = {
        "a galaxy's": Spline().amplitudes.value,
        "a ring and a core": np.array([0.2, 0.1, 1e-3, 1e-3, 0.1, 0.5, 0.1, 1e-3]),
        "one": np.eye(n)[4] + 1e-9,
    }[shares]
    light = light / light.sum()
    step = np.log(RING_RADII[1] / RING_RADII[0])

    def spline(heights: np.ndarray) -> Brightness:
        # splines further in are as high as the first
        whole = BSpline(np.arange(-6.0, n + 6), np.concatenate([np.full(4, heights[0]), heights, np.zeros(4)]), 3)

        def brightness(radius: np.ndarray) -> np.ndarray:
            position = np.log(radius / RING_RADII[0]) / step
            return np.where(position < n + 2, whole(np.clip(position, -2.5, n + 2)), 0.0)

        return brightness

    fine = np.geomspace(1e-4, 100.0, 40_000)
    fluxes = [np.trapezoid(2 * np.pi * fine * spline(np.eye(n)[k])(fine), fine) for k in range(n)]
    side = 127
    picture = ours("spline", [0.0, 0.0, *np.log(light), 0.0, 0.0], side, scale)
    expected = seen(spline(light / fluxes), scale, np.arange(side // 2 + 1.0))
    row = picture[side // 2, side // 2 :]
    # every spline is 0.3 % off, at most, where it is brightest
    assert np.abs(row - expected).max() <= 4e-3 * expected.max()
    assert row.min() > -4e-3 * expected.max()


def test_an_index_is_held_to_its_range() -> None:
    for mixture, (low, high) in ((moffat_mixture, MOFFAT_RANGE), (spergel_mixture, SPERGEL_RANGE)):
        for outside, inside in ((low - 0.1, low), (high + 3.0, high)):
            a, b = (mixture(jnp.asarray(index), jnp.asarray(2.0)) for index in (outside, inside))
            for one, other in zip(a, b, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4)


def test_the_core_of_a_moffat_profile_is_what_it_was_made_of() -> None:
    made = Moffat.of_core(1.7, 3.0)
    assert made.core == pytest.approx(1.7)
    assert float(made.half_light_radius.value) == pytest.approx(galsim.Moffat(3.0, scale_radius=1.7).half_light_radius)


@pytest.mark.parametrize("kind", ["exponential", "de-vaucouleurs", "moffat", "spergel", "spline"])
def test_a_half_light_radius_is_guessed_without_drawing(kind: str) -> None:
    for size in (0.5, 3.0, 30.0):
        assert start_morphology(kind, size, 15).half_light_radius_guess == pytest.approx(size, rel=0.3)
