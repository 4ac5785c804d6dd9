"""The way in: a dock that is there at once, and what belongs into it once its code has been read from disk.

The engine and its libraries take seconds to be imported. A thread imports them, so that the window answers meanwhile.
Nothing here may import any of them.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

logger = logging.getLogger(__name__)

BEHIND = "napari_deblend.widgets.dock"
HEAVY = "napari_deblend.workbench", "Workbench"
"""A module that imports nearly all that takes long, and the name that is there once it has."""
WIDTH = 420
"""[screen pix]"""


class DeblendDock:
    """What napari calls for the dock: gives the widget itself where its code is loaded, else one that becomes it."""

    def __new__(cls, napari_viewer: Viewer) -> QWidget:
        module, name = HEAVY
        return _widget(napari_viewer) if hasattr(sys.modules.get(module), name) else Door(napari_viewer)

    def __init__(self, napari_viewer: Viewer) -> None:
        """napari looks here for what it has to hand over."""


class Door(QWidget):
    """A dock that says that it is getting ready, and then holds the widget."""

    _arrived = Signal()

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._fault = ""
        self.widget: QWidget | None = None
        """What it is there for; None until it is ready."""
        self.label = QLabel("Getting ready…")
        self.label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.label.setWordWrap(True)
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.setTextVisible(False)
        column = QVBoxLayout(self)
        column.addStretch(1)
        column.addWidget(self.label)
        column.addWidget(self._bar)
        column.addStretch(2)
        self.setMinimumWidth(WIDTH)
        self._arrived.connect(self._open)
        # only once it can be seen: importing leaves the window little time
        QTimer.singleShot(0, self._begin)

    def _begin(self) -> None:
        threading.Thread(target=self._load, name="deblend-import", daemon=True).start()

    def _load(self) -> None:
        try:
            importlib.import_module(BEHIND)
        except Exception as error:
            logger.exception("%s could not be imported", BEHIND)
            self._fault = f"Deblend cannot be opened: {error}. Install it anew, with all that it needs."
        # a viewer that was closed meanwhile has no place for it
        if isalive(self):
            self._arrived.emit()

    def _open(self) -> None:
        self._bar.hide()
        if self._fault:
            self.label.setText(self._fault)
            return
        column = self.layout()
        while (item := column.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().deleteLater()
        self.widget = _widget(self._viewer)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.widget)
        # it knows itself how much it takes
        self.setMinimumWidth(0)


def _widget(viewer: Viewer) -> QWidget:
    widget: QWidget = importlib.import_module(BEHIND).DeblendWidget(viewer)
    return widget
