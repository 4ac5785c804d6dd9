"""Section: the threshold, with what it would find shown while it moves."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLabel, QSlider, QSpinBox

from deblend.detect import METHODS, Method
from deblend.scene import MORPHOLOGIES
from napari_deblend.jobs import PEAKS
from napari_deblend.widgets.parts import Section, action_button, call, row
from napari_deblend.workbench import Workbench

LOWEST, HIGHEST = 2.0, 50.0
"""Range of the threshold [sigma]."""
STEPS = 200
MOST_ROUNDS = 9
DEBOUNCE = 40
"""How long the slider must rest before the peaks are looked for [ms]."""


class DetectionSection(Section):
    """A slider in logarithmic steps, a number beside it, and the button that makes sources of what is found."""

    title = "Detect"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setToolTip("Threshold of the detection; rings show what it finds")
        self.number = QDoubleSpinBox()
        self.number.setRange(LOWEST, HIGHEST)
        self.number.setDecimals(1)
        self.number.setSuffix(" σ")
        self.number.setToolTip("Threshold of the detection, in units of the noise")
        call(self.number, "Threshold")
        self.found = QLabel("")
        self.kind = KindChoice()
        self.kind.setCurrentText(bench.kind)
        self.kind.setToolTip("What new sources are taken for")
        self.kind.currentTextChanged.connect(self._set_kind)
        self.listen(bench.kind_changed, self._show_kind)
        self.method = QComboBox()
        self.method.addItems(METHODS)
        self.method.setCurrentText(bench.method)
        self.method.setToolTip(
            "How sources are looked for: peaks of the image (sep), or structures of any size (starlet)"
        )
        self.method.currentTextChanged.connect(self._set_method)
        self.column.addLayout(row(QLabel("Threshold"), self.slider, self.number))
        self.column.addLayout(row(QLabel("New sources"), self.kind, None, self.found))
        self.column.addLayout(
            row(
                QLabel("By"),
                self.method,
                None,
                action_button(bench, "find_missed", "Add from residual"),
                action_button(bench, "find_sources", "Detect"),
            )
        )
        self.rounds = QSpinBox()
        self.rounds.setRange(0, MOST_ROUNDS)
        self.rounds.setValue(bench.rounds.wanted)
        self.rounds.setToolTip(
            "How often a fit looks for what it has missed; it begins with plain profiles, behind which that shows"
        )
        self.rounds.valueChanged.connect(self._set_rounds)
        self.classifies = QCheckBox("then stars or galaxies")
        self.classifies.setChecked(bench.rounds.classifies)
        self.classifies.setToolTip("When a fit has ended, chi² says which sources are stars")
        self.classifies.toggled.connect(self._set_classifies)
        self.column.addLayout(
            row(
                QLabel("Rounds"),
                self.rounds,
                self.classifies,
                None,
                action_button(bench, "classify_sources", "Stars?"),
            )
        )
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(lambda: bench.preview_peaks(self.number.value()))
        self.number.setValue(bench.threshold)
        self.slider.setValue(_step(bench.threshold))
        self.slider.valueChanged.connect(self._on_slider)
        self.number.valueChanged.connect(self._on_number)
        self.listen(bench.result, self._on_result)
        self.listen(bench.document.observations_changed, self._on_observations)
        self.listen(bench.history.changed, self._show_rounds)
        self._on_observations()

    def _on_slider(self, step: int) -> None:
        self.number.setValue(LOWEST * (HIGHEST / LOWEST) ** (step / STEPS))

    def _on_number(self, threshold: float) -> None:
        self.slider.blockSignals(True)
        self.slider.setValue(_step(threshold))
        self.slider.blockSignals(False)
        self.bench.threshold = threshold
        self._timer.start(DEBOUNCE)

    def _on_result(self, name: str, outcome: object) -> None:
        if name == PEAKS:
            count = len(outcome.x)  # type: ignore[attr-defined]
            self.found.setText("1 found" if count == 1 else f"{count} found")

    def _on_observations(self) -> None:
        self.found.setText("")
        if self.bench.document.is_open and not self.bench.document.scene.sources:
            self._timer.start(DEBOUNCE)

    def _set_method(self, method: Method) -> None:
        self.bench.method = method
        self._timer.start(DEBOUNCE)

    def _show_rounds(self) -> None:
        """Show what a session says."""
        self.rounds.setValue(self.bench.rounds.wanted)
        self.classifies.setChecked(self.bench.rounds.classifies)

    def _set_rounds(self, rounds: int) -> None:
        self.bench.rounds.wanted = rounds

    def _set_classifies(self, classifies: bool) -> None:
        self.bench.rounds.classifies = classifies

    def _show_kind(self, kind: str) -> None:
        self.kind.setCurrentText(kind)

    def _set_kind(self, kind: str) -> None:
        self.bench.kind = kind


class KindChoice(QComboBox):
    """The kinds of morphology, as they are when the list is opened: a person may have added one."""

    def __init__(self) -> None:
        super().__init__()
        self.addItems(MORPHOLOGIES)

    def showPopup(self) -> None:
        known = {self.itemText(k) for k in range(self.count())}
        self.addItems([kind for kind in MORPHOLOGIES if kind not in known])
        super().showPopup()


def _step(threshold: float) -> int:
    return round(STEPS * math.log(threshold / LOWEST) / math.log(HIGHEST / LOWEST))
