"""Section: the numbers of the selected source, typed or stepped, with bounds, freedom and links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QEvent, QModelIndex, Qt
from qtpy.QtGui import QKeyEvent, QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QLabel, QLineEdit, QStyledItemDelegate, QTreeView, QWidget

from napari_deblend.document import named
from napari_deblend.parameter_lines import Line
from napari_deblend.widgets.parameter_table import (
    ALONE,
    FIT,
    LABEL,
    LINK,
    LOWER,
    PRIOR,
    UNIT,
    UPPER,
    VALUE,
    ParameterTable,
)
from napari_deblend.widgets.parts import Section, call
from napari_deblend.widgets.prior_form import PriorForm
from napari_deblend.widgets.source_table import STATUS_TEXT
from napari_deblend.widgets.sources import Choice
from napari_deblend.workbench import Workbench

WIDTHS = {LABEL: 108, VALUE: 54, UNIT: 24, LOWER: 32, UPPER: 32, FIT: 36, PRIOR: 58, LINK: 44}
"""[screen pix]"""
INDENT = 8
STEPS = {"px": 0.1, "°": 1.0}
"""By how much an arrow key changes a number of a unit; others change by `SHARE` of their size."""
SHARE = 0.02
LEAST_STEP = 0.01


class ParametersSection(Section):
    """A table of everything that is said of the selected source."""

    title = "Parameters"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.caption = QLabel()
        self.model = ParameterTable(bench)
        self.view = _ChosenColumns()
        self.view.setModel(self.model)
        call(self.view, "Parameters of the selected source")
        for column, width in WIDTHS.items():
            self.view.header().resizeSection(column, width)
        self._delegates = {
            VALUE: Stepped(self),
            FIT: Choice(STATUS_TEXT.values, self.view),
            LINK: Choice(self._partners, self.view),
        }
        for column, delegate in self._delegates.items():
            self.view.setItemDelegateForColumn(column, delegate)
        self.view.clicked.connect(self._open_choice)
        self.prior = PriorForm(bench)
        self.view.selectionModel().currentChanged.connect(lambda now, _: self.prior.show_line(self.model.line(now)))
        self.column.addWidget(self.caption)
        self.column.addWidget(self.view)
        self.column.addWidget(self.prior)
        self.listen(bench.refreshed, self.refresh)
        self.listen(bench.document.selection_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the numbers of the source that was selected last; a hidden table costs nothing."""
        if not self.isVisible():
            return
        source = self.bench.parameters.source if self.bench.document.is_open else None
        several = len(self.bench.document.selection) > 1
        text = "Select a source to see its numbers." if source is None else f"Of {named([source])}"
        self.caption.setText(f"{text}, selected last" if several else text)
        if self.model.refresh():
            for row, group in enumerate(self.model.groups):
                self.view.setFirstColumnSpanned(row, QModelIndex(), True)
                self.view.setExpanded(self.model.index(row, 0), not group.is_detail)
        self.prior.show_line(self.model.line(self.view.currentIndex()))

    def focus(self) -> None:
        """Have the keyboard in the table, at its first number."""
        self.refresh()
        self.view.setFocus()
        if self.model.groups:
            self.view.setCurrentIndex(self.model.index(0, VALUE, self.model.index(0, 0)))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    def step(self, line: Line, start: float, count: int) -> float:
        """Change a number by so many steps from `start`, at once; return it. The first step begins a gesture."""
        document = self.bench.document
        size = STEPS.get(line.unit) or max(abs(start) * SHARE, LEAST_STEP)
        number = start + count * size
        if not document.in_gesture:
            document.begin(f"{line.label[0].upper()}{line.label[1:]} of {named(document.selected[-1:])}")
        try:
            self.bench.parameters.set_value(line, number)
        except ValueError as error:
            self.bench.tell(str(error))
            return start
        return number

    def _partners(self) -> Iterable[str]:
        line = self.model.line(self.view.currentIndex())
        return (ALONE, *(() if line is None else self.bench.parameters.partners(line)))

    def _open_choice(self, index: QModelIndex) -> None:
        if index.column() in (FIT, LINK) and self.model.flags(index) & Qt.ItemFlag.ItemIsEditable:
            self.view.edit(index)


class _ChosenColumns(QTreeView):
    """A tree whose cells are edited by typing, F2 or a double click."""

    def __init__(self) -> None:
        super().__init__()
        self.setUniformRowHeights(True)
        self.setIndentation(INDENT)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectItems)
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed | triggers.AnyKeyPressed)
        self.setMinimumHeight(300)
        self.header().setMinimumSectionSize(20)
        self.header().setStretchLastSection(True)


class Stepped(QStyledItemDelegate):
    """A cell for a number, whose arrow keys change it at once; Escape takes all steps back."""

    def __init__(self, section: ParametersSection) -> None:
        super().__init__(section.view)
        self._section = section
        self.closeEditor.connect(self._on_closed)

    def createEditor(self, parent: QWidget, option: Any, index: QModelIndex) -> QLineEdit:
        return NumberEdit(parent, self._section, self._section.model.line(index))

    def setEditorData(self, editor: QLineEdit, index: QModelIndex) -> None:
        # numbers that change while it is open, as by a fit, do not overwrite what is typed
        if not editor.isModified():
            editor.setText(str(index.data(Qt.ItemDataRole.EditRole)))
            editor.selectAll()

    def setModelData(self, editor: QLineEdit, model: ParameterTable, index: QModelIndex) -> None:
        document = self._section.bench.document
        if isinstance(editor, NumberEdit) and editor.has_stepped and document.in_gesture:
            document.commit()
            if editor.text() == editor.stepped_text:
                return
        if editor.isModified():
            model.setData(index, editor.text(), Qt.ItemDataRole.EditRole)

    def _on_closed(self, editor: QWidget, hint: Any) -> None:
        """Take back what was stepped through where a person leaves by Escape."""
        is_revert = hint == QStyledItemDelegate.EndEditHint.RevertModelCache
        if is_revert and isinstance(editor, NumberEdit) and editor.has_stepped:
            self._section.bench.document.abandon()


class NumberEdit(QLineEdit):
    """A line for a number."""

    def __init__(self, parent: QWidget, section: ParametersSection, line: Line | None) -> None:
        super().__init__(parent)
        self._section, self._line = section, line
        self.has_stepped = False
        """Whether a gesture of this editor is under way."""
        self.stepped_text = ""

    def event(self, event: QEvent) -> bool:
        """Keep the arrow keys from moving the source on the image, which they do elsewhere in the panel."""
        if event.type() == QEvent.Type.ShortcutOverride and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step with the arrow keys: ten times as far with Shift."""
        count = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(event.key())
        if count is None or self._line is None:
            super().keyPressEvent(event)
            return
        try:
            start = float(self.text().replace(",", "."))
        except ValueError:
            return
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            count *= 10
        self.has_stepped = True
        self.stepped_text = f"{self._section.step(self._line, start, count):.6g}"
        self.setText(self.stepped_text)
        self.setModified(True)
