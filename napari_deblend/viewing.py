"""Actions on what is looked at, for keys and the command palette."""

from __future__ import annotations

from collections.abc import Callable

from napari_deblend.views import View
from napari_deblend.workbench import Workbench


def look(view: View) -> Callable[[Workbench], None]:
    """Return the action that shows one of data, model, residual and component."""

    def look_at(bench: Workbench) -> None:
        if view is View.ISOLATED and bench.document.selection:
            bench.isolating.look()
            return
        bench.layers.look_at(view)
        if view is View.COMPONENT and bench.document.selection:
            bench.layers.show_component(bench.document.selection[-1])

    return look_at


def blink(bench: Workbench) -> None:
    """Switch between data and model."""
    bench.layers.look_at(View.MODEL if bench.layers.view is View.DATA else View.DATA)


def next_view(bench: Workbench) -> None:
    views = [view for view in View if view is not View.ISOLATED or bench.layers.isolated.source_ids]
    look(views[(views.index(bench.layers.view) + 1) % len(views)])(bench)


def next_telescope(bench: Workbench) -> None:
    """Look through the next observation, in the same view."""
    bench.layers.look_through(bench.layers.seen_by + 1)


def toggle_color(bench: Workbench) -> None:
    """Switch data and model between one band and the color of all."""
    bench.layers.look_at(color=not bench.layers.color)


def toggle_color_bar(bench: Workbench) -> None:
    """Show how brightness goes with value beside every picture that is not in color, or no longer."""
    layers = [layer for layer in bench.layers if not layer.rgb]
    if not layers:
        raise ValueError("There are no pictures; open FITS files first.")
    wanted = not any(layer.colorbar.visible for layer in layers)
    for layer in layers:
        layer.colorbar.visible = wanted
    if wanted and bench.layers.role.is_color:
        bench.tell("Color bars are shown for single bands; H switches to them.")
