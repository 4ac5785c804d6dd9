"""Euclid's GRID-PSF files: stamps of the PSF side by side in one image, and a table of where each of them holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.io.fits_file import data_of, image_numbers, label, opened
from deblend.io.picture import Picture
from deblend.observe import centroid
from deblend.sky import sky_to_plane

SIDE_CARD = "STMPSIZE"
CENTERS = ("X_CENTER", "Y_CENTER")


def is_psf_grid(path: Path) -> bool:
    """Tell whether a file holds a grid of PSF stamps with its table."""
    if not path.is_file():
        return False
    try:
        with fits.open(path) as hdus:
            return any(SIDE_CARD in hdu.header for hdu in hdus) and any(_has_centers(hdu) for hdu in hdus)
    except (OSError, ValueError):
        return False


def read_nearest_stamp(path: Path, picture: Picture) -> tuple[Float[np.ndarray, "side side"], str]:
    """Return the stamp that is nearest to the middle of an image, on its pixels, and a sentence on it.

    By right ascension and declination where the image has a WCS and the table has them, else by pixel. Raises
    ValueError, naming the file, where it has no stamp of light.
    """
    height, width = picture.images.shape[1:]
    x, y = (width - 1) / 2.0, (height - 1) / 2.0
    with opened(path) as hdus:
        number = next(n for n in image_numbers(hdus) if SIDE_CARD in hdus[n].header)
        side, grid = int(hdus[number].header[SIDE_CARD]), data_of(hdus, number, path)
        table = next(hdu for hdu in hdus if _has_centers(hdu))
        columns = {name.upper(): np.asarray(table.data[name], dtype=np.float64) for name in table.columns.names}
        where = f"{path}, {label(hdus, number)}"
    if picture.wcs is not None and {"RA", "DEC"} <= set(columns):
        ra, dec = (float(value) for value in picture.wcs.pixel_to_sky(x, y))
        east, north = sky_to_plane(columns["RA"], columns["DEC"], (ra, dec))
        distance = np.hypot(east, north)
        how = "arcsec"
    elif {"X", "Y"} <= set(columns):
        distance = np.hypot(columns["X"] - 1.0 - x, columns["Y"] - 1.0 - y)
        how = "px"
    else:
        raise ValueError(f"{path}: its table of stamps has no places (RA and Dec, or x and y); give another --psf.")
    for row in np.argsort(distance):
        stamp = _cut(grid, columns[CENTERS[0]][row], columns[CENTERS[1]][row], side)
        if stamp is not None:
            return stamp, (
                f"{picture.path.name}: its PSF is the stamp of {path.name} nearest to the middle of the image, "
                f"{distance[row]:.3g} {how} away."
            )
    raise ValueError(f"{where}: none of its stamps holds light; give another --psf.")


def _cut(grid: Float[np.ndarray, "y x"], x: float, y: float, side: int) -> Float[np.ndarray, "side side"] | None:
    """Return the stamp at a center counted from 0 or from 1, whichever has the light nearer to its middle."""
    stamps = []
    for origin in (0, 1):
        left, low = (round(center - origin - (side - 1) / 2.0) for center in (x, y))
        stamp = np.asarray(grid[max(low, 0) : low + side, max(left, 0) : left + side], dtype=np.float64)
        if stamp.shape == (side, side) and np.isfinite(stamp).all() and stamp.sum() > 0:
            stamps.append(stamp)
    return min(stamps, key=lambda stamp: float(np.hypot(*centroid(stamp))), default=None)


def _has_centers(hdu: fits.hdu.base.ExtensionHDU) -> bool:
    return isinstance(hdu, fits.BinTableHDU) and {*CENTERS} <= {name.upper() for name in hdu.columns.names}
