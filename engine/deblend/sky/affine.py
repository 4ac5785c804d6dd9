"""Affine maps from the pixels of one image to those of another, in array order (y, x)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

Pair = tuple[float, float]


@dataclass(frozen=True)
class PixelAffine:
    """(y, x) on one grid → `matrix` · (y, x) + `offset` on another [pix]."""

    matrix: tuple[Pair, Pair] = ((1.0, 0.0), (0.0, 1.0))
    offset: Pair = (0.0, 0.0)

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "2 2"], offset: Float[np.ndarray, " 2"]) -> PixelAffine:
        """Make a map of arrays."""
        (a, b), (c, d) = np.asarray(matrix, float).tolist()
        y, x = np.asarray(offset, float).tolist()
        return cls(((a, b), (c, d)), (y, x))

    @cached_property
    def array(self) -> Float[np.ndarray, "2 2"]:
        """The matrix."""
        return np.asarray(self.matrix)

    @property
    def area(self) -> float:
        """How many pixels of the second grid one of the first covers."""
        return float(abs(np.linalg.det(self.array)))

    @property
    def scale(self) -> float:
        """Side of a pixel of the first grid, on the second [pix]."""
        return float(np.sqrt(self.area))

    @property
    def reach(self) -> float:
        """The furthest that a step of one pixel in any direction goes [pix]."""
        return float(np.linalg.norm(self.array, 2))

    def __call__(self, y: np.ndarray | float, x: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return where points (y, x) of the first grid lie on the second [pix]."""
        (yy, yx), (xy, xx) = self.matrix
        y, x = np.asarray(y, float), np.asarray(x, float)
        return yy * y + yx * x + self.offset[0], xy * y + xx * x + self.offset[1]

    @cached_property
    def inverse(self) -> PixelAffine:
        matrix = np.linalg.inv(self.array)
        return PixelAffine.of(matrix, -matrix @ np.asarray(self.offset))

    def then(self, other: PixelAffine) -> PixelAffine:
        """Return the map by this one, and from there by another."""
        return PixelAffine.of(
            other.array @ self.array, other.array @ np.asarray(self.offset) + np.asarray(other.offset)
        )

    @property
    def linear(self) -> PixelAffine:
        """The same without the offset: from middle to middle."""
        return PixelAffine(self.matrix)

    def finer(self, oversampling: float) -> PixelAffine:
        """Return the map, without its offset, from pixels of the first grid that are so many times smaller."""
        return self.linear if oversampling == 1 else PixelAffine.of(self.array / oversampling, np.zeros(2))

    def whole_offset(self, tolerance: float) -> tuple[int, int] | None:
        """Return the offset where the map does nothing else and it is whole, to `tolerance` [pix over 100]."""
        offset = np.round(self.offset)
        off_by = max(np.abs(np.asarray(self.offset) - offset).max(), 100.0 * np.abs(self.array - np.eye(2)).max())
        return (int(offset[0]), int(offset[1])) if off_by < tolerance else None
