"""Sources that a fit has missed: what stands out of its residual.

A faint source beside a bright one, or one that only the redder of two telescopes sees, is no peak of the image; it
is one of what a fit leaves over. So is what a model cannot follow in a bright galaxy, its arms or its core: that is
a small part of the light that the model has there, while a missed source is a large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from deblend.detect.known import in_star_cores
from deblend.detect.peaks import Peaks, peaks_of
from deblend.detect.stack import FULL_WIDTH, Stack, stacks
from deblend.detect.start import start_source
from deblend.observe import Observation
from deblend.scene import Scene

MISSED_THRESHOLD = 7.0
"""Signal to noise of what is left over for a source to be missed: models err by a few sigma."""
CONTRAST = 0.25
"""Of the model's light at the same place: less is what the model cannot follow."""
SAME_SOURCE = 1.0
"""A place nearer to a source than this belongs to it [FWHM of the PSF]."""

Models = Sequence[Float[np.ndarray, "band y x"]]


def find_missed(
    observations: Sequence[Observation], models: Models, scene: Scene, threshold: float = MISSED_THRESHOLD
) -> Peaks:
    """Return the places where a fitted scene has missed a source, on the scene's grid, brightest first.

    Parameters
    ----------
    models
        What the scene looks like to each observation [nJy/pix].
    threshold
        Signal to noise of a point source in the residual, over all bands of a telescope.

    Raises
    ------
    ValueError
        Where the threshold is not positive.
    """
    return _missed_in(_stacks_left_over(observations, models), observations, models, scene, threshold)


def _missed_in(
    residuals: Sequence[Stack], observations: Sequence[Observation], models: Models, scene: Scene, threshold: float
) -> Peaks:
    """Return what `find_missed` does, for stacks of the residual that are known already."""
    taken = np.array([(s.x, s.y) for s in scene.sources]).reshape(-1, 2)
    x, y, snr = ([np.zeros(0)] for _ in range(3))
    modelled = stacks([replace(o, images=np.asarray(m, float)) for o, m in zip(observations, models, strict=True)])
    for stack, model in zip(residuals, modelled, strict=True):
        affine = stack.grid.affine_to(scene.grid)
        peaks = peaks_of(stack, threshold)
        left, light = (of.of_stars_at(peaks.y, peaks.x)[0] for of in (stack, model))
        stands_out = left > CONTRAST * light
        rows, columns = affine(peaks.y, peaks.x)
        reach = SAME_SOURCE * FULL_WIDTH * stack.psf_sigma * affine.scale
        others_x, others_y = np.concatenate([taken[:, 0], *x]), np.concatenate([taken[:, 1], *y])
        distance = np.hypot(columns[:, None] - others_x, rows[:, None] - others_y)
        on_stars = in_star_cores(columns, rows, scene, reach / SAME_SOURCE)
        kept = stands_out & (distance > reach).all(axis=1) & ~on_stars
        for all_, own in ((x, columns), (y, rows), (snr, peaks.snr)):
            all_.append(own[kept])
    order = np.argsort(-np.concatenate(snr), kind="stable")
    return Peaks(*(np.concatenate(part)[order] for part in (x, y, snr)))


def with_missed(
    scene: Scene,
    observations: Sequence[Observation],
    models: Models,
    *,
    threshold: float = MISSED_THRESHOLD,
    kind: str = "galaxy",
    box_scale: float = 1.0,
) -> Scene:
    """Return a fitted scene with a source at every place where it has missed one; their fluxes are still unknown.

    Parameters as in `find_missed` and `detect`. The same scene where nothing is missed.
    """
    seen = _stacks_left_over(observations, models)
    peaks = _missed_in(seen, observations, models, scene, threshold)
    height, width = scene.grid.shape
    for x, y in zip(peaks.x, peaks.y, strict=True):
        column, row = float(np.clip(x, 0, width - 1)), float(np.clip(y, 0, height - 1))
        scene = scene.add(start_source(observations, scene, column, row, kind, box_scale, seen))
    return scene


def _stacks_left_over(observations: Sequence[Observation], models: Models) -> tuple[Stack, ...]:
    return stacks(
        [
            replace(o, images=np.where(o.weights > 0, o.images - m, 0.0))
            for o, m in zip(observations, models, strict=True)
        ]
    )
