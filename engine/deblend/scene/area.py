"""Pixels of a scene's grid that a person has painted for one source: where it has no light, or what is its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from deblend.sky import PixelAffine


@dataclass(frozen=True, eq=False)
class Area:
    """Some pixels of a scene's grid; they stay where they are on the sky, whatever moves."""

    corner: tuple[int, int]
    """Of the picture's first pixel, (y, x) [pix]."""
    inside: Bool[np.ndarray, "y x"]
    """Which pixels from there on; never written in place."""

    def __post_init__(self) -> None:
        inside = np.array(self.inside, dtype=bool)
        if inside.ndim != 2:
            raise ValueError(f"An area is a picture (y, x), got shape {inside.shape}.")
        inside.setflags(write=False)
        object.__setattr__(self, "inside", inside)
        object.__setattr__(self, "corner", (int(self.corner[0]), int(self.corner[1])))

    @classmethod
    def of(cls, pixels: Bool[np.ndarray, "y x"] | None) -> Area | None:
        """Return these pixels of the whole grid; None where there are none."""
        if pixels is None or not np.any(pixels):
            return None
        rows, columns = (np.flatnonzero(np.any(pixels, axis=axis)) for axis in (1, 0))
        (y0, y1), (x0, x1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
        return cls((int(y0), int(x0)), pixels[y0:y1, x0:x1])

    def __len__(self) -> int:
        return int(np.count_nonzero(self.inside))

    def on(self, shape: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Bool[np.ndarray, "y x"]:
        """Return which pixels of a window are inside; the window has its first pixel at `corner` (y, x) [pix]."""
        result = np.zeros(shape, bool)
        here, there = [], []
        for axis in (0, 1):
            start = self.corner[axis] - corner[axis]
            low, high = max(start, 0), min(start + self.inside.shape[axis], shape[axis])
            if low >= high:
                return result
            here.append(slice(low, high))
            there.append(slice(low - start, high - start))
        result[tuple(here)] = self.inside[tuple(there)]
        return result

    def reaches(self, y: float, x: float, radius: float) -> bool:
        """Tell whether its rectangle overlaps a square around (y, x) [pix]."""
        return all(
            self.corner[axis] <= place + radius and place - radius <= self.corner[axis] + self.inside.shape[axis] - 1
            for axis, place in enumerate((y, x))
        )

    def carried(self, to_other: PixelAffine, shape: tuple[int, int]) -> Area | None:
        """Return the same piece of the sky on another grid of this shape; `to_other` maps pixels (y, x) to its own."""
        y, x = np.indices(shape)
        old_y, old_x = (np.floor(axis + 0.5).astype(int) for axis in to_other.inverse(y, x))
        rows, columns = old_y - self.corner[0], old_x - self.corner[1]
        height, width = self.inside.shape
        seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return Area.of(seen & self.inside[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)])


def joined(areas: Iterable[Area | None]) -> Area | None:
    """Return all pixels of several areas; None where there are none."""
    given = [area for area in areas if area is not None]
    if not given:
        return None
    shape = tuple(max(a.corner[axis] + a.inside.shape[axis] for a in given) for axis in (0, 1))
    return Area.of(np.any([area.on((shape[0], shape[1])) for area in given], axis=0))


def without(area: Area | None, taken: Area | None) -> Area | None:
    """Return an area less what is taken of it."""
    if area is None or taken is None or not np.any(left := taken.on(area.inside.shape, area.corner) & area.inside):
        return area
    shape = tuple(c + n for c, n in zip(area.corner, area.inside.shape, strict=True))
    whole = np.zeros(shape, bool)
    whole[area.corner[0] :, area.corner[1] :] = area.inside & ~left
    return Area.of(whole)
