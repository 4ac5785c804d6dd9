"""Painting for a source: what belongs to it, and where nothing of it is; each stroke an edit of the scene.

The layer shows what is painted for the source that was chosen last, on the pixels of the scene. While the mouse paints
fluxes follow, and all of a stroke is one step. The document says what is painted, and undo is the document's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from deblend import Scene, Source
from deblend.scene import Area
from napari_deblend.compat import is_mid_stroke, set_status
from napari_deblend.document import Change, named
from napari_deblend.status import ReadOut

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

OWN, NOTHING, STRIPE, OTHERS = 1, 2, 3, 4
"""Labels: what belongs to the source, where nothing of it is in two shades, and what belongs to others."""
COLORS = {OWN: "#2ec4b6", NOTHING: "#ff5d8f", STRIPE: "#3d0a1c", OTHERS: "#b8b8b8"}
"""Told apart by the color-blind, as one is striped and the others are not."""
OPACITY = 0.5
STRIPES = 3
"""Of so many diagonals one is dark."""
BRUSH, BRUSH_SHARE = 5, 0.03
"""Diameter at first [pix]."""
LIVE_INTERVAL = 0.06
"""Least time between two edits while the mouse paints [s]."""
LIVE_PIXELS = 2_000_000
"""Of larger scenes a stroke is taken when it is done."""


class Brush(Enum):
    """What the mouse paints."""

    BELONGS = OWN
    NOTHING = NOTHING
    ERASE = 0


SAID = {
    Brush.BELONGS: "Paint over what belongs to {}: no other source has free light there",
    Brush.NOTHING: "Paint over where nothing of {} is",
    Brush.ERASE: "Paint over what was painted for {} to erase it",
}
STEPS = {
    Brush.BELONGS: "Paint what belongs to {}",
    Brush.NOTHING: "Paint where nothing of {} is",
    Brush.ERASE: "Erase paint of {}",
}


class Painting:
    """The layer of what is painted for a source; made when a person paints, or where something is painted."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._shown: tuple[Area | None, ...] = ()
        self._source: str | None = None
        self._brush: Brush | None = None
        self._is_wanted = True
        """False once a person has removed the layer."""
        self._writing = False
        self._last_edit = 0.0
        self.layer: Labels | None = None
        bench.document.scene_changed.connect(self._on_scene)
        bench.document.selection_changed.connect(self.show)
        bench.viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._bench.viewer.layers.events.removed.disconnect(self._on_removed)

    def open(self) -> None:
        """Begin anew, for other observations."""
        self._clear()
        self._is_wanted = True
        self.show()

    @property
    def brush(self) -> Brush | None:
        """What the mouse paints now; None where it does not."""
        layer = self.layer
        is_on = layer is not None and str(layer.mode) in ("paint", "erase")
        is_active = self._bench.viewer.layers.selection.active is layer
        return self._brush if is_on and is_active else None

    @property
    def source(self) -> Source | None:
        """The one that is painted for: that which was chosen last."""
        document = self._bench.document
        return document.selected[-1] if document.is_open and document.selected else None

    def show(self) -> None:
        """Show what the document says is painted for the source that is chosen."""
        document = self._bench.document
        if not document.is_open:
            return
        source, areas = self.source, self._areas()
        if self.layer is None:
            if not any(area is not None for area in areas) or not self._is_wanted:
                return
            self._make()
        if areas != self._shown and self.layer is not None:
            self._shown = areas
            self._write(_labels(areas, document.scene.grid.shape))
        self._source = None if source is None else source.id
        if self.layer is not None and self.brush is not None and source is None:
            self._stop()

    def draw(self, brush: Brush) -> None:
        """Have the mouse paint for the selected source, or no longer where it does so; raises ValueError where it
        cannot."""
        bench, source = self._bench, self.source
        if self.brush is brush:
            self._stop()
            bench.tell("The mouse chooses and moves sources again.")
            return
        if source is None:
            raise ValueError("No source is selected; click the marker of the source to paint for first.")
        if source.is_locked:
            raise ValueError(f"Cannot paint for {named([source])}: locked; unlock first.")
        if brush is Brush.NOTHING and not source.can_be_barred:
            raise ValueError(
                f"{named([source]).capitalize()} is a {source.kind}: its light follows a profile and cannot end where "
                "it is painted out. Make it a galaxy or free-form first."
            )
        self._is_wanted = True
        if self.layer is None:
            self._make()
        layer = self.layer
        assert layer is not None
        bench.viewer.layers.selection.active = layer
        self._brush = brush
        layer.visible = True
        layer.selected_label = brush.value or OWN
        layer.mode = "erase" if brush is Brush.ERASE else "paint"
        bench.tell(f"{SAID[brush].format(named([source]))}; [ and ] change the brush. The same key ends it.")

    def forget(self) -> None:
        """Erase all that is painted for the selected sources; raises ValueError where nothing is."""
        document = self._bench.document
        painted = [s for s in document.selected if s.claimed is not None or s.barred is not None]
        if not painted:
            raise ValueError("Nothing is painted for what is selected.")
        scene = document.scene
        for source in painted:
            scene = scene.claiming(source.id, None).barring(source.id, None)
        document.replace_scene(scene, f"Erase all paint of {named(painted)}")

    # the layer ---------------------------------------------------------------------------------------------------

    def _areas(self) -> tuple[Area | None, ...]:
        """Return what belongs to the source, where nothing of it is, and what belongs to each of the others."""
        source = self.source
        if source is None:
            return ()
        others = (s.claimed for s in self._bench.document.scene.sources if s.id != source.id)
        return (source.claimed, source.barred, *(area for area in others if area is not None))

    def _make(self) -> None:
        bench = self._bench
        scene, observation = bench.document.scene, bench.document.observations[0]
        self._shown = self._areas()
        colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
        colors.update(COLORS.items())
        layer = Labels(
            _labels(self._shown, scene.grid.shape),
            name="painted",
            opacity=OPACITY,
            colormap=DirectLabelColormap(color_dict=colors),
            **bench.layers.world.place(scene.grid),
        )
        layer.brush_size = max(BRUSH, round(BRUSH_SHARE * min(scene.grid.shape)))
        layer.events.paint.connect(self._on_painted)
        layer.events.labels_update.connect(self._on_painting)
        set_status(layer, ReadOut(layer, observation, None, bench.layers.world))
        # napari's own history of strokes would go where the document's does not
        layer.bind_key("Control-Z", lambda _: bench.document.undo(), overwrite=True)
        layer.bind_key("Control-Shift-Z", lambda _: bench.document.redo(), overwrite=True)
        self.layer = layer
        before, markers = bench.viewer.layers.selection.active, bench.markers.layer
        # below the markers, which are what is clicked
        top = bench.viewer.layers.index(markers) if markers in bench.viewer.layers else len(bench.viewer.layers)
        bench.viewer.layers.insert(top, layer)
        layer.mode = "pan_zoom"
        bench.viewer.layers.selection.active = before

    def _write(self, labels: np.ndarray) -> None:
        assert self.layer is not None
        self._writing = True
        try:
            self.layer.data = labels
        finally:
            self._writing = False

    def _stop(self) -> None:
        markers = self._bench.markers.layer
        if self.layer is not None:
            self.layer.mode = "pan_zoom"
        self._brush = None
        if markers is not None:
            self._bench.viewer.layers.selection.active = markers

    # strokes -----------------------------------------------------------------------------------------------------

    def _on_painting(self, event: Any) -> None:
        """Follow a stroke that is not done, as often as the window has time for."""
        layer = self.layer
        if layer is None or self._writing or not is_mid_stroke(layer) or layer.data.size > LIVE_PIXELS:
            return
        now = time.perf_counter()
        if now - self._last_edit >= LIVE_INTERVAL:
            self._last_edit = now
            self._take(layer)

    def _on_painted(self, event: Any) -> None:
        """Make a step of a stroke that is done."""
        layer, document = self.layer, self._bench.document
        if layer is None or self._writing:
            return
        is_taken = self._take(layer)
        document.commit()
        self._last_edit = 0.0
        if is_taken:
            # stripes, and what belongs to others where that was erased
            self._shown = self._areas()
            self._write(_labels(self._shown, document.scene.grid.shape))

    def _take(self, layer: Labels) -> bool:
        """Take what the layer shows into the scene; return whether that could be."""
        document, source = self._bench.document, self.source
        if source is None or self._brush is None:
            self._shown = ()
            self.show()
            return False
        labels = np.asarray(layer.data)
        own, nothing = labels == OWN, (labels == NOTHING) | (labels == STRIPE)
        if not document.in_gesture:
            document.begin(STEPS[self._brush].format(named([source])))
        try:
            scene = _painted(document.scene, source, own, nothing)
        except ValueError as error:
            document.abandon()
            self._bench.tell(str(error))
            self._shown = ()
            self.show()
            return False
        if scene is not document.scene:
            new = scene[source.id]
            # the layer shows it already
            self._shown = (new.claimed, new.barred, *self._areas()[2:])
            document.replace_scene(scene, "")
        return True

    def _on_scene(self, change: Change) -> None:
        if change is not Change.OPENED:
            self.show()

    def _clear(self) -> None:
        layer, self.layer, self._shown, self._brush = self.layer, None, (), None
        if layer is not None and layer in self._bench.viewer.layers:
            self._bench.viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is not None and event.value is self.layer:
            self.layer, self._shown, self._brush, self._is_wanted = None, (), None, False


