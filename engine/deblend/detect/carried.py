"""Sources carried over to a piece of the images that they were found in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deblend.detect.start import empty_scene
from deblend.observe import Observation
from deblend.scene import Scene, Source
from deblend.sky import PixelAffine

SAME_SCALE = 1e-6
"""How much pixels may differ to be called the same."""


def carried(
    scene: Scene, observations: Sequence[Observation], corner: tuple[float, float] | None = None
) -> tuple[Scene, tuple[Source, ...]]:
    """Return the scene on the pixels of other observations of the same sky, and the sources that are not on them.

    A source goes with its center; locks, fluxes and everything else of it stay. `corner` is the pixel (x, y) of the
    scene that is the first of the new ones, for images without a WCS to tell. Raises ValueError where channels differ,
    or pixels do by more than an offset.
    """
    other = empty_scene(observations)
    if other.channels != scene.channels:
        raise ValueError("Sources can only be carried over to observations of the same channels.")
    to_other = scene.grid.affine_to(other.grid) if corner is None else PixelAffine(offset=(-corner[1], -corner[0]))
    if np.abs(to_other.array - np.eye(2)).max() > SAME_SCALE:
        raise ValueError("Sources can only be carried over to the same pixels; cut where the sharpest image is seen.")
    dy, dx = to_other.offset
    height, width = other.grid.shape
    kept, outside = [], []
    for source in scene.sources:
        x, y = source.x + dx, source.y + dy
        if -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5:
            anchor = (source.anchor[0] + dx, source.anchor[1] + dy)
            kept.append(replace(source, center=source.center.at((x, y)), anchor=anchor))
        else:
            outside.append(source)
    return replace(scene, grid=other.grid, sources=tuple(kept)), tuple(outside)
