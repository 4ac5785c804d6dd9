"""Pixel grids: the shape of an image and where it lies on the sky."""

from __future__ import annotations

from dataclasses import dataclass

from deblend.sky.wcs import TangentWcs


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
        return self.wcs.is_same_grid(other.wcs)
