"""Peaks that known stars explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from deblend.detect.peaks import Peaks
from deblend.detect.stack import FULL_WIDTH, Stack
from deblend.scene import Scene
from deblend.sky import PixelGrid

CORE = 0.5
"""How far from a known star a peak is still the star's [FWHM]: within its half maximum."""
BETWEEN = 1.0
"""How far from two of them one still stands for both, where they are not told apart [FWHM]."""


def in_star_cores(
    x: Float[np.ndarray, " peak"], y: Float[np.ndarray, " peak"], scene: Scene, full_width: float
) -> Bool[np.ndarray, " peak"]:
    """Tell which places on a scene's grid [pix] are those of known stars, seen through a PSF of this FWHM [pix]."""
    if scene.stars is None or not len(x):
        return np.zeros(len(x), bool)
    star_x, star_y = scene.stars.x.mean(axis=1), scene.stars.y.mean(axis=1)
    distance = np.hypot(np.asarray(x)[:, None] - star_x, np.asarray(y)[:, None] - star_y)
    in_core = np.any(distance <= CORE * full_width, axis=1)
    return in_core | (np.count_nonzero(distance <= BETWEEN * full_width, axis=1) > 1)


def without_stars(peaks: Peaks, grid: PixelGrid, scene: Scene, seen: Sequence[Stack]) -> Peaks:
    """Return the peaks, given on a grid of pixels, that no known star of a scene explains."""
    if scene.stars is None:
        return peaks
    y, x = grid.affine_to(scene.grid)(peaks.y, peaks.x)
    widths = [FULL_WIDTH * stack.psf_sigma * stack.grid.affine_to(scene.grid).scale for stack in seen]
    kept = ~in_star_cores(x, y, scene, min(widths))
    return peaks.take(np.flatnonzero(kept))
