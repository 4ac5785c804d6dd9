"""Positions of sources from a table: pixels (x, y), or right ascension and declination."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Column, Table
from jaxtyping import Float

from deblend.observe import Observation
from deblend.sky import TangentWcs

_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits", ".vot": "votable"}


def read_peaks(
    path: str | PathLike[str], observation: Observation
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"]]:
    """Read positions (x, y), 0-based [pix of the observation], in the order of the rows.

    The table (CSV, ECSV, FITS, VOTable or columns of text) has columns x and y, or ra and dec [deg, unless they
    have a unit] that the WCS of the observation turns into pixels; x and y come first where it has both, and
    other columns are left aside. Raises ValueError, naming the file, where that cannot be done.
    """
    return read_positions(path, observation.wcs, observation.name, "--peaks")


def read_positions(
    path: str | PathLike[str], wcs: TangentWcs | None, image: str, option: str
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"]]:
    """Read positions as `read_peaks` does, for an image of that WCS and name; `option` is how a person asked for it."""
    path = Path(path)
    table = _read(path, option)
    columns = {name.strip().lower(): name for name in table.colnames}
    if len(table) == 0:
        raise ValueError(f"{path}: has no rows; leave {option} out to have the sources detected.")
    if "x" in columns and "y" in columns:
        return _numbers(table[columns["x"]], path), _numbers(table[columns["y"]], path)
    if "ra" not in columns or "dec" not in columns:
        raise ValueError(f"{path}: needs columns x and y, or ra and dec; it has {', '.join(table.colnames)}.")
    if wcs is None:
        raise ValueError(f"{path}: gives ra and dec, and {image} has no WCS; give x and y instead.")
    ra, dec = (_numbers(table[columns[name]], path, degrees=True) for name in ("ra", "dec"))
    return wcs.sky_to_pixel(ra, dec)


def _read(path: Path, option: str) -> Table:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such table; check {option}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Table.read(path, format=_FORMATS.get(path.suffix.lower(), "ascii"))
    except Exception as error:  # astropy's readers raise whatever their parsers do
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: cannot be read as a table ({lines[0].rstrip('.')}); give a CSV file.") from error


def _numbers(column: Column, path: Path, degrees: bool = False) -> Float[np.ndarray, " source"]:
    try:
        values = np.asarray(np.ma.filled(np.ma.asarray(column).astype(float), np.nan), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {column.name} must hold numbers, got {column[0]!r}.") from error
    bad = ~np.isfinite(values)
    if bad.any() or values.ndim != 1:
        raise ValueError(f"{path}: column {column.name} has no number in row {int(np.argmax(bad))} (the first is 0).")
    unit = column.unit
    if degrees and unit is not None:
        try:
            values = np.asarray(units.Unit(unit).to(units.deg, values))
        except (ValueError, TypeError, units.UnitConversionError) as error:
            raise ValueError(f"{path}: column {column.name} has unit {unit}, which is no angle.") from error
    return values
