"""The markers once more in every panel but that of the data, where the layer of sources is.

A layer of napari lies in one cell of the grid alone; these are drawn beside the layers, so that the layer list and all
that goes by it stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from vispy.color import ColorArray
from vispy.scene.visuals import Markers as DrawnMarkers

from napari_deblend.compat import main_window, panel_scenes
from napari_deblend.markers import COLORS, OWN_SYMBOL, SYMBOLS

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

SIZE, EDGE, CHOSEN_EDGE = 13, 1.3, 2.6
"""Of a marker and of its line, and of the line of one that is selected [screen pix]."""
CHOSEN = "#ffffff"
"""How selected ones are drawn, as napari frames them in its own layers."""
ABOVE = 1000
"""Where they are among what is drawn: over all pictures."""


class PanelMarkers:
    """Draws the sources in the panels of one workbench while its canvas is divided."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._drawn: list[DrawnMarkers] = []
        # napari makes the panels anew when they lie otherwise, after others have heard of it
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)
        for signal in (bench.document.scene_changed, bench.document.selection_changed, bench.layers.view_changed):
            signal.connect(self.draw_soon)
        bench.markers.removed.connect(self.draw_soon)
        bench.viewer.canvas.events.size.connect(self.draw_soon)

    def disconnect(self) -> None:
        """Let the window go."""
        self._timer.stop()
        self._bench.viewer.canvas.events.size.disconnect(self.draw_soon)
        self.clear()

    @property
    def drawn(self) -> tuple[DrawnMarkers, ...]:
        """What is drawn, a visual for each of the panels but the first."""
        return tuple(self._drawn)

    def draw_soon(self, *_: Any) -> None:
        """Draw the sources as they are, once the window has done what it is at."""
        if self._bench.panels.is_on or self._drawn:
            self._timer.start(0)

    def clear(self) -> None:
        """Draw none any more."""
        while self._drawn:
            self._drawn.pop().parent = None

    def _draw(self) -> None:
        bench, layer = self._bench, self._bench.markers.layer
        sources = [s for s in bench.document.scene.sources if bench.layers.shows(s)] if bench.document.is_open else []
        if not bench.panels.is_on or layer is None or not layer.visible or not sources:
            self.clear()
            return
        scenes = panel_scenes(bench.viewer)[1:]
        while len(self._drawn) > len(scenes):
            self._drawn.pop().parent = None
        while len(self._drawn) < len(scenes):
            drawn = DrawnMarkers(scaling="fixed")
            drawn.order = ABOVE
            drawn.set_gl_state(depth_test=False, blend=True, blend_func=("src_alpha", "one_minus_src_alpha"))
            self._drawn.append(drawn)
        world = np.array([layer.data_to_world((s.y, s.x))[-2:] for s in sources])
        chosen = np.isin([s.id for s in sources], bench.document.selection)
        colors = [
            CHOSEN if is_chosen else COLORS[s.center.status] for s, is_chosen in zip(sources, chosen, strict=True)
        ]
        for drawn, scene in zip(self._drawn, scenes, strict=True):
            drawn.set_data(
                # a scene has x before y
                pos=world[:, ::-1],
                symbol=[SYMBOLS.get(s.kind, OWN_SYMBOL) for s in sources],
                size=SIZE,
                edge_width=np.where(chosen, CHOSEN_EDGE, EDGE),
                edge_color=ColorArray(colors),
                face_color="transparent",
            )
            if drawn.parent is not scene:
                drawn.parent = scene
