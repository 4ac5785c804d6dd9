"""The mouse by keys: a crosshair that the arrow keys move, and Space presses and lets go.

Whatever a person does with the mouse on the image is done so without one: placing, dragging, painting, going around
sources. The canvas gets the same events as from a mouse, so that nothing else needs to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QApplication, QWidget

from napari_deblend.compat import canvas_of

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

STEP, FINE_STEP = 10, 1
"""How far an arrow key moves the pointer, and with Shift [screen pix]."""
ARM, GAP = 14, 4
"""Of the crosshair: from where to where its arms reach [screen pix]."""
ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}
BEGUN = (
    "The arrow keys move the pointer, with Shift finely; Space presses and lets go, as the mouse does, with Shift or "
    "Ctrl too; Esc gives the keys back."
)
ENDED = "The keys are as before."


class Crosshair(QWidget):
    """Where the pointer is; the mouse sees through it."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("key pointer")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFixedSize(2 * ARM + 1, 2 * ARM + 1)
        self.is_pressed = False

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        # light on dark, seen on any picture
        for color, width in ((Qt.GlobalColor.black, 4), (Qt.GlobalColor.yellow, 2)):
            painter.setPen(QPen(color, width))
            for dx, dy in ARROWS.values():
                painter.drawLine(ARM + GAP * dx, ARM + GAP * dy, ARM + (ARM - 2) * dx, ARM + (ARM - 2) * dy)
            if self.is_pressed:
                painter.drawEllipse(ARM - GAP, ARM - GAP, 2 * GAP, 2 * GAP)


class KeyPointer(QObject):
    """The pointer that keys move, over the canvas of one workbench; only while it is on it takes any key."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._canvas: QWidget = canvas_of(bench.viewer).native
        self._crosshair: Crosshair | None = None
        self._place = QPointF()

    @property
    def is_on(self) -> bool:
        return self._crosshair is not None

    def toggle(self) -> None:
        """Have keys move the pointer, from the selected source or the middle of the image; or no longer."""
        if self.is_on:
            self.end()
        else:
            self._begin()

    def end(self) -> None:
        """Let go of what is held, and of the keys."""
        crosshair = self._crosshair
        if crosshair is None:
            return
        if crosshair.is_pressed:
            self._press_or_let_go(Qt.KeyboardModifier.NoModifier)
        self._crosshair = None
        self._canvas.removeEventFilter(self)
        crosshair.deleteLater()
        self._bench.tell(ENDED)

    def _begin(self) -> None:
        self._crosshair = Crosshair(self._canvas)
        self._crosshair.show()
        self._canvas.installEventFilter(self)
        self._canvas.setFocus()
        self._move_to(self._start)
        self._bench.tell(BEGUN)

    @property
    def _start(self) -> QPointF:
        bench, selected = self._bench, self._bench.document.selected if self._bench.document.is_open else ()
        middle = QPointF(self._canvas.rect().center())
        layer = bench.markers.layer
        if not selected or layer is None or bench.panels.is_on:
            return middle
        world = layer.data_to_world((selected[-1].y, selected[-1].x))
        view = canvas_of(bench.viewer).view
        x, y = (view.transform * view.scene.transform).map([world[-1], world[-2]])[:2]
        place = QPointF(float(x), float(y))
        return place if self._canvas.rect().contains(place.toPoint()) else middle

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the keys that are the pointer's, before the canvas gets them."""
        if not isinstance(event, QKeyEvent) or event.type() not in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            return False
        key = Qt.Key(event.key())
        if key not in (*ARROWS, Qt.Key.Key_Space, Qt.Key.Key_Escape):
            return False
        if event.type() == QEvent.Type.KeyRelease:
            return True
        if key == Qt.Key.Key_Escape:
            self.end()
        elif key == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self._press_or_let_go(event.modifiers())
        else:
            step = FINE_STEP if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else STEP
            dx, dy = ARROWS[key]
            self._move_to(self._place + QPointF(step * dx, step * dy))
        return True

    def _move_to(self, place: QPointF) -> None:
        crosshair = self._crosshair
        assert crosshair is not None, "it is on"
        inside = self._canvas.rect()
        self._place = QPointF(
            min(max(place.x(), inside.left()), inside.right()), min(max(place.y(), inside.top()), inside.bottom())
        )
        crosshair.move(round(self._place.x()) - ARM, round(self._place.y()) - ARM)
        held = Qt.MouseButton.LeftButton if crosshair.is_pressed else Qt.MouseButton.NoButton
        self._send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton, held, Qt.KeyboardModifier.NoModifier)

    def _press_or_let_go(self, modifiers: Qt.KeyboardModifier) -> None:
        crosshair = self._crosshair
        assert crosshair is not None, "it is on"
        crosshair.is_pressed = not crosshair.is_pressed
        crosshair.update()
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        if crosshair.is_pressed:
            self._send(QEvent.Type.MouseButtonPress, left, left, modifiers)
        else:
            self._send(QEvent.Type.MouseButtonRelease, left, none, modifiers)

    def _send(
        self, kind: QEvent.Type, button: Qt.MouseButton, held: Qt.MouseButton, modifiers: Qt.KeyboardModifier
    ) -> None:
        # of those that carry where on the screen it is, vispy asks for none
        event = QMouseEvent(kind, self._place, self._place, button, held, modifiers)
        QApplication.sendEvent(self._canvas, event)


def toggle_key_pointer(bench: Workbench) -> None:
    """Have keys move the pointer over the image, and press and let go; or no longer."""
    bench.key_pointer.toggle()
