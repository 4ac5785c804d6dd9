#!/usr/bin/env python3
"""Make the pictures of the documentation anew, by driving the real window on a virtual display: `make screenshots`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from camera import Guest
from demo import UNATTENDED, on_virtual_display

IMAGES = Path(__file__).resolve().parent / "images"


def begin(guest: Guest) -> None:
    """Open the sample, find its sources and fit them."""
    guest.open_sample()
    guest.find_sources()
    guest.fit()
    guest.find_missed()
    guest.fit()
    # signal-to-noise is measured once nothing changes any more
    guest.rest(2.0)


def look_around(guest: Guest) -> None:
    """The views, with the brightest source selected."""
    guest.select(max(guest.bench.document.scene.sources, key=lambda source: source.flux.sum()).id)
    guest.press("next_telescope")
    guest.press("look_at_data")
    guest.show_part(guest.widget.observations)
    guest.photograph(IMAGES / "main.png")
    guest.press("toggle_panels")
    guest.rest(1.0)
    guest.photograph(IMAGES / "panels.png", guest.canvas)
    guest.press("toggle_panels")
    guest.press("next_telescope")
    for view in ("data", "residual"):
        guest.press(f"look_at_{view}")
        guest.photograph(IMAGES / f"{'ground' if view == 'data' else view}.png", guest.canvas)
    guest.press("look_at_data")


def touch(guest: Guest) -> None:
    """What lies on the image: before and after while something is dragged, the menu of an outline, paint."""
    bench = guest.bench
    guest.press("next_telescope")
    guest.select(bench.document.scene.sources[1].id)
    y, x = bench.handles.layer.data[0]
    source = bench.document.selected[0]
    let_go = guest.drag((x, y), (x + 0.6 * (x - source.x), y + 0.6 * (y - source.y)))
    guest.wait(lambda: bench.dragging.pictures is not None, "The pictures before and after")
    guest.rest(0.5)
    guest.photograph(IMAGES / "dragging.png", guest.canvas)
    let_go()
    guest.press("undo")
    y, x = bench.handles.layer.data[2]
    menu = guest.open_menu(x, y)
    guest.photograph(IMAGES / "menu.png", guest.canvas, menu)
    menu.close()
    reach = 0.5 * source.radius
    for brush, dy in (("paint_belongs", 0.1), ("paint_nothing", 0.75)):
        guest.press(brush)
        guest.drag(
            (source.x - reach, source.y + dy * reach),
            (source.x, source.y + (dy + 0.2) * reach),
            (source.x + reach, source.y + dy * reach),
        )()
        guest.press(brush)
    guest.rest(0.5)
    guest.photograph(IMAGES / "painting.png", guest.canvas)
    guest.press("undo")
    guest.press("undo")


def look_into(guest: Guest) -> None:
    """Parts of the panel that are about one source."""
    bench, widget = guest.bench, guest.widget
    guest.select(max(bench.document.scene.sources, key=lambda source: source.flux.sum()).id)
    guest.do("show_constraints")
    guest.do("preset_irregular")
    guest.wait(lambda: bench.constraining.thumbnails is not None, "The constrained component")
    guest.wait(lambda: guest.is_answered, "The constrained model")
    guest.show_part(widget.constraints)
    guest.photograph(IMAGES / "constraints.png", widget.constraints)
    guest.press("undo")
    guest.fold_constraints()
    guest.press("show_parameters")
    guest.rest(1.0)
    guest.photograph(IMAGES / "parameters.png", widget.parameters)
    widget._parameters_fold.collapse(animate=False)
    guest.do("show_plots")
    guest.wait(lambda: bench.source_looks.look is not None, "The plots")
    guest.show_part(widget.source_plots)
    guest.photograph(IMAGES / "plots.png", widget.source_plots)
    guest.press("bound_colors")
    guest.rest(1.0)
    guest.show_part(widget.source_plots)
    guest.photograph(IMAGES / "colors.png", widget.source_plots)
    guest.press("undo")
    guest.do("show_plots")


def tour(guest: Guest) -> None:
    """A step of the tour."""
    guest.press("take_tour")
    for _ in range(5):
        guest.press("tour_skip")
    guest.rest(0.5)
    guest.photograph(IMAGES / "tour.png")
    guest.bench.tour.end()


PARTS = (look_around, touch, look_into, tour)
"""Of which some may be named, to make only their pictures."""


def main() -> int:
    os.environ.setdefault("QT_API", "pyqt5")
    chosen = [part for part in PARTS if part.__name__ in sys.argv] or list(PARTS)
    if UNATTENDED not in sys.argv:
        return on_virtual_display(__file__, UNATTENDED, *sys.argv[1:])
    with Guest() as guest:
        begin(guest)
        for part in chosen:
            part(guest)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
