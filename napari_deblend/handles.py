"""Handles on the source that was chosen last: drag the ends of its ellipse, and the edges of its box.

Outline and handles are layers of ours that hear no mouse: the gestures of the viewer ask here what is under the
pointer. Keys take one handle after another (`take_next`), and move the one that was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from jaxtyping import Float
from napari.layers import Points, Vectors

from deblend import Source
from deblend.scene import axis_ratio
from napari_deblend.compat import move_points, move_vectors, on_screen, unwrap
from napari_deblend.document import Document, named
from napari_deblend.handle_shapes import Handle, dragged, drawn, handles_of, has_handles, keyed, like, verb_of
from napari_deblend.world import World

REACH = 8.0
"""How close to a handle the pointer must be [screen pix]."""
CENTER_REACH = 9.0
"""So close to its center the pointer takes the source itself [screen pix]."""
COLOR, TAKEN = "#4cc9f0", "#ffb454"
"""Of handles, and of the one that keys move."""
WIDTH = 1.6
"""Of the outline [screen pix]."""
THINNER = 1.15
"""By what factor the outline's width may be off before it is drawn anew."""
SIZE = (9, 11)
"""Smallest and largest diameter of a handle [screen pix]."""


KEYED = (Handle.MAJOR, Handle.MINOR, Handle.RIGHT, Handle.LIMIT)
"""Handles that keys take, in this order: those across from them would do the same."""


