"""Footprints: where on the image there is light, and which sources share it.

What lies in one footprint, or is drawn in boxes that touch, has to be fitted together; different groups need not know
of each other, and can be cut out and fitted one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deblend.detect.stack import Stack, matched, stacks
from deblend.observe import Observation
from deblend.scene import Scene
from deblend.sky import PixelAffine, PixelBox

LEVEL = 2.0
"""Signal to noise, smoothed by half of the PSF, down to which light is followed."""
MARGIN = 2
"""How far footprints are widened on every side before they are said to touch [pix of the stack]."""
SMOOTHING = 0.55
"""[widths of the PSF]"""


@dataclass(frozen=True, eq=False)
class Footprints:
    """Connected regions of light in one stack."""

    labels: Int[np.ndarray, "y x"]
    """Number of the region of every pixel, from 1 on; 0 where there is no light."""
    boxes: tuple[PixelBox, ...]
    """The smallest box around each region."""
    areas: Int[np.ndarray, " footprint"]
    """Pixels of each region, its margin included."""

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Group:
    """Sources that have to be fitted together."""

    sources: tuple[int, ...]
    """Their indices in the scene, in its order."""
    box: PixelBox | None
    """What their models and footprints cover [pix of the scene], cut at the edge of its grid; None off it."""


def footprints(stack: Stack, level: float = LEVEL, margin: int = MARGIN) -> Footprints:
    """Return the connected regions where a stack is brighter than `level` times its noise.

    Raises ValueError where the level is not positive or the margin is negative.
    """
    if not level > 0:
        raise ValueError(f"The level of footprints must be positive, got {level}.")
    if margin < 0:
        raise ValueError(f"The margin of footprints must not be negative, got {margin}.")
    light = matched(stack.signal_to_noise, SMOOTHING * stack.psf_sigma) > level
    if margin and light.any():
        light = ndimage.distance_transform_edt(~light) <= margin
    labels, count = ndimage.label(light, np.ones((3, 3)))
    boxes = tuple(
        PixelBox((columns.start, columns.stop), (rows.start, rows.stop))
        for rows, columns in ndimage.find_objects(labels)
    )
    return Footprints(labels, boxes, np.bincount(labels.ravel(), minlength=count + 1)[1:])


def groups(
    scene: Scene, observations: Sequence[Observation], level: float = LEVEL, margin: int = MARGIN
) -> tuple[Group, ...]:
    """Return the groups of sources whose footprints or models touch, largest first; every source is in one of them.

    Models are what their boxes hold, widened by `margin` [pix of the scene]; two touch where these circles do.
    Footprints are those of every telescope. Parameters and errors as in `footprints`.
    """
    sources = scene.sources
    if not sources:
        return ()
    x, y = (np.array([getattr(source, axis) for source in sources]) for axis in "xy")
    reach = np.array([source.radius for source in sources], float)
    touch = np.hypot(x[:, None] - x, y[:, None] - y) <= reach[:, None] + reach + margin
    covered = [[(x[k] + sign * reach[k], y[k] + sign * reach[k]) for sign in (-1, 1)] for k in range(len(sources))]
    for stack in stacks(observations):
        affine, found = stack.grid.affine_to(scene.grid), footprints(stack, level, margin)
        rows, columns = (np.floor(v + 0.5).astype(int) for v in affine.inverse(y, x))
        height, width = found.labels.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        own = np.where(inside, found.labels[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)], 0)
        touch |= (own[:, None] == own) & (own > 0)
        for k in np.flatnonzero(own):
            covered[k] += _corners(found.boxes[own[k] - 1], affine)
    n_groups, label = connected_components(coo_array(touch), directed=False)
    result = []
    for number in range(n_groups):
        members = np.flatnonzero(label == number)
        points = np.array([point for k in members for point in covered[k]])
        box = PixelBox.covering(points[:, 0], points[:, 1]).within(scene.grid.shape)
        result.append(Group(tuple(members.tolist()), box))
    return tuple(sorted(result, key=lambda group: -len(group.sources)))


def _corners(box: PixelBox, affine: PixelAffine) -> list[tuple[float, float]]:
    """Return the outline (x, y) of a box on another grid."""
    x, y = box.outline()
    rows, columns = affine(y, x)
    return list(zip(columns.tolist(), rows.tolist(), strict=True))
