"""Known stars from catalogs: Gaia's, or any table with right ascension and declination."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Column, Table
from jaxtyping import Float

from deblend.io.peaks import SKY_COLUMNS
from deblend.io.tables import called, in_unit, numbers_of, read_table
from deblend.observe import Observation
from deblend.scene import StarCatalog
from deblend.scene.stars import OFF_THE_GRID

MOTIONS = (
    ("pmra", "pmdec"),
    ("pm_ra_cosdec", "pm_dec"),
    ("pmra_cosdec", "pmdec"),
    ("pm_ra", "pm_dec"),
    ("pmra", "pmde"),
)
"""What catalogs call proper motions, in small letters."""
WITH_COSINE = ("pm_ra_cosdec", "pmra_cosdec")
"""Names that say of themselves that cos δ is in them."""
EPOCHS = ("ref_epoch", "refepoch", "reference_epoch", "epoch")
NAMES = ("source_id", "designation", "name", "id", "objid", "star")
MAGNITUDES = ("mag_{}", "{}_mag", "{}mag", "mag{}", "{}")
GAIA_MAGNITUDES = ("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag")
PER_YEAR = units.mas / units.yr
YEARS = 1800.0, 2200.0


def read_stars(
    table: str | PathLike[str] | Table, observations: Sequence[Observation], *, has_cosine: bool = True
) -> StarCatalog:
    """Read known stars from a table (CSV, ECSV, FITS, VOTable, Parquet), as Gaia's archive gives them or others.

    Columns: `ra`, `dec` [deg, unless they have a unit], under the names that catalogs have for them; `pmra`, `pmdec`
    [mas/yr] with `ref_epoch` [Julian year]; a name; AB magnitudes per band of the observations (`mag_g`, `g_mag`,
    `gmag`). A star without a proper motion stands still, and so do all in images without an epoch. Stars on none of the
    images are left aside. What was assumed is in the catalog's notes.

    Parameters
    ----------
    has_cosine
        Whether `pmra` has cos δ in it, as in Gaia's tables and nearly all others; names that say so are believed.

    Raises
    ------
    ValueError
        Where the table cannot be read, columns are missing, images have no WCS, or no star lies on them; it names the
        file.
    """
    path = Path("the star table") if isinstance(table, Table) else Path(table)
    if not isinstance(table, Table):
        if not path.is_file():
            raise ValueError(f"{path}: there is no such table of stars; check --stars.")
        table = read_table(path)
    if len(table) == 0:
        raise ValueError(f"{path}: has no rows; leave --stars out where no star is known.")
    columns = {name.strip().lower(): name for name in table.colnames}
    pair = next((pair for pair in SKY_COLUMNS if set(pair) <= set(columns)), None)
    if pair is None:
        raise ValueError(f"{path}: stars need columns ra and dec; it has {', '.join(table.colnames)}.")
    notes: list[str] = []
    ra, dec = (in_unit(numbers_of(table[columns[n]], path), table[columns[n]], units.deg, "angle", path) for n in pair)
    (pm_ra, pm_dec), epoch = _motion(table, columns, path, dec, has_cosine, notes)
    magnitudes = _magnitudes(table, columns, path, observations, notes)
    name = next((columns[n] for n in NAMES if n in columns), None)
    names = () if name is None else tuple(str(value) for value in table[name])
    catalog = StarCatalog(ra, dec, names, pm_ra, pm_dec, epoch, magnitudes)
    kept = np.flatnonzero(_is_seen(catalog, observations, path))
    if not len(kept):
        raise ValueError(f"{path}: none of its {len(table)} stars lies on the images; check ra, dec and the WCS.")
    if len(kept) < len(table):
        notes.append(f"{len(table) - len(kept)} of its {len(table)} stars lie on none of the images; left aside.")
    return StarCatalog(
        ra[kept],
        dec[kept],
        tuple(names[k] for k in kept) if names else (),
        None if pm_ra is None else pm_ra[kept],
        None if pm_dec is None else pm_dec[kept],
        epoch if isinstance(epoch, float) else epoch[kept],
        {band: values[kept] for band, values in magnitudes.items()},
        tuple(f"{path.name}: {note}" for note in notes),
    )


def _motion(
    table: Table, columns: dict[str, str], path: Path, dec: np.ndarray, has_cosine: bool, notes: list[str]
) -> tuple[tuple[np.ndarray | None, np.ndarray | None], np.ndarray | float]:
    """Return proper motions [mas/yr], cos δ included, and the reference epoch [Julian year]."""
    pair = next((pair for pair in MOTIONS if set(pair) <= set(columns)), None)
    if pair is None:
        notes.append("no proper motions; its stars are taken to stand still.")
        return (None, None), 2000.0
    name = next((columns[n] for n in EPOCHS if n in columns), None)
    if name is None:
        raise ValueError(
            f"{path}: has proper motions {pair[0]}, {pair[1]}, but no column ref_epoch; add one [Julian year], or "
            "leave the motions out."
        )
    epoch = numbers_of(table[name], path)
    if np.any((epoch < YEARS[0]) | (epoch > YEARS[1])):
        raise ValueError(f"{path}: column {name} must hold Julian years like 2016.0, got {epoch[0]:g}.")
    along_ra, along_dec = (_with_gaps(table[columns[n]], PER_YEAR, path) for n in pair)
    has_cosine = has_cosine or pair[0] in WITH_COSINE
    if not has_cosine:
        along_ra = along_ra * np.cos(np.radians(dec))
    taken = "with" if has_cosine else "without"
    still = int(np.count_nonzero(~np.isfinite(along_ra + along_dec)))
    notes.append(
        f"{columns[pair[0]]} is taken as {taken} cos δ"
        + (f"; {still} of its stars have no proper motion and stand still." if still else ".")
    )
    moves = np.isfinite(along_ra + along_dec)
    return (np.where(moves, along_ra, 0.0), np.where(moves, along_dec, 0.0)), epoch


def _magnitudes(
    table: Table, columns: dict[str, str], path: Path, observations: Sequence[Observation], notes: list[str]
) -> dict[str, Float[np.ndarray, " star"]]:
    """Return the magnitudes of each band of the observations that the table has."""
    result = {}
    for band in dict.fromkeys(channel.band for o in observations for channel in o.channels):
        wanted = [pattern.format(band) for pattern in MAGNITUDES]
        # g and G are two bands
        name = next((n for n in wanted if n in table.colnames), None)
        if name is not None:
            result[band] = _with_gaps(table[name], None, path)
    if result:
        notes.append(f"magnitudes of {', '.join(result)} are taken as AB.")
    if any(name in columns for name in GAIA_MAGNITUDES):
        notes.append("Gaia's G, BP and RP magnitudes are of other passbands than the images'; not used.")
    return result


def _with_gaps(column: Column, unit: units.UnitBase | None, path: Path) -> Float[np.ndarray, " star"]:
    """Return the numbers of a column, NaN where there is none, in a unit where the column has one."""
    try:
        values = np.asarray(np.ma.filled(np.ma.asarray(column).astype(float), np.nan), np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {called(column)} must hold numbers, got {column[0]!r}.") from error
    return values if unit is None else in_unit(values, column, unit, "proper motion", path)


def _is_seen(catalog: StarCatalog, observations: Sequence[Observation], path: Path) -> np.ndarray:
    """Tell which stars lie on an image, or hardly outside of it, when it was taken."""
    seen = np.zeros(len(catalog), bool)
    for observation in observations:
        if observation.wcs is None:
            raise ValueError(f"{path}: gives ra and dec, and {observation.name} has no WCS.")
        height, width = observation.shape
        for year in {channel.julian_year for channel in observation.channels}:
            x, y = observation.wcs.sky_to_pixel(*catalog.sky_at(year))
            on_x = (x >= -OFF_THE_GRID) & (x <= width - 1 + OFF_THE_GRID)
            seen |= on_x & (y >= -OFF_THE_GRID) & (y <= height - 1 + OFF_THE_GRID)
    return seen
