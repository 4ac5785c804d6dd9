"""Pixel grids: the shape of an image and where it lies on the sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from deblend.sky.affine import PixelAffine
from deblend.sky.wcs import TangentWcs

Cover = Literal["union", "intersection"]
SAME_PIXELS = 0.01
"""How far pixels of two grids may lie apart to be called the same [pix]."""
HAIR = 1e-3
"""So much of a pixel may be left out of a grid [pix]."""


@dataclass(frozen=True)
class PixelGrid:
    """A rectangle of pixels, with or without a place on the sky."""

    shape: tuple[int, int]
    """(height, width) [pix]."""
    wcs: TangentWcs | None = None

    def is_same_as(self, other: PixelGrid) -> bool:
        """Tell whether both have the same shape and lie on the same sky, to a hundredth of a pixel."""
        if self.shape != other.shape:
            return False
        if self.wcs is None or other.wcs is None:
            return self.wcs is other.wcs
        return self.wcs.is_same_grid(other.wcs, SAME_PIXELS)

    def affine_to(self, other: PixelGrid) -> PixelAffine:
        """Return the affine map from these pixels to another grid's, fitted over this grid.

        Raises ValueError where one of the two has no place on the sky and they are not of one shape.
        """
        return PixelAffine() if self == other else self._fitted_to(other)

    @lru_cache(maxsize=256)  # noqa: B019 - grids are small, and few
    def _fitted_to(self, other: PixelGrid) -> PixelAffine:
        if self.wcs is None or other.wcs is None:
            if self.shape == other.shape:
                return PixelAffine()
            raise ValueError(
                f"Images of {self.shape[1]}×{self.shape[0]} and {other.shape[1]}×{other.shape[0]} px (x by y) can "
                "only be laid on one another by their WCS, and one of them has none."
            )
        height, width = self.shape
        y, x = (axis.ravel() for axis in np.meshgrid([0.0, height - 1.0], [0.0, width - 1.0], indexing="ij"))
        other_x, other_y = other.wcs.sky_to_pixel(*self.wcs.pixel_to_sky(x, y))
        design = np.column_stack([y, x, np.ones(y.size)])
        rows, *_ = np.linalg.lstsq(design, np.column_stack([other_y, other_x]), rcond=None)
        return PixelAffine.of(rows[:2].T, rows[2])

    def contains(self, y: Float[np.ndarray, " place"], x: Float[np.ndarray, " place"]) -> Bool[np.ndarray, " place"]:
        """Tell which places are on a pixel of the grid."""
        height, width = self.shape
        return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)

    def refined(self, oversampling: int) -> PixelGrid:
        """Return the grid of the same sky with every pixel cut into `oversampling`² ones."""
        if oversampling == 1:
            return self
        height, width = self.shape
        wcs = None if self.wcs is None else self.wcs.refined(oversampling)
        return PixelGrid((height * oversampling, width * oversampling), wcs)

    def spanning(self, y: tuple[int, int], x: tuple[int, int]) -> PixelGrid:
        """Return the grid of the same pixels that begins and ends elsewhere, the ends not included [pix]."""
        wcs = None if self.wcs is None else self.wcs.shifted(x[0], y[0])
        return PixelGrid((y[1] - y[0], x[1] - x[0]), wcs)


def common_grid(grids: Sequence[PixelGrid], *, oversampling: int = 1, cover: Cover = "union") -> PixelGrid:
    """Return the grid that sources of several images live on: the finest pixels, over all images or what they share.

    The first of the finest grids gives the pixels and their orientation; each is cut into `oversampling`² ones.

    Raises
    ------
    ValueError
        Where images have no WCS to lay them on one another, or share no sky.
    """
    first = grids[0]
    if all(grid.is_same_as(first) for grid in grids):
        return first.refined(oversampling)
    scales = [np.inf if grid.wcs is None else grid.wcs.pixel_scale for grid in grids]
    # the first of those that are equally fine
    finest = grids[int(np.flatnonzero(np.asarray(scales) <= (1.0 + 1e-6) * min(scales))[0])]
    lows, highs = [], []
    for grid in grids:
        height, width = grid.shape
        edges_y, edges_x = np.array([-0.5, height - 0.5]), np.array([-0.5, width - 0.5])
        y, x = grid.affine_to(finest)(*np.meshgrid(edges_y, edges_x, indexing="ij"))
        lows.append((y.min(), x.min()))
        highs.append((y.max(), x.max()))
    low, high = np.array(lows), np.array(highs)
    if not _hang_together(low, high):
        raise ValueError("The images share no sky; fit them by themselves, or give the right WCS.")
    # a pixel reaches half a pixel to both sides; a hair more is not worth one
    if cover == "union":
        (y0, x0), (y1, x1) = np.floor(low.min(axis=0) + 0.5 + HAIR), np.ceil(high.max(axis=0) + 0.5 - HAIR)
    else:
        (y0, x0), (y1, x1) = np.ceil(low.max(axis=0) + 0.5 - HAIR), np.floor(high.min(axis=0) + 0.5 + HAIR)
    if y1 - y0 < 1 or x1 - x0 < 1:
        raise ValueError("No pixel of sky is seen by all images; fit the union of them.")
    return finest.spanning((int(y0), int(y1)), (int(x0), int(x1))).refined(oversampling)


def _hang_together(low: np.ndarray, high: np.ndarray) -> bool:
    """Tell whether boxes, by their corners (box, 2), overlap so that one can walk from any to any other."""
    overlap = np.all((low[:, None] < high[None]) & (low[None] < high[:, None]), axis=-1)
    reached = {0}
    while more := set(np.flatnonzero(overlap[list(reached)].any(axis=0)).tolist()) - reached:
        reached |= more
    return len(reached) == len(low)
