"""From the calibrations of a scene to the terms of the program, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.program.arrays import CalibrationData
from deblend.program.calibration import N_TERMS
from deblend.scene import FLUX_SCALE_SCATTER, SHIFT_SCATTER, Calibration, Scene

Terms = Float[np.ndarray, "channel 6"]

ROWS_FIRST = np.array([1, 0, 2, 3, 5, 4])
"""A scene says x before y, the program y before x; the same order leads back."""


def terms_of(scene: Scene, noise: Float[np.ndarray, " channel"], dtype: Any) -> Terms | None:
    """Return the terms of every channel; None where all images are taken for what their files say.

    `noise` is the unit of flux of each channel [nJy].
    """
    if not scene.calibrations:
        return None
    values = np.stack([_flat(c, [p.value for p in c.parameters.values()]) for c in scene.calibrations])
    values[:, 2] -= 1.0
    return (values / _units(noise))[:, ROWS_FIRST].astype(dtype)


def freedom_of(scene: Scene, dtype: Any) -> CalibrationData | None:
    """Return which of the terms are free, and their priors."""
    if not scene.calibrations:
        return None
    free = np.stack([_flat(c, [float(p.is_free) for p in c.parameters.values()]) for c in scene.calibrations])
    scatter = np.array([SHIFT_SCATTER, SHIFT_SCATTER, FLUX_SCALE_SCATTER, np.inf, np.inf, np.inf])
    precision = np.broadcast_to(1.0 / scatter, free.shape)
    free = free[:, ROWS_FIRST].astype(dtype)
    return CalibrationData(free, np.zeros_like(free), precision.astype(dtype))


def with_terms(scene: Scene, terms: Terms, noise: Float[np.ndarray, " channel"]) -> Scene:
    """Return the scene with fitted terms; what is not free stays as it was."""
    values = in_units_of_scene(terms, noise)
    values[:, 2] += 1.0
    changed = []
    for calibration, value in zip(scene.calibrations, values, strict=True):
        parts = {"shift": value[:2], "flux_scale": value[2], "background": value[3], "background_slope": value[4:]}
        parameters = {
            name: parameter.at(parts[name]) if parameter.is_free else parameter
            for name, parameter in calibration.parameters.items()
        }
        changed.append(Calibration(**parameters))
    return scene.with_calibrations(changed)


def in_units_of_scene(terms: Float[np.ndarray, "*draw channel 6"], noise: Float[np.ndarray, " channel"]) -> np.ndarray:
    """Return (changes of) terms in the order and the units of a scene's calibrations."""
    result: np.ndarray = np.asarray(terms, np.float64)[..., ROWS_FIRST] * _units(noise)
    return result


def _flat(calibration: Calibration, values: list[Any]) -> Float[np.ndarray, " 6"]:
    """Return one number per term, in the order of the scene."""
    sizes = [p.value.size for p in calibration.parameters.values()]
    result = np.concatenate([np.broadcast_to(v, size) for v, size in zip(values, sizes, strict=True)])
    if len(result) != N_TERMS:
        raise ValueError(f"A calibration has {N_TERMS} numbers, got {len(result)}.")
    return result.astype(np.float64)


def _units(noise: Float[np.ndarray, " channel"]) -> Float[np.ndarray, "channel 6"]:
    """Return what one of each term is, in the order of the scene."""
    own = np.ones((len(noise), 3))
    return np.concatenate([own, np.tile(np.asarray(noise, np.float64)[:, None], 3)], axis=1)
