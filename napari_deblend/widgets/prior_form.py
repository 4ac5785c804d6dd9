"""The prior of the number in the present row of the table: its kind, and the numbers of that kind."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from deblend.scene import Prior
from napari_deblend.parameter_lines import Line
from napari_deblend.prior_lines import CHANNEL_FIELDS, NONE, SETTINGS, kind_of, settings_of
from napari_deblend.widgets.parts import row, typed_number
from napari_deblend.workbench import Workbench

TIP = "What you believe of this number before the images are looked at; fits, errors and draws weigh it with the data"
HINT = "Prior: choose the row of a shape or a flux"
HEIGHT = 104
"""Of its kind and two rows of settings [screen pix]."""
PER_ROW = 3
"""Settings side by side."""


class PriorForm(QWidget):
    """Says and changes what is believed of one number, where that takes a prior."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._line: Line | None = None
        self._shown: tuple[str, str] | None = None
        """Key of the line and kind of the prior that the fields are of."""
        self.title = QLabel()
        self.kind = QComboBox()
        self.kind.setObjectName("kind of prior")
        self.kind.setToolTip(TIP)
        self.kind.setAccessibleName("kind of prior")
        self.kind.activated.connect(self._choose)
        # the panel is no wider for it
        self.kind.setMinimumContentsLength(8)
        self.kind.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.fields: dict[str, QLineEdit | QComboBox] = {}
        self._grid = QGridLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(self.title, self.kind, None))
        column.addLayout(self._grid)
        column.addStretch(1)
        # a fold that is open does not follow what its content grows to
        self.setFixedHeight(HEIGHT)
        self.show_line(None)

    def show_line(self, line: Line | None) -> None:
        """Show the prior of a number."""
        self._line = line
        source = self._bench.parameters.source
        if line is None or line.prior is None or source is None:
            self.title.setText(HINT)
            self.kind.hide()
            self._make_fields(None)
            self._shown = None
            return
        prior = line.prior.get(source)
        self.title.setText(f"Prior of {line.label}{f' [{line.unit}]' if line.unit else ''}")
        offered = [NONE, *line.prior.kinds]
        if [self.kind.itemText(k) for k in range(self.kind.count())] != offered:
            self.kind.clear()
            self.kind.addItems(offered)
        self.kind.setCurrentIndex(offered.index(kind_of(prior)))
        if self._shown != (line.key, kind_of(prior)):
            self._shown = line.key, kind_of(prior)
            self._make_fields(prior)
        self._fill(prior)
        self.kind.show()

    def _make_fields(self, prior: Prior | None) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        self.fields = {}
        for k, (name, (label, help_)) in enumerate(SETTINGS.get(kind_of(prior), {}).items()):
            field: Any
            if name in CHANNEL_FIELDS:
                field = QComboBox()
                field.addItems([channel.name for channel in self._bench.document.scene.channels])
                field.activated.connect(partial(self._set, name))
            else:
                field = QLineEdit()
                field.editingFinished.connect(partial(self._typed, name))
            field.setToolTip(help_)
            field.setAccessibleName(f"prior: {label}")
            field.setMinimumWidth(0)
            field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self.fields[name] = field
            self._grid.addWidget(QLabel(label), k // PER_ROW, 2 * (k % PER_ROW))
            self._grid.addWidget(field, k // PER_ROW, 2 * (k % PER_ROW) + 1)

    def _fill(self, prior: Prior | None) -> None:
        for name, value in {} if prior is None else settings_of(prior).items():
            field = self.fields[name]
            if isinstance(field, QComboBox):
                field.setCurrentIndex(int(value))
            elif not field.isModified():
                field.setText(f"{value:.5g}")

    def _choose(self, place: int) -> None:
        if self._line is not None:
            self._tried(partial(self._bench.parameters.choose_prior, self._line, self.kind.itemText(place)))

    def _typed(self, name: str) -> None:
        field = self.fields.get(name)
        if not isinstance(field, QLineEdit) or not field.isModified():
            return
        field.setModified(False)
        self._tried(lambda: self._set(name, typed_number(field.text(), "A prior has numbers")))

    def _set(self, name: str, value: float) -> None:
        if self._line is not None:
            self._tried(partial(self._bench.parameters.set_prior, self._line, name, value))

    def _tried(self, change: Any) -> None:
        try:
            change()
        except ValueError as error:
            self._bench.tell(str(error))
        self.show_line(self._line)
