"""Small pieces that the sections share: buttons of actions, a row of widgets, links that end with their widget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QEvent, QPointF, QSize, Qt
from qtpy.QtGui import QIcon, QPainter, QPalette, QPixmap, QPolygonF, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_deblend.actions import ACTIONS, perform
from napari_deblend.keys import qt_text
from napari_deblend.widgets.ink import Ink, write_in
from napari_deblend.workbench import Workbench

HEADING = """
QPushButton { background: transparent; border: none; font-weight: bold; text-align: left; padding: 4px 2px; }
QPushButton:checked { background: transparent; }
QPushButton:hover { color: #1f9bc9; }
"""
TRIANGLE = 11
"""Side of the mark of what can be folded away [screen pix]."""


NAMELESS = (QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit)
"""What has no words of its own to say what it is."""


class Links:
    """Connections to signals that outlive a widget; they are ended when Qt deletes it."""

    def __init__(self) -> None:
        self._links: list[tuple[SignalInstance, Callable[..., Any]]] = []

    def connect(self, signal: SignalInstance, slot: Callable[..., Any]) -> None:
        """Call `slot` at every signal until the links end."""
        signal.connect(slot)
        self._links.append((signal, slot))

    def end(self, *_: Any) -> None:
        for signal, slot in self._links:
            signal.disconnect(slot, missing_ok=True)
        self._links.clear()


class Section(QWidget):
    """A part of the dock, on one workbench."""

    title = ""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.bench = bench
        self.links = Links()
        self.destroyed.connect(partial(self.links.end))
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(2, 2, 2, 6)
        self.column.setSpacing(6)

    def listen(self, signal: SignalInstance, slot: Callable[..., Any]) -> None:
        """Call `slot` at every signal while this widget lives."""
        self.links.connect(signal, slot)


class Fold(QCollapsible):
    """A part that can be folded away; its triangle has the color of its words, whatever the theme."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.toggleButton().setIconSize(QSize(TRIANGLE, TRIANGLE))
        self._draw_triangles()

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw_triangles()

    def expand(self, animate: bool = True) -> None:
        self.content().show()
        super().expand(animate)

    def collapse(self, animate: bool = True) -> None:
        """Fold away and hide: what has no height is visible to Qt, and painted and asked for at every change."""
        super().collapse(animate=False)
        self.content().hide()

    def write_in(self, ink: Ink, style: str) -> None:
        """Have the heading in a color and a style."""
        self.toggleButton().setStyleSheet(style)
        write_in(self.toggleButton(), ink)

    def _draw_triangles(self) -> None:
        self.setCollapsedIcon(self._triangle(((0.3, 0.1), (0.8, 0.5), (0.3, 0.9))))
        self.setExpandedIcon(self._triangle(((0.1, 0.3), (0.9, 0.3), (0.5, 0.8))))

    def _triangle(self, corners: Sequence[tuple[float, float]]) -> QIcon:
        """Return a triangle, given in parts of its side, as sharp as the screen is."""
        ratio = self.devicePixelRatioF()
        picture = QPixmap(round(TRIANGLE * ratio), round(TRIANGLE * ratio))
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.palette().color(QPalette.ColorRole.WindowText))
        painter.drawPolygon(QPolygonF([QPointF(TRIANGLE * x, TRIANGLE * y) for x, y in corners]))
        painter.end()
        return QIcon(picture)


def fold(title: str, content: QWidget, open_: bool = True) -> Fold:
    """Return a part that can be folded away, with a quiet heading."""
    part = Fold(title)
    part.toggleButton().setStyleSheet(HEADING)
    part.layout().setContentsMargins(0, 0, 0, 0)
    part.content().layout().setContentsMargins(4, 0, 4, 0)
    part.addWidget(content)
    if open_:
        part.expand(animate=False)
    else:
        part.collapse(animate=False)
    return part


def action_button(bench: Workbench, name: str, text: str, object_name: str = "") -> QPushButton:
    """Return a button that performs an action; its tooltip says what it does, and its key."""
    action = ACTIONS[name]
    button = QPushButton(text)
    button.setObjectName(object_name or name)
    button.setToolTip(f"{action.title}  ({qt_text(action.key)})" if action.key else action.title)
    button.clicked.connect(lambda: perform(bench, name))
    return button


def typed_number(text: str, wanted: str) -> float:
    """Return a number that was typed; raises ValueError, saying what is `wanted`, where it is none."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{wanted}, got {text!r}.")
    return number


def call(widget: QWidget, name: str) -> None:
    """Give a widget without words of its own a name, for who does not see it: screen readers say it."""
    widget.setAccessibleName(name)


def row(*widgets: QWidget | None) -> QHBoxLayout:
    """Return widgets side by side; None is a gap that takes what is left. A label is the name of what comes next."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for label, widget in pairwise(widgets):
        if isinstance(label, QLabel) and isinstance(widget, NAMELESS) and not widget.accessibleName():
            call(widget, label.text())
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget)
    return layout


class Wrapped(QLabel):
    """Text that wraps and is never cut: it takes the height that its width asks for.

    Qt's layouts ask nested labels for their height at the width that they would like, and squeeze the last line of
    those that are narrower.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)

    def setText(self, text: str | None) -> None:
        super().setText(text)
        self._take_height()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._take_height()

    def _take_height(self) -> None:
        self.setMinimumHeight(max(self.heightForWidth(self.width()), 0))


class Still(QWidget):
    """Has a label, and always the same room for it.

    Qt lays a whole window out anew for every new text of a label, and puts it together anew for every layout; where
    numbers change with each picture, the picture waits for that.
    """

    def __init__(self, label: QLabel, lines: int = 1, widest: str = "") -> None:
        """Have room for a number of lines, as wide as `widest`, or as there is."""
        super().__init__()
        self._label, self._lines, self._widest = label, lines, widest
        label.setParent(self)
        across = QSizePolicy.Policy.Fixed if widest else QSizePolicy.Policy.Ignored
        self.setSizePolicy(across, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        metrics = self._label.fontMetrics()
        return QSize(metrics.horizontalAdvance(self._widest) + 4, self._lines * metrics.lineSpacing() + 4)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        # no layout: that would be told of every new text
        self._label.setGeometry(self.rect())


def prose(text: str = "") -> QLabel:
    """Return a label for sentences: wrapped, and copied with the mouse."""
    label = Wrapped(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
