"""Ellipses as a person sees them, and as the fit does: axis ratio and angle against the conformal shear (η1, η2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def axis_ratio(ellipticity: Float[np.ndarray, "2"]) -> float:
    """Return the minor over the major axis of an ellipse of this conformal shear."""
    return float(np.exp(-np.hypot(*ellipticity)))


def major_angle(ellipticity: Float[np.ndarray, "2"]) -> float:
    """Return where its major axis points, counter-clockwise from x, from -π/2 to π/2 [rad]."""
    return 0.5 * float(np.arctan2(ellipticity[1], ellipticity[0]))


def ellipticity_of(ratio: float, angle: float) -> Float[np.ndarray, "2"]:
    """Return the conformal shear of an ellipse whose axis at `angle` [rad] is 1/`ratio` times the one across it.

    A ratio above 1 is that of an ellipse whose major axis lies across. Raises ValueError for one that is not positive.
    """
    if not ratio > 0:
        raise ValueError(f"An axis ratio is above 0, got {ratio:g}.")
    return -np.log(ratio) * np.array([np.cos(2.0 * angle), np.sin(2.0 * angle)])


__all__ = ["axis_ratio", "ellipticity_of", "major_angle"]
