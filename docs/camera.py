"""Pictures of the window as a person sees it, small enough to be kept with the text: of all of it, or of some parts.

The screen itself is photographed, so that menus are on it; it has to be a virtual one, where nothing else is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from demo import PROJECT, Director

MARGIN = 6
"""Around the parts that a picture is of [screen pix]."""
LARGE = 60_000
"""What pictures with all their colors may take [bytes]."""
COLORS = 200
"""Of larger ones; as many are hardly told from all, and take a quarter of the room."""
UPWARD = 6
"""How far below the upper end of the panel a part is brought [screen pix]."""


class Guest(Director):
    """Drives the window by mouse and keys, and photographs it."""

    def __init__(self) -> None:
        super().__init__()
        from qtpy.QtTest import QTest

        sys.path[:0] = [str(PROJECT)]
        from tests.plugin.conftest import Hands

        class Bot:
            """What `Hands` needs of pytest-qt, from Qt itself."""

            mousePress, mouseRelease = QTest.mousePress, QTest.mouseRelease
            keyClick, wait = QTest.keyClick, QTest.qWait

        self.hands = Hands(self.bench, Bot)
        self.told: list[str] = []
        self.bench.told.connect(self.told.append)

    def load(self, images: list[Path], psf: list[Path]) -> None:
        """Open files, and wait for their first picture."""
        self.bench.load([str(path) for path in images], psf=[str(path) for path in psf])
        self.wait(lambda: self.bench.document.is_open and self.is_answered, "Opening the files")
        self.rest(1.0)

    def fit(self) -> None:
        """Fit by its key, to the end."""
        self.press("fit_or_pause")
        self.wait(lambda: self.bench.runner.is_running, "The fit")
        self.finish_fit()
        self.rest(0.5)

    def press(self, action: str) -> None:
        """Press the key of an action, with the image in focus, and wait for the answer."""
        from qtpy.QtCore import Qt

        from napari_deblend.actions import ACTIONS

        names = {".": "Period", ",": "Comma", "[": "BracketLeft", "]": "BracketRight"}
        *modifiers, letter = ACTIONS[action].key.split("-")
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
        self.hands.key(getattr(Qt.Key, f"Key_{names.get(letter, letter)}"), held)
        self.rest(0.2)
        self.wait(lambda: not self.bench.document.is_open or self.is_answered, "The picture")

    def drag(self, start: tuple[float, float], *places: tuple[float, float], steps: int = 8) -> Callable[[], None]:
        """Drag along straight lines between pixels (x, y) of the scene; return what lets go."""
        self.hands.press(*start)
        before = np.array(start)
        for place in places:
            for share in np.linspace(0.0, 1.0, steps + 1)[1:]:
                self.hands.move(*(before + share * (np.array(place) - before)))
            before = np.array(place)
        self.rest(0.3)

        def let_go() -> None:
            self.hands.release(*before)
            self.wait(lambda: self.is_answered, "The picture")
            self.rest(0.3)

        return let_go

    def select(self, source_id: str) -> None:
        """Click the row of a source."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        view, model = self.widget.sources.view, self.widget.sources.model
        self.show_part(view)
        line = model.line(source_id)
        place = view.visualRect(model.index(line, 0)).center()
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        self.rest(0.3)

    def nearest(self, x: float, y: float) -> Any:
        """Return the source that is nearest to a pixel of the scene."""
        return min(self.bench.document.scene.sources, key=lambda s: float(np.hypot(s.x - x, s.y - y)))

    def open_menu(self, x: float, y: float) -> Any:
        """Open the menu of what is under the mouse, by its right button; return it."""
        from qtpy.QtCore import Qt
        from qtpy.QtGui import QCursor
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QMenu

        native, place = self.hands.native, self.hands.place(x, y)
        QCursor.setPos(native.mapToGlobal(place))
        for press in (QTest.mousePress, QTest.mouseRelease):
            press(native, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, place)
        self.rest(0.3)
        from napari_deblend.compat import main_window

        return main_window(self.viewer).findChild(QMenu, "source menu")

    def show_part(self, widget: Any) -> None:
        """Scroll the panel so that a part of it is at its upper end."""
        from qtpy.QtCore import QPoint
        from superqt import QCollapsible

        scroll = self.widget._scroll
        self.rest(0.2)
        # with the heading that it is below, if there is one
        heading = widget.parentWidget()
        while heading is not scroll.widget() and not isinstance(heading, QCollapsible):
            heading = heading.parentWidget()
        widget = widget if heading is scroll.widget() else heading
        top = widget.mapTo(scroll.widget(), QPoint(0, 0)).y()
        scroll.verticalScrollBar().setValue(max(top - UPWARD, 0))
        self.rest(0.3)

    def photograph(self, path: Path, *parts: Any) -> None:
        """Save a picture of parts of the window, of all of it where none is named."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification
        from PIL import Image
        from qtpy.QtCore import QPoint, QRect
        from qtpy.QtGui import QGuiApplication, QImage

        from napari_deblend.compat import main_window

        window = main_window(self.viewer)
        # napari greets PyQt5 with a warning, right where the scale bar is
        for toast in window.findChildren(NapariQtNotification):
            toast.close()
        self.rest(0.4)
        whole = QRect(window.mapToGlobal(QPoint(0, 0)), window.size())
        seen = QRect()
        for part in parts:
            around = QRect(part.mapToGlobal(QPoint(0, 0)), part.size())
            seen = seen.united(around.adjusted(-MARGIN, -MARGIN, MARGIN, MARGIN))
        seen = whole if seen.isNull() else seen.intersected(whole)
        shot = QGuiApplication.primaryScreen().grabWindow(0, seen.x(), seen.y(), seen.width(), seen.height())
        image = shot.toImage().convertToFormat(QImage.Format.Format_RGB888)
        bits = image.constBits()
        bits.setsize(image.sizeInBytes())
        lines = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
        pixels = lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(pixels.copy())
        picture.save(path, optimize=True)
        if path.stat().st_size > LARGE:
            few = picture.quantize(COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            few.save(path, optimize=True)
        print(f"{path.name}: {image.width()} × {image.height()}, {path.stat().st_size / 1024:.0f} kB", flush=True)

    @property
    def canvas(self) -> Any:
        """The widget of the image."""
        return self.hands.native
