"""The sources of the document as one layer of markers, linked both ways.

Row k of the layer is source k of the scene, always: the layer is rewritten from the document and never the other
way round, except for what a person does with napari's own tools (delete, paste, select), which becomes an edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from psygnal import Signal

from deblend import Source, Status
from napari_deblend.compat import SourcesLayer, move_points, on_screen, rewrite_points, set_status, unwrap
from napari_deblend.document import Document
from napari_deblend.status import ReadOut
from napari_deblend.world import World

SYMBOLS = {
    "point": "star",
    "gaussian": "square",
    "exponential": "diamond",
    "de-vaucouleurs": "diamond",
    "sersic": "diamond",
    "moffat": "square",
    "spergel": "diamond",
    "spline": "ring",
    "galaxy": "disc",
    "free-form": "triangle_up",
    "starlet": "triangle_down",
}
"""How each kind of source is marked; all are drawn as outlines, so that the light stays visible."""
OWN_SYMBOL = "cross"
"""How a morphology of a person's own is marked."""
COLORS = {Status.FREE: "#6ee7a0", Status.FIXED: "#ffd166", Status.LOCKED: "#ff6b6b"}
"""Whether the fit may change a source."""
SIZE = 5.0
"""Diameter of a marker [pix of the image]."""
SCREEN_SIZE = (11, 26)
"""Smallest and largest diameter of a marker on the screen [screen pix]."""
LABEL_RISE = 3.6
"""How far above its marker the name stands [pix of the image]."""


class Markers:
    """The layer of sources; made again where it was deleted and sources are there to be shown."""

    removed = Signal()
    """A person has deleted the layer."""
    mode_changed = Signal(bool)
    """Whether a plain click adds a source now."""

    def __init__(self, viewer: Any, document: Document, tell: Callable[[str], None]) -> None:
        self._viewer = unwrap(viewer)
        self._document = document
        self._tell = tell
        self._world = World(None)
        self._rows: tuple[Source, ...] = ()
        self._removing: list[str] = []
        self._writing = False
        self.layer: SourcesLayer | None = None
        self.status: Callable[[Any], tuple[str, str]] | None = None
        """What the status bar says at a world position while the layer is active; None for the data beneath it."""
        self._viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def open(self, world: World) -> None:
        """Begin anew, on the grid of the document's scene."""
        self.clear()
        self._world = world
        self.restore()

    def restore(self) -> None:
        """Make the layer where there is none."""
        if self.layer is not None:
            return
        observation = self._document.observations[0]
        layer = SourcesLayer(
            np.zeros((0, 2)),
            ndim=2,
            name="sources",
            face_color="transparent",
            border_width=0.055,
            size=SIZE,
            canvas_size_limits=on_screen(self._viewer, SCREEN_SIZE),
            features={"name": np.array([], dtype=object)},
            text={"string": "{name}", "size": 9, "color": "white", "anchor": "center", "translation": [LABEL_RISE, 0]},
            **self._world.place(self._document.scene.grid),
        )
        set_status(layer, self.status or ReadOut(layer, observation, None, self._world))
        layer.events.data.connect(self._on_data)
        layer.selected_data.events.items_changed.connect(self._on_selected)
        self.layer, self._rows = layer, ()
        self._viewer.add_layer(layer)
        layer.mode = "pan_zoom"
        layer.events.mode.connect(self._on_mode)
        self.show()

    def clear(self) -> None:
        """Remove the layer from the window."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def show(self, tolerance: float = 0.0) -> None:
        """Write the document's sources into the layer: only what differs, by more than `tolerance` [pix]."""
        layer = self.layer
        if layer is None or not self._document.is_open:
            return
        old, new = self._rows, self._document.scene.sources
        self._rows = new
        places = np.array([(s.y, s.x) for s in new], dtype=float).reshape(-1, 2)
        self._writing = True
        try:
            if [_look(s) for s in old] != [_look(s) for s in new]:
                self._rewrite(layer, places, new)
            elif len(places) and np.abs(places - layer.data).max() > tolerance:
                move_points(layer, places)
        finally:
            self._writing = False
        self.show_selection()

    def show_selection(self) -> None:
        """Write the document's selection into the layer."""
        if self.layer is None:
            return
        chosen = self._chosen_rows
        if chosen != set(self.layer.selected_data):
            self._writing = True
            try:
                self.layer.selected_data = chosen
            finally:
                self._writing = False

    @property
    def _chosen_rows(self) -> set[int]:
        rows = {source.id: row for row, source in enumerate(self._rows)}
        return {rows[i] for i in self._document.selection if i in rows}

    def _rewrite(self, layer: SourcesLayer, places: np.ndarray, sources: Sequence[Source]) -> None:
        looks: dict[str, Any] = {}
        if sources:
            looks["symbol"] = [SYMBOLS.get(s.kind, OWN_SYMBOL) for s in sources]
            looks["border_color"] = [COLORS[s.center.status] for s in sources]
            looks["face_color"], looks["size"] = "transparent", SIZE
        rewrite_points(layer, places, [s.name for s in sources], looks, self._chosen_rows)

    # what a person does with napari's own tools ------------------------------------------------------------------

    @property
    def is_adding(self) -> bool:
        """Whether a plain click adds a source: the add tool of the layer is chosen."""
        return self.layer is not None and str(self.layer.mode) == "add"

    def _on_mode(self, event: Any) -> None:
        self.mode_changed.emit(self.is_adding)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self.removed.emit()

    def _on_selected(self) -> None:
        layer = self.layer
        if self._writing or layer is None:
            return
        self._document.select(self._rows[row].id for row in sorted(layer.selected_data) if row < len(self._rows))

    def _on_data(self, event: Any) -> None:
        if self._writing or self.layer is None:
            return
        action = str(getattr(event.action, "value", event.action))
        rows = [int(i) for i in event.data_indices or ()]
        if action == "removing":
            # decided here, since the rows are still those of the scene
            self._removing = [self._rows[row].id for row in rows if row < len(self._rows)]
            return
        try:
            if action == "removed":
                self._document.delete(self._removing)
            elif action == "changed":
                places = self.layer.data
                known = [row for row in rows if row < len(self._rows)]
                self._document.move({self._rows[r].id: (places[r, 1], places[r, 0]) for r in known})
        except ValueError as error:
            self._tell(str(error))
        if action in ("removed", "changed", "added"):
            # the layer says again what the document says, also where the document refused
            self._rows = ()
            self.show()


def _look(source: Source) -> tuple[str, str, str, Status]:
    return source.id, source.name, source.kind, source.center.status
