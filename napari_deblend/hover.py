"""What lies under the pointer: where on the sky, how much light in the picture that is seen, and whose it is.

The status bar is filled by napari, for the layer that is active; this is for the picture that is in view, whatever
layer is active. The pointer is followed at most every few milliseconds, and only what is there already is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import Observation
from napari_deblend.compat import main_window
from napari_deblend.layers import LIGHT_OF_COLOR
from napari_deblend.status import place_text
from napari_deblend.views import Role

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

PAUSE = 40
"""Between two readings [ms]: 25 a second."""


class Reading(NamedTuple):
    """What lies under the pointer, in words."""

    place: str
    light: str
    owners: str


NOTHING = Reading("", "", "")


class Hover:
    """Follows the pointer over the pictures of one workbench."""

    read = Signal(Reading)

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._position: Any = None
        self._said = ("", "")
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._read)
        bench.viewer.mouse_move_callbacks.append(self._on_move)
        bench.markers.status = self.status

    def disconnect(self) -> None:
        self._timer.stop()
        if self._on_move in self._bench.viewer.mouse_move_callbacks:
            self._bench.viewer.mouse_move_callbacks.remove(self._on_move)

    def pixel(self, position: Any) -> tuple[int, int] | None:
        """Return the pixel (row, column) in view at a world position; None beside the image."""
        layers = self._bench.layers
        if not layers.observations:
            return None
        observation = layers.observations[layers.seen_by]
        y, x = self._exact(observation, position)
        height, width = observation.shape
        row, column = round(y), round(x)
        return (row, column) if 0 <= row < height and 0 <= column < width else None

    def reading(self, position: Any) -> Reading:
        """Return what lies at a world position (…, north, east)."""
        layers, pixel = self._bench.layers, self.pixel(position)
        if pixel is None:
            return NOTHING
        observation = layers.observations[layers.seen_by]
        y, x = self._exact(observation, position)
        place = place_text(observation.wcs, x, y)
        role = layers.role_of(self._bench.panels.pointed)
        band = None if role.is_color else min(layers.band, len(observation.channels) - 1)
        owners = self._bench.ownership.text(*pixel, None if role is Role.CHI2 else band)
        share = self._bench.sureness.layers.share_at(position)
        return Reading(place, share or self._light(observation, role, *pixel, band), owners)

    def status(self, position: Any) -> tuple[str, str]:
        """Return what the status bar says; napari asks for it in a thread of its own.

        It stays as it is during a drag: to draw a line of text, Qt puts the whole window together anew, and the picture
        that a person drags for would come that much later.
        """
        if not self._bench.document.in_gesture:
            reading = self.reading(position)
            place = f"{reading.place}   {reading.owners}" if reading.owners else reading.place
            self._said = place, reading.light
        return self._said

    def _exact(self, observation: Observation, position: Any) -> tuple[float, float]:
        to_pixel = np.linalg.inv(self._bench.layers.world.affine(observation.grid))
        y, x, _ = to_pixel @ np.array([position[-2], position[-1], 1.0])
        return float(y), float(x)

    def _light(self, observation: Observation, role: Role, row: int, column: int, band: int | None) -> str:
        """Return the value of the picture under the pointer, with its unit; of all bands where it is in color."""
        layers, index = self._bench.layers, self._bench.layers.seen_by
        channels = observation.channels
        if band is None:
            pixels: Any = observation.images
            if (shown := layers.picture(role, index)) is not None:
                frame, light = self._bench.frame, shown._replace(kind=LIGHT_OF_COLOR[shown.kind])
                pixels = None if frame is None else frame.pictures.get(light)
            if pixels is None:
                return ""
            values = pixels[:, row, column]
            each = "  ".join(f"{c.name} {v:.4g}" for c, v in zip(channels, values, strict=True))
            return f"{each} {role.unit}"
        layer = layers.layer(role, index)
        if layer is None:
            return ""
        data = layer.data
        value = float(data[layers.component_row, band, row, column] if data.ndim == 4 else data[band, row, column])
        if role is Role.CHI2:
            return f"{value:.3g} {role.unit}"
        masked = not observation.weights[band, row, column] > 0
        return f"{channels[band].name} {value:.4g} {role.unit}" + ("  (masked)" if masked else "")

    def _on_move(self, viewer: Any, event: Any) -> None:
        self._position = tuple(event.position)
        if not self._timer.isActive():
            self._timer.start()

    def _read(self) -> None:
        self.read.emit(self.reading(self._position) if self._bench.document.is_open else NOTHING)
