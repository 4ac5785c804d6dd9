#!/usr/bin/env python3
"""Make the sample blend: fourteen stars and galaxies that run into each other, as a camera like HSC would see them.

Every object is drawn five times finer than the pixels, blurred there by the band's PSF, and summed over pixels; so
images, truth and PSF stamps are integrated over pixels alike. All numbers come from one seed. The files are written
the way the LSST/HSC pipeline writes them, blemishes included.

    python sample_data/generate.py [FOLDER]
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.signal import fftconvolve
from scipy.special import gamma, gammaincinv

SEED = 20190623
SHAPE = (90, 100)
"""(height, width) [pix]."""
FINE = 5
"""Drawing pixels per pixel and axis; odd, so that a pixel has one in its middle."""
MARGIN = 22
"""How far the drawing goes on outside of the image, where light comes in from [pix]."""
PIXEL_SCALE = 0.168
CENTER = (150.1167, 2.2058)
"""Right ascension and declination of the middle of the image [deg]."""
ZERO_POINT = 27.0
"""AB magnitude of one count."""
STAMP = 43
"""Side of a PSF stamp [pix]."""
MOFFAT_BETA = 3.0
VARIANCE_PER_COUNT = 4.5e-5
"""Poisson variance of the light of the sources, about that of an hour with an eight-meter telescope."""
BANDS = "GRIZY"
FWHM = dict(zip(BANDS, (0.80, 0.72, 0.58, 0.66, 0.70), strict=True))
"""Of the PSF [arcsec]."""
PSF_SHEAR = dict(zip(BANDS, ((0.03, 0.01), (0.01, -0.02), (-0.02, 0.02), (0.02, 0.03), (-0.01, -0.03)), strict=True))
NOISE = dict(zip(BANDS, (0.0128, 0.0142, 0.0204, 0.0334, 0.0667), strict=True))
"""Standard deviation of the sky noise per pixel [counts]."""

# Colors g-r, r-i, i-z, z-y [AB mag], about those of galaxies at redshift 0.1 to 0.4 and of stars
STARBURST = (0.16, 0.00, 0.02, -0.02)
SPIRAL_ARM = (0.24, 0.08, 0.05, 0.02)
OLD_DISK = (0.75, 0.36, 0.22, 0.12)
BULGE = (1.05, 0.45, 0.30, 0.18)
ELLIPTICAL = (1.35, 0.55, 0.33, 0.20)
DISTANT = (1.55, 1.05, 0.45, 0.25)
GREEN_VALLEY = (0.55, 0.28, 0.17, 0.09)
G_STAR = (0.50, 0.17, 0.06, 0.03)
K_STAR = (0.95, 0.38, 0.18, 0.09)
M_STAR = (1.35, 1.15, 0.55, 0.30)

PLANES = {
    "BAD": 0,
    "SAT": 1,
    "INTRP": 2,
    "CR": 3,
    "EDGE": 4,
    "DETECTED": 5,
    "DETECTED_NEGATIVE": 6,
    "SUSPECT": 7,
    "NO_DATA": 8,
}


@dataclass(frozen=True)
class Part:
    """One morphology of total flux 1, with the colors of its light."""

    colors: tuple[float, float, float, float]
    fraction: float
    """Of the object's flux in i."""
    draw: Callable[..., np.ndarray] | None = None
    """Surface brightness at offsets (dx, dy) [pix], which are so many to a pixel and axis; None for a point."""


@dataclass(frozen=True)
class Object:
    """A star or a galaxy at 0-based (x, y) [pix]."""

    name: str
    x: float
    y: float
    flux: float
    """In i [counts]."""
    parts: tuple[Part, ...]


