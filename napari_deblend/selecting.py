"""Choosing several sources at once: all of them, those in a rectangle or a lasso, those of a group."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from regions import PixCoord, PolygonPixelRegion

from deblend import Scene, Source
from napari_deblend.document import named

if TYPE_CHECKING:
    from napari_deblend.gestures import Gestures
    from napari_deblend.workbench import Workbench

LEAST_STROKE = 2.0
"""Points of a lasso lie at least so far apart [screen pix]."""

Corners = Float[np.ndarray, "corner 2"]


def rectangle(start: Corners, end: Corners) -> Corners:
    """Return the corners of the rectangle between two opposite ones, along the axes of the window."""
    (top, left), (bottom, right) = start, end
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def inside(outline: Corners, places: Float[np.ndarray, "place 2"]) -> np.ndarray:
    """Tell of each place whether it is within a closed outline; nothing is within one of two corners."""
    if len(outline) < 3 or not len(places):
        return np.zeros(len(places), bool)
    polygon = PolygonPixelRegion(PixCoord(x=outline[:, 1], y=outline[:, 0]))
    return np.asarray(polygon.contains(PixCoord(x=places[:, 1], y=places[:, 0])), bool)


def follow(
    event: Any,
    is_lasso: bool,
    sketch: Callable[[Corners | None], None],
    done: Callable[[Corners], None],
) -> Generator[None]:
    """Follow the mouse until it is let go, showing what it draws in the window's world, and hand that over."""
    start, last = np.asarray(event.position)[-2:], np.array(event.pos)
    outline = [start]
    event.handled = True
    yield
    while event.type == "mouse_move":
        event.handled = True
        here = np.asarray(event.position)[-2:]
        if not is_lasso:
            outline = list(rectangle(start, here))
        elif np.hypot(*(np.array(event.pos) - last)) >= LEAST_STROKE:
            outline, last = [*outline, here], np.array(event.pos)
        sketch(np.array(outline))
        yield
    sketch(None)
    done(np.array(outline))


# actions ---------------------------------------------------------------------------------------------------------


def select_all(bench: Workbench) -> None:
    if not bench.document.is_open or not bench.document.scene.sources:
        raise ValueError("There are no sources to select; detect some, or Shift-click the image to add one.")
    bench.document.select(source.id for source in bench.document.scene.sources)


def draw_selection(is_lasso: bool) -> Callable[[Workbench], None]:
    """Return the action that has the next drag select what it goes around."""

    def draw(bench: Workbench) -> None:
        gestures: Gestures = bench.gestures
        if gestures.region is is_lasso:
            gestures.region = None
            bench.tell("Nothing is drawn; the mouse does what it did.")
            return
        gestures.region = is_lasso
        shape = "Draw around" if is_lasso else "Drag a rectangle around"
        bench.tell(f"{shape} the sources to select; with Ctrl they are added to the selection.")

    return draw


def group_selected(bench: Workbench) -> None:
    """Make one group of the selected sources; each leaves the group that it was in."""
    selected = bench.document.selected
    if len(selected) < 2:
        raise ValueError("Select two sources at least to group them; Ctrl and a drag around them does it.")
    name = _free_group(bench.document.scene)
    _put(bench, selected, name, f"Group {named(selected)} as {name}")
    bench.tell(f"{named(selected).capitalize()} are group {name} now; Shift-U selects all of it.")


def ungroup_selected(bench: Workbench) -> None:
    """Have the selected sources belong to no group."""
    grouped = [source for source in bench.document.selected if source.group]
    if not grouped:
        raise ValueError("No source of a group is selected.")
    _put(bench, grouped, "", f"Ungroup {named(grouped)}")


def select_group(bench: Workbench) -> None:
    """Select all sources of the groups that the selected ones belong to."""
    groups = {source.group for source in bench.document.selected if source.group}
    if not groups:
        raise ValueError("No source of a group is selected; Ctrl-Shift-G makes a group of what is selected.")
    chosen = list(bench.document.selection)
    chosen += [s.id for s in bench.document.scene.sources if s.group in groups]
    bench.document.select(chosen)


def _put(bench: Workbench, sources: Sequence[Source], group: str, label: str) -> None:
    scene = bench.document.scene
    bench.document.replace_scene(scene.replace(*(replace(s, group=group) for s in sources)), label)


def _free_group(scene: Scene) -> str:
    taken = {source.group for source in scene.sources}
    names = (letter + (str(k) if k else "") for k in itertools.count() for letter in ascii_uppercase)
    return next(name for name in names if name not in taken)
