"""Tables: whatever holds columns of numbers, read with one sentence for what is wrong with it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Column, Table
from jaxtyping import Float

from deblend.guard import reason_of
from deblend.io.fits_file import opened

_FORMATS = {
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".fit": "fits",
    ".fits.gz": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
    ".parq": "parquet",
}


LONGEST_NAME = 60
"""[letters]"""


def read_table(path: Path) -> Table:
    """Read a table by the ending of its name, columns of text where that tells nothing; raises ValueError, naming the
    file, where it cannot be read."""
    ending = next((e for e in sorted(_FORMATS, key=len, reverse=True) if path.name.lower().endswith(e)), "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = _FORMATS.get(ending, "ascii")
            if kind != "fits":
                return Table.read(path, format=kind)
            with opened(path) as hdus:
                return Table.read(hdus, format=kind)
    except ImportError as error:
        raise ValueError(f"{path}: reading Parquet needs pyarrow; install it, or give a CSV file.") from error
    except Exception as error:  # astropy's readers raise whatever their parsers do
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path}: cannot be read as a table ({reason_of(error)}); give a CSV file.") from error


def numbers_of(column: Column, path: Path) -> Float[np.ndarray, " row"]:
    """Return the numbers of a column; raises ValueError, naming the row, where one is missing."""
    try:
        values = np.asarray(np.ma.filled(np.ma.asarray(column).astype(float), np.nan), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {called(column)} must hold numbers, got {column[0]!r}.") from error
    bad = ~np.isfinite(values)
    if bad.any() or values.ndim != 1:
        raise ValueError(
            f"{path}: column {called(column)} has no number in row {int(np.argmax(bad))} (the first is 0)."
        )
    return values


def in_unit(
    values: Float[np.ndarray, " row"], column: Column, unit: units.UnitBase, meaning: str, path: Path
) -> Float[np.ndarray, " row"]:
    """Return the numbers of a column in a unit, where the column has one; `meaning` is what such numbers are."""
    if column.unit is None:
        return values
    try:
        return np.asarray(units.Unit(column.unit).to(unit, values))
    except (ValueError, TypeError, units.UnitConversionError) as error:
        raise ValueError(f"{path}: column {called(column)} has unit {column.unit}, which is no {meaning}.") from error


def called(column: Column) -> str:
    """Return the name of a column as it is said in a sentence; where lines were broken wrongly, it may be a table."""
    return " ".join(str(column.name).split())[:LONGEST_NAME]