def _painted(scene: Scene, source: Source, own: np.ndarray, nothing: np.ndarray) -> Scene:
    """Return the scene with these pixels painted for a source, and no others; the same one where they are so."""
    shape = scene.grid.shape
    if not np.array_equal(nothing, _on(source.barred, shape)):
        scene = scene.barring(source.id, nothing)
    if not np.array_equal(own, _on(scene[source.id].claimed, shape)):
        scene = scene.claiming(source.id, own)
    return scene


def _on(area: Area | None, shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape, bool) if area is None else area.on(shape)


def _labels(areas: tuple[Area | None, ...], shape: tuple[int, int]) -> np.ndarray:
    """Return labels of what belongs to a source, where nothing of it is, and what belongs to others."""
    result = np.zeros(shape, np.uint8)
    if not areas:
        return result
    own, nothing, *others = areas
    for area in others:
        result[_on(area, shape)] = OTHERS
    result[_on(own, shape)] = OWN
    if nothing is not None:
        rows, columns = np.nonzero(nothing.on(shape))
        result[rows, columns] = np.where((rows + columns) % STRIPES == 0, STRIPE, NOTHING)
    return result


# actions ---------------------------------------------------------------------------------------------------------


def paint(brush: Brush) -> Callable[[Workbench], None]:
    """Return the action that has the mouse paint for the selected source."""

    def start(bench: Workbench) -> None:
        if not bench.document.is_open:
            raise ValueError("No images are open; open FITS files first.")
        bench.painting.draw(brush)

    return start


def forget_paint(bench: Workbench) -> None:
    """Erase all that is painted for the selected sources."""
    if not bench.document.is_open:
        raise ValueError("No images are open; open FITS files first.")
    bench.painting.forget()
