"""From the calibrations of a scene to the terms of the program, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.program.arrays import CalibrationData
from deblend.scene import FLUX_SCALE_SCATTER, PSF_GROWTH_SCATTER, SHIFT_SCATTER, Calibration, Scene

Terms = Float[np.ndarray, "channel 9"]

ROWS_FIRST = np.array([1, 0, 2, 4, 3, 5, 6, 8, 7])
"""A scene says x before y, the program y before x; the same order leads back."""
NEUTRAL = Calibration().numbers
"""What a scene says where nothing is off; the terms of the program are zero there."""
SCATTER = np.array([SHIFT_SCATTER] * 2 + [FLUX_SCALE_SCATTER] + [PSF_GROWTH_SCATTER] * 3 + [np.inf] * 3)
LOWER = np.array([-5.0] * 2 + [-0.9] + [-0.4, -0.4, -0.4] + [-np.inf] * 3)
UPPER = np.array([5.0] * 2 + [9.0] + [3.0, 3.0, 0.4] + [np.inf] * 3)
"""How far a fit may go, off what is neutral, in the units of a scene."""


def units_of(noise: Float[np.ndarray, " channel"], psf_variance: Float[np.ndarray, " channel"]) -> Terms:
    """Return what one of each number of a scene is in the program, in the order of the scene.

    `noise` is the unit of flux of each channel [nJy], `psf_variance` the second moment of its PSF [pix² of the model].
    """
    ones = np.ones((len(noise), 3))
    return np.concatenate([ones, np.tile(psf_variance[:, None], 3), np.tile(1.0 / noise[:, None], 3)], axis=1)


def terms_of(scene: Scene, units: Terms, dtype: Any) -> Terms:
    """Return the terms of every channel of a scene that has calibrations."""
    values = np.stack([c.numbers for c in scene.calibrations])
    return ((values - NEUTRAL) * units)[:, ROWS_FIRST].astype(dtype)


def freedom_of(scene: Scene, units: Terms, dtype: Any) -> CalibrationData:
    """Return which of the terms are free, and their bounds and priors, for a scene that has calibrations."""
    free = np.stack(
        [
            np.concatenate([np.full(p.value.size, p.is_free, np.float64) for p in c.parameters.values()])
            for c in scene.calibrations
        ]
    )
    each = (free, LOWER * units, UPPER * units, np.zeros_like(free), 1.0 / (SCATTER * units))
    return CalibrationData(*(np.ascontiguousarray(part[:, ROWS_FIRST]).astype(dtype) for part in each))


def with_terms(scene: Scene, terms: Terms, units: Terms) -> Scene:
    """Return the scene with fitted terms; what is not free stays as it was."""
    values = in_units_of_scene(terms, units) + NEUTRAL
    changed = []
    for calibration, value in zip(scene.calibrations, values, strict=True):
        parameters, start = {}, 0
        for name, parameter in calibration.parameters.items():
            part = value[start : start + parameter.value.size].reshape(parameter.value.shape)
            parameters[name] = parameter.at(part) if parameter.is_free else parameter
            start += parameter.value.size
        changed.append(Calibration(**parameters))
    return scene.with_calibrations(changed)


def in_units_of_scene(terms: Float[np.ndarray, "*draw channel 9"], units: Terms) -> np.ndarray:
    """Return (changes of) terms in the order and the units of a scene's calibrations."""
    result: np.ndarray = np.asarray(terms, np.float64)[..., ROWS_FIRST] / units
    return result
