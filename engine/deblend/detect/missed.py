"""Sources that a fit has missed: what stands out of its residual.

A faint source beside a bright one, or one that only the redder of two telescopes sees, is no peak of the image; it
is one of what a fit leaves over, and most clearly of what plain profiles do (`deblend.detect.plain`). So is what a
model cannot follow in a bright galaxy, its arms or its core: that is a small part of the light that the model has
there, while a missed source is a larger one. A companion of another color may be seen in one band alone: neighbours
took its mean over the bands, and what one band has too much another has too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from deblend.detect.known import in_star_cores
from deblend.detect.peaks import Peaks, clearest
from deblend.detect.stack import FULL_WIDTH, Stack, of_band, stacks
from deblend.detect.starlet import CONTRAST, starlet_peaks_of
from deblend.detect.start import start_source
from deblend.observe import Observation
from deblend.program import Program
from deblend.scene import Scene, Source

MISSED_THRESHOLD = 5.0
"""Signal to noise of what is left over, at the scale where it is clearest, for a source to be missed."""
SAME_SOURCE = 0.45
"""A place nearer to a source than this belongs to it [FWHM of the PSF]."""
ONE_AT_A_TIME = 1.0
"""Of places nearer to each other only the clearest is taken: what is left behind it is seen better then [FWHM]."""
PLACED_WITHIN = 1.0
"""How far the place of what is left over may be off, per axis [pix]: neighbours have taken some of its light."""

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
        Signal to noise of a structure of any scale in the residual, over all bands of a telescope or in one of them.

    Raises
    ------
    ValueError
        Where the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"The detection threshold must be positive, got {threshold}.")
    modelled = stacks([replace(o, images=np.asarray(m, float)) for o, m in zip(observations, models, strict=True)])
    leftover = left_over(observations, models)
    taken_x, taken_y = (np.array([getattr(source, axis) for source in scene.sources]) for axis in "xy")
    found = []
    for stack in _mixed_and_apart(leftover):
        affine = stack.grid.affine_to(scene.grid)
        peaks = starlet_peaks_of(stack, threshold)
        model = next(each for each in modelled if each.grid.is_same_as(stack.grid))
        least = CONTRAST * model.all_light_at(peaks.y, peaks.x)
        rows, columns = affine(peaks.y, peaks.x)
        width = FULL_WIDTH * stack.psf_sigma * affine.scale
        distance = np.hypot(columns[:, None] - taken_x, rows[:, None] - taken_y)
        kept = (peaks.snr > least) & (distance > SAME_SOURCE * width).all(axis=1)
        kept &= ~in_star_cores(columns, rows, scene, width) & scene.grid.contains(rows, columns)
        found.append((replace(peaks, x=columns, y=rows).take(np.flatnonzero(kept)), ONE_AT_A_TIME * width))
    return clearest(found)


def with_missed(
    scene: Scene,
    observations: Sequence[Observation],
    models: Models,
    *,
    threshold: float = MISSED_THRESHOLD,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    solve: bool = True,
) -> Scene:
    """Return a fitted scene with a source at every place where it has missed one; the same where nothing is missed.

    Place, size and profile of each are those of what is left over when all others are as their models say, and with
    `solve` its fluxes are, too; else, and where a scene tells how its images are off, they are NaN, and solved for
    together with those of its neighbours by whatever is done next with the scene. Parameters as in `find_missed` and
    `detect`.
    """
    peaks = find_missed(observations, models, scene, threshold)
    if not len(peaks):
        return scene
    residuals = left_over(observations, models)
    seen, new = stacks(residuals), replace(scene, sources=(), stars=None)
    for x, y in zip(peaks.x, peaks.y, strict=True):
        new = new.add(started_in(residuals, scene, float(x), float(y), kind, box_scale, seen))
    if solve and not scene.calibrations:
        new = Program(residuals, new).scene
    return scene.add(*(source.renamed("") for source in new.sources))


def source_from_residual(
    observations: Sequence[Observation],
    models: Models,
    scene: Scene,
    x: float,
    y: float,
    kind: str = "galaxy",
    box_scale: float = 1.0,
) -> Source:
    """Return a source for a place of a residual, sized by what is left over there; its fluxes are NaN."""
    residuals = left_over(observations, models)
    return started_in(residuals, scene, x, y, kind, box_scale, stacks(residuals)).renamed("")


def started_in(
    residuals: Sequence[Observation],
    scene: Scene,
    x: float,
    y: float,
    kind: str,
    box_scale: float,
    seen: Sequence[Stack],
    placed_within: float = PLACED_WITHIN,
) -> Source:
    """Return a source for a place of residuals, whose `stacks` are `seen`; one off the scene is taken to its edge."""
    height, width = scene.grid.shape
    column, row = float(np.clip(x, 0, width - 1)), float(np.clip(y, 0, height - 1))
    source = start_source(residuals, scene, column, row, kind, box_scale, seen)
    return replace(source, center_scatter=max(source.center_scatter, placed_within))


def left_over(observations: Sequence[Observation], models: Models) -> list[Observation]:
    """Return the observations without what the models explain."""
    return [
        replace(o, images=np.where(o.weights > 0, o.images - m, 0.0)) for o, m in zip(observations, models, strict=True)
    ]


def _mixed_and_apart(observations: Sequence[Observation]) -> list[Stack]:
    """Return the stacks of all bands of a telescope, and where it has several each band alone."""
    apart = [of_band(o, band) for o in observations if len(o.channels) > 1 for band in range(len(o.channels))]
    return [*stacks(observations), *apart]