def elliptical_radius(dx: np.ndarray, dy: np.ndarray, axis_ratio: float, angle: float) -> np.ndarray:
    """Return the radius of the ellipse of the same area as the circle of that radius [pix]; angle from x [deg]."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = c * dx + s * dy, -s * dx + c * dy
    return np.hypot(along * np.sqrt(axis_ratio), across / np.sqrt(axis_ratio))


def sersic(n: float, half_light_radius: float, axis_ratio: float = 1.0, angle: float = 0.0) -> Callable:
    """Return a Sérsic profile of total flux 1 (out to infinity)."""
    b = gammaincinv(2 * n, 0.5)
    total = 2 * np.pi * half_light_radius**2 * n * np.exp(b) * b ** (-2 * n) * gamma(2 * n)

    def draw(dx: np.ndarray, dy: np.ndarray, rng: np.random.Generator, fine: float = FINE) -> np.ndarray:
        radius = elliptical_radius(dx, dy, axis_ratio, angle)
        brightness = np.exp(-b * ((radius / half_light_radius) ** (1 / n) - 1)) / total
        # near the center a steep profile changes within one drawing pixel: average it there
        steep = np.nonzero(radius < 1.0)
        offset = (np.arange(15) - 7) / 15 / fine
        fine_x = dx[steep][:, None, None] + offset[None, None, :]
        fine_y = dy[steep][:, None, None] + offset[None, :, None]
        near = elliptical_radius(fine_x, fine_y, axis_ratio, angle)
        brightness[steep] = np.exp(-b * ((near / half_light_radius) ** (1 / n) - 1)).mean(axis=(1, 2)) / total
        return brightness

    return draw


def spiral_arms(scale: float, axis_ratio: float, angle: float, pitch: float, knots: int) -> Callable:
    """Return two logarithmic arms on an exponential disk, with knots of young stars strung along them."""

    def draw(dx: np.ndarray, dy: np.ndarray, rng: np.random.Generator, fine: float = FINE) -> np.ndarray:
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        along, across = c * dx + s * dy, (-s * dx + c * dy) / axis_ratio
        radius, azimuth = np.hypot(along, across) + 1e-3, np.arctan2(across, along)
        winding = np.log(radius / scale) / np.tan(np.radians(pitch))
        crest = np.exp(7.0 * (np.cos(2 * (azimuth - winding)) - 1))
        # arms begin at the end of the bulge
        disk = np.exp(-radius / scale) / (1 + np.exp(-(radius - 0.9 * scale) / (0.15 * scale)))
        brightness = (crest + 0.02) * disk
        brightness /= brightness.sum()
        for _ in range(knots):
            r = scale * rng.uniform(1.2, 4.0)
            phase = np.log(r / scale) / np.tan(np.radians(pitch)) + np.pi * rng.integers(2) + rng.normal(0, 0.12)
            x, y = r * np.cos(phase), r * axis_ratio * np.sin(phase)
            x, y = c * x - s * y, s * x + c * y
            width = rng.uniform(0.35, 0.7)
            knot = np.exp(-0.5 * ((dx - x) ** 2 + (dy - y) ** 2) / width**2)
            brightness += rng.uniform(0.3, 1.0) * 0.022 * knot / knot.sum()
        return brightness / brightness.sum() * fine**2

    return draw


def clumps(number: int, extent: float, axis_ratio: float, angle: float) -> Callable:
    """Return knots of stars thrown into an ellipse, lopsided, as in an irregular galaxy."""

    def draw(dx: np.ndarray, dy: np.ndarray, rng: np.random.Generator, fine: float = FINE) -> np.ndarray:
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        brightness = np.zeros_like(dx)
        for _ in range(number):
            along, across = extent * rng.normal(0.25, 0.9), extent * axis_ratio * rng.normal(0, 0.9)
            x, y = c * along - s * across, s * along + c * across
            width = rng.uniform(0.4, 1.1)
            knot = np.exp(-0.5 * ((dx - x) ** 2 + (dy - y) ** 2) / width**2)
            brightness += rng.uniform(0.3, 1.0) * knot / knot.sum()
        return brightness / brightness.sum() * fine**2

    return draw


def star(name: str, x: float, y: float, flux: float, colors: tuple) -> Object:
    return Object(name, x, y, flux, (Part(colors, 1.0),))


OBJECTS = (
    Object(
        "spiral",
        44.3,
        46.2,
        380.0,
        (
            Part(BULGE, 0.17, sersic(1.5, 1.1, 0.85, 20)),
            Part(OLD_DISK, 0.16, sersic(1.0, 5.0, 0.80, 20)),
            Part(SPIRAL_ARM, 0.67, spiral_arms(4.6, 0.85, 20, 21, 12)),
        ),
    ),
    Object("elliptical", 59.6, 54.8, 290.0, (Part(ELLIPTICAL, 1.0, sersic(3.5, 3.2, 0.78, 140)),)),
    Object(
        "edge-on disk",
        37.1,
        60.4,
        75.0,
        (Part(BULGE, 0.25, sersic(2.0, 0.9, 0.7, 155)), Part(GREEN_VALLEY, 0.75, sersic(1.0, 4.2, 0.22, 155))),
    ),
    Object(
        "irregular",
        29.4,
        35.7,
        70.0,
        (
            Part(STARBURST, 0.55, clumps(9, 2.8, 0.6, 60)),
            Part(GREEN_VALLEY, 0.45, sersic(0.8, 3.6, 0.65, 60)),
        ),
    ),
    Object(
        "barred disk",
        72.5,
        40.3,
        120.0,
        (
            Part(BULGE, 0.35, sersic(1.6, 1.2, 0.55, 65)),
            Part(SPIRAL_ARM, 0.65, sersic(1.0, 4.4, 0.72, 65)),
        ),
    ),
    star("K star", 56.9, 34.6, 260.0, K_STAR),
    star("G star", 20.8, 58.2, 85.0, G_STAR),
    star("M star", 66.4, 66.1, 24.0, M_STAR),
    Object("red satellite", 65.9, 50.2, 26.0, (Part(ELLIPTICAL, 1.0, sersic(2.0, 1.1, 0.9, 0)),)),
    Object("blue compact", 50.4, 60.9, 16.0, (Part(STARBURST, 1.0, sersic(1.0, 1.4, 0.8, 30)),)),
    Object("faint disk", 42.8, 30.1, 12.0, (Part(GREEN_VALLEY, 1.0, sersic(1.0, 2.2, 0.5, 110)),)),
    Object("distant galaxy", 78.8, 58.0, 7.0, (Part(DISTANT, 1.0, sersic(1.5, 1.3, 0.7, 45)),)),
    Object("faint blue galaxy", 82.3, 24.9, 5.0, (Part(STARBURST, 1.0, sersic(1.0, 1.8, 0.6, 80)),)),
    Object("faint irregular", 22.0, 76.0, 6.0, (Part(SPIRAL_ARM, 1.0, clumps(4, 1.6, 0.5, 20)),)),
)


def fluxes(flux_i: float, colors: tuple[float, float, float, float]) -> np.ndarray:
    """Return the flux in g, r, i, z, y [counts] for that in i and the colors."""
    g_r, r_i, i_z, z_y = colors
    magnitude = np.array([g_r + r_i, r_i, 0.0, -i_z, -i_z - z_y])
    return flux_i * 10 ** (-0.4 * magnitude)


def psf_profile(band: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the PSF at offsets from its center [pix]: a sheared Moffat profile, softly 0 at the stamp's edge."""
    e1, e2 = PSF_SHEAR[band]
    radius = np.hypot((1 - e1) * x - e2 * y, -e2 * x + (1 + e1) * y)
    core = FWHM[band] / PIXEL_SCALE / 2 / np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
    edge = np.clip((STAMP / 2 - np.hypot(x, y)) / 4, 0, 1)
    return (1 + (radius / core) ** 2) ** -MOFFAT_BETA * edge**2 * (3 - 2 * edge)


