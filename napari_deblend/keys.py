"""Keys, bound in code from one table (`actions.ACTIONS`): napari ignores key bindings in a manifest.

On the canvas they are bound on the viewer; in our own dock widget, where the canvas does not hear them, as shortcuts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_deblend.actions import ACTIONS, perform
from napari_deblend.compat import canvas_of
from napari_deblend.workbench import Workbench

MOUSE = (
    ("Click a marker", "Select the source; Ctrl adds it to the selection"),
    ("Drag a marker", "Move the source; the model follows"),
    ("Ctrl and drag", "Add what is in a rectangle to the selection; Alt and drag draws around what is to be selected"),
    ("Drag a blue handle", "Resize and turn the ellipse, or resize the box; Shift keeps the ellipse's shape"),
    ("Right click a marker or an outline", "The menu of the source; the Menu key opens it too"),
    ("Shift and click", "Add a source here, also on top of another"),
    ("Drag elsewhere", "Pan; the wheel zooms"),
    ("Delete", "Delete the selected sources, while the sources layer is active"),
)
"""What the mouse does, for the help."""
MENU_KEY = "menu key"
"""Name of what hears the key that many keyboards have for a menu, which the canvas does not know."""


def bind(bench: Workbench) -> None:
    """Bind every key of the table on the viewer of a workbench."""
    for action in ACTIONS.values():
        if action.key:
            bench.viewer.bind_key(action.key, _bound(bench, action.name), overwrite=True)
    _bind_menu_key(bench)


class _MenuKey(QObject):
    """Hears the Menu key on the canvas, and opens the menu of what is selected."""

    def __init__(self, bench: Workbench, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName(MENU_KEY)
        self._bench = bench
        canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Menu:
            perform(self._bench, "open_menu")
            return True
        return False


def _bind_menu_key(bench: Workbench) -> None:
    """Have the Menu key open the menu of what is selected, once for every window."""
    canvas = canvas_of(bench.viewer).native
    if canvas.findChild(_MenuKey, MENU_KEY) is None:
        _MenuKey(bench, canvas)


def add_shortcuts(widget: QWidget, bench: Workbench) -> list[QShortcut]:
    """Have the same keys work while the focus is in a widget of ours."""
    shortcuts = []
    for action in ACTIONS.values():
        if action.key:
            shortcut = QShortcut(QKeySequence(qt_text(action.key)), widget)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            perform_it = _bound(bench, action.name)
            shortcut.activated.connect(lambda f=perform_it: f(None))
            shortcuts.append(shortcut)
    return shortcuts


def qt_text(key: str) -> str:
    """Return napari's notation of a key as Qt's and a person's: Control-Shift-Z as Ctrl+Shift+Z."""
    *modifiers, last = key.split("-")
    return "+".join([*("Ctrl" if m == "Control" else m for m in modifiers), last])


def _bound(bench: Workbench, name: str) -> Callable[[Any], None]:
    def press(_: Any) -> None:
        perform(bench, name)

    return press
