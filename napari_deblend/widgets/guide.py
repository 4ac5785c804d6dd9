"""The help: every key and gesture, from the same table that binds them."""

from __future__ import annotations

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_deblend.actions import ACTIONS
from napari_deblend.keys import MOUSE, qt_text

SIZE = (660, 720)
"""[screen pix]"""


class Guide(QDialog):
    """Keys and mouse on one page."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys and mouse")
        column = QVBoxLayout(self)
        text = QTextBrowser()
        text.setHtml(page())
        text.setAccessibleName("Keys and mouse")
        column.addWidget(text)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
        # there are more keys than a screen has lines
        self.resize(*SIZE)


def page() -> str:
    """Return the help as rich text."""
    keys = [(qt_text(action.key), action.title) for action in ACTIONS.values() if action.key]
    lines = [
        *(["<h3>On the image</h3>", _table(MOUSE)]),
        *(["<h3>Keys</h3>", _table(keys)]),
        "<p>All of it is in the command palette too (Ctrl+Shift+P).</p>",
    ]
    return "".join(lines)


def _table(pairs: object) -> str:
    rows = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;&nbsp;</td><td>{what}</td></tr>" for key, what in pairs)  # type: ignore[attr-defined]
    return f"<table cellspacing='3'>{rows}</table>"
