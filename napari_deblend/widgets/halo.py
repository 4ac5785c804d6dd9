"""A frame around a widget, to say "this one": it takes no mouse, no keys and no room."""

from __future__ import annotations

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QRegion
from qtpy.QtWidgets import QWidget

COLOR = "#ff9f1c"
"""Seen on dark and on light."""
WIDTH = 3
"""[screen pix]"""


class Halo(QWidget):
    """Lies on its target, with a hole where the target is to be seen, and follows its size."""

    def __init__(self, target: QWidget) -> None:
        super().__init__(target)
        self.setObjectName("halo")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        target.installEventFilter(self)
        self._fit()
        self.show()
        self.raise_()

    @property
    def target(self) -> QWidget:
        """What it is around."""
        return self.parentWidget()

    def remove(self) -> None:
        """Be gone, also where the target is gone already."""
        if isalive(self):
            self.target.removeEventFilter(self)
            self.hide()
            self.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Resize and isalive(self):
            self._fit()
        return False

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(COLOR))
        painter.end()

    def _fit(self) -> None:
        outside = QRect(0, 0, self.target.width(), self.target.height())
        self.setGeometry(outside)
        inside = outside.adjusted(WIDTH, WIDTH, -WIDTH, -WIDTH)
        self.setMask(QRegion(outside).subtracted(QRegion(inside)))
