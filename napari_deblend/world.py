"""One world for all layers: arcsec north and east of one point of the sky.

World axes are (north, east), in array order. Without a WCS in every image the world is the first image's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend import Observation, PixelGrid


@dataclass(frozen=True)
class World:
    """Where the axes of the window lie on the sky."""

    center: tuple[float, float] | None
    """Right ascension and declination where the tangent plane touches [deg]; None for a world of pixels."""

    @classmethod
    def of(cls, observations: Sequence[Observation], center: tuple[float, float] | None = None) -> World:
        """Return the world of these observations, around a `center` [deg] that other layers already use."""
        if not observations or any(o.wcs is None for o in observations):
            return cls(None)
        return cls.around(observations[0].grid, center)

    @classmethod
    def around(cls, grid: PixelGrid, center: tuple[float, float] | None = None) -> World:
        """Return the world around the middle of a grid, or around a `center` [deg] that other layers already use."""
        wcs, (height, width) = grid.wcs, grid.shape
        if wcs is None:
            return cls(None)
        if center is not None:
            return cls(center)
        ra, dec = wcs.pixel_to_sky((width - 1) / 2.0, (height - 1) / 2.0)
        return cls((float(ra), float(dec)))

    @property
    def units(self) -> tuple[str, str]:
        return ("arcsec", "arcsec") if self.center is not None else ("pixel", "pixel")

    @property
    def axis_labels(self) -> tuple[str, str]:
        return ("north", "east") if self.center is not None else ("y", "x")

    @property
    def orientation(self) -> tuple[str, str]:
        """Which way the two axes grow in the window: north is up and east is left."""
        return ("up", "left") if self.center is not None else ("up", "right")

    def affine(self, grid: PixelGrid, n_leading: int = 0) -> Float[np.ndarray, "n n"]:
        """Return the affine from (..., y, x) [pix] to (..., north, east), with leading axes left alone."""
        if self.center is None or grid.wcs is None:
            return np.eye(n_leading + 3)
        affine = np.eye(n_leading + 3)
        affine[n_leading:, n_leading:] = grid.wcs.affine_in(self.center, grid.shape)
        return affine

    def place(self, grid: PixelGrid, leading: Sequence[str] = ()) -> dict[str, object]:
        """Return what napari needs to place a layer on these pixels, with named leading axes."""
        return {
            "affine": self.affine(grid, len(leading)),
            "units": (*["pixel"] * len(leading), *self.units),
            "axis_labels": (*leading, *self.axis_labels),
        }


def sky_text(ra: float, dec: float) -> str:
    """Return a sky position as text: 10:00:31.27 +02:14:05.1."""
    hours = ra % 360.0 / 15.0
    hundredths = round(hours * 360_000)
    h, rest = divmod(hundredths % (24 * 360_000), 360_000)
    m, s = divmod(rest, 6000)
    tenths = round(abs(dec) * 36_000)
    d, rest_d = divmod(tenths, 36_000)
    dm, ds = divmod(rest_d, 600)
    sign = "-" if dec < 0 else "+"
    return f"{h:02d}:{m:02d}:{s / 100:05.2f} {sign}{d:02d}:{dm:02d}:{ds / 10:04.1f}"
