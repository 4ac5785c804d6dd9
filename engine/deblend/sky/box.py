"""Rectangles of whole pixels, as they are cut out of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

HAIR = 0.02
"""So much of a pixel may stick out of a box: images whose WCS differ by less are cut alike [pix]."""
POINTS_PER_SIDE = 9
"""Of an outline: where a projection is curved, sides are too."""


@dataclass(frozen=True)
class PixelBox:
    """Pixels `x[0]` to `x[1]` and `y[0]` to `y[1]`, 0-based, the ends not included."""

    x: tuple[int, int]
    y: tuple[int, int]

    def __post_init__(self) -> None:
        if self.x[1] <= self.x[0] or self.y[1] <= self.y[0]:
            raise ValueError(
                f"A box must begin before it ends, got x {self.x[0]}:{self.x[1]}, y {self.y[0]}:{self.y[1]} "
                "(ends not included)."
            )

    @classmethod
    def around(cls, x: float, y: float, side: float) -> PixelBox:
        """Return the box of `side` [pix], rounded, whose middle is as near to (x, y) as whole pixels allow."""
        n = max(round(side), 1)
        x0, y0 = round(x - (n - 1) / 2.0), round(y - (n - 1) / 2.0)
        return cls((x0, x0 + n), (y0, y0 + n))

    @classmethod
    def covering(cls, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> PixelBox:
        """Return the smallest box whose pixels cover these points; pixel k reaches from k - 0.5 to k + 0.5."""
        bounds = []
        for places in (x, y):
            low, high = float(np.min(places)) + 0.5, float(np.max(places)) + 0.5
            first = int(np.floor(low + HAIR))
            bounds.append((first, max(int(np.ceil(high - HAIR)), first + 1)))
        return cls(bounds[0], bounds[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) [pix]."""
        return self.y[1] - self.y[0], self.x[1] - self.x[0]

    @property
    def slices(self) -> tuple[slice, slice]:
        """What picks the box out of an array (y, x)."""
        return slice(*self.y), slice(*self.x)

    def within(self, shape: tuple[int, int]) -> PixelBox | None:
        """Return what of the box lies in an image of `shape` (height, width); None where nothing does."""
        (y0, y1), (x0, x1) = (
            (max(low, 0), min(high, size)) for (low, high), size in zip((self.y, self.x), shape, strict=True)
        )
        return PixelBox((x0, x1), (y0, y1)) if y1 > y0 and x1 > x0 else None

    def outline(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return points (x, y) along the outer edges of the box's pixels [pix]."""
        part = np.linspace(0.0, 1.0, POINTS_PER_SIDE)
        low, high = np.zeros_like(part), np.ones_like(part)
        along_x, along_y = np.concatenate([part, part, low, high]), np.concatenate([low, high, part, part])
        height, width = self.shape
        return self.x[0] - 0.5 + along_x * width, self.y[0] - 0.5 + along_y * height

    def __str__(self) -> str:
        return f"x {self.x[0]}:{self.x[1]}, y {self.y[0]}:{self.y[1]}"
