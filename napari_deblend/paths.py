"""The paths of what moves: a line each, from its first epoch to its last, through the markers."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Vectors

from deblend import Scene
from napari_deblend.compat import unwrap
from napari_deblend.document import Document
from napari_deblend.world import World

COLOR = "#4cc9f0"
WIDTH = 0.5
"""[pix of the scene]"""


class Paths:
    """A layer of lines while something moves; it is no part of the document."""

    def __init__(self, viewer: Any, document: Document) -> None:
        self._viewer, self._document = unwrap(viewer), document
        self._world = World(None)
        self._removed_for: frozenset[str] = frozenset()
        """What moved when a person removed the layer: it comes back when something else does."""
        self._lines = np.zeros((0, 2, 2))
        self.layer: Vectors | None = None
        self._viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def open(self, world: World) -> None:
        """Begin anew, on the grid of the document's scene."""
        self._clear()
        self._world, self._removed_for = world, frozenset()

    def show(self, tolerance: float = 0.0) -> None:
        """Show where all that moves goes, where that differs from what is shown by more than `tolerance` [pix]."""
        scene = self._document.scene
        tracks = frozenset(source.track.id for source in scene.sources if source.track is not None)
        lines = lines_of(scene) if tracks else np.zeros((0, 2, 2))
        if not len(lines):
            self._clear()
        elif self.layer is None:
            if tracks != self._removed_for:
                self._make(lines, scene)
        elif lines.shape != self._lines.shape or np.abs(lines - self._lines).max() > tolerance:
            self.layer.data = self._lines = lines

    def _make(self, lines: np.ndarray, scene: Scene) -> None:
        active = self._viewer.layers.selection.active
        self.layer = Vectors(
            lines,
            name="paths",
            edge_color=COLOR,
            edge_width=WIDTH,
            vector_style="line",
            opacity=0.7,
            **self._world.place(scene.grid),
        )
        self._lines = lines
        # below the markers, which are what is clicked
        top = len(self._viewer.layers)
        self._viewer.layers.insert(max(top - 1, 0), self.layer)
        self._viewer.layers.selection.active = active

    def _clear(self) -> None:
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self._removed_for = frozenset(s.track.id for s in self._document.scene.sources if s.track is not None)


def lines_of(scene: Scene) -> np.ndarray:
    """Return from where and how far everything that moves goes, (line, 2, 2) as (y, x) [pix of the scene]."""
    lines = []
    for track, motion in scene.motions.items():
        times = [s.track.time for s in scene.sources if s.track is not None and s.track.id == track]
        start, end = (np.array(motion.at(time)[::-1]) for time in (min(times), max(times)))
        lines.append((start, end - start))
    return np.array(lines, float).reshape(-1, 2, 2)
