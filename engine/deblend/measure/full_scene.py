"""The table of light that covers the whole scene."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.measure.naming import column_key
from deblend.scene import Scene
from deblend.sky import AB_ZERO_POINT_NJY


def full_scene_table(scene: Scene, errors: Float[np.ndarray, "component channel"] | None = None) -> QTable | None:
    """Return a row per component of light over the whole scene, None where there is none: `name`; `spacing` of its
    coefficients [pix of the scene]; per channel `flux_SURVEY_BAND`, all of its light on the grid of the scene [nJy],
    `flux_err_…` where errors [nJy] are given, AB `mag_…`, and its mean surface brightness `sb_…` where there is a WCS
    [mag/arcsec²]."""
    if not scene.full_scenes:
        return None
    table = QTable()
    table["name"] = [each.name for each in scene.full_scenes]
    table["spacing"] = np.array([each.spacing for each in scene.full_scenes]) * u.pix
    area = None
    if scene.grid.wcs is not None:
        area = scene.grid.wcs.pixel_scale**2 * scene.grid.shape[0] * scene.grid.shape[1]
    for index, channel in enumerate(scene.channels):
        key = column_key(channel)
        flux = np.array([each.spectrum[index] for each in scene.full_scenes])
        table[f"flux_{key}"] = flux * u.nJy
        if errors is not None:
            table[f"flux_err_{key}"] = errors[:, index] * u.nJy
        magnitude = AB_ZERO_POINT_NJY - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        table[f"mag_{key}"] = magnitude * u.mag
        if area is not None:
            table[f"sb_{key}"] = (magnitude + 2.5 * np.log10(area)) * u.mag / u.arcsec**2
    return table
