"""What the window shows follows the document: the machine is told of edits, markers and layers of what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deblend.document import Change
from napari_deblend.runner import Phase

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

UNSEEN = 0.03
"""Markers of a running fit are not moved for less than this [pix]: it costs milliseconds and is not seen."""


class Showing:
    """Links the document of one workbench with its layers, both ways."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        bench.document.scene_changed.connect(self._on_scene)
        bench.document.selection_changed.connect(self._on_selection)
        bench.layers.wanted_changed.connect(self._on_wanted)
        bench.layers.view_changed.connect(self._on_view)
        bench.layers.component_chosen.connect(self._on_component)

    def arrange_window(self) -> None:
        """Turn the window as the sky lies, and have all of it in view."""
        bench, viewer = self._bench, self._bench.viewer
        viewer.scene.camera.orientation2d = bench.layers.world.orientation
        viewer.canvas.overlays.scale_bar.visible = True
        caption = viewer.canvas.overlays.text
        caption.position, caption.font_size, caption.visible = "top_left", 12, True
        viewer.fit_to_view()
        if bench.markers.layer is not None:
            viewer.layers.selection.active = bench.markers.layer

    def _on_scene(self, change: Change) -> None:
        bench = self._bench
        is_edit = change in (Change.EDIT, Change.LIVE) and bench.runner is not None
        if is_edit and bench.runner is not None:
            bench.runner.edit(bench.document.revision, bench.document.scene)
            bench.curtain.down()
            bench.pulse.look_soon()
        elif change is not Change.ANSWER:
            bench.refreshed.emit()
        bench.layers.set_sources([source.id for source in bench.document.scene.sources])
        tolerance = 0.0 if bench.phase is not Phase.RUNNING or is_edit else UNSEEN
        bench.markers.show(tolerance)
        bench.handles.show(tolerance)
        bench.paths.show(tolerance)
        bench.known_stars.show()
        bench.pulse.settle_later()

    def _on_selection(self) -> None:
        bench = self._bench
        bench.markers.show_selection()
        bench.handles.show()
        if bench.document.selection and bench.layers.shows_components:
            bench.layers.show_component(bench.document.selection[-1])

    def _on_wanted(self) -> None:
        if self._bench.runner is not None:
            self._bench.runner.want(self._bench.layers.wanted)
            self._bench.pulse.look_soon()

    def _on_view(self) -> None:
        if not self._bench.cutting.is_of_file:
            self._bench.viewer.canvas.overlays.text.text = self._bench.layers.caption

    def _on_component(self, source_id: str) -> None:
        document = self._bench.document
        if not document.selection or document.selection[-1] != source_id:
            document.select([source_id])
