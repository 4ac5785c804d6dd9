"""Sources carried over to other pixels of the sky that they were found on: a piece of the images, or finer pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deblend.detect.rescaled import rescaled
from deblend.detect.start import empty_scene
from deblend.observe import Observation
from deblend.scene import Scene, Source
from deblend.sky import PixelAffine

SAME_SCALE = 1e-6
"""How much pixels may differ to be called the same."""


def carried(
    scene: Scene, observations: Sequence[Observation], along: PixelAffine | None = None
) -> tuple[Scene, tuple[Source, ...]]:
    """Return the scene on the pixels of other observations of the same sources, and those that are not on them.

    A source goes with its center; locks, fluxes and everything else of it stay, and sizes are as large on the sky. So
    do known stars; light over the whole scene is to be solved for anew. `along` says where the pixels of the scene lie
    on the new ones, where that is not what both WCS say: for images without one, or a WCS that was wrong. Raises
    ValueError where channels differ, or the new pixels are turned or stretched against those of the scene.
    """
    other = empty_scene(observations)
    if other.channels != scene.channels:
        raise ValueError("Sources can only be carried over to observations of the same channels.")
    to_other = scene.grid.affine_to(other.grid) if along is None else along
    scale = 1.0 if np.abs(to_other.array - np.eye(2)).max() < SAME_SCALE else to_other.scale
    if np.abs(to_other.array - scale * np.eye(2)).max() > SAME_SCALE * scale:
        raise ValueError(
            "Sources can only be carried over to pixels that lie as the present ones do; cut where the sharpest image "
            "is seen."
        )
    height, width = other.grid.shape
    kept, outside = [], []
    for source in scene.sources:
        y, x = (float(axis) for axis in to_other(source.y, source.x))
        anchor_y, anchor_x = (float(axis) for axis in to_other(*source.anchor[::-1]))
        if -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5:
            moved = replace(source, center=source.center.at((x, y)), anchor=(anchor_x, anchor_y))
            if source.barred is not None or source.claimed is not None:
                barred, claimed = (
                    None if area is None else area.carried(to_other, (height, width))
                    for area in (source.barred, source.claimed)
                )
                moved = replace(moved, barred=barred, claimed=claimed)
            kept.append(moved if scale == 1.0 else rescaled(moved, scale))
        else:
            outside.append(source)
    calibrations = scene.calibrations
    if scale != 1.0:
        calibrations = tuple(replace(c, shift=c.shift.at(c.shift.value * scale)) for c in calibrations)
    # what is hidden are pixels of the images, which are other ones now
    carried_scene = replace(scene, grid=other.grid, sources=tuple(kept), calibrations=calibrations, masks=())
    stars = None if scene.stars is None else scene.stars.moved(to_other).on(other.grid.shape)
    everywhere = (each.on(other.grid.shape, scale) for each in scene.full_scenes)
    return carried_scene.with_stars(stars).with_full_scenes(everywhere), tuple(outside)
