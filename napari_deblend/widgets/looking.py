"""Row: data, model, residual or one component; in color or one band."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton

from napari_deblend.actions import ACTIONS, perform
from napari_deblend.hover import Reading
from napari_deblend.isolating import Isolation
from napari_deblend.keys import qt_text
from napari_deblend.views import View
from napari_deblend.widgets.parts import Section, Still
from napari_deblend.widgets.stretch import StretchRow
from napari_deblend.workbench import Workbench

SEGMENT = """
QPushButton { border-radius: 0px; padding: 5px 2px; margin: 0px; }
QPushButton:checked { background-color: #1f7a99; color: white; }
"""

MANNERS = {Isolation.MODEL: "Model alone", Isolation.DATA: "Data − others", Isolation.SHARE: "Share of data"}


class LookingRow(Section):
    """Which picture is on the screen; the same as the keys."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.setObjectName("looking")
        self.column.setContentsMargins(0, 0, 0, 0)
        line = QHBoxLayout()
        line.setSpacing(1)
        self._group = QButtonGroup(self)
        self.buttons: dict[View, QPushButton] = {}
        for view in View:
            self.buttons[view] = self._button(view.value, f"look_at_{view.name.lower()}")
            self._group.addButton(self.buttons[view])
            line.addWidget(self.buttons[view])
        self.panels = self._button("All", "toggle_panels")
        self._group.addButton(self.panels)
        line.addWidget(self.panels)
        line.addSpacing(3)
        self.color = self._button("Color", "toggle_color")
        line.addWidget(self.color)
        self.flux = self._button("Flux", "toggle_flux")
        line.addWidget(self.flux)
        self.column.addLayout(line)
        self._manners = QHBoxLayout()
        self._manners.setSpacing(1)
        self.manners: dict[Isolation, QPushButton] = {}
        for manner in Isolation:
            self.manners[manner] = self._button(MANNERS[manner], f"isolate_{manner.name.lower()}")
            self._manners.addWidget(self.manners[manner])
        self.column.addLayout(self._manners)
        self._telescopes = QHBoxLayout()
        self._telescopes.setSpacing(1)
        self.column.addLayout(self._telescopes)
        self.stretch = StretchRow(bench)
        self.column.addWidget(self.stretch)
        self.under_pointer = QLabel()
        self.under_pointer.setTextFormat(Qt.TextFormat.PlainText)
        # however much there is to say, the panel stays as wide as it is
        self.column.addWidget(Still(self.under_pointer, lines=3))
        self.telescopes: list[QPushButton] = []
        self._names: tuple[str, ...] = ()
        self.listen(bench.layers.view_changed, self._show)
        self.listen(bench.hover.read, self._show_reading)
        self._show()

    def _button(self, text: str, action: str) -> QPushButton:
        button = QPushButton(text)
        button.setCheckable(True)
        button.setStyleSheet(SEGMENT)
        key = ACTIONS[action].key
        button.setToolTip(f"{ACTIONS[action].title}  ({qt_text(key)})" if key else ACTIONS[action].title)
        button.clicked.connect(lambda: perform(self.bench, action))
        # what could not be done is not to look done
        button.clicked.connect(self._show)
        return button

    def _offer_telescopes(self, names: tuple[str, ...]) -> None:
        """Have a button for each observation where there are several."""
        self._names = names
        for button in self.telescopes:
            self._telescopes.removeWidget(button)
            button.deleteLater()
        self.telescopes = []
        for k, name in enumerate(names if len(names) > 1 else ()):
            button = QPushButton(name)
            button.setCheckable(True)
            button.setStyleSheet(SEGMENT)
            button.setToolTip(f"Look at {name}; {qt_text(ACTIONS['next_telescope'].key)} takes the next")
            button.clicked.connect(partial(self.bench.layers.look_through, k))
            self._telescopes.addWidget(button)
            self.telescopes.append(button)

    def _show_reading(self, reading: Reading) -> None:
        text = "\n".join((reading.place, reading.light, reading.owners))
        if text != self.under_pointer.text():
            self.under_pointer.setText(text)

    def _show(self, *_: object) -> None:
        layers = self.bench.layers
        if (names := tuple(o.name for o in layers.observations)) != self._names:
            self._offer_telescopes(names)
        for k, button in enumerate(self.telescopes):
            button.setChecked(k == layers.seen_by)
        (self.panels if layers.is_spread else self.buttons[layers.view]).setChecked(True)
        has_color = layers.view in (View.DATA, View.MODEL, View.ISOLATED)
        self.color.setChecked(layers.color and has_color)
        self.color.setVisible(layers.view is not View.RESIDUAL)
        self.color.setEnabled(has_color)
        for manner, button in self.manners.items():
            button.setVisible(layers.view is View.ISOLATED)
            button.setChecked(layers.isolated.manner is manner)
        # what is there for residuals alone takes the place of what is not for them
        self.flux.setVisible(layers.view is View.RESIDUAL)
        self.flux.setChecked(layers.in_flux)
