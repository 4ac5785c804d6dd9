"""Sets of scenes with known truth, each drawn from a seed: what is easy, what is hard, and what is told wrongly.

All but the simulation of `sim_matched` are drawn by `blends`, in Fourier space, so that truth is exact to rounding.
Galaxies are those that Hubble saw where its stamps are there; else, and where a set asks for it, Sérsic profiles,
spirals with arms and knots, and irregular heaps of knots, by the generator of the sample data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from blends import (
    FWHM,
    MARGIN,
    NOISE,
    PIXEL,
    SEPARATION,
    SIDE,
    SNR,
    STAMP_PIXEL,
    STAR_FRACTION,
    Blend,
    Galaxies,
    Part,
    make_blend,
    observed,
    places,
    spectrum_of,
    star,
)
from jaxtyping import Float
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sample_data"))
import generate

COLORS = (
    generate.STARBURST,
    generate.SPIRAL_ARM,
    generate.GREEN_VALLEY,
    generate.OLD_DISK,
    generate.BULGE,
    generate.ELLIPTICAL,
)
"""Of galaxies, from blue to red."""
SIZES = 0.8, 4.0
"""Range of half-light radii, uniform in the logarithm [pix]."""
INDICES = 0.7, 3.0
"""Range of Sérsic indices."""
AXIS_RATIOS = 0.3, 1.0
STAMP_SIDE = 321
"""Of the pictures that galaxies are made of [STAMP_PIXEL]; light beyond is left out."""
PSF_ERROR = 0.03
"""By how much the FWHM that is told is off."""
CORRELATION = 0.7
"""Width of the Gaussian that white noise is convolved with [pix]: neighbours go together by 0.6."""

Make = Callable[[int, int], Blend]
"""(seed, number) to scene."""


def drawn_spectrum(rng: np.random.Generator, draw: Callable[..., np.ndarray]) -> np.ndarray:
    """Return the Fourier transform of a drawing of the sample data's generator."""
    offsets = (np.arange(STAMP_SIDE) - (STAMP_SIDE - 1) / 2) * STAMP_PIXEL / PIXEL
    dx, dy = np.meshgrid(offsets, offsets)
    return spectrum_of(draw(dx, dy, rng, fine=PIXEL / STAMP_PIXEL), STAMP_PIXEL)


def _part(rng: np.random.Generator, colors: tuple, share: float, draw: Callable[..., np.ndarray]) -> Part:
    return Part(drawn_spectrum(rng, draw), generate.fluxes(share, colors))


def smooth(rng: np.random.Generator, colors: tuple | None = None) -> tuple[Part, ...]:
    """Return a Sérsic galaxy."""
    if colors is None:
        colors = COLORS[rng.integers(len(COLORS))]
    size = float(np.exp(rng.uniform(*np.log(SIZES))))
    shape = float(rng.uniform(*INDICES)), size, float(rng.uniform(*AXIS_RATIOS)), float(rng.uniform(0, 180))
    return (replace(_part(rng, colors, 1.0, generate.sersic(*shape)), sersic=shape),)


def spiral(rng: np.random.Generator) -> tuple[Part, ...]:
    """Return a bulge in a disk with two arms and knots on them."""
    scale, axis_ratio, angle = rng.uniform(2.5, 4.5), rng.uniform(0.5, 1.0), rng.uniform(0, 180)
    bulge = rng.uniform(0.1, 0.3)
    arms = generate.spiral_arms(scale, axis_ratio, angle, rng.uniform(15, 28), int(rng.integers(6, 14)))
    return (
        _part(rng, generate.BULGE, bulge, generate.sersic(1.5, 0.25 * scale, 0.85, angle)),
        _part(rng, generate.OLD_DISK, 0.3 * (1 - bulge), generate.sersic(1.0, 1.1 * scale, axis_ratio, angle)),
        _part(rng, generate.SPIRAL_ARM, 0.7 * (1 - bulge), arms),
    )


def irregular(rng: np.random.Generator) -> tuple[Part, ...]:
    """Return a lopsided heap of knots on a faint disk."""
    extent, axis_ratio, angle = rng.uniform(1.6, 3.2), rng.uniform(0.4, 0.9), rng.uniform(0, 180)
    knots = generate.clumps(int(rng.integers(4, 11)), extent, axis_ratio, angle)
    return (
        _part(rng, generate.STARBURST, 0.6, knots),
        _part(rng, generate.GREEN_VALLEY, 0.4, generate.sersic(0.8, 1.3 * extent, axis_ratio, angle)),
    )


