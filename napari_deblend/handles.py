"""Handles on the source that was chosen last: drag the ends of its ellipse, and the edges of its box.

The ellipse has twice the half-light radius, which is about what is seen. Outline and handles are layers of ours that
hear no mouse: the gestures of the viewer ask here what is under the pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from napari.layers import Points, Vectors

from deblend import Component, Source
from deblend.scene import axis_ratio, ellipticity_of, major_angle
from napari_deblend.compat import move_points, move_vectors, unwrap
from napari_deblend.document import Document, named
from napari_deblend.parameter_lines import LARGEST_BOX
from napari_deblend.world import World

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

SEEN = 2.0
"""Size of the ellipse that is drawn [half-light radii]."""
SEGMENTS = 48
REACH = 8.0
"""How close to a handle the pointer must be [screen pix]."""
CENTER_REACH = 9.0
"""So close to its center the pointer takes the source itself [screen pix]."""
COLOR = "#4cc9f0"
WIDTH = 1.6
"""Of the outline [screen pix]."""
THINNER = 1.15
"""By what factor the outline's width may be off before it is drawn anew."""
SIZE = (9, 11)
"""Smallest and largest diameter of a handle [screen pix]."""
LEAST_LIMIT = 0.1
"""Of the circle that a center stays in, while it is dragged [pix]."""
FIRST_LIMIT = 2.0
"""Of that circle at first [pix]."""
LEAST_SIZE = 0.05
"""Of an ellipse's half axis while it is dragged [pix]."""


class Handle(Enum):
    """What can be dragged; the value is where it is along the two axes of the ellipse, or of the box."""

    MAJOR = (1, 0)
    MAJOR_BEHIND = (-1, 0)
    MINOR = (0, 1)
    MINOR_BEHIND = (0, -1)
    RIGHT = (2, 0)
    LEFT = (-2, 0)
    TOP = (0, 2)
    BOTTOM = (0, -2)
    LIMIT = (-3, 3)
    """Of the circle that the center stays in; up and to the left, where no other handle is."""

    @property
    def is_of_box(self) -> bool:
        return 2 in map(abs, self.value)

    @property
    def is_major(self) -> bool:
        return self in (Handle.MAJOR, Handle.MAJOR_BEHIND)


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
        return selected[-1] if selected and _has_handles(selected[-1]) else None

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
            lines, places = _drawn(source, source.components[self.part])
        if lines.shape == self._lines.shape and (not len(lines) or np.abs(places - self._places).max() <= tolerance):
            return
        if self.layer is None or self.outline is None:
            self._make()
        assert self.layer is not None and self.outline is not None
        if lines.shape == self._lines.shape:
            move_vectors(self.outline, lines)
            move_points(self.layer, places)
        else:
            self.outline.data = lines
            self.layer.data = places
            self.layer.selected_data = set()
        self._lines, self._places = lines, places

    def show_part(self) -> None:
        """Show the component that was chosen."""
        self.show()

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
        return _handles_of(source, source.components[self.part])[nearest]

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
        document.begin(f"{_verb(handle)} {named([start])}")
        yield
        while event.type == "mouse_move":
            event.handled = True
            if document.in_gesture:
                keeps_shape = "Shift" in event.modifiers
                try:
                    x, y = pixel(event.position)
                    middle = start.anchor if handle is Handle.LIMIT else (start.x, start.y)
                    new = dragged(start, part, handle, x - middle[0], y - middle[1], keeps_shape)
                    document.change([start.id], lambda s, new=new: _like(s, new), "", "reshape")  # type: ignore[misc]
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
            canvas_size_limits=SIZE,
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


def dragged(start: Source, part: int, handle: Handle, dx: float, dy: float, keeps_shape: bool = False) -> Source:
    """Return a source after one of its handles was dragged to (dx, dy) from its center [pix].

    An end of the major axis goes where it is dragged, and turns the ellipse; one of the minor axis keeps the angle.
    """
    if handle is Handle.LIMIT:
        return replace(start, center_limit=max(float(np.hypot(dx, dy)), LEAST_LIMIT))
    if handle.is_of_box:
        far = abs(dx) if handle in (Handle.LEFT, Handle.RIGHT) else abs(dy)
        return start.resized(int(np.clip(round(far - 0.5), 1, LARGEST_BOX)))
    component = start.components[part]
    morphology = component.morphology
    shape = morphology.parameters.get("ellipticity")
    a, b, angle = _axes(component)
    if shape is None:
        a = b = float(np.hypot(dx, dy))
    elif handle.is_major:
        ratio = b / a
        a, angle = float(np.hypot(dx, dy)), float(np.arctan2(dy, dx))
        b = ratio * a if keeps_shape else b
    else:
        ratio = b / a
        b = abs(-np.sin(angle) * dx + np.cos(angle) * dy)
        a = b / ratio if keeps_shape else a
    a, b = max(a, LEAST_SIZE), max(b, LEAST_SIZE)
    morphology = morphology.with_half_light_radius(np.sqrt(a * b) / SEEN)
    if shape is not None:
        morphology = morphology.with_parameters(ellipticity=shape.edited(ellipticity_of(b / a, angle)))
    parts = list(start.components)
    parts[part] = replace(component, morphology=morphology)
    return replace(start, components=tuple(parts))


