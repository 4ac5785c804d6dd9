"""Section: the table of sources, linked both ways with the markers on the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QLabel,
    QSizePolicy,
    QStyledItemDelegate,
    QTreeView,
    QWidget,
)

from deblend.measure import motion_lines, motion_table
from deblend.sky import same_passbands
from napari_deblend.actions import FIT_LABEL
from napari_deblend.composing import kinds
from napari_deblend.export import MEASURED, measuring_job
from napari_deblend.flags import flags_in
from napari_deblend.jobs import MOTIONS
from napari_deblend.moving import have_motions_measured
from napari_deblend.widgets.parts import Section, action_button, call, prose, row
from napari_deblend.widgets.source_table import FLAGS, FLUX, KIND, LOCK, NAME, SNR, STATUS_TEXT, SourceTable
from napari_deblend.workbench import Workbench

WIDTHS = (52, 58, 44, 44, 58, 44, 50, 24)
"""Of the columns [screen pix]."""
WITH_ERRORS = {NAME: 38, KIND: 54, FLUX: 94, SNR: 46, LOCK: 46}
"""Of columns that change once errors are known from draws [screen pix]."""
WIDTHS_WITH_PARTS = (62, 58, 44, 44, 50, 44, 48, 24)
"""Where names stand behind the marks that unfold a source."""
INDENT = 10
"""Of a part below its source [screen pix]."""


class SourcesSection(Section):
    """Choose, rename, retype, move, lock, add and delete sources."""

    title = "Sources"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.model = SourceTable(bench)
        self.view = QTreeView()
        self.view.setModel(self.model)
        self.view.setUniformRowHeights(True)
        self.view.setIndentation(INDENT)
        self.view.setRootIsDecorated(False)
        self.view.setAllColumnsShowFocus(True)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setMinimumHeight(190)
        call(self.view, "Sources")
        header = self.view.header()
        header.setMinimumSectionSize(20)
        header.setStretchLastSection(True)
        # fixed widths: fitting them to the text costs milliseconds at every picture of a running fit
        self._set_widths(WIDTHS)
        self._choices = {
            KIND: Choice(kinds, self.view),
            LOCK: Choice(STATUS_TEXT.values, self.view),
        }
        for column, choice in self._choices.items():
            self.view.setItemDelegateForColumn(column, choice)
        self.view.clicked.connect(self._open_choice)
        self.channel = QComboBox()
        self.channel.setToolTip("Band of the fluxes in the table")
        call(self.channel, "Band of the fluxes")
        # a name with a date would make the panel too wide
        self.channel.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.channel.setMinimumContentsLength(4)
        self.channel.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.channel.currentIndexChanged.connect(self.model.set_channel)
        self.add_button = action_button(bench, "toggle_adding", "Add")
        self.add_button.setCheckable(True)
        self.add_button.setToolTip("Add sources by clicking on the image (N); Shift-click adds one at any time")
        self.varying = action_button(bench, "toggle_variable", "Varies")
        self.moving = action_button(bench, "toggle_moving", "Moves")
        self.moving.setCheckable(True)
        self._flux_in = QLabel("Flux in")
        self.motions = prose()
        self.motions.hide()
        self.column.addLayout(
            row(
                self.add_button,
                action_button(bench, "delete_selected", "Delete"),
                action_button(bench, "toggle_lock", "Lock"),
                self.varying,
                self.moving,
                None,
                self._flux_in,
                self.channel,
            )
        )
        self.column.addLayout(
            row(
                action_button(bench, "duplicate_sources", "Duplicate"),
                action_button(bench, "merge_sources", "Merge"),
                action_button(bench, "split_sources", "Bulge + disk"),
                action_button(bench, "toggle_dust", "Dust"),
                None,
            )
        )
        self.column.addWidget(self.view)
        self.column.addWidget(self.motions)
        self._selecting = False
        self.view.selectionModel().selectionChanged.connect(self._on_rows_selected)
        self.listen(bench.refreshed, self.refresh)
        self.listen(bench.document.selection_changed, self.show_selection)
        self.listen(bench.document.observations_changed, self._on_observations)
        self.listen(bench.settled, self._measure)
        self.listen(bench.result, self._on_result)
        self.listen(bench.markers.mode_changed, self._on_mode)
        self.listen(bench.gestures.placing_changed, self._on_placing)
        self.listen(bench.refreshed, self._hide_motions)
        self.listen(bench.sureness.changed, self._on_draws)
        self._has_errors = False
        self._on_observations()
        self.refresh()
        self.show_selection()

    def show_selection(self) -> None:
        """Select the rows of the document's selection."""
        if self._selecting:
            return
        lines = [line for i in self.bench.document.selection if (line := self.model.line(i)) is not None]
        selection = QItemSelection()
        for line in lines:
            selection.select(self.model.index(line, 0), self.model.index(line, self.model.columnCount() - 1))
        self._selecting = True
        try:
            self.view.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        finally:
            self._selecting = False
        if lines:
            self.view.scrollTo(self.model.index(lines[-1], NAME))

    def _on_rows_selected(self, *_: Any) -> None:
        if self._selecting:
            return
        self._selecting = True
        try:
            members = [self.model.member(index) for index in self.view.selectionModel().selectedRows()]
            self.bench.document.select(source.id for source, _ in members)
            part = members[-1][1] if members else None
            # dust is asked nothing, and has no handles
            is_light = part is not None and part < len(members[-1][0].components)
            self.bench.constraining.choose_part(part if is_light else None)
        finally:
            self._selecting = False

    def refresh(self) -> None:
        """Show the document as it is now."""
        old = self.model.shape
        self._selecting = True
        try:
            self.model.refresh()
        finally:
            self._selecting = False
        if self.model.shape != old:
            if self.view.rootIsDecorated() != self.model.has_components:
                self.view.setRootIsDecorated(self.model.has_components)
                self._set_widths(WIDTHS_WITH_PARTS if self.model.has_components else WIDTHS)
            self.view.expandAll()
            self.show_selection()

    def _set_widths(self, widths: tuple[int, ...]) -> None:
        for column, width in enumerate(widths):
            self.view.header().resizeSection(column, width)

    def _on_observations(self) -> None:
        channels = self.bench.document.scene.channels if self.bench.document.is_open else ()
        several = len({channel.survey for channel in channels}) > 1
        self.channel.clear()
        self.channel.addItems([str(c) if several else c.name for c in channels])
        self.channel.setCurrentIndex(len(channels) // 2)
        self.model.snr, self.model.flags_of = {}, {}
        has_epochs = len(same_passbands(channels)) < len(channels)
        self.varying.setVisible(has_epochs)
        # there is no room for all of it
        self._flux_in.setVisible(not has_epochs)
        self.moving.setVisible(len({channel.epoch for channel in channels}) > 1)
        self._hide_motions()

    def _open_choice(self, index: QModelIndex) -> None:
        if index.column() in self._choices:
            self.view.edit(index)

    def _measure(self) -> None:
        runner, document = self.bench.runner, self.bench.document
        if runner is not None and document.is_open and document.scene.sources and not runner.is_running:
            runner.submit(MEASURED, measuring_job)
            self._show_motions()

    def _on_result(self, name: str, outcome: Any) -> None:
        if name == MEASURED:
            table = outcome.table
            self.model.snr = {str(i): float(snr) for i, snr in zip(table["id"], table["snr"], strict=True)}
            self.model.flags_of = flags_in(table)
            self.model.refresh_column(SNR)
            self.model.refresh_column(FLAGS)
        elif name == MOTIONS and outcome[0] == self.bench.document.revision:
            if outcome[1]:
                self.motions.setText("\n".join(outcome[1]))
            else:
                # put off for something else that was asked for, which has been done
                have_motions_measured(self.bench)

    def _on_draws(self) -> None:
        """Show the errors that draws tell, and make room for them the first time."""
        if not self._has_errors and self.bench.sureness.drawn is not None:
            self._has_errors = True
            for column, width in WITH_ERRORS.items():
                self.view.header().resizeSection(column, width)
        self.model.refresh_column(FLUX)

    def _show_motions(self) -> None:
        """Say how what moves does so, and after a fit have it said how well that is known."""
        document = self.bench.document
        scene = document.scene
        table = motion_table(scene, document.to_image)
        self.motions.setVisible(table is not None)
        if table is not None:
            self.motions.setText("\n".join(motion_lines(table)))
            if document.undo_label == FIT_LABEL:
                have_motions_measured(self.bench)

    def _hide_motions(self) -> None:
        """Say nothing of motions that nothing has any more."""
        document = self.bench.document
        if not document.is_open or not any(source.track for source in document.scene.sources):
            self.motions.hide()

    def _on_placing(self, is_placing: bool) -> None:
        self.moving.setChecked(is_placing)

    def _on_mode(self, is_adding: bool) -> None:
        self.add_button.setChecked(is_adding)


class Choice(QStyledItemDelegate):
    """A cell with a few words to choose from, as they are when it is opened; one click opens them."""

    def __init__(self, words: Callable[[], Iterable[str]], parent: QWidget) -> None:
        super().__init__(parent)
        self._words = words

    def createEditor(self, parent: QWidget, option: Any, index: QModelIndex) -> QComboBox:
        combo = QComboBox(parent)
        combo.addItems(list(self._words()))
        combo.activated.connect(lambda _: self._finish(combo))
        return combo

    def setEditorData(self, editor: QComboBox, index: QModelIndex) -> None:
        editor.setCurrentText(str(index.data(Qt.ItemDataRole.EditRole)))
        editor.showPopup()

    def setModelData(self, editor: QComboBox, model: SourceTable, index: QModelIndex) -> None:
        model.setData(index, editor.currentText(), Qt.ItemDataRole.EditRole)

    def _finish(self, combo: QComboBox) -> None:
        self.commitData.emit(combo)
        self.closeEditor.emit(combo)