class Handles:
    """Outline and handles of one source of the document, while one is chosen."""

    def __init__(
        self, viewer: Any, document: Document, part: Callable[[], int | None], tell: Callable[[str], None]
    ) -> None:
        self._viewer, self._document, self._part, self._tell = unwrap(viewer), document, part, tell
        self._world = World(None)
        self._is_wanted = True
        self.outline: Vectors | None = None
        self.layer: Points | None = None
        self._lines = np.zeros((0, 2, 2))
        self._places = np.zeros((0, 2))
        self._taken: tuple[str, Handle] | None = None
        self._marked: tuple[int, Handle | None] = (0, None)
        """How many handles there were when one was marked last, and which it was."""
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.scene.camera.events.zoom.connect(self._on_zoom)

    def disconnect(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)

    def open(self, world: World) -> None:
        """Begin anew, on the grid of the document's scene."""
        self._clear()
        self._world, self._is_wanted = world, True

    def restore(self) -> None:
        """Have the handles again after their layer was deleted."""
        self._is_wanted = True
        self.show()

    @property
    def source(self) -> Source | None:
        """The source that has handles; None where none is chosen, or it has no extent."""
        selected = self._document.selected
        return selected[-1] if selected and has_handles(selected[-1]) else None

    @property
    def part(self) -> int:
        """The component whose ellipse is drawn: that which was chosen, or the largest."""
        source, part = self.source, self._part()
        assert source is not None
        if part is not None and part < len(source.components):
            return part
        return int(np.argmax([c.morphology.half_light_radius_guess for c in source.components]))

    def show(self, tolerance: float = 0.0) -> None:
        """Show the source that is chosen, where it differs from what is shown by more than `tolerance` [pix]."""
        source = self.source if self._document.is_open else None
        if source is None or not self._is_wanted:
            lines, places = np.zeros((0, 2, 2)), np.zeros((0, 2))
        else:
            lines, places = drawn(source, source.components[self.part])
        if lines.shape == self._lines.shape and (not len(lines) or np.abs(places - self._places).max() <= tolerance):
            return
        if self.layer is None or self.outline is None:
            self._make()
        assert self.layer is not None and self.outline is not None
        if lines.shape == self._lines.shape:
            move_vectors(self._viewer, self.outline, lines)
            move_points(self.layer, places)
        else:
            self.outline.data = lines
            self.layer.data = places
            self.layer.selected_data = set()
        self._lines, self._places = lines, places
        if self._marked[1] is not None or self.taken is not None:
            self._mark()

    def show_part(self) -> None:
        """Show the component that was chosen."""
        self.show()

    # by keys -----------------------------------------------------------------------------------------------------

    @property
    def taken(self) -> Handle | None:
        """The handle that keys move; None where they move the source."""
        source = self.source
        if self._taken is None or source is None or self._taken[0] != source.id:
            return None
        return self._taken[1] if self._taken[1] in handles_of(source, source.components[self.part]) else None

    def take_next(self) -> Handle | None:
        """Have keys move the next handle, after the last one the source again; return what they move.

        Raises ValueError where no source with handles is selected.
        """
        source, taken = self.source, self.taken
        if source is None:
            raise ValueError("No source with handles is selected; choose one that has an extent or a circle.")
        there = [None, *(h for h in KEYED if h in handles_of(source, source.components[self.part]))]
        following = there[(there.index(taken) + 1) % len(there)]
        self._taken = None if following is None else (source.id, following)
        self._mark()
        return following

    def move_taken(self, dx: float, dy: float) -> None:
        """Move the handle that was taken in this direction, as one step; raises ValueError where it is locked."""
        handle, source, part = self.taken, self.source, self.part
        assert handle is not None and source is not None
        new = keyed(source, part, handle, dx, dy)
        self._document.change([source.id], lambda s: like(s, new), f"{verb_of(handle)} {named([source])}", "reshape")
        self._tell(self._said(new, part, handle))

    def _mark(self) -> None:
        """Have the handle that was taken look so, and no other."""
        source, layer, taken = self.source, self.layer, self.taken
        looks = (len(self._places), taken)
        if layer is None or source is None or looks == self._marked:
            return
        handles = handles_of(source, source.components[self.part])
        layer.face_color = [TAKEN if handle is taken else COLOR for handle in handles]
        self._marked = looks

    def sketch(self, outline: Float[np.ndarray, "corner 2"] | None) -> None:
        """Draw a closed outline that the mouse draws, in the window's world; None for the source's own again."""
        if self.layer is None or self.outline is None:
            self._make()
        assert self.layer is not None and self.outline is not None
        if outline is None:
            self.outline.data = self._lines
            return
        corners = np.array([self.outline.world_to_data(corner)[-2:] for corner in outline])
        sides = np.roll(corners, -1, axis=0) - corners
        self.outline.data = np.concatenate([self._lines, np.stack([corners, sides], axis=1)])

    def at(self, position: Any, zoom: float) -> Handle | None:
        """Return the handle under a world position; None where a source is nearer: its marker is meant."""
        layer, source = self.layer, self.source
        if layer is None or source is None or not layer.visible or not len(self._places):
            return None
        world = np.array([layer.data_to_world(place) for place in self._places])[:, -2:]
        sources = self._document.scene.sources
        centers = np.array([layer.data_to_world((s.y, s.x)) for s in sources])[:, -2:]
        here = np.asarray(position)[-2:]
        distance = np.hypot(*(world - here).T) * zoom
        nearest = int(np.argmin(distance))
        from_center = float(np.hypot(*(centers - here).T).min()) * zoom
        if distance[nearest] > REACH or from_center <= min(CENTER_REACH, float(distance[nearest])):
            return None
        return handles_of(source, source.components[self.part])[nearest]

    def touches(self, position: Any, zoom: float) -> bool:
        """Tell whether a world position is on the outline of the source, or on a handle."""
        outline = self.outline
        if outline is None or not outline.visible or not len(self._lines):
            return False
        ends = self._lines[:, 0], self._lines.sum(axis=1)
        start, end = (np.array([outline.data_to_world(place)[-2:] for place in places]) for places in ends)
        along = end - start
        here = np.asarray(position)[-2:] - start
        share = np.clip(np.sum(here * along, axis=1) / np.maximum(np.sum(along**2, axis=1), 1e-30), 0.0, 1.0)
        nearest = np.hypot(*(here - share[:, None] * along).T).min()
        return bool(nearest * zoom <= REACH)

    def drag(self, event: Any, handle: Handle, pixel: Callable[[Any], tuple[float, float]]) -> Generator[None]:
        """Follow the mouse from a handle until it is let go, as one step; Shift keeps the shape of the ellipse."""
        document, start, part = self._document, self.source, self.part
        assert start is not None
        event.handled = True
        document.begin(f"{verb_of(handle)} {named([start])}")
        yield
        while event.type == "mouse_move":
            event.handled = True
            if document.in_gesture:
                keeps_shape = "Shift" in event.modifiers
                try:
                    x, y = pixel(event.position)
                    middle = start.anchor if handle is Handle.LIMIT else (start.x, start.y)
                    new = dragged(start, part, handle, x - middle[0], y - middle[1], keeps_shape)
                    document.change([start.id], lambda s, new=new: like(s, new), "", "reshape")  # type: ignore[misc]
                    self._tell(self._said(new, part, handle))
                except (ValueError, KeyError) as error:
                    document.abandon()
                    self._tell(str(error))
            yield
        document.commit()

    def _said(self, source: Source, part: int, handle: Handle) -> str:
        component, wcs = source.components[part], self._document.scene.grid.wcs
        if handle is Handle.LIMIT:
            return f"The center stays within {source.center_limit:.2f} px."
        if handle.is_of_box:
            return f"Box of {2 * source.radius + 1} px."
        size = component.morphology.half_light_radius_guess
        on_sky = "" if wcs is None else f" ({size * wcs.pixel_scale:.3g}″)"
        shape = component.morphology.parameters.get("ellipticity")
        ratio = "" if shape is None else f", axis ratio {axis_ratio(shape.value):.2f}"
        return f"Half-light radius {size:.3g} px{on_sky}{ratio}."

    def _make(self) -> None:
        active = self._viewer.layers.selection.active
        self._marked = (0, None)
        place = self._world.place(self._document.scene.grid)
        self.outline = Vectors(np.zeros((0, 2, 2)), name="outline", edge_color=COLOR, vector_style="line", **place)
        self.outline.edge_width = self._width(self.outline)
        self.layer = Points(
            np.zeros((0, 2)),
            ndim=2,
            name="handles",
            symbol="square",
            face_color=COLOR,
            border_color="black",
            border_width=0.1,
            size=1.0,
            canvas_size_limits=on_screen(self._viewer, SIZE),
            **place,
        )
        self._lines, self._places = np.zeros((0, 2, 2)), np.zeros((0, 2))
        for layer in (self.outline, self.layer):
            self._viewer.add_layer(layer)
        self.layer.mode = "pan_zoom"
        self._viewer.layers.selection.active = active

    def _width(self, outline: Vectors) -> float:
        """Return how wide a line of `WIDTH` is now [pix of the scene]."""
        ends = np.array([outline.data_to_world(end)[-2:] for end in ((0.0, 0.0), (0.0, 1.0))])
        return float(WIDTH / (self._viewer.scene.camera.zoom * np.hypot(*(ends[1] - ends[0]))))

    def _on_zoom(self) -> None:
        if self.outline is None:
            return
        wanted = self._width(self.outline)
        if not 1.0 / THINNER < wanted / self.outline.edge_width < THINNER:
            self.outline.edge_width = wanted

    def _clear(self) -> None:
        layers, self.outline, self.layer = (self.outline, self.layer), None, None
        self._lines, self._places = np.zeros((0, 2, 2)), np.zeros((0, 2))
        for layer in layers:
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is not None and (event.value is self.layer or event.value is self.outline):
            # one is of no use without the other
            self._is_wanted = False
            self._clear()
