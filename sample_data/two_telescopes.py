#!/usr/bin/env python3
"""Make the second sample: one patch of sky, 10 arcsec wide, as a camera like HSC and one like Hubble's would see it.

The ground sees five bands and what is blended in them; from space there is one band, on pixels of 0.03 arcsec turned
by 27 degrees, and what looked like three galaxies are six, while one red galaxy is too faint there to be seen. Objects
are drawn on a grid finer than the pixels of each telescope, blurred by its PSF there and summed over its pixels.

    python sample_data/two_telescopes.py [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from generate import (
    BULGE,
    DISTANT,
    ELLIPTICAL,
    G_STAR,
    GREEN_VALLEY,
    OLD_DISK,
    SPIRAL_ARM,
    STARBURST,
    Object,
    Part,
    binned,
    fluxes,
    sersic,
    star,
)
from scipy.signal import fftconvolve

SEED = 20260703
CENTER = (150.1342, 2.3171)
"""Right ascension and declination of the middle of both images [deg]."""
UNIT = 0.168
"""What positions and sizes of objects are given in: pixels of the ground's camera [arcsec]."""
ZERO_POINT = 31.4
"""Both write nJy."""
I_TO_NJY = 10 ** (0.4 * (31.4 - 27.0))
"""Fluxes of objects are counts of zero point 27 in i."""
BLUR = 12
"""How far light comes in from outside of an image [FWHM of the PSF]."""


@dataclass(frozen=True)
class Telescope:
    """Pixels, PSF and noise of one camera."""

    name: str
    shape: tuple[int, int]
    """(height, width) [pix]."""
    scale: float
    """[arcsec/pix]"""
    angle: float
    """Of its y axis from north to east [deg]."""
    fine: int
    """Drawing pixels per pixel and axis; odd."""
    bands: str
    fwhm: tuple[float, ...]
    """Of the PSF per band [arcsec]."""
    beta: float
    """Of its Moffat profile."""
    noise: tuple[float, ...]
    """Of a pixel per band [nJy]."""
    stamp: int
    """Side of a PSF stamp [pix]."""


GROUND = Telescope(
    "HSC", (60, 60), UNIT, 0.0, 5, "grizy", (0.80, 0.72, 0.58, 0.66, 0.70), 3.0, (0.74, 0.82, 1.17, 1.92, 3.83), 43
)
SPACE = Telescope("HST", (336, 336), 0.03, 27.0, 3, "w", (0.085,), 2.5, (0.55,), 81)
"""A wide band around i, so that its fluxes are those in i."""

OBJECTS = (
    Object(
        "disk",
        29.4,
        31.2,
        190.0,
        (
            Part(BULGE, 0.25, sersic(1.5, 0.9, 0.85, 60)),
            Part(OLD_DISK, 0.25, sersic(1.0, 3.2, 0.75, 60)),
            Part(SPIRAL_ARM, 0.5, sersic(0.8, 4.2, 0.75, 60)),
        ),
    ),
    Object("elliptical", 40.1, 36.9, 160.0, (Part(ELLIPTICAL, 1.0, sersic(3.0, 2.6, 0.8, 20)),)),
    Object("companion", 42.3, 35.2, 38.0, (Part(ELLIPTICAL, 1.0, sersic(1.5, 0.8, 0.7, 100)),)),
    Object(
        "edge-on disk",
        20.3,
        22.1,
        60.0,
        (Part(BULGE, 0.2, sersic(1.5, 0.5, 0.8, 35)), Part(GREEN_VALLEY, 0.8, sersic(1.0, 3.6, 0.2, 35))),
    ),
    Object("knot", 21.9, 24.6, 20.0, (Part(STARBURST, 1.0, sersic(1.0, 0.6, 0.9, 0)),)),
    Object("close pair, west", 45.6, 17.3, 34.0, (Part(GREEN_VALLEY, 1.0, sersic(1.0, 1.1, 0.7, 150)),)),
    Object("close pair, east", 43.2, 18.1, 28.0, (Part(STARBURST, 1.0, sersic(1.0, 0.9, 0.8, 40)),)),
    star("star", 14.2, 42.7, 70.0, G_STAR),
    Object("red galaxy", 30.6, 48.3, 2.2, (Part(DISTANT, 1.0, sersic(1.0, 4.5, 0.8, 80)),)),
    Object("faint blue galaxy", 33.8, 14.2, 6.0, (Part(STARBURST, 1.0, sersic(1.0, 1.4, 0.6, 10)),)),
)


def pixel_to_units(telescope: Telescope) -> np.ndarray:
    """Return the matrix from (column, row), off the middle of an image, to (x, y) off the middle of the ground's."""
    turn = np.radians(telescope.angle)
    # columns run west on the sky of both cameras where the angle is zero
    return telescope.scale / UNIT * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def moffat(telescope: Telescope, band: int, radius: np.ndarray) -> np.ndarray:
    """Return the PSF at a distance from its center [pix], softly 0 at the stamp's edge."""
    core = telescope.fwhm[band] / telescope.scale / 2 / np.sqrt(2 ** (1 / telescope.beta) - 1)
    edge = np.clip((telescope.stamp / 2 - radius) / (telescope.stamp / 10), 0, 1)
    return (1 + (radius / core) ** 2) ** -telescope.beta * edge**2 * (3 - 2 * edge)


