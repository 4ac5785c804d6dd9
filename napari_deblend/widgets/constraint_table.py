"""The constraints of the chosen component as a table model: a switch, a label, a strength."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QFont

from deblend.scene import Handling
from napari_deblend.constraining import Constraining, Line
from napari_deblend.widgets.ink import Ink
from napari_deblend.widgets.parts import typed_number
from napari_deblend.workbench import Workbench

ORDER, LABEL, STRENGTH = range(3)
TITLES = ("", "Constraint", "Strength")
TOOLTIPS = (
    "Those with a number act one after another, in this order; Alt and the arrow keys move one",
    "The box, or Space, switches it; the sentence says what it asks",
    "Double-click or type a number",
)
Role = Qt.ItemDataRole


class ConstraintTable(QAbstractTableModel):
    """A row per constraint that means anything for the chosen component."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._lines: tuple[Line, ...] = ()

    @property
    def constraining(self) -> Constraining:
        return self._bench.constraining

    def refresh(self) -> None:
        """Show what is asked now."""
        new = self.constraining.lines if self._bench.document.is_open else ()
        if new == self._lines:
            return
        if len(new) != len(self._lines):
            self.beginResetModel()
            self._lines = new
            self.endResetModel()
        else:
            self._lines = new
            self.dataChanged.emit(self.index(0, 0), self.index(len(new) - 1, len(TITLES) - 1))

    def line(self, row: int) -> Line:
        return self._lines[row]

    def row_of(self, kind: object) -> int | None:
        return next((row for row, line in enumerate(self._lines) if line.kind is kind), None)

    # what Qt asks for --------------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._lines)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return TITLES[section]
        return TOOLTIPS[section] if role == Role.ToolTipRole else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlags:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == LABEL:
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == STRENGTH else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._lines):
            return None
        line, column = self._lines[index.row()], index.column()
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(line, column)
        if role == Role.CheckStateRole and column == LABEL:
            return Qt.CheckState.Checked if line.constraint.active else Qt.CheckState.Unchecked
        if role == Role.ToolTipRole:
            return about(line)
        if role == Role.ForegroundRole and not line.constraint.active:
            return QColor(Ink.FAINT.on(self._bench.viewer))
        if role == Role.FontRole and line.constraint.active and column == LABEL:
            font = QFont()
            font.setBold(True)
            return font
        if role == Role.TextAlignmentRole and column != LABEL:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        if not index.isValid() or index.row() >= len(self._lines):
            return False
        line, column = self._lines[index.row()], index.column()
        self.constraining.kind = line.kind
        try:
            if role == Role.CheckStateRole and column == LABEL:
                self.constraining.switch(line.kind, Qt.CheckState(value) == Qt.CheckState.Checked)
            elif role == Role.EditRole and column == STRENGTH:
                self.constraining.strengthen(
                    line.kind, typed_number(str(value), f"The strength of {line.kind.info.label!r} must be a number")
                )
            else:
                return False
        except ValueError as error:
            self._bench.tell(str(error))
            return False
        return True

    def _text(self, line: Line, column: int) -> str:
        if column == ORDER:
            return "" if line.rank is None else f"{line.rank}."
        return line.kind.info.label if column == LABEL else f"{line.constraint.strength:.3g}"


def about(line: Line) -> str:
    """Return what a constraint asks, and how its strength is meant."""
    info = line.kind.info
    if info.handling is Handling.RESIDUAL or not math.isfinite(info.greatest_strength):
        scale = "Larger is stronger."
    else:
        scale = "Strength from 0 to 1: at 1 it holds, below it is weighed against the data."
    return f"{info.help} {scale}"
