"""Grids of PSF stamps: the cubes of STPSF and photutils, Anderson's STDPSF, and stacks of SourceXtractor++ and Euclid.

STPSF (psf_grid, which photutils' GriddedPSFModel reads): a cube of stamps, cards DET_YX0, DET_YX1 … "(y, x)" with
their places on the detector, 0-based, and OVERSAMP. STDPSF (Anderson 2016): a cube, four samples per pixel, cards
IPSFX01 … and JPSFY01 … with the columns and rows, 1-based. A stack: one image of stamps of STMPSIZE side by side,
SAMPLING [pix] between samples, and a table of where each of them lies there (X_CENTER or GRIDX) and on the image.
All of these are integrated over pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.guard import reason_of
from deblend.io.fits_file import data_of, image_numbers, label, opened
from deblend.io.given_psf import GivenPsf
from deblend.observe import PsfField, centroid
from deblend.observe.psf_field import ALIKE
from deblend.sky import TangentWcs

_PLACE = re.compile(r"^(DET_YX|GRID_XY)(\d+)$")
_PAIR = re.compile(r"\(?\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)?")
STDPSF_SAMPLES = 4
CENTERS = (("X_CENTER", "Y_CENTER"), ("GRIDX", "GRIDY"))
AROUND = 0.5
"""How far beyond an image stamps of a stack are taken, in sides of the image."""

Grid = tuple[Float[np.ndarray, "cell 2"], Float[np.ndarray, "cell y x"], float]
"""Places (x, y) [pix], stamps and the distance of their samples [pix]."""


def is_grid(path: Path) -> bool:
    """Tell whether a file holds stamps for several places."""
    try:
        with opened(path) as hdus:
            return _kind(hdus) is not None
    except ValueError:
        return False


def read_grid(path: Path, corner: tuple[float, float], shape: tuple[int, int], wcs: TangentWcs | None) -> GivenPsf:
    """Read the stamps that matter to an image of a shape (height, width), and thin out those that are alike.

    `corner` is the pixel (x, y) of the detector or mosaic that is the image's first. Stacks that give right ascension
    and declination are laid on the image by its WCS. Raises ValueError, naming the file, where it is damaged.
    """
    with opened(path) as hdus:
        read = _kind(hdus)
        if read is None:
            raise ValueError(f"{path}: holds no grid of PSF stamps; give another --psf.")
        try:
            places, stamps, step = read(hdus, path, wcs)
        except Exception as error:  # what astropy's tables and headers raise where they are damaged
            if isinstance(error, ValueError) and str(path) in str(error):
                raise
            raise ValueError(f"{path}: is no whole grid of PSF stamps ({reason_of(error)}); make it anew.") from error
    if wcs is None or read is not _stack or not _has_sky(path):
        places = places - corner
    places, stamps = _near(places, stamps, shape)
    total = stamps.sum(axis=(1, 2), keepdims=True)
    if not np.all(total > 0):
        raise ValueError(f"{path}: some of its stamps hold no light; give another --psf.")
    field = PsfField(places, (stamps / total)[:, None])
    thin = field.thinned(ALIKE)
    said = f"{path.name}: {len(places)} of its PSF stamps lie on or around the image; {thin.n_cells} tell all of them."
    cells = tuple([stamp] for stamp in thin.stamps[:, 0])
    positions = thin.positions if thin.n_cells > 1 else None
    return GivenPsf(cells, positions, step=step, remarks=(said,))


def _kind(hdus: fits.HDUList) -> Callable[[fits.HDUList, Path, TangentWcs | None], Grid] | None:
    for hdu in hdus:
        if any(_PLACE.match(card) for card in hdu.header):
            return _cube
        if "NXPSFS" in hdu.header and "NYPSFS" in hdu.header:
            return _stdpsf
    if any("STMPSIZE" in hdu.header for hdu in hdus) and any(_centers(hdu) for hdu in hdus):
        return _stack
    return None


def _cube(hdus: fits.HDUList, path: Path, wcs: TangentWcs | None) -> Grid:
    number = next(n for n in image_numbers(hdus) if any(_PLACE.match(card) for card in hdus[n].header))
    header, cube = hdus[number].header, np.asarray(data_of(hdus, number, path), float)
    cube = cube[None] if cube.ndim == 2 else cube
    found = sorted((int(m[2]), m[1], str(header[m[0]])) for m in map(_PLACE.match, header) if m)
    places = []
    for index, name, text in found:
        pair = _PAIR.search(text)
        if pair is None:
            raise ValueError(f"{path}, {label(hdus, number)}: {name}{index} is no place: {text!r}; write it as (y, x).")
        first, second = float(pair[1]), float(pair[2])
        places.append((second, first) if name == "DET_YX" else (first, second))
    if cube.ndim != 3 or len(cube) != len(places):
        raise ValueError(f"{path}, {label(hdus, number)}: has {len(places)} places for data of shape {cube.shape}.")
    return np.array(places), cube, 1.0 / float(header["OVERSAMP"])


def _stdpsf(hdus: fits.HDUList, path: Path, wcs: TangentWcs | None) -> Grid:
    number = next(n for n in image_numbers(hdus) if "NXPSFS" in hdus[n].header)
    header, cube = hdus[number].header, np.asarray(data_of(hdus, number, path), float)
    x = [float(header[f"IPSFX{i + 1:02d}"]) - 1.0 for i in range(int(header["NXPSFS"]))]
    y = [float(header[f"JPSFY{i + 1:02d}"]) - 1.0 for i in range(int(header["NYPSFS"]))]
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    if cube.ndim != 3 or len(cube) != len(places):
        raise ValueError(f"{path}, {label(hdus, number)}: has {len(places)} places for data of shape {cube.shape}.")
    return places, cube, 1.0 / STDPSF_SAMPLES


def _stack(hdus: fits.HDUList, path: Path, wcs: TangentWcs | None) -> Grid:
    number = next(n for n in image_numbers(hdus) if "STMPSIZE" in hdus[n].header)
    header, image = hdus[number].header, np.asarray(data_of(hdus, number, path), float)
    table, middles = next((hdu, names) for hdu in hdus if (names := _centers(hdu)) is not None)
    columns = {name.upper(): np.asarray(table.data[name], float) for name in table.columns.names}
    side = int(header["STMPSIZE"])
    centers = np.stack([columns[name] for name in middles], axis=-1)
    if wcs is not None and {"RA", "DEC"} <= set(columns):
        places = np.stack(wcs.sky_to_pixel(columns["RA"], columns["DEC"]), axis=-1)
    else:
        places = np.stack([columns["X"] - 1.0, columns["Y"] - 1.0], axis=-1)
    stamps = [_cut(image, x, y, side) for x, y in centers]
    kept = [i for i, stamp in enumerate(stamps) if stamp is not None]
    if not kept:
        raise ValueError(f"{path}, {label(hdus, number)}: none of its stamps holds light; give another --psf.")
    cut = np.stack([stamp for stamp in stamps if stamp is not None])
    return places[kept], cut, float(header.get("SAMPLING", 1.0))


def _cut(image: np.ndarray, x: float, y: float, side: int) -> np.ndarray | None:
    """Return a stamp by its middle, counted from 1 or from 0: whichever has the star nearer to its middle."""
    found = []
    for origin in (1, 0):
        left, low = (round(center - origin - (side - 1) / 2.0) for center in (x, y))
        stamp = image[max(low, 0) : max(low + side, 0), max(left, 0) : max(left + side, 0)]
        if stamp.shape == (side, side) and np.isfinite(stamp).all() and stamp.sum() > 0:
            found.append(stamp)
    return min(found, key=lambda stamp: float(np.hypot(*centroid(stamp))), default=None)


def _near(
    places: Float[np.ndarray, "cell 2"], stamps: np.ndarray, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "cell 2"], np.ndarray]:
    """Return the cells on and around an image; the lines of a grid next to it where none lies on it."""
    size = np.array(shape[::-1], float)
    kept = np.ones(len(places), bool)
    for axis in (0, 1):
        line = np.unique(places[:, axis])
        low, high = -AROUND * size[axis], (1.0 + AROUND) * size[axis]
        below, above = line[line <= low], line[line >= high]
        # one line beyond each end, so that all of the image lies between
        low, high = below.max(initial=-np.inf), above.min(initial=np.inf)
        kept &= (places[:, axis] >= low) & (places[:, axis] <= high)
    if not kept.any():
        kept = np.arange(len(places)) == np.argmin(np.sum((places - 0.5 * size) ** 2, axis=1))
    return places[kept], stamps[kept]


def _centers(hdu: fits.hdu.base.ExtensionHDU) -> tuple[str, str] | None:
    """Return the names of the columns with the middles of stamps."""
    if not isinstance(hdu, fits.BinTableHDU):
        return None
    names = {name.upper() for name in hdu.columns.names}
    return next((pair for pair in CENTERS if set(pair) <= names), None)


def _has_sky(path: Path) -> bool:
    with opened(path) as hdus:
        tables = [hdu for hdu in hdus if _centers(hdu)]
        return any({"RA", "DEC"} <= {name.upper() for name in hdu.columns.names} for hdu in tables)
