"""Row: data, model, residual or one component; in color or one band."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton

from napari_deblend.actions import ACTIONS, perform
from napari_deblend.keys import qt_text
from napari_deblend.views import View
from napari_deblend.widgets.parts import Section
from napari_deblend.workbench import Workbench

SEGMENT = """
QPushButton { border-radius: 0px; padding: 5px 9px; margin: 0px; }
QPushButton:checked { background-color: #1f7a99; color: white; }
"""


class LookingRow(Section):
    """Which picture is on the screen; the same as the keys."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.column.setContentsMargins(0, 0, 0, 0)
        line = QHBoxLayout()
        line.setSpacing(1)
        self._group = QButtonGroup(self)
        self.buttons: dict[View, QPushButton] = {}
        for view in View:
            self.buttons[view] = self._button(view.value, f"look_at_{view.name.lower()}")
            self._group.addButton(self.buttons[view])
            line.addWidget(self.buttons[view])
        line.addSpacing(8)
        self.color = self._button("Color", "toggle_color")
        line.addWidget(self.color)
        self.column.addLayout(line)
        self.listen(bench.layers.view_changed, self._show)
        self._show()

    def _button(self, text: str, action: str) -> QPushButton:
        button = QPushButton(text)
        button.setCheckable(True)
        button.setStyleSheet(SEGMENT)
        button.setToolTip(f"{ACTIONS[action].title}  ({qt_text(ACTIONS[action].key)})")
        button.clicked.connect(lambda: perform(self.bench, action))
        return button

    def _show(self) -> None:
        layers = self.bench.layers
        self.buttons[layers.view].setChecked(True)
        self.color.setChecked(layers.color)
        self.color.setEnabled(layers.view in (View.DATA, View.MODEL))