def _snr(rng: np.random.Generator, low: float = SNR[0], high: float = SNR[1]) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _apart(rng: np.random.Generator, number: int, least: float) -> Float[np.ndarray, "source 2"]:
    """Return centers thrown onto the image, none closer than `least` to another [pix]."""
    result: list[np.ndarray] = []
    while len(result) < number:
        place = rng.uniform(MARGIN, SIDE - 1 - MARGIN, 2)
        if all(np.hypot(*(place - other)) >= least for other in result):
            result.append(place)
    return np.array(result)


# -- the sets --------------------------------------------------------------------------------------------------


def easy(seed: int, number: int) -> Blend:
    """Three to five bright galaxies of different colors, at least 2.5 FWHM apart."""
    rng = np.random.default_rng((seed, number, 2))
    centers = _apart(rng, int(rng.integers(3, 6)), 2.5 * FWHM[2] / PIXEL)
    order = rng.permutation(len(COLORS))
    things = [smooth(rng, COLORS[order[k]]) for k in range(len(centers))]
    return observed(rng, things, [False] * len(centers), [_snr(rng, 30.0) for _ in centers], centers)


def generated(seed: int, number: int) -> Blend:
    """Two to six stars and Sérsic galaxies, each a few pixels from another."""
    rng = np.random.default_rng((seed, number, 3))
    centers = places(rng, int(rng.integers(2, 7)))
    is_star = [bool(rng.random() < STAR_FRACTION) for _ in centers]
    things = [star(rng) if each else smooth(rng) for each in is_star]
    return observed(rng, things, is_star, [_snr(rng) for _ in centers], centers)


def crowded(seed: int, number: int) -> Blend:
    """Ten stars and galaxies as close as they fall, down to 0.7 FWHM."""
    rng = np.random.default_rng((seed, number, 4))
    centers = _apart(rng, 10, 0.7 * FWHM[2] / PIXEL)
    is_star = [bool(rng.random() < 2 * STAR_FRACTION) for _ in centers]
    things = [star(rng) if each else smooth(rng) for each in is_star]
    return observed(rng, things, is_star, [_snr(rng) for _ in centers], centers)


def equal_colors(seed: int, number: int) -> Blend:
    """Two or three galaxies of one color."""
    rng = np.random.default_rng((seed, number, 5))
    colors = COLORS[rng.integers(len(COLORS))]
    centers = places(rng, int(rng.integers(2, 4)))
    things = [smooth(rng, colors) for _ in centers]
    return observed(rng, things, [False] * len(centers), [_snr(rng, 30.0) for _ in centers], centers)


def spirals(galaxies: Galaxies | None) -> Make:
    """Two to four galaxies, half of them bright spirals or irregulars."""
    uneven = None if galaxies is None else galaxies.irregular()

    def make(seed: int, number: int) -> Blend:
        rng = np.random.default_rng((seed, number, 6))
        centers = places(rng, int(rng.integers(2, 5)))
        things: list[tuple[Part, ...]] = []
        for k in range(len(centers)):
            if k % 2 == 1:
                things.append(smooth(rng) if galaxies is None else (Part(*galaxies.draw(rng)),))
            elif uneven is not None:
                things.append((Part(*uneven.draw(rng)),))
            else:
                things.append(spiral(rng) if rng.random() < 0.5 else irregular(rng))
        snr = [_snr(rng, *((60.0, SNR[1]) if k % 2 == 0 else SNR)) for k in range(len(centers))]
        return observed(rng, things, [False] * len(centers), snr, centers)

    return make


def stars_on_galaxies(seed: int, number: int) -> Blend:
    """Two large galaxies, each with one or two stars in front of it."""
    rng = np.random.default_rng((seed, number, 7))
    centers, things, is_star, snr = [], [], [], []
    for center in _apart(rng, 2, SEPARATION[1]):
        centers.append(center)
        things.append(smooth(rng))
        for _ in range(int(rng.integers(1, 3))):
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 6.0)
            centers.append(center + distance * np.array([np.cos(angle), np.sin(angle)]))
            things.append(star(rng))
        is_star += [False] + [True] * (len(centers) - len(is_star) - 1)
        snr += [_snr(rng, 50.0)] + [_snr(rng) for _ in range(len(centers) - len(snr) - 1)]
    return observed(rng, things, is_star, snr, np.array(centers))


