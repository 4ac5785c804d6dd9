"""Tables: whatever holds columns of numbers, read with one sentence for what is wrong with it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Column, Table
from jaxtyping import Float

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


def read_table(path: Path) -> Table:
    """Read a table by the ending of its name, columns of text where that tells nothing; raises ValueError, naming the
    file, where it cannot be read."""
    ending = next((e for e in sorted(_FORMATS, key=len, reverse=True) if path.name.lower().endswith(e)), "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Table.read(path, format=_FORMATS.get(ending, "ascii"))
    except ImportError as error:
        raise ValueError(f"{path}: reading Parquet needs pyarrow; install it, or give a CSV file.") from error
    except Exception as error:  # astropy's readers raise whatever their parsers do
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: cannot be read as a table ({lines[0].rstrip('.')}); give a CSV file.") from error


def numbers_of(column: Column, path: Path) -> Float[np.ndarray, " row"]:
    """Return the numbers of a column; raises ValueError, naming the row, where one is missing."""
    try:
        values = np.asarray(np.ma.filled(np.ma.asarray(column).astype(float), np.nan), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {column.name} must hold numbers, got {column[0]!r}.") from error
    bad = ~np.isfinite(values)
    if bad.any() or values.ndim != 1:
        raise ValueError(f"{path}: column {column.name} has no number in row {int(np.argmax(bad))} (the first is 0).")
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
        raise ValueError(f"{path}: column {column.name} has unit {column.unit}, which is no {meaning}.") from error
