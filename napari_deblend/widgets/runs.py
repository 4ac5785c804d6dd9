"""Part of the fit: the runs so far, what can be gone back to, and what the present state is compared with."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_deblend.actions import perform
from napari_deblend.comparing import Manner
from napari_deblend.fit_notes import METHODS
from napari_deblend.past import PastRun
from napari_deblend.widgets.parts import Links, action_button, call, prose, row
from napari_deblend.workbench import Workbench

TITLES = ("Run", "Begun", "Method", "Iterations", "χ²", "Sources")
HEIGHT = 130
"""[screen pix]"""


class Runs(QWidget):
    """A list of runs, the newest first, with buttons below."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._shown: tuple[PastRun, ...] = ()
        self.table = QTableWidget(0, len(TITLES))
        self.table.setObjectName("runs")
        self.table.setHorizontalHeaderLabels(TITLES)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setFixedHeight(HEIGHT)
        # the dock is no wider for it
        self.table.setMinimumWidth(0)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.table.setToolTip("Choose a run to see its curve; double-click or press Enter to go back to its end")
        self.table.itemSelectionChanged.connect(self._on_chosen)
        self.table.itemActivated.connect(lambda _: perform(bench, "go_back_to_run"))
        self.back = action_button(bench, "go_back_to_run", "Go back to")
        self.compare = action_button(bench, "compare_with_run", "Compare with")
        self.compare.setCheckable(True)
        self.before = action_button(bench, "compare_with_last_step", "Last step")
        self.before.setToolTip("Compare with what Undo would return to")
        self.manner = QComboBox()
        self.manner.setObjectName("manner")
        for manner in Manner:
            self.manner.addItem(manner.value, manner)
        self.manner.setToolTip("Whether the two take turns in one place, or stand side by side")
        self.manner.activated.connect(lambda k: bench.comparing.show_as(self.manner.itemData(k)))
        self.present = QPushButton("Present run")
        self.present.setToolTip("Show the curve of the present run again")
        self.present.clicked.connect(self.table.clearSelection)
        call(self.table, "Runs, the newest first")
        call(self.manner, "How to compare")
        self.sentence = prose()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addLayout(row(self.back, self.present, None))
        column.addLayout(row(self.compare, self.before, self.manner, None))
        column.addWidget(self.sentence)
        self._links = Links()
        self.destroyed.connect(self._links.end)
        self._links.connect(bench.history.changed, self._show)
        self._links.connect(bench.comparing.changed, self._show_comparing)
        self._show()
        self._show_comparing()

    def _show(self) -> None:
        """List the runs, and mark the one that is looked at."""
        history = self._bench.history
        runs = tuple(reversed(history.runs))
        self.table.blockSignals(True)
        if tuple(past.run for past in runs) != tuple(past.run for past in self._shown):
            self.table.setRowCount(len(runs))
            for line, past in enumerate(runs):
                for column, text in enumerate(texts_of(past, len(runs) - line)):
                    item = QTableWidgetItem(text)
                    item.setToolTip(past.run.outcome)
                    is_number = column not in (1, 2)
                    side = Qt.AlignmentFlag.AlignRight if is_number else Qt.AlignmentFlag.AlignLeft
                    item.setTextAlignment(int(side | Qt.AlignmentFlag.AlignVCenter))
                    self.table.setItem(line, column, item)
        self._shown = runs
        if history.chosen is None:
            self.table.clearSelection()
        elif history.chosen in runs:
            self.table.selectRow(runs.index(history.chosen))
        self.table.blockSignals(False)
        for button in (self.back, self.compare):
            button.setEnabled(bool(runs))
        self.present.setEnabled(history.chosen is not None)

    def _on_chosen(self) -> None:
        lines = self.table.selectionModel().selectedRows()
        self._bench.history.choose(self._shown[lines[0].row()] if lines else None)

    def _show_comparing(self) -> None:
        comparing = self._bench.comparing
        self.compare.setChecked(comparing.is_on)
        self.compare.setText("Stop comparing" if comparing.is_on else "Compare with")
        self.manner.setCurrentIndex(list(Manner).index(comparing.manner))
        self.sentence.setVisible(comparing.is_on)
        where = "on the left B, what is now; on the right A" if comparing.manner is Manner.SIDE_BY_SIDE else "A"
        self.sentence.setText(f"Comparing: {where}, {comparing.title}." if comparing.is_on else "")


def texts_of(past: PastRun, number: int) -> tuple[str, ...]:
    """Return what the list says of a run."""
    run = past.run
    fitted = len(run.end) if run.taking_part is None else len(run.taking_part)
    sources = f"{len(run.end)}" if fitted == len(run.end) else f"{fitted} of {len(run.end)}"
    method = METHODS[run.settings.solver][0]
    return f"{number}", past.when, method, f"{past.n_iterations}", f"{run.chi2:.4f}", sources
