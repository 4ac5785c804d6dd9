"""Running mean and standard deviation of pictures that arrive one after another (Welford 1962)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from deblend.program.columns import Column


class RunningPicture:
    """Of one source as one observation sees it; keeps the part of the image that it reaches."""

    def __init__(self) -> None:
        self.count = 0
        self._y = self._x = 0
        self._mean: Float[np.ndarray, "band y x"] | None = None
        self._squares: Float[np.ndarray, "band y x"] | None = None

    def add(self, column: Column) -> None:
        """Take one more picture [nJy/pix]."""
        self._reach(column)
        assert self._mean is not None and self._squares is not None
        picture = np.zeros_like(self._mean)
        height, width = column.patch.shape[1:]
        y, x = column.y - self._y, column.x - self._x
        picture[:, y : y + height, x : x + width] = column.patch
        self.count += 1
        off = picture - self._mean
        self._mean += off / self.count
        self._squares += off * (picture - self._mean)

    def mean(self, shape: tuple[int, ...]) -> Float[np.ndarray, "band y x"]:
        """Return the mean on an image of this shape [nJy/pix], float32; 0 before the first picture."""
        return self._on(shape, self._mean)

    def deviation(self, shape: tuple[int, ...]) -> Float[np.ndarray, "band y x"]:
        """Return the standard deviation on an image of this shape [nJy/pix], float32; 0 before the second picture."""
        if self._squares is None or self.count < 2:
            return np.zeros(shape, np.float32)
        return self._on(shape, np.sqrt(self._squares / (self.count - 1)))

    def _reach(self, column: Column) -> None:
        """Make room where a picture lies beyond those before; these were dark there."""
        bands, height, width = column.patch.shape
        if self._mean is None or self._squares is None:
            self._y, self._x = column.y, column.x
            self._mean, self._squares = (np.zeros((bands, height, width)) for _ in range(2))
            return
        rows, columns = self._mean.shape[1:]
        y0, x0 = min(self._y, column.y), min(self._x, column.x)
        y1 = max(self._y + rows, column.y + height)
        x1 = max(self._x + columns, column.x + width)
        if (y0, x0, y1, x1) == (self._y, self._x, self._y + rows, self._x + columns):
            return
        around = ((0, 0), (self._y - y0, y1 - self._y - rows), (self._x - x0, x1 - self._x - columns))
        self._mean, self._squares = (np.pad(part, around) for part in (self._mean, self._squares))
        self._y, self._x = y0, x0

    def _on(self, shape: tuple[int, ...], part: Float[np.ndarray, "band y x"] | None) -> np.ndarray:
        result = np.zeros(shape, np.float32)
        if part is not None:
            height, width = part.shape[1:]
            result[:, self._y : self._y + height, self._x : self._x + width] = part
        return result
