"""A form for one observation: how its files were understood, with warnings, and what a person corrects."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy

from deblend import Observation
from deblend.io import Check, Interpretation, checks
from napari_deblend.widgets.ink import Ink
from napari_deblend.widgets.parts import Section, row
from napari_deblend.widgets.settings import form
from napari_deblend.workbench import Workbench


class InterpretationForm(Section):
    """What was read from the files and what it means; "Correct" makes the observation anew, as one step."""

    def __init__(self, bench: Workbench, index: int) -> None:
        super().__init__(bench)
        self._index = index
        self.present = Interpretation.of(self.observation)
        self.wanted = self.present
        self.facts = QLabel(as_table(checks(self.observation), Ink.DOUBT.on(bench.viewer)))
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.RichText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.fields = form(self.present, self._on_change)
        # as wide as the dock is, and no wider
        for part in (self.facts, self.fields.native):
            part.setMinimumWidth(0)
            part.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.correct = QPushButton("Correct")
        self.correct.setToolTip("Understand the files so from now on; Undo takes it back")
        self.correct.setEnabled(False)
        self.correct.clicked.connect(lambda: bench.correct(self._index, self.wanted))
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Write what holds now into the fields again")
        self.reset.clicked.connect(self._reset)
        self.column.addWidget(self.facts)
        self.column.addWidget(self.fields.native)
        self.column.addLayout(row(None, self.reset, self.correct))

    @property
    def observation(self) -> Observation:
        return self.bench.document.observations[self._index]

    def _on_change(self, interpretation: Interpretation) -> None:
        self.wanted = interpretation
        self.correct.setEnabled(interpretation != self.present)

    def _reset(self) -> None:
        for name, value in self.present.to_dict().items():
            self.fields[name].value = value
        self._on_change(replace(self.present))


def as_table(found: list[Check], warning: str) -> str:
    """Return facts as rich text, warnings in their color below the facts that they are about."""
    lines = []
    for check in found:
        lines.append(f"<tr><td><b>{check.what}</b>&nbsp;&nbsp;</td><td>{check.value}</td></tr>")
        if check.warning:
            lines.append(f"<tr><td></td><td style='color:{warning}'>⚠ {check.warning}</td></tr>")
    return f"<table cellspacing='2'>{''.join(lines)}</table>"
