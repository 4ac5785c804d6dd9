"""How the images are off, in units an astronomer can use."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.scene import Scene

SURFACE_BRIGHTNESS = u.nJy / u.pix


def calibration_table(scene: Scene, errors: Float[np.ndarray, "channel 10"] | None = None) -> QTable | None:
    """Return one row per channel, or None where all images are taken for what their files say.

    Columns: `channel`; `shift_x`, `shift_y` along the axes of the scene's grid [mas; pix without a WCS], as sources are
    seen off where the WCS says; `flux_scale`; `psf_growth_xx`, `_yy`, `_xy`, relative to the mean second moment of the
    PSF; `rotation` about the middle of the image, from x towards y [arcsec]; `background` in the middle of the image
    and `background_slope_x`, `_y` from there to its edge [nJy/pix]; an `…_err` for each where `errors` are given, in
    the order and units of `deblend.infer.errors.Draws.calibration`. What is fixed has the error 0.
    """
    if not scene.calibrations:
        return None
    table = QTable()
    table["channel"] = [str(channel) for channel in scene.channels]
    values = np.stack([c.numbers for c in scene.calibrations])
    size = u.pix if scene.grid.wcs is None else scene.grid.wcs.pixel_scale * 1000.0 * u.mas
    columns = (
        ("shift_x", size),
        ("shift_y", size),
        ("flux_scale", u.one),
        *((f"psf_growth_{axes}", u.one) for axes in ("xx", "yy", "xy")),
        ("rotation", u.arcsec),
        ("background", SURFACE_BRIGHTNESS),
        ("background_slope_x", SURFACE_BRIGHTNESS),
        ("background_slope_y", SURFACE_BRIGHTNESS),
    )
    for index, (name, unit) in enumerate(columns):
        table[name] = values[:, index] * unit
        if errors is not None:
            table[f"{name}_err"] = errors[:, index] * unit
    return table


def calibration_lines(table: QTable) -> list[str]:
    """Return a sentence per channel that says what of it was fitted."""
    lines = []
    for row in table:
        said = []
        if _is_fitted(row, "shift_x") or _is_fitted(row, "shift_y"):
            said.append(f"shifted by ({_value(row, 'shift_x')}, {_value(row, 'shift_y')}) {row['shift_x'].unit}")
        if _is_fitted(row, "rotation"):
            said.append(f"turned by {_value(row, 'rotation')} arcsec")
        if _is_fitted(row, "flux_scale"):
            said.append(f"{_value(row, 'flux_scale', 4)} times as bright")
        if any(_is_fitted(row, f"psf_growth_{axes}") for axes in ("xx", "yy", "xy")):
            mean = 0.5 * (row["psf_growth_xx"].value + row["psf_growth_yy"].value)
            said.append(f"its PSF {100 * (np.sqrt(max(1 + mean, 0)) - 1):+.1f} % wider than given")
        if _is_fitted(row, "background"):
            said.append(f"background {_value(row, 'background', 4)} nJy/pix")
        if _is_fitted(row, "background_slope_x") or _is_fitted(row, "background_slope_y"):
            slopes = f"({_value(row, 'background_slope_x', 4)}, {_value(row, 'background_slope_y', 4)})"
            said.append(f"rising by {slopes} nJy/pix to the edge")
        if said:
            lines.append(f"{row['channel']}: {', '.join(said)}.")
    return lines


def _is_fitted(row: QTable.Row, name: str) -> bool:
    neutral = 1.0 if name == "flux_scale" else 0.0
    error = row[f"{name}_err"].value if f"{name}_err" in row.colnames else 0.0
    return bool(error > 0 or row[name].value != neutral)


def _value(row: QTable.Row, name: str, digits: int = 3) -> str:
    value = f"{row[name].value:.{digits}g}"
    error = row[f"{name}_err"].value if f"{name}_err" in row.colnames else 0.0
    return f"{value} ± {error:.2g}" if error > 0 else value
