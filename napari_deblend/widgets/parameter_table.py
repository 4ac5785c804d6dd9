"""The numbers of the chosen source as a tree model: a row per number, under headings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractItemModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QFont

from deblend import Source, Status
from napari_deblend.parameter_lines import Group, Line
from napari_deblend.prior_lines import NONE, text_of
from napari_deblend.widgets.constraint_form import numbers
from napari_deblend.widgets.ink import OF_STATUS, Ink
from napari_deblend.widgets.parts import typed_number
from napari_deblend.widgets.source_table import STATUS_TEXT
from napari_deblend.workbench import Workbench

LABEL, VALUE, UNIT, LOWER, UPPER, FIT, PRIOR, LINK = range(8)
TITLES = ("Parameter", "Value", "", "Least", "Most", "Fit", "Prior", "Same as")
TOOLTIPS = {
    LABEL: "What it is",
    VALUE: "Double-click, F2 or type; Up and Down change it at once",
    LOWER: "Least value that a fit may take; “-” for none",
    UPPER: "Largest value that a fit may take; “-” for none",
    FIT: "free: the fit changes it · fixed: only you do · locked: nobody does. Click to change",
    PRIOR: "What you believe of it before the images are looked at; click to change it below the table",
    LINK: "One number with that of another source, whose value it takes. Click to choose",
}
ALONE = "–"
"""What is linked with nothing."""
Role = Qt.ItemDataRole


class ParameterTable(QAbstractItemModel):
    """Headings, and below each a row per number."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._groups: tuple[Group, ...] = ()
        self._shape: tuple[Any, ...] = ()
        self._source: Source | None = None
        """What the lines are of. Qt may paint them once more when another source, or another kind, is there already."""

    @property
    def groups(self) -> tuple[Group, ...]:
        return self._groups

    def refresh(self) -> bool:
        """Show the numbers as they are now; return whether there are other ones than before."""
        parameters = self._bench.parameters if self._bench.document.is_open else None
        new, source = ((), None) if parameters is None else (parameters.groups, parameters.source)
        shape = tuple((g.title, tuple(line.key for line in g.lines)) for g in new)
        if shape != self._shape:
            self.beginResetModel()
            self._groups, self._shape, self._source = new, shape, source
            self.endResetModel()
            return True
        self._groups, self._source = new, source
        for row, group in enumerate(new):
            above = self.index(row, 0)
            self.dataChanged.emit(self.index(0, 0, above), self.index(len(group.lines) - 1, LINK, above))
        return False

    def line(self, index: QModelIndex) -> Line | None:
        """Return the number of a row; None for a heading."""
        heading = int(index.internalId())
        return self._groups[heading - 1].lines[index.row()] if index.isValid() and heading else None

    def index_of(self, key: str, column: int = VALUE) -> QModelIndex:
        """Return the cell of a number; an invalid one where there is none of that key."""
        for row, group in enumerate(self._groups):
            for k, line in enumerate(group.lines):
                if line.key == key:
                    return self.index(k, column, self.index(row, 0))
        return QModelIndex()

    # what Qt asks for --------------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: QModelIndex | None = None) -> QModelIndex:
        above = QModelIndex() if parent is None else parent
        if not (0 <= row < self.rowCount(above) and 0 <= column < len(TITLES)):
            return QModelIndex()
        # the id of a number's row is that of its heading, from 1
        return self.createIndex(row, column, above.row() + 1 if above.isValid() else 0)

    def parent(self, child: QModelIndex | None = None) -> Any:
        if child is None:
            return super().parent()
        heading = int(child.internalId()) if child.isValid() else 0
        return self.createIndex(heading - 1, 0, 0) if heading else QModelIndex()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        if parent is None or not parent.isValid():
            return len(self._groups)
        if parent.internalId() or parent.column() or parent.row() >= len(self._groups):
            return 0
        return len(self._groups[parent.row()].lines)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return TITLES[section]
        return TOOLTIPS.get(section) if role == Role.ToolTipRole else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlags:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        line = self.line(index)
        if line is None:
            return Qt.ItemFlag.ItemIsEnabled
        editable = {
            VALUE: line.changed is not None,
            LOWER: line.has_bounds,
            UPPER: line.has_bounds,
            FIT: line.place is not None,
            LINK: bool(line.link_name),
        }
        return flags | Qt.ItemFlag.ItemIsEditable if editable.get(index.column()) else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        if not index.isValid():
            return None
        line, column = self.line(index), index.column()
        if line is None:
            return self._of_heading(self._groups[index.row()], column, role)
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(line, column)
        if role == Role.TextAlignmentRole and column in (VALUE, LOWER, UPPER):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Role.ForegroundRole:
            if column == FIT and line.place is not None:
                return QColor(OF_STATUS[self._status(line)].on(self._bench.viewer))
            is_usual = column == PRIOR and self._text(line, column) == NONE
            return QColor(Ink.FAINT.on(self._bench.viewer)) if column in (UNIT, LOWER, UPPER) or is_usual else None
        if role == Role.ToolTipRole:
            return self._tip(line) if column in (LABEL, VALUE) else TOOLTIPS.get(column)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        line = self.line(index)
        if role != Role.EditRole or line is None:
            return False
        text, column, parameters = str(value).strip(), index.column(), self._bench.parameters
        if text == self._text(line, column):
            return False
        try:
            if column == VALUE:
                unit = f" [{line.unit}]" if line.unit else ""
                parameters.set_value(line, typed_number(text, f"{line.label}{unit} must be a number"))
            elif column == LOWER:
                parameters.set_bounds(line, lower=_bound(text, -np.inf))
            elif column == UPPER:
                parameters.set_bounds(line, upper=_bound(text, np.inf))
            elif column == FIT:
                parameters.set_status(line, next(s for s, t in STATUS_TEXT.items() if t == text))
            elif column == LINK:
                parameters.link(line, parameters.partners(line).get(text))
        except ValueError as error:
            self._bench.tell(str(error))
            return False
        return True

    def _status(self, line: Line) -> Status:
        source = self._source
        return Status.FREE if source is None or line.place is None else line.place.get(source).status

    def _text(self, line: Line, column: int) -> str:
        source = self._source
        parameter = None if line.place is None or source is None else line.place.get(source)
        if column == LABEL:
            return line.label
        if column == VALUE:
            return line.text or _shown(line.value, "…" if line.changed is not None else "–")
        if column == UNIT:
            return line.unit
        if column in (LOWER, UPPER):
            if parameter is None or not line.has_bounds:
                return ""
            return _shown(parameter.lower if column == LOWER else parameter.upper, "-")
        if column == FIT:
            return "" if parameter is None else STATUS_TEXT[parameter.status]
        if column == PRIOR and line.prior is not None and source is not None:
            return text_of(line.prior.get(source), self._bench.document.scene.channels)
        if column == LINK and line.link_name:
            links = self._bench.parameters.links_of(line)
            return ", ".join(map(self._bench.parameters.called, links)) or ALONE
        return ""

    def _tip(self, line: Line) -> str:
        """Return what a number means, and in units of the sky where it is a length."""
        wcs = self._bench.document.scene.grid.wcs
        parts = [line.help]
        if line.unit == "px" and line.key not in ("x", "y") and wcs is not None and math.isfinite(line.value):
            parts.append(f"{line.value * wcs.pixel_scale:.3g}″")
        if line.unit == "nJy" and line.value > 0:
            parts.append(f"AB magnitude {31.4 - 2.5 * math.log10(line.value):.3f}")
        return "; ".join(filter(None, parts))

    @staticmethod
    def _of_heading(group: Group, column: int, role: int) -> Any:
        if column != LABEL:
            return None
        if role == Role.DisplayRole:
            return group.title
        if role == Role.FontRole:
            font = QFont()
            font.setBold(True)
            return font
        return None


def _shown(value: float, unknown: str) -> str:
    if not math.isfinite(value):
        return "-" if math.isinf(value) else unknown
    return f"{value:.5g}" if abs(value) < 1e5 else f"{value:,.0f}".replace(",", "")


def _bound(text: str, none: float) -> float:
    """Return a bound that was typed; raises ValueError where it is none."""
    found = numbers(text, none) if text else (none,)
    if len(found) != 1:
        raise ValueError(f"A bound is one number, or “-” for none, got {text!r}.")
    return found[0]