def _like(source: Source, dragged_one: Source) -> Source:
    """Return a source with shape and box of another, and with what a fit has found of it meanwhile."""
    if len(source.components) != len(dragged_one.components):
        return source
    pairs = zip(source.components, dragged_one.components, strict=True)
    parts = tuple(
        replace(old, morphology=new.morphology, radius=new.radius, is_box_held=new.is_box_held) for old, new in pairs
    )
    return replace(source, components=parts, center_limit=dragged_one.center_limit)


def _verb(handle: Handle) -> str:
    if handle is Handle.LIMIT:
        return "Limit the center of"
    return "Resize the box of" if handle.is_of_box else "Reshape"


def _has_handles(source: Source) -> bool:
    return np.isfinite(source.center_limit) or _is_extended(source)


def _is_extended(source: Source) -> bool:
    return any(c.morphology.half_light_radius_guess > 0 for c in source.components)


def _axes(component: Component) -> tuple[float, float, float]:
    """Return the half axes of the ellipse that is drawn [pix], and where the major one points [rad]."""
    morphology = component.morphology
    size, shape = SEEN * morphology.half_light_radius_guess, morphology.parameters.get("ellipticity")
    if shape is None:
        return size, size, 0.0
    root = np.sqrt(axis_ratio(shape.value))
    return size / root, size * root, major_angle(shape.value)


def _handles_of(source: Source, component: Component) -> tuple[Handle, ...]:
    has_size, has_box = component.morphology.has_size, _is_extended(source)
    extent = tuple(h for h in Handle if h is not Handle.LIMIT and (has_box if h.is_of_box else has_size))
    return (*extent, Handle.LIMIT) if np.isfinite(source.center_limit) else extent


def _drawn(source: Source, component: Component) -> tuple[Float[np.ndarray, "line 2 2"], Float[np.ndarray, "handle 2"]]:
    """Return lines as (start, direction) and handles, both as (y, x) [pix of the scene]."""
    a, b, angle = _axes(component)
    center, along = np.array([source.y, source.x]), np.array([np.sin(angle), np.cos(angle)])
    across = np.array([np.cos(angle), -np.sin(angle)])
    half = source.radius + 0.5
    corners = np.round(center) + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -1]])
    strokes = [corners] if _is_extended(source) else []
    turn = np.linspace(0.0, 2.0 * np.pi, SEGMENTS + 1)[:, None]
    anchor = np.array(source.anchor[::-1])
    if np.isfinite(source.center_limit):
        strokes.append(anchor + source.center_limit * np.concatenate([np.sin(turn), np.cos(turn)], axis=1))
    if component.morphology.has_size:
        strokes.append(center + a * np.cos(turn) * along + b * np.sin(turn) * across)
    lines = np.concatenate([np.stack([s[:-1], np.diff(s, axis=0)], axis=1) for s in strokes])
    places = []
    for handle in _handles_of(source, component):
        first, second = handle.value
        if handle is Handle.LIMIT:
            places.append(anchor + source.center_limit * np.array([second, first]) / np.hypot(first, second))
        elif handle.is_of_box:
            places.append(np.round(center) + half * np.array([second, first]) / 2.0)
        else:
            places.append(center + first * a * along + second * b * across)
    return lines, np.array(places)


def toggle_limit(bench: Workbench) -> None:
    """Have the centers of the selected sources stay in a circle around where they are, or no longer."""
    document = bench.document
    sources = document.selected
    if not sources:
        raise ValueError("No source is selected; click its marker or its row first.")
    if any(source.track is not None for source in sources):
        raise ValueError("What moves has no circle to stay in; its epochs lie on a line.")
    is_limited = all(np.isfinite(source.center_limit) for source in sources)
    limit = np.inf if is_limited else FIRST_LIMIT
    verb = "Let the center go of" if is_limited else "Limit the center of"
    document.change(
        [s.id for s in sources],
        lambda s: replace(s, center_limit=limit, anchor=s.anchor if is_limited else (s.x, s.y)),
        f"{verb} {named(sources)}",
    )
    if not is_limited:
        bench.tell(f"The center stays within {FIRST_LIMIT:g} px of here; drag the circle's handle to change it.")