@cache
def fine_psf(band: str) -> np.ndarray:
    """Return the PSF on the drawing's pixels, sum 1."""
    half = FINE * STAMP // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / FINE
    psf = psf_profile(band, x, y)
    return psf / psf.sum()


def binned(drawing: np.ndarray, fine: int = FINE) -> np.ndarray:
    """Sum over the drawing pixels of every pixel, so many along each axis."""
    height, width = (n // fine for n in drawing.shape)
    return drawing.reshape(height, fine, width, fine).sum(axis=(1, 3))


def render(
    obj: Object, rng: np.random.Generator, shape: tuple[int, int] = SHAPE, bands: str = BANDS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the object's images (band, y, x), in some of the bands, and its fluxes in all of them [counts]."""
    height, width = (n + 2 * MARGIN for n in shape)
    y = (np.arange(height * FINE) - (FINE - 1) / 2) / FINE - MARGIN - obj.y
    x = (np.arange(width * FINE) - (FINE - 1) / 2) / FINE - MARGIN - obj.x
    dx, dy = np.meshgrid(x, y)
    total = np.zeros(len(BANDS))
    drawing = np.zeros((len(BANDS), *dx.shape))
    starlight = np.zeros(len(BANDS))
    for part in obj.parts:
        flux = fluxes(obj.flux * part.fraction, part.colors)
        total += flux
        if part.draw is None:
            starlight += flux
        else:
            drawing += flux[:, None, None] * part.draw(dx, dy, rng) / FINE**2
    scene = np.zeros((len(bands), *shape))
    for row, band in enumerate(bands):
        index, fine = BANDS.index(band), np.zeros(dx.shape)
        if drawing[index].any():
            fine += fftconvolve(drawing[index], fine_psf(band), mode="same")
        if starlight[index] > 0:
            profile = psf_profile(band, dx, dy)
            fine += starlight[index] * profile / profile.sum()
        scene[row] = binned(fine)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return scene, total


def rounded(values: np.ndarray, bits: int = 11) -> np.ndarray:
    """Return float32 with a mantissa of so many bits (half a part in 4096), which compresses better."""
    drop = 23 - bits
    words = values.astype(np.float32).view(np.uint32)
    words = (words + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    return words.view(np.float32)


def world_coordinates() -> fits.Header:
    """North up, east left."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = CENTER
    header["CRPIX1"], header["CRPIX2"] = (SHAPE[1] + 1) / 2, (SHAPE[0] + 1) / 2
    header["CD1_1"], header["CD1_2"] = -PIXEL_SCALE / 3600, 0.0
    header["CD2_1"], header["CD2_2"] = 0.0, PIXEL_SCALE / 3600
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["RADESYS"] = "ICRS"
    return header


def blemish(band: str, image: np.ndarray, variance: np.ndarray, mask: np.ndarray) -> None:
    """Spoil a few pixels in place, as real images have them, and flag what the pipeline would flag."""
    if band == "I":  # the core of the brightest star is saturated
        level = 0.62 * image[25:45, 47:67].max()
        saturated = np.zeros(SHAPE, bool)
        saturated[25:45, 47:67] = image[25:45, 47:67] > level
        image[saturated] = level
        mask[saturated] |= 1 << PLANES["SAT"]
    elif band == "Z":  # a dead column, and a variance that cannot be
        image[8:26, 88] = -3.0
        mask[8:26, 88] |= 1 << PLANES["BAD"]
        variance[70, 61] = 0.0
    elif band == "Y":  # a corner that no exposure covered
        corner = np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) < 5
        image[corner] = variance[corner] = np.nan
        mask[corner] |= 1 << PLANES["NO_DATA"]
    elif band == "R":  # a cosmic ray that the pipeline interpolated over
        rows, columns = np.array([70, 71, 71, 72, 73]), np.array([30, 31, 32, 33, 34])
        image[rows, columns] = 0.5 * (image[rows - 1, columns] + image[rows + 1, columns])
        mask[rows, columns] |= 1 << PLANES["CR"] | 1 << PLANES["INTRP"]
    elif band == "G":  # a pixel that nothing warns of
        image[38, 63] = np.nan


def write_band(folder: Path, band: str, image: np.ndarray, variance: np.ndarray, mask: np.ndarray) -> None:
    primary = fits.PrimaryHDU()
    primary.header["FILTER"] = f"HSC-{band}"
    primary.header["FLUXMAG0"] = (10 ** (0.4 * ZERO_POINT), "counts of a source of magnitude 0")
    primary.header["COMMENT"] = "Simulated; see README.md"
    wcs = world_coordinates()
    planes = wcs.copy()
    for plane, bit in PLANES.items():
        planes[f"HIERARCH MP_{plane}"] = bit
    fits.HDUList(
        [
            primary,
            fits.ImageHDU(image.astype(np.float32), wcs, name="IMAGE"),
            fits.ImageHDU(mask, planes, name="MASK"),
            fits.ImageHDU(variance.astype(np.float32), wcs, name="VARIANCE"),
        ]
    ).writeto(folder / f"calexp-HSC-{band}.fits", overwrite=True)
    fits.writeto(folder / f"psf-HSC-{band}.fits", binned(fine_psf(band)).astype(np.float32), overwrite=True)


def write_truth(folder: Path, truth: np.ndarray, flux: np.ndarray, sigma: np.ndarray) -> None:
    """Write every object's noiseless images, and a catalog."""
    seen = np.where(truth > 0.003 * sigma[None, :, None, None], truth, 0.0)
    header = world_coordinates()
    header["BUNIT"] = ("count", "as the images: AB zero point 27")
    header["BANDS"] = ",".join(BANDS.lower())
    header["AXES"] = "object, band, y, x; objects as in truth.ecsv"
    buffer = io.BytesIO()
    fits.PrimaryHDU(rounded(seen), header).writeto(buffer)
    with (
        open(folder / "truth.fits.gz", "wb") as file,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as packed,
    ):
        packed.write(buffer.getvalue())

    whole = truth.sum(axis=0)
    variance = sigma[:, None, None] ** 2 + VARIANCE_PER_COUNT * whole
    njy = 10 ** (0.4 * (31.4 - ZERO_POINT))
    table = Table()
    table["name"] = [o.name for o in OBJECTS]
    table["is_star"] = [all(p.draw is None for p in o.parts) for o in OBJECTS]
    table["x"], table["y"] = [o.x for o in OBJECTS], [o.y for o in OBJECTS]
    for index, band in enumerate(BANDS.lower()):
        table[f"flux_hsc_{band}"] = np.round(flux[:, index] * njy, 4)
        table[f"flux_hsc_{band}"].unit = "nJy"
    table["snr"] = np.round(np.sqrt((truth**2 / variance).sum(axis=(1, 2, 3))), 1)
    in_i = truth[:, BANDS.index("I")]
    own = (in_i**2).sum(axis=(1, 2))
    table["blendedness"] = np.round(1 - own / (in_i * in_i.sum(axis=0)).sum(axis=(1, 2)), 4)
    for name in ("x", "y"):
        table[name].unit, table[name].description = "pix", "0-based"
    table["snr"].description = "of the best possible measurement, all bands, were the object alone"
    table["blendedness"].description = "share of the light under the object that is not its own, in i"
    table.meta["zero point"] = "AB, 31.4 mag for 1 nJy; the images have 27.0 for one count"
    table.write(folder / "truth.ecsv", format="ascii.ecsv", overwrite=True)


def main(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    drawn = [render(obj, np.random.default_rng((SEED, index))) for index, obj in enumerate(OBJECTS)]
    truth, flux = np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn])
    sigma = np.array([NOISE[band] for band in BANDS])
    for index, band in enumerate(BANDS):
        light = truth[:, index].sum(axis=0)
        variance = sigma[index] ** 2 + VARIANCE_PER_COUNT * light
        image = light + rng.normal(size=SHAPE) * np.sqrt(variance)
        mask = np.where(light > 2.5 * sigma[index], 1 << PLANES["DETECTED"], 0).astype(np.int32)
        blemish(band, image, variance, mask)
        write_band(folder, band, image, variance, mask)
    write_truth(folder, truth, flux, sigma)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
