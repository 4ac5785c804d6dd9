"""What the status bar says under the cursor: where on the sky, which pixel, how much light.

napari asks for it in a thread of its own: only what is frozen, or read at once, is used here.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from napari.layers import Layer

from deblend import Observation
from deblend.sky import TangentWcs
from napari_deblend.views import Role
from napari_deblend.world import World, sky_text


def place_text(wcs: TangentWcs | None, x: float, y: float) -> str:
    """Return a place as text: on the sky, where that is known, and in pixels."""
    place = f"x {x:.1f}  y {y:.1f}"
    if wcs is None:
        return place
    ra, dec = wcs.pixel_to_sky(x, y)
    return f"{sky_text(float(ra), float(dec))}   {place}"


class ReadOut:
    """Position and value of one layer, as text."""

    def __init__(self, layer: Layer, observation: Observation, role: Role | None, world: World) -> None:
        self._layer = weakref.ref(layer)
        self._observation = observation
        self._role = role
        self._to_pixel = np.linalg.inv(world.affine(observation.grid))

    def __call__(self, position: Any) -> tuple[str, str]:
        """Return ("ra dec   x y", "band: value unit") at a world position (..., north, east)."""
        y, x, _ = self._to_pixel @ np.array([position[-2], position[-1], 1.0])
        return place_text(self._observation.wcs, x, y), self._value(round(y), round(x), position)

    def _value(self, row: int, column: int, position: Any) -> str:
        layer, (height, width) = self._layer(), self._observation.shape
        if layer is None or not (0 <= row < height and 0 <= column < width):
            return ""
        channels = self._observation.channels
        if self._role is None or self._role.is_color:
            bands = self._observation.images[:, row, column]
            return "  ".join(f"{c.name} {v:.4g}" for c, v in zip(channels, bands, strict=True)) + " nJy/pix"
        band = min(round(position[-3]) if len(position) >= 3 else 0, len(channels) - 1)
        data = layer.data
        leading = (round(place) for place in position[-data.ndim : -3]) if data.ndim > 3 else ()
        value = float(data[(*leading, band, row, column)])
        name = "" if self._role is Role.CHI2 else f"{channels[band].name} "
        return f"{name}{value:.4g} {self._role.unit}"
