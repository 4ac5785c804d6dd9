"""The table of known stars: what their fluxes were found to be."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from jaxtyping import Float

from deblend.measure.naming import column_key
from deblend.program import Program
from deblend.scene import Scene
from deblend.sky import AB_ZERO_POINT_NJY

KIND = "known star"


def star_table(
    scene: Scene, program: Program, errors: Float[np.ndarray, "star channel"] | None = None
) -> QTable | None:
    """Return a row per known star, None where there are none: `name`; `x`, `y` (0-based pixels of the first image) and
    `ra`, `dec` where there is a WCS, of the first channel's time; per channel `flux_SURVEY_BAND` [nJy], `flux_err_…`
    (with neighbours marginalised over) where errors [nJy] are given, and AB `mag_…`."""
    stars = scene.stars
    if stars is None:
        return None
    table = QTable()
    table["name"] = list(stars.names)
    x, y = stars.x[:, 0], stars.y[:, 0]
    row, column = scene.grid.affine_to(program.observations[0].grid)(y, x)
    table["x"], table["y"] = column * u.pix, row * u.pix
    if scene.grid.wcs is not None:
        ra, dec = scene.grid.wcs.pixel_to_sky(x, y)
        table["ra"], table["dec"] = ra * u.deg, dec * u.deg
    for index, channel in enumerate(scene.channels):
        key, flux = column_key(channel), stars.flux[:, index]
        table[f"flux_{key}"] = flux * u.nJy
        if errors is not None:
            table[f"flux_err_{key}"] = errors[:, index] * u.nJy
        positive = np.where(flux > 0, flux, np.nan)
        table[f"mag_{key}"] = (AB_ZERO_POINT_NJY - 2.5 * np.log10(positive)) * u.mag
    return table


def listing(table: QTable, stars: QTable | None) -> QTable:
    """Return the table of sources with the known stars behind them; numbers that stars do not have are NaN."""
    if stars is None:
        return table
    rows = QTable()
    n = len(stars)
    for name in table.colnames:
        column = table[name]
        if name in stars.colnames:
            rows[name] = stars[name]
        elif column.dtype.kind == "b":
            rows[name] = np.zeros(n, bool)
        elif column.dtype.kind == "f":
            unit = getattr(column, "unit", None)
            unknown = np.full((n, *column.shape[1:]), np.nan)
            rows[name] = unknown * unit if unit is not None else unknown
        else:
            rows[name] = list(stars["name"]) if name == "id" else [KIND if name == "kind" else ""] * n
    # without sources their columns have no types to go by
    return vstack([table, rows], metadata_conflicts="silent") if len(table) else rows
