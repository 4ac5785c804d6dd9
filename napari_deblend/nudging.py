"""What is moved by keys: the selected sources, or the handle of one that was taken; and the circle for a center."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deblend.document import named
from napari_deblend.handle_shapes import Handle

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

NUDGE = 0.1
"""How far a key moves a source [pix]."""
FIRST_LIMIT = 2.0
"""Of the circle that a center stays in, at first [pix]."""
TAKEN = {
    None: "Keys move the source again.",
    Handle.MAJOR: "Shift and the arrow keys move the end of the long axis: along it to resize, across it to turn.",
    Handle.MINOR: "Shift and the arrow keys move the end of the short axis.",
    Handle.RIGHT: "Shift and the arrow keys move the edges of the box.",
    Handle.LIMIT: "Shift and the arrow keys move the circle that the center stays in.",
}


def nudge(right: int, up: int) -> Callable[[Workbench], None]:
    """Return an action that moves what keys move a little, as seen on the screen."""

    def move(bench: Workbench) -> None:
        selected = bench.document.selected
        layer = bench.markers.layer
        if not selected or layer is None:
            raise ValueError("No source is selected; click its marker or its row first.")
        vertical, horizontal = (str(getattr(o, "value", o)) for o in bench.viewer.scene.camera.orientation2d)
        world = np.array([up if vertical == "up" else -up, right if horizontal == "right" else -right], float)
        origin = np.asarray(layer.world_to_data((0.0, 0.0)))
        dy, dx = (np.asarray(layer.world_to_data(tuple(world))) - origin)[-2:]
        if bench.handles.taken is not None:
            bench.handles.move_taken(float(dx), float(dy))
            return
        step = NUDGE / np.hypot(dx, dy)
        bench.document.move({s.id: (s.x + step * dx, s.y + step * dy) for s in selected})

    return move


def take_handle(bench: Workbench) -> None:
    """Have keys move the next handle of the source that was chosen last, and after the last one the source."""
    bench.tell(TAKEN[bench.handles.take_next()])


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