def fine_psf(telescope: Telescope, band: int) -> np.ndarray:
    """Return the PSF on the drawing's pixels, sum 1."""
    half = telescope.fine * telescope.stamp // 2
    line = np.arange(-half, half + 1) / telescope.fine
    psf = moffat(telescope, band, np.hypot(line[:, None], line))
    return psf / psf.sum()


def render(telescope: Telescope, obj: Object, seed: Sequence[int]) -> np.ndarray:
    """Return the images of an object (band, y, x) [nJy/pix]."""
    fine, margin = telescope.fine, telescope.stamp // 2 + 1
    height, width = (n + 2 * margin for n in telescope.shape)
    rows = (np.arange(height * fine) - (fine - 1) / 2) / fine - margin - (telescope.shape[0] - 1) / 2
    columns = (np.arange(width * fine) - (fine - 1) / 2) / fine - margin - (telescope.shape[1] - 1) / 2
    matrix = pixel_to_units(telescope)
    middle = np.array([obj.x - (GROUND.shape[1] - 1) / 2, obj.y - (GROUND.shape[0] - 1) / 2])
    across, up = np.meshgrid(columns, rows)
    dx = matrix[0, 0] * across + matrix[0, 1] * up - middle[0]
    dy = matrix[1, 0] * across + matrix[1, 1] * up - middle[1]
    per_unit = fine * UNIT / telescope.scale
    result = np.zeros((len(telescope.bands), *telescope.shape))
    for band in range(len(telescope.bands)):
        # the same throws for every telescope and band: knots stay where they are
        rng = np.random.default_rng(seed)
        drawing, starlight = np.zeros(dx.shape), 0.0
        for part in obj.parts:
            flux = in_band(telescope, band, obj.flux * part.fraction, part.colors)
            if part.draw is None:
                starlight += flux
            else:
                drawing += flux * part.draw(dx, dy, rng, per_unit) / per_unit**2
        seen = fftconvolve(drawing, fine_psf(telescope, band), mode="same") if drawing.any() else drawing
        if starlight:
            radius = np.hypot(dx, dy) * UNIT / telescope.scale
            profile = moffat(telescope, band, radius)
            seen = seen + starlight * profile / profile.sum()
        result[band] = binned(seen, fine)[margin:-margin, margin:-margin]
    return result


def in_band(telescope: Telescope, band: int, flux_i: float, colors: tuple[float, float, float, float]) -> float:
    """Return a flux [nJy]."""
    index = "grizy".index("i" if telescope is SPACE else telescope.bands[band])
    return float(I_TO_NJY * fluxes(flux_i, colors)[index])


def world_coordinates(telescope: Telescope) -> fits.Header:
    """Return the WCS: east is left where the angle is zero."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = CENTER
    header["CRPIX1"], header["CRPIX2"] = (telescope.shape[1] + 1) / 2, (telescope.shape[0] + 1) / 2
    degrees = pixel_to_units(telescope) * UNIT / 3600
    header["CD1_1"], header["CD1_2"] = -degrees[0, 0], -degrees[0, 1]
    header["CD2_1"], header["CD2_2"] = degrees[1, 0], degrees[1, 1]
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["RADESYS"] = "ICRS"
    return header


def write(folder: Path, telescope: Telescope, images: np.ndarray, rng: np.random.Generator) -> None:
    """Write images with noise, their errors, and PSF stamps."""
    sigma = np.array(telescope.noise)[:, None, None]
    noisy = images + rng.normal(size=images.shape) * sigma
    header = world_coordinates(telescope)
    header["TELESCOP"] = telescope.name
    header["BUNIT"] = "nJy"
    if len(telescope.bands) > 1:
        header["BANDS"] = ",".join(telescope.bands)
    else:
        header["FILTER"] = telescope.bands
    header["COMMENT"] = "Simulated; see README.md"
    name = telescope.name.lower()
    science, errors = (np.squeeze(cube).astype(np.float32) for cube in (noisy, np.broadcast_to(sigma, noisy.shape)))
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(science, header, name="SCI"), fits.ImageHDU(errors, header, name="ERR")]
    fits.HDUList(hdus).writeto(folder / f"{name}.fits", overwrite=True)
    stamps = np.stack([binned(fine_psf(telescope, b), telescope.fine) for b in range(len(telescope.bands))])
    fits.writeto(folder / f"psf-{name}.fits", stamps.astype(np.float32), overwrite=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    truth = {
        telescope.name: np.stack([render(telescope, obj, (SEED, k)) for k, obj in enumerate(OBJECTS)])
        for telescope in (GROUND, SPACE)
    }
    for telescope in (GROUND, SPACE):
        write(folder, telescope, truth[telescope.name].sum(axis=0), rng)
    table = Table()
    table["name"] = [o.name for o in OBJECTS]
    table["x"], table["y"] = [o.x for o in OBJECTS], [o.y for o in OBJECTS]
    for telescope in (GROUND, SPACE):
        for band, letter in enumerate(telescope.bands):
            column = f"flux_{telescope.name}_{letter}"
            table[column] = [
                round(sum(in_band(telescope, band, o.flux * p.fraction, p.colors) for p in o.parts), 4) for o in OBJECTS
            ]
            table[column].unit = "nJy"
        images, sigma = truth[telescope.name], np.array(telescope.noise)[:, None, None]
        table[f"snr_{telescope.name}"] = np.round(np.sqrt(((images / sigma) ** 2).sum(axis=(1, 2, 3))), 1)
    table["x"].description = table["y"].description = "0-based pixels of hsc.fits"
    table.write(folder / "truth.ecsv", format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "two_telescopes")
