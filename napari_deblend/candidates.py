"""Thin rings: what detection would find at the present threshold, and places of the residual."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Points

from deblend import Peaks, PixelGrid
from napari_deblend.compat import on_screen, unwrap
from napari_deblend.world import World

COLOR = "#ffd166"
SCREEN_SIZE = (16, 34)
"""Smallest and largest diameter of a ring [screen pix]."""


class Candidates:
    """A layer of rings while a threshold is being chosen; it is no part of the document."""

    def __init__(self, viewer: Any, name: str = "candidates", color: str = COLOR) -> None:
        self._viewer = unwrap(viewer)
        self._name, self._color = name, color
        self._layer: Points | None = None
        self._is_hidden = False
        """Whether the layer waits for a quiet moment to go."""
        self._viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def show(self, peaks: Peaks, grid: PixelGrid, world: World) -> None:
        """Show these peaks, which are on the pixels of a grid."""
        places = np.column_stack([peaks.y, peaks.x]).astype(float).reshape(-1, 2)
        if self._is_hidden and self._layer is not None:
            self._layer.visible = True
        self._is_hidden = False
        if self._layer is None:
            active = self._viewer.layers.selection.active
            self._layer = Points(
                places,
                ndim=2,
                name=self._name,
                symbol="disc",
                face_color="transparent",
                border_color=self._color,
                border_width=0.04,
                size=7,
                canvas_size_limits=on_screen(self._viewer, SCREEN_SIZE),
                **world.place(grid),
            )
            self._viewer.add_layer(self._layer)
            self._viewer.layers.selection.active = active
        else:
            self._layer.data = places
            self._layer.selected_data = set()

    def hide(self) -> None:
        """Show none any more; their layer goes when `clear` is called: that takes a fifth of a second."""
        if self._layer is not None:
            self._is_hidden, self._layer.visible = True, False

    def tidy(self) -> None:
        """Have their layer go where it is hidden."""
        if self._is_hidden:
            self.clear()

    def clear(self) -> None:
        """Show none any more."""
        self._is_hidden = False
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._layer = None
