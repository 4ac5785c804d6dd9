"""Data, model, residual and the chosen source side by side, with one camera: what is panned or zoomed goes for all.

The canvas is divided as napari's grid mode does it, into cells that share camera, sliders and world; which layer is in
which cell goes by what it shows. Markers are over all of them, handles over the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_deblend.compat import arranging, divide_canvas, set_title, undivide_canvas
from napari_deblend.ownership import called
from napari_deblend.views import PANELS, View

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

SHAPES = ((1, 4), (2, 2), (4, 1))
"""Rows and columns that four panels can have."""
GAP = 4
"""Between two panels [screen pix]."""
LONG = 26
"""Letters in a title, beyond which its unit has no room in a cell."""


class Panels:
    """Divides the canvas of one workbench while all views are looked at together."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._before: tuple[View, Any, float] | None = None
        """View, camera's center and its zoom before the canvas was divided; None while it is not."""
        self._titled: list[Image] = []
        bench.layers.view_changed.connect(self._on_view)
        bench.layers.emptied.connect(self._end)
        bench.document.selection_changed.connect(self._write_titles)
        bench.document.scene_changed.connect(self._write_titles)
        bench.viewer.canvas.events.size.connect(self._lay_out)
        bench.viewer.canvas.grid.events.enabled.connect(self._on_grid)

    def disconnect(self) -> None:
        """Let the window go."""
        self._bench.viewer.canvas.events.size.disconnect(self._lay_out)
        self._bench.viewer.canvas.grid.events.enabled.disconnect(self._on_grid)

    @property
    def is_on(self) -> bool:
        return self._before is not None

    @property
    def pointed(self) -> View:
        """The view under the pointer; of panels that of the data where it is between two."""
        bench = self._bench
        cell, grid = bench.viewer.cursor.viewbox, bench.viewer.canvas.grid
        if not self.is_on or cell is None:
            return bench.layers.view
        contents = grid.contents_at(tuple(cell), bench.viewer.layers)
        views = [bench.layers.view_of(bench.viewer.layers[index]) for index in contents]
        return next((view for view in views if view is not None), View.DATA)

    def begin(self) -> None:
        """Have all views side by side, with as much of the sky in each as there was in the one."""
        bench, viewer = self._bench, self._bench.viewer
        if not bench.document.is_open or not len(bench.layers):
            raise ValueError("No images are open; open FITS files first.")
        if self.is_on:
            return
        camera, whole = viewer.scene.camera, self._fit((1, 1))
        before = bench.layers.view, camera.center, camera.zoom
        if bench.document.selection:
            bench.layers.show_component(bench.document.selection[-1])
        with arranging(viewer):
            bench.layers.spread()
            shape = self._best_shape
            divide_canvas(viewer, self._cell, shape, GAP)
            self._before = before
            camera.zoom *= self._fit(shape) / whole
        # what stands over cells needs them to be there
        viewer.canvas.overlays.text.visible = False
        bench.panel_markers.draw_soon()
        self._write_titles()

    def end(self) -> None:
        """Look at one view alone again: the one from before, as it was."""
        if self._before is not None:
            self._bench.layers.look_at(self._before[0])

    def _on_view(self) -> None:
        if self.is_on and not self._bench.layers.is_spread:
            self._end()
        self._write_titles()

    def _on_grid(self) -> None:
        """Follow napari's own button of the grid."""
        if not self._bench.viewer.canvas.grid.enabled:
            self.end()

    def _end(self) -> None:
        before, self._before = self._before, None
        if before is None:
            return
        viewer = self._bench.viewer
        self._bench.panel_markers.clear()
        with arranging(viewer):
            undivide_canvas(viewer)
            _, viewer.scene.camera.center, viewer.scene.camera.zoom = before
            viewer.canvas.overlays.text.visible = True
            self._write_titles()

    def _cell(self, layer: Any) -> int:
        """Return in which cell a layer is; what is not a picture of ours is over the data."""
        compared = self._bench.comparing.layer
        view = View.RESIDUAL if layer is compared and compared is not None else self._bench.layers.view_of(layer)
        return PANELS.index(view) if view in PANELS else 0

    # how they lie ------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Have the panels lie as suits the canvas, which has another size now."""
        grid = self._bench.viewer.canvas.grid
        if self.is_on and grid.enabled and tuple(grid.shape) != self._best_shape:
            grid.shape = self._best_shape

    @property
    def _best_shape(self) -> tuple[int, int]:
        """Rows and columns with which the pictures are largest."""
        return max(SHAPES, key=self._fit)

    def _fit(self, shape: tuple[int, int]) -> float:
        """Return the zoom at which the image in view fits into a panel [screen pix / world unit]."""
        layers = self._bench.layers
        grid = layers.observations[layers.seen_by].grid
        height, width = grid.shape
        corners = np.array([(y, x, 1.0) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)])
        extent = np.ptp((corners @ layers.world.affine(grid).T)[:, :2], axis=0)
        return float(np.min(np.array(self._bench.viewer.canvas.size) / shape / extent))

    # what stands over them ----------------------------------------------------------------------------------------

    def name_compared(self) -> None:
        """Say in its panel which of two states that are compared is seen."""
        if self.is_on:
            self._write_titles()

    def _write_titles(self) -> None:
        shown = [layer for layer in self._bench.layers if layer.visible] if self.is_on else []
        for layer in self._titled:
            if not any(layer is other for other in shown):
                set_title(layer, "")
        for layer in shown:
            view = self._bench.layers.view_of(layer)
            if view is not None:
                set_title(layer, self._title(view))
        self._titled = shown

    def _title(self, view: View) -> str:
        bench = self._bench
        if bench.comparing.shows_in(view):
            return bench.comparing.caption
        caption = bench.layers.caption_of(view)
        if view is not View.DATA:
            # of which telescope it is stands over the data
            caption = caption.replace(f" · {bench.layers.observations[bench.layers.seen_by].name}", "", 1)
        if view is not View.COMPONENT:
            return caption if len(caption) <= LONG else caption.split(" [")[0]
        sources, row = bench.document.scene.sources, bench.layers.component_row
        if row >= len(sources):
            return "No source yet"
        # the unit is that of the data beside it; for a long name there is no more room
        return f"{called(sources[row])} alone{caption.removeprefix(view.value).split(' [')[0]}"


# actions ---------------------------------------------------------------------------------------------------------


def toggle_panels(bench: Workbench) -> None:
    """Look at data, model, residual and the chosen source side by side, or at one of them again."""
    if bench.panels.is_on:
        bench.panels.end()
    else:
        bench.panels.begin()
