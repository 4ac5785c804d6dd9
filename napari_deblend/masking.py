"""Hiding pixels: painted with napari's own brush, eraser and polygon, each stroke an edit of the scene.

The layer shows what is hidden of the observation that is looked at; the document says it, and undo is the document's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from deblend import Observation, Scene
from napari_deblend.compat import is_mid_stroke, set_status
from napari_deblend.document import Change
from napari_deblend.status import ReadOut

if TYPE_CHECKING:
    from napari_deblend.machine import Machine
    from napari_deblend.workbench import Workbench

HIDDEN = 1
COLOR = "#ff6b6b"
OPACITY = 0.45
BRUSH = 5
"""Diameter at first [pix]."""
DRAWING = ("paint", "erase", "polygon", "fill")
"""Modes of the layer in which the mouse is its own."""


class Masking:
    """The layer of hidden pixels of one workbench; made when a person asks for it, or where something is hidden."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._observation = 0
        self._shown: np.ndarray | None = None
        self._is_wanted = True
        """False once a person has removed the layer."""
        self.layer: Labels | None = None
        bench.document.scene_changed.connect(self._on_scene)
        bench.layers.view_changed.connect(self._on_view)
        bench.viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._bench.viewer.layers.events.removed.disconnect(self._on_removed)

    @property
    def observation(self) -> Observation:
        """The one whose pixels are painted."""
        return self._bench.document.observations[self._bench.layers.seen_by]

    def open(self) -> None:
        """Begin anew, for other observations."""
        self._clear()
        self._is_wanted = True
        self.show()

    def show(self) -> None:
        """Show what the document says is hidden."""
        document = self._bench.document
        if not document.is_open:
            return
        hidden = document.scene.hidden_in(self.observation.channels[0])
        seen_by = self._bench.layers.seen_by
        if self.layer is not None and seen_by != self._observation:
            self._clear()
        if self.layer is None:
            if hidden is None or not self._is_wanted:
                return
            self._make()
        if hidden is not self._shown and self.layer is not None:
            self._shown = hidden
            self.layer.data = _labels(hidden, self.observation)

    def draw(self, mode: str) -> None:
        """Have the mouse hide pixels ("paint", "polygon") or uncover them ("erase"), or no longer where it does."""
        self._is_wanted = True
        if self.layer is None or self._observation != self._bench.layers.seen_by:
            self._clear()
            self._make()
        layer, markers = self.layer, self._bench.markers.layer
        assert layer is not None
        active = self._bench.viewer.layers.selection
        if str(layer.mode) == mode and active.active is layer:
            layer.mode = "pan_zoom"
            if markers is not None:
                active.active = markers
            self._bench.tell("The mouse chooses and moves sources again.")
            return
        active.active = layer
        layer.mode = mode
        said = {
            "paint": "Paint over the pixels to hide; [ and ] change the brush",
            "erase": "Paint over hidden pixels to have them back; [ and ] change the brush",
            "polygon": "Click the corners of what is to be hidden; Enter or a double click on the first closes it",
        }[mode]
        self._bench.tell(f"{said}. The same key ends it.")

    def clear_hidden(self) -> None:
        """Have all pixels of the observation back; raises ValueError where none is hidden."""
        document, channel = self._bench.document, self.observation.channels[0]
        if document.scene.hidden_in(channel) is None:
            raise ValueError(f"No pixel of {self.observation.name} is hidden by hand.")
        document.replace_scene(document.scene.hiding(channel, None), f"Uncover all of {self.observation.name}")

    def _make(self) -> None:
        bench = self._bench
        self._observation = bench.layers.seen_by
        observation = self.observation
        self._shown = bench.document.scene.hidden_in(observation.channels[0])
        layer = Labels(
            _labels(self._shown, observation),
            name="hidden pixels",
            opacity=OPACITY,
            colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", HIDDEN: COLOR}),
            **bench.layers.world.place(observation.grid),
        )
        layer.brush_size = BRUSH
        layer.events.paint.connect(self._on_painted)
        layer.events.labels_update.connect(self._on_updated)
        set_status(layer, ReadOut(layer, observation, None, bench.layers.world))
        # napari's own history of strokes would go where the document's does not
        layer.bind_key("Control-Z", lambda _: bench.document.undo(), overwrite=True)
        layer.bind_key("Control-Shift-Z", lambda _: bench.document.redo(), overwrite=True)
        self.layer = layer
        before = bench.viewer.layers.selection.active
        markers = bench.markers.layer
        # below the markers, which are what is clicked
        top = bench.viewer.layers.index(markers) if markers in bench.viewer.layers else len(bench.viewer.layers)
        bench.viewer.layers.insert(top, layer)
        layer.mode = "pan_zoom"
        bench.viewer.layers.selection.active = before

    def _on_updated(self, event: Any) -> None:
        """Take what is no stroke: a polygon."""
        if self.layer is not None and not is_mid_stroke(self.layer):
            self._on_painted(event)

    def _on_painted(self, event: Any) -> None:
        """Make a step of a stroke that is done."""
        layer, document = self.layer, self._bench.document
        if layer is None:
            return
        hidden = np.asarray(layer.data) == HIDDEN
        before = self._shown
        added = hidden if before is None else hidden & ~before
        if np.array_equal(hidden, np.zeros_like(hidden) if before is None else before):
            return
        verb = "Hide" if added.any() else "Uncover"
        count = int(np.count_nonzero(added if added.any() else before & ~hidden))
        channel = self.observation.channels[0]
        scene = document.scene.hiding(channel, hidden)
        # the layer shows it already
        self._shown = scene.hidden_in(channel)
        document.replace_scene(scene, f"{verb} {count} pixels of {self.observation.name}")

    def _on_scene(self, change: Change) -> None:
        if change is not Change.ANSWER and change is not Change.OPENED:
            self.show()

    def _on_view(self) -> None:
        if self._bench.layers.seen_by != self._observation:
            self.show()

    def _clear(self) -> None:
        layer, self.layer, self._shown = self.layer, None, None
        if layer is not None and layer in self._bench.viewer.layers:
            self._bench.viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is not None and event.value is self.layer:
            self.layer, self._shown, self._is_wanted = None, None, False


def is_drawing(layer: Any) -> bool:
    """Tell whether the mouse paints on a layer just now."""
    return isinstance(layer, Labels) and str(layer.mode) in DRAWING


def seen_by_machine(machine: Machine) -> tuple[Observation, ...]:
    """Return the observations of a machine without what a person has hidden of them."""
    return without_hidden(machine.observations, machine.scene)


def without_hidden(observations: tuple[Observation, ...], scene: Scene) -> tuple[Observation, ...]:
    """Return observations without what a person has hidden of them: what sources are looked for in."""
    pairs = [(observation, scene.hidden_in(observation.channels[0])) for observation in observations]
    return tuple(o if hidden is None else o.without(hidden) for o, hidden in pairs)


def draw_mask(mode: str) -> Callable[[Workbench], None]:
    """Return the action that has the mouse hide pixels, or uncover them."""

    def draw(bench: Workbench) -> None:
        if not bench.document.is_open:
            raise ValueError("No images are open; open FITS files first.")
        bench.masking.draw(mode)

    return draw


def uncover_all(bench: Workbench) -> None:
    """Have all pixels of the observation in view back."""
    if not bench.document.is_open:
        raise ValueError("No images are open; open FITS files first.")
    bench.masking.clear_hidden()


def _labels(hidden: np.ndarray | None, observation: Observation) -> np.ndarray:
    return np.zeros(observation.shape, np.uint8) if hidden is None else np.where(hidden, HIDDEN, 0).astype(np.uint8)
