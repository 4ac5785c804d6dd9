"""From the calibrations of a scene to the terms of the program, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.program.arrays import CalibrationData
from deblend.scene import FLUX_SCALE_SCATTER, PSF_GROWTH_SCATTER, SHIFT_SCATTER, Calibration, Scene
from deblend.sky import Channel

Terms = Float[np.ndarray, "channel 10"]

ROWS_FIRST = np.array([1, 0, 2, 4, 3, 5, 6, 7, 9, 8])
"""A scene says x before y, the program y before x; the same order leads back."""
ROTATION = 6
"""Which of a scene's numbers is the rotation, and which of the terms."""
ARCSEC = np.pi / 180.0 / 3600.0
NEUTRAL = Calibration().numbers
"""What a scene says where nothing is off."""
SCATTER = np.array(
    [SHIFT_SCATTER] * 2 + [FLUX_SCALE_SCATTER] + [PSF_GROWTH_SCATTER] * 3 + [SHIFT_SCATTER, *[np.inf] * 3]
)
LOWER = np.array([-5.0] * 2 + [-0.9] + [-0.4, -0.4, -0.4] + [-5.0] + [-np.inf] * 3)
UPPER = np.array([5.0] * 2 + [9.0] + [3.0, 3.0, 0.4] + [5.0] + [np.inf] * 3)
"""How far a fit may go, off what is neutral, in the units of a scene; a rotation, in those of the program."""


def units_of(
    noise: Float[np.ndarray, " channel"],
    psf_variance: Float[np.ndarray, " channel"],
    pivot: Float[np.ndarray, "channel 3"],
) -> Terms:
    """Return what one of each number of a scene is in the program, in the order of the scene.

    `noise` is the unit of flux of each channel [nJy], `psf_variance` the second moment of its PSF [pix² of the model],
    `pivot` as in `CalibrationData`.
    """
    n = len(noise)
    growth, sky = np.tile(psf_variance[:, None], 3), np.tile(1.0 / noise[:, None], 3)
    return np.concatenate([np.ones((n, 3)), growth, ARCSEC / pivot[:, 2:], sky], axis=1)


def origin_of(scene: Scene) -> Terms:
    """Return the numbers of a scene where the terms of its program are zero: its rotation is in the geometry."""
    result = np.tile(NEUTRAL, (len(scene.channels), 1))
    result[:, ROTATION] = [float(c.rotation.value) for c in scene.calibrations]
    return result


def terms_of(scene: Scene, units: Terms, dtype: Any) -> Terms:
    """Return the terms of every channel of a scene that has calibrations."""
    values = np.stack([c.numbers for c in scene.calibrations])
    return ((values - origin_of(scene)) * units)[:, ROWS_FIRST].astype(dtype)


def freedom_of(scene: Scene, units: Terms, pivot: Float[np.ndarray, "channel 3"], dtype: Any) -> CalibrationData:
    """Return which of the terms are free, and their bounds and priors, for a scene that has calibrations."""
    free = np.stack(
        [
            np.concatenate([np.full(p.value.size, p.is_free, np.float64) for p in c.parameters.values()])
            for c in scene.calibrations
        ]
    )
    least, most, scatter = (np.tile(each, (len(free), 1)) for each in (LOWER, UPPER, SCATTER))
    for each in (least, most, scatter):
        each[:, ROTATION] /= units[:, ROTATION]
    mean = NEUTRAL - origin_of(scene)

    def lowered(part: Terms) -> Terms:
        return np.ascontiguousarray(part[:, ROWS_FIRST]).astype(dtype)

    return CalibrationData(
        free=lowered(free),
        lower=lowered((mean + least) * units),
        upper=lowered((mean + most) * units),
        mean=lowered(mean * units),
        precision=lowered(1.0 / (scatter * units)),
        pivot=pivot.astype(dtype),
        turn_tie=turn_tie(scene.channels, pivot).astype(dtype),
    )


def turn_tie(
    channels: Sequence[Channel], pivot: Float[np.ndarray, "channel 3"]
) -> Float[np.ndarray, "channel channel"]:
    """Return the projection of turns [pix at the corner] onto those that are one angle per survey and epoch."""
    result = np.zeros((len(channels), len(channels)))
    exposures = [channel.exposure for channel in channels]
    for exposure in set(exposures):
        corner = np.array([e == exposure for e in exposures]) / pivot[:, 2]
        result += np.outer(corner, corner) / np.dot(corner, corner)
    return result


def with_terms(scene: Scene, terms: Terms, units: Terms) -> Scene:
    """Return the scene with fitted terms; what is not free stays as it was."""
    values = in_units_of_scene(terms, units) + origin_of(scene)
    changed = []
    for calibration, value in zip(scene.calibrations, values, strict=True):
        parameters, start = {}, 0
        for name, parameter in calibration.parameters.items():
            part = value[start : start + parameter.value.size].reshape(parameter.value.shape)
            parameters[name] = parameter.at(part) if parameter.is_free else parameter
            start += parameter.value.size
        changed.append(Calibration(**parameters))
    return scene.with_calibrations(changed)


def in_units_of_scene(terms: Float[np.ndarray, "*draw channel 10"], units: Terms) -> np.ndarray:
    """Return (changes of) terms in the order and the units of a scene's calibrations."""
    result: np.ndarray = np.asarray(terms, np.float64)[..., ROWS_FIRST] / units
    return result
