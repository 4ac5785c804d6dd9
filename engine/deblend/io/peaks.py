"""Positions of sources from a catalog or from regions: pixels (x, y), or right ascension and declination."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy import units
from astropy.table import Column
from jaxtyping import Float

from deblend.guard import naming
from deblend.io.regions import is_regions, read_regions
from deblend.io.tables import in_unit, numbers_of, read_table
from deblend.observe import Observation
from deblend.sky import TangentWcs

PLAIN = ("x", "y")
SKY_COLUMNS = (
    ("ra", "dec"),
    ("ra_icrs", "de_icrs"),
    ("raj2000", "dej2000"),
    ("_raj2000", "_dej2000"),
    ("alpha_j2000", "delta_j2000"),
    ("alphawin_j2000", "deltawin_j2000"),
    ("alpha_sky", "delta_sky"),
    ("ra_deg", "dec_deg"),
    ("right_ascension", "declination"),
    ("coord_ra", "coord_dec"),
)
"""What catalogs call right ascension and declination, in small letters."""
PIXEL_COLUMNS = {
    ("x_image", "y_image"): 1,
    ("xwin_image", "ywin_image"): 1,
    ("xpeak_image", "ypeak_image"): 1,
    ("xcentroid", "ycentroid"): 0,
    ("x_centroid", "y_centroid"): 0,
    ("xcenter", "ycenter"): 0,
    ("x_center", "y_center"): 0,
    ("x_peak", "y_peak"): 0,
    ("base_sdsscentroid_x", "base_sdsscentroid_y"): 0,
}
"""What catalogs call pixels, and the number of their first pixel: SExtractor counts from 1, Python's from 0."""


class Positions(NamedTuple):
    """Places of sources in an image, and a sentence for everything that was assumed."""

    x: Float[np.ndarray, " source"]
    """0-based [pix]."""
    y: Float[np.ndarray, " source"]
    notes: tuple[str, ...] = ()


def read_peaks(
    path: str | PathLike[str], observation: Observation, origin: int | None = None
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"]]:
    """Read positions (x, y) as `read_positions` does, without its notes."""
    positions = read_positions(path, observation, origin)
    return positions.x, positions.y


def read_positions(path: str | PathLike[str], observation: Observation, origin: int | None = None) -> Positions:
    """Read positions (x, y), 0-based [pix of the observation], in the order of the rows.

    The table (CSV, ECSV, FITS, VOTable, Parquet or columns of text) has columns x and y, or right ascension and
    declination [deg, unless they have a unit] that the WCS of the observation turns into pixels, under one of the names
    that catalogs have for them; x and y come first where it has both, and other columns are left aside. Of DS9's
    regions the centers of points, circles and ellipses are taken. `origin` is the number of the first pixel, 0 or 1,
    where that is known. Raises ValueError, naming the file, where that cannot be done.
    """
    return places_in(path, observation.wcs, observation.name, "--peaks", origin)


def places_in(
    path: str | PathLike[str], wcs: TangentWcs | None, image: str, option: str, origin: int | None = None
) -> Positions:
    """Read positions as `read_positions` does, for an image of that WCS and name; `option` is how it was asked for."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such table; check {option}.")
    with naming(path):
        return _places(path, wcs, image, option, origin)


def _places(path: Path, wcs: TangentWcs | None, image: str, option: str, origin: int | None) -> Positions:
    if is_regions(path):
        return Positions(*read_regions(path, wcs, image, origin))
    table = read_table(path)
    columns = {name.strip().lower(): name for name in table.colnames}
    if len(table) == 0:
        raise ValueError(f"{path}: has no rows; leave {option} out to have the sources detected.")
    pair = next((pair for pair in (PLAIN, *SKY_COLUMNS, *PIXEL_COLUMNS) if set(pair) <= set(columns)), None)
    if pair is None:
        raise ValueError(f"{path}: needs columns x and y, or ra and dec; it has {', '.join(table.colnames)}.")
    first, second = (table[columns[name]] for name in pair)
    if pair not in SKY_COLUMNS:
        counted = PIXEL_COLUMNS.get(pair, 0) if origin is None else origin
        assumed = " (assumed; --peaks-origin says otherwise)" if origin is None else ""
        note = f"{path.name}: {first.name}, {second.name} are pixels counted from {counted}{assumed}."
        return Positions(_numbers(first, path) - counted, _numbers(second, path) - counted, (note,))
    if wcs is None:
        raise ValueError(f"{path}: gives ra and dec, and {image} has no WCS; give x and y instead.")
    ra, dec = (_numbers(column, path, degrees=True) for column in (first, second))
    unit = "" if first.unit is not None else ", in degrees (assumed)"
    note = f"{path.name}: {first.name}, {second.name} are right ascension and declination{unit}."
    return Positions(*wcs.sky_to_pixel(ra, dec), (note,))


def _numbers(column: Column, path: Path, degrees: bool = False) -> Float[np.ndarray, " source"]:
    values = numbers_of(column, path)
    return in_unit(values, column, units.deg, "angle", path) if degrees else values