def missing_source(seed: int, number: int) -> Blend:
    """`generated`, with the faintest source not told of."""
    blend = generated(seed, number)
    return replace(blend, is_given=np.arange(len(blend.x)) != np.argmin(blend.snr))


def wrong_psf(seed: int, number: int) -> Blend:
    """`generated`, with a PSF that is told too narrow in even scenes and too wide in odd ones."""
    blend = generated(seed, number)
    scale = 1.0 + PSF_ERROR * (-1) ** (number + 1)
    middle = (blend.psf.shape[-1] - 1) / 2
    points = middle + (np.indices(blend.psf.shape[1:]) - middle) / scale
    told = np.stack([ndimage.map_coordinates(psf, points, order=5) for psf in blend.psf])
    return replace(blend, psf=told / told.sum(axis=(1, 2), keepdims=True))


def correlated_noise(seed: int, number: int) -> Blend:
    """`generated`, with noise of the same size whose neighbours go together, told of as white."""
    blend = generated(seed, number)
    rng = np.random.default_rng((seed, number, 8))
    edge = 10
    noise = rng.normal(size=(len(NOISE), SIDE + 2 * edge, SIDE + 2 * edge))
    noise = ndimage.gaussian_filter(noise, (0, CORRELATION, CORRELATION))[:, edge:-edge, edge:-edge]
    return replace(blend, images=blend.truth.sum(axis=0) + noise / _shrinkage() * np.sqrt(blend.variance))


@lru_cache(maxsize=1)
def _shrinkage() -> float:
    """Return the standard deviation that the filter leaves of white noise of 1."""
    point = np.zeros((21, 21))
    point[10, 10] = 1.0
    return float(np.sqrt((ndimage.gaussian_filter(point, CORRELATION) ** 2).sum()))


def sim_matched(folder: Path) -> Make:
    """The simulated scene of five galaxies and two stars; there is only one."""

    def make(seed: int, number: int) -> Blend:
        table = Table.read(folder / "components.csv")
        images, psf, truth = (fits.getdata(folder / f"{name}.fits").astype(float) for name in ("image", "psf", "truth"))
        flux = truth.sum(axis=(2, 3))
        is_star = np.array([str(value) == "True" for value in table["is_star"]])
        psf = np.broadcast_to(psf, (images.shape[0], *psf.shape[-2:]))
        variance = truth.sum(axis=0) + SIM_SKY
        templates = truth / flux[:, :, None, None]
        x, y = (np.asarray(table[name], float) for name in ("x", "y"))
        return Blend(images, variance, psf, x, y, is_star, flux, templates, bands="ugrizy")

    return make


SIM_SKY = 19.9
"""Variance of the simulated scene's sky [counts²]."""


@dataclass(frozen=True)
class SceneSet:
    """A set by name."""

    make: Make
    most: int | None = None
    """How many scenes there are; None for as many as are asked for."""


def scene_sets(data: Path | None) -> dict[str, SceneSet]:
    """Return the sets that can be made; those of real galaxies and of the simulation only with their folders."""
    stamps = None if data is None else data / "cosmos_stamps"
    galaxies = Galaxies.read(stamps) if stamps is not None and stamps.is_dir() else None
    result: dict[str, SceneSet] = {}
    if galaxies is not None:
        result["real"] = SceneSet(lambda seed, number: make_blend(galaxies, seed, number))
    result |= {
        "generated": SceneSet(generated),
        "easy": SceneSet(easy),
        "crowded": SceneSet(crowded),
        "equal-colors": SceneSet(equal_colors),
        "spirals": SceneSet(spirals(galaxies)),
        "stars-on-galaxies": SceneSet(stars_on_galaxies),
        "missing-source": SceneSet(missing_source),
        "wrong-psf": SceneSet(wrong_psf),
        "correlated-noise": SceneSet(correlated_noise),
    }
    if data is not None and (data / "sim_matched").is_dir():
        result["sim-matched"] = SceneSet(sim_matched(data / "sim_matched"), most=1)
    return result
