"""One drawing per edit: the canvas waits for the answer, so that marker and model move together.

An edit moves markers at once and pixels some ten milliseconds later; drawn separately each costs a whole drawing of
the canvas, and the second waits for the first. Where the answer takes long, the canvas is drawn without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer

from napari_deblend.compat import canvas_of, main_window

PATIENCE = 150
"""How long the canvas waits at most [ms]."""


class Curtain:
    """Holds the drawing of a viewer's canvas between an edit and its answer."""

    def __init__(self, viewer: Any, impatient: Callable[[], None]) -> None:
        """Call `impatient` before the canvas is drawn without the answer."""
        self._impatient = impatient
        self._canvas = canvas_of(viewer)
        self._is_down = False
        self._is_owed = False
        self._timer = QTimer(main_window(viewer))
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timeout)
        self._canvas.events.draw.connect(self._on_draw)

    def disconnect(self) -> None:
        self.up()
        self._canvas.events.draw.disconnect(self._on_draw)

    def down(self) -> None:
        """Draw nothing until `up`; not before the last answer has been drawn, or a fast hand would see none."""
        if not self._is_down and not self._is_owed:
            self._is_down = True
            self._canvas.native.setUpdatesEnabled(False)
            self._timer.start(PATIENCE)

    def up(self) -> None:
        """Draw what has changed meanwhile."""
        self._timer.stop()
        if self._is_down:
            self._is_down, self._is_owed = False, True
            self._canvas.native.setUpdatesEnabled(True)
            self._canvas.native.update()

    def _on_timeout(self) -> None:
        self._impatient()
        self.up()

    def _on_draw(self, event: Any) -> None:
        self._is_owed = False
