"""Curves over wavelength from files: transmissions of passbands, and templates of spectra."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.table import Column, Table
from jaxtyping import Float

from deblend.io.tables import called, in_unit, numbers_of, read_table
from deblend.scene import Parameter, Template
from deblend.sky import Passband

WAVELENGTHS = ("wavelength", "wavelengths", "wave", "lambda", "lam", "wl")
TRANSMISSIONS = ("transmission", "throughput", "transmittance", "response", "trans", "efficiency")
"""What columns are called, in small letters; without such names the first is the wavelength, the second what goes
with it."""
PER_FREQUENCY = ("fnu", "f_nu", "flux_nu")
FLUX_PER_FREQUENCY = units.Unit("nJy")
MOST_MICROMETERS, MOST_NANOMETERS = 100.0, 1000.0
"""A column without a unit whose middle is below these is in µm, in nm; else in Å."""


def read_passband(path: str | PathLike[str], unit: str | None = None) -> Passband:
    """Read a transmission curve, photons counted against wavelength: two columns of text, CSV, ECSV, FITS or VOTable.

    `unit` is that of the wavelengths where the file tells none; without it one is taken that fits the numbers, and
    the passband's `origin` says so. Raises ValueError, naming the file, where it holds no such curve.
    """
    path = Path(path)
    table, wavelengths, said = _with_wavelengths(path, unit)
    column = _column(table, TRANSMISSIONS, 1, path)
    order = np.argsort(wavelengths, kind="stable")
    transmission = in_unit(numbers_of(column, path), column, units.dimensionless_unscaled, "transmission", path)
    # noise around zero beyond the edges
    transmission = np.where(np.abs(transmission) < 1e-3 * np.max(np.abs(transmission)), 0.0, transmission)
    lit = np.flatnonzero(np.maximum(transmission[order], 0.0))
    if not len(lit):
        raise ValueError(f"{path}: column {called(column)} has no transmission above 0.")
    kept = order[max(lit[0] - 1, 0) : lit[-1] + 2]
    origin = f"the curve of {path.name}, {said}"
    return Passband(wavelengths[kept], transmission[kept], origin)


def read_template(
    path: str | PathLike[str],
    redshift: Parameter | float = 0.0,
    *,
    unit: str | None = None,
    per: str | None = None,
    **fields: Any,
) -> Template:
    """Read spectra against wavelength at rest, from a table with a column for each.

    The redshift is free where it is a number. Without `per` ("wavelength" for f_λ, "frequency" for f_ν) the units of
    the columns decide, or names like fnu, else f_λ is assumed; `unit` is as in `read_passband`. What was assumed is
    said by the template's `origin`. Raises ValueError, naming the file, where it holds no spectrum.
    """
    path = Path(path)
    table, wavelengths, said = _with_wavelengths(path, unit)
    columns = [table[name] for name in table.colnames if name != _column(table, WAVELENGTHS, 0, path).name]
    if not columns:
        raise ValueError(f"{path}: has a column of wavelengths and none of fluxes.")
    order = np.argsort(wavelengths, kind="stable")
    kinds = [per or _kind_of(column) for column in columns]
    if len({kind for kind in kinds if kind}) > 1:
        raise ValueError(f"{path}: some columns are per wavelength and others per frequency; give them one kind.")
    kind = next((kind for kind in kinds if kind), "wavelength")
    assumed = "" if all(kinds) else " (assumed)"
    spectra = np.stack([numbers_of(column, path)[order] for column in columns])
    origin = f"{path.name}, {said}, flux per {kind}{assumed}"
    try:
        return Template.of(wavelengths[order], spectra, redshift=redshift, per=kind, origin=origin, **fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _with_wavelengths(path: Path, unit: str | None) -> tuple[Table, Float[np.ndarray, " row"], str]:
    """Return a table, its wavelengths [Å], and in which unit they are there."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file.")
    table = read_table(path)
    if len(table) < 2 or len(table.colnames) < 2:
        raise ValueError(f"{path}: a curve needs two columns and two rows at least.")
    column = _column(table, WAVELENGTHS, 0, path)
    numbers = numbers_of(column, path)
    assumed = ""
    if column.unit is None:
        middle = float(np.median(numbers))
        fitting = "um" if middle < MOST_MICROMETERS else "nm" if middle < MOST_NANOMETERS else "AA"
        assumed = "" if unit else " (assumed)"
        column = Column(column, name=column.name, unit=unit or fitting)
    wavelengths = in_unit(numbers, column, units.AA, "wavelength", path)
    if not np.all(wavelengths > 0) or len(np.unique(wavelengths)) < len(wavelengths):
        raise ValueError(f"{path}: wavelengths have to be positive, and each there once (column {called(column)}).")
    return table, wavelengths, f"wavelengths in {column.unit}{assumed}"


def _column(table: Table, names: tuple[str, ...], place: int, path: Path) -> Column:
    known = {name.strip().lower(): name for name in table.colnames}
    named = next((known[name] for name in names if name in known), table.colnames[place])
    return table[named]


def _kind_of(column: Column) -> str | None:
    """Return what the flux of a column is per; None where it does not tell."""
    if column.unit is not None:
        unit = units.Unit(column.unit, parse_strict="silent")
        if unit.is_equivalent(FLUX_PER_FREQUENCY):
            return "frequency"
        if unit.is_equivalent(units.Unit("erg s-1 cm-2 AA-1")):
            return "wavelength"
    return "frequency" if column.name.strip().lower() in PER_FREQUENCY else None
