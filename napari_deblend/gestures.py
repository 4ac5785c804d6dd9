"""The mouse on the image: choose, drag, add.

One callback of the viewer, so that it holds whatever layer is active: a marker under the pointer is chosen and
dragged, with the model following while it moves; Shift and a click add a source, also on top of another, and so does
a plain click while adding is on; anywhere else the mouse pans and zooms as always.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.layers import Shapes
from psygnal import Signal

from deblend import Source
from napari_deblend.compat import unwrap
from napari_deblend.document import Document, named
from napari_deblend.handles import Handles
from napari_deblend.markers import Markers
from napari_deblend.masking import is_drawing
from napari_deblend.selecting import follow, inside

REACH = 9.0
"""How close to the middle of a marker the pointer must be [screen pix]."""
CLICK = 4.0
"""How far the pointer may move between press and release of a click [screen pix]."""


class Gestures:
    """Mouse gestures of one viewer, as edits of its document."""

    placing_changed = Signal(bool)
    """Whether the next click says where something is."""

    def __init__(
        self,
        viewer: Any,
        document: Document,
        markers: Markers,
        handles: Handles,
        add_at: Callable[[float, float], None],
        is_in_view: Callable[[Source], bool],
        tell: Callable[[str], None],
        open_menu: Callable[[], None],
    ) -> None:
        self._viewer = unwrap(viewer)
        self._document = document
        self._markers, self._handles = markers, handles
        self._add_at = add_at
        self._is_in_view = is_in_view
        self._tell = tell
        self._open_menu = open_menu
        self.region: bool | None = None
        """What the next drag draws around sources: a lasso (True), a rectangle (False), or nothing (None)."""
        self._place: Callable[[float, float], None] | None = None
        self._viewer.mouse_drag_callbacks.append(self._on_press)

    def disconnect(self) -> None:
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    @property
    def is_placing(self) -> bool:
        """Whether the next click says where something is."""
        return self._place is not None

    def place_next(self, place: Callable[[float, float], None] | None) -> None:
        """Have the next click call `place` with its pixel (x, y) of the scene; None to have it do what it does."""
        self._place = place
        self.placing_changed.emit(self.is_placing)

    def pixel(self, position: Any) -> tuple[float, float]:
        """Return (x, y) [pix of the scene] of a world position; raises ValueError without a sources layer."""
        if self._markers.layer is None:
            raise ValueError("The layer of sources was deleted; press “Show layers” to have it again.")
        y, x = np.asarray(self._markers.layer.world_to_data(np.asarray(position)[-2:]))[-2:]
        return float(x), float(y)

    def source_at(self, position: Any, zoom: float) -> str | None:
        """Return the id of the source whose marker is under a world position."""
        layer = self._markers.layer
        if layer is None or not layer.visible or not self._document.is_open or not self._document.scene.sources:
            return None
        sources = self._document.scene.sources
        world = np.array([layer.data_to_world((s.y, s.x)) for s in sources])[:, -2:]
        distance = np.hypot(*(world - np.asarray(position)[-2:]).T) * zoom
        # of epochs that lie on one another the one in view is meant
        behind = np.array([not self._is_in_view(s) for s in sources]) * REACH
        nearest = int(np.argmin(np.where(distance <= REACH, distance + behind, np.inf)))
        return sources[nearest].id if distance[nearest] <= REACH else None

    @property
    def _is_drawing(self) -> bool:
        """Whether the mouse draws or changes a box, or paints: a marker beneath it stays where it is."""
        active = self._viewer.layers.selection.active
        if is_drawing(active):
            return True
        return isinstance(active, Shapes) and str(active.mode) not in ("pan_zoom", "transform")

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if not self._document.is_open or self._viewer.dims.ndisplay != 2 or self._markers.layer is None:
            return
        if event.button == 2:
            yield from self._menu(event)
        if event.button != 1 or self._is_drawing:
            return
        if self.is_placing:
            yield from self._click(event, self._put)
            return
        if self.region is not None:
            is_lasso, self.region = self.region, None
            yield from follow(event, is_lasso, self._handles.sketch, self._chooses(event))
            return
        # of several panels only the first has handles
        is_beside = event.viewbox not in (None, (0, 0))
        handle = None if is_beside else self._handles.at(event.position, event.camera_zoom)
        if handle is not None:
            yield from self._handles.drag(event, handle, self.pixel)
            return
        if "Shift" in event.modifiers or self._markers.is_adding:
            yield from self._click(event, self._add)
            return
        source_id = self.source_at(event.position, event.camera_zoom)
        if source_id is not None:
            yield from self._drag(event, source_id)
        elif "Control" in event.modifiers:
            yield from follow(event, False, self._handles.sketch, self._chooses(event))
        elif "Alt" in event.modifiers:
            yield from follow(event, True, self._handles.sketch, self._chooses(event))
        elif str(self._markers.layer.mode) != "select":
            chosen = () if source_id is None else (source_id,)
            yield from self._click(event, lambda _: self._document.select(chosen), pan=True)

    def _click(self, event: Any, done: Callable[[Any], None], pan: bool = False) -> Generator[None, None, None]:
        start = np.array(event.pos)
        event.handled = not pan
        yield
        while event.type == "mouse_move":
            event.handled = not pan
            yield
        if np.hypot(*(np.array(event.pos) - start)) <= CLICK:
            done(event.position)

    def _menu(self, event: Any) -> Generator[None, None, None]:
        """Open the menu of the source under the pointer; where the mouse moves it zooms, as always."""
        source_id = self.source_at(event.position, event.camera_zoom)
        if source_id is None and self._handles.source is not None:
            touched = self._handles.touches(event.position, event.camera_zoom)
            source_id = self._handles.source.id if touched else None
        if source_id is None or event.viewbox not in (None, (0, 0)):
            return
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.hypot(*(np.array(event.pos) - start)) <= CLICK:
            if source_id not in self._document.selection:
                self._document.select([source_id])
            self._open_menu()

    def _add(self, position: Any) -> None:
        try:
            self._add_at(*self.pixel(position))
        except ValueError as error:
            self._tell(str(error))

    def _put(self, position: Any) -> None:
        place = self._place
        self.place_next(None)
        try:
            if place is not None:
                place(*self.pixel(position))
        except ValueError as error:
            self._tell(str(error))

    def _chooses(self, event: Any) -> Callable[[np.ndarray], None]:
        """Return what selects the sources within an outline; those that were selected stay so where Ctrl is held."""
        before = self._document.selection if "Control" in event.modifiers else ()

        def choose(outline: np.ndarray) -> None:
            layer = self._markers.layer
            seen = [s for s in self._document.scene.sources if self._is_in_view(s)]
            if layer is None or not seen:
                return
            places = np.array([layer.data_to_world((s.y, s.x)) for s in seen])[:, -2:]
            chosen = inside(outline, places)
            self._document.select([*before, *(s.id for s, is_in in zip(seen, chosen, strict=True) if is_in)])

        return choose

    def _drag(self, event: Any, source_id: str) -> Generator[None, None, None]:
        """Choose the source; where the mouse moves, move it, and all that are chosen with it."""
        document = self._document
        event.handled = True
        self._viewer.layers.selection.active = self._markers.layer
        if "Control" in event.modifiers:
            chosen = set(document.selection) ^ {source_id}
            document.select([i for i in document.selection if i in chosen] + [i for i in (source_id,) if i in chosen])
        elif source_id not in document.selection:
            document.select([source_id])
        start, press = np.array(self.pixel(event.position)), np.array(event.pos)
        places = {s.id: np.array([s.x, s.y]) for s in document.selected}
        yield
        moving = False
        while event.type == "mouse_move":
            event.handled = True
            if not moving and np.hypot(*(np.array(event.pos) - press)) > CLICK and places:
                moving = True
                document.begin(f"Move {named(document.selected)}")
            if moving and document.in_gesture:
                shift = np.array(self.pixel(event.position)) - start
                try:
                    document.move({i: tuple(place + shift) for i, place in places.items()})
                except ValueError as error:
                    document.abandon()
                    self._tell(str(error))
                except KeyError:
                    # deleted by a key while it was dragged
                    document.abandon()
            yield
        if moving:
            document.commit()
        elif "Control" not in event.modifiers:
            document.select([source_id])
