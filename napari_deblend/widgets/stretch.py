"""Row: the stretch of the pictures; a preset, the light that is white, and Q."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QLabel, QSlider

from napari_deblend.actions import ACTIONS
from napari_deblend.keys import qt_text
from napari_deblend.stretch import WHITE_RANGE, Preset
from napari_deblend.widgets.parts import Section, call, row
from napari_deblend.workbench import Workbench

STEPS = 200
"""Of a slider."""
LEAST_Q, MOST_Q = 0.1, 1000.0
"""Of the slider, whose left end is 0."""
MEANINGS = {
    Preset.ASINH: "Lupton's asinh from the noise to the brightest light; Q and the white level can be changed",
    Preset.ZSCALE: "Limits of IRAF's and DS9's zscale, linear",
    Preset.PERCENTILE: "Limits at 1 % and 99.5 % of the pixels, linear",
}


class StretchRow(Section):
    """One stretch for data, model, residual in flux and components, of all telescopes."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.setObjectName("stretch")
        self.column.setContentsMargins(0, 0, 0, 0)
        self.preset = QComboBox()
        key = qt_text(ACTIONS["next_stretch"].key)
        self.preset.setToolTip(f"How light becomes brightness  ({key} takes the next); choosing it again resets it")
        for preset, meaning in MEANINGS.items():
            self.preset.addItem(preset.value, preset)
            self.preset.setItemData(self.preset.count() - 1, meaning, Qt.ItemDataRole.ToolTipRole)
        self.white, self.q = self._slider(), self._slider()
        keys = f"{qt_text(ACTIONS['brighter'].key)}, {qt_text(ACTIONS['fainter'].key)}"
        self.white.setToolTip(f"Stretch: the light that is white, in units of the noise  ({keys})")
        self.q.setToolTip("Q: how logarithmic; 0, at the left end, is linear")
        for part, name in ((self.preset, "Stretch"), (self.white, "White level"), (self.q, "Q")):
            call(part, name)
        self.white_text, self.q_text = QLabel(), QLabel()
        for label, widest in ((self.white_text, "20000 σ"), (self.q_text, "Q 1000")):
            label.setMinimumWidth(label.fontMetrics().horizontalAdvance(widest) + 4)
        self.column.addLayout(row(self.preset, self.white, self.white_text, self.q, self.q_text))
        self.preset.activated.connect(lambda place: bench.stretching.use(self.preset.itemData(place)))
        self.white.valueChanged.connect(lambda place: bench.stretching.set_white(white_at(place)))
        self.q.valueChanged.connect(lambda place: bench.stretching.set_q(q_at(place)))
        self.listen(bench.stretching.changed, self._show)
        self.listen(bench.layers.view_changed, self._show)
        self._show()

    @staticmethod
    def _slider() -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, STEPS)
        slider.setMinimumWidth(48)
        return slider

    def _show(self) -> None:
        stretching = self.bench.stretching
        levels = stretching.levels
        self.setEnabled(levels is not None)
        if levels is None:
            return
        self.preset.setCurrentIndex(list(MEANINGS).index(stretching.stretch.preset))
        # a slider that is being dragged stays under the mouse
        for slider, place in ((self.white, place_of_white(stretching.white)), (self.q, place_of_q(levels.q))):
            if not slider.isSliderDown():
                with QSignalBlocker(slider):
                    slider.setValue(place)
        self.white_text.setText(f"{stretching.white:.3g} σ" if stretching.white < 1000 else f"{stretching.white:.0f} σ")
        self.q_text.setText(f"Q {levels.q:.3g}")


def white_at(place: int) -> float:
    """Return the white level [sigma] at a step of the slider, which is logarithmic."""
    low, high = WHITE_RANGE
    return low * (high / low) ** (place / STEPS)


def place_of_white(white: float) -> int:
    low, high = WHITE_RANGE
    return round(STEPS * math.log(min(max(white, low), high) / low) / math.log(high / low))


def q_at(place: int) -> float:
    """Return Q at a step of the slider: 0, then logarithmic."""
    return 0.0 if place == 0 else LEAST_Q * (MOST_Q / LEAST_Q) ** ((place - 1) / (STEPS - 1))


def place_of_q(q: float) -> int:
    if q < LEAST_Q:
        return 0
    return 1 + round((STEPS - 1) * math.log(min(q, MOST_Q) / LEAST_Q) / math.log(MOST_Q / LEAST_Q))
