"""Section: what the model leaves over, worst first; a click goes there, a button adds a source."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidget, QTableWidgetItem

from deblend import Blob
from napari_deblend.widgets.ink import Ink
from napari_deblend.widgets.parts import Section, action_button, call, row
from napari_deblend.workbench import Workbench

COLUMNS = ("sigma", "band", "x", "y", "source")
HEIGHT, ROW = 170, 22
"""[screen pix]"""


class LeftoversSection(Section):
    """The ranked list of residual blobs."""

    title = "Left over"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.count = QLabel("")
        self.next = action_button(bench, "next_residual", "Next worst")
        self.add = action_button(bench, "add_from_residual", "Add source here")
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().setDefaultSectionSize(ROW)
        self.table.setFixedHeight(HEIGHT)
        call(self.table, "What the model leaves over, worst first")
        self.table.setToolTip("A click goes there. Orange: the images are brighter; blue: the model is.")
        self.column.addLayout(row(self.next, self.add, None, self.count))
        self.column.addWidget(self.table)
        self.table.currentCellChanged.connect(lambda line, *_: self._go_to(line))
        self.listen(bench.leftovers.changed, self._show)
        self._shown: tuple[Blob, ...] | None = None
        self._show()

    def _go_to(self, line: int) -> None:
        if line >= 0:
            self.bench.leftovers.go_to(line)

    def _show(self) -> None:
        leftovers = self.bench.leftovers
        blobs = leftovers.blobs
        with QSignalBlocker(self.table):
            if blobs is not self._shown:
                self._shown = blobs
                self._fill(blobs or ())
                self.count.setText("" if blobs is None else f"{len(blobs)} above the noise")
            if leftovers.chosen is None:
                self.table.setCurrentItem(None)
            elif leftovers.chosen != self.table.currentRow():
                self.table.setCurrentCell(leftovers.chosen, 0)
        self.next.setEnabled(bool(blobs))
        chosen = None if leftovers.chosen is None or not blobs else blobs[leftovers.chosen]
        self.add.setEnabled(chosen is not None and chosen.significance > 0)

    def _fill(self, blobs: tuple[Blob, ...]) -> None:
        self.table.setRowCount(len(blobs))
        observations = self.bench.document.observations
        for line, blob in enumerate(blobs):
            survey = observations[blob.observation].name
            band = f"all of {survey}" if blob.channel is None else blob.channel.name
            texts = (f"{blob.significance:+.1f}", band, f"{blob.x:.1f}", f"{blob.y:.1f}", self._nearest(blob))
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column == 0:
                    # as in the picture of the residual
                    ink = Ink.TOO_FAINT if blob.significance > 0 else Ink.TOO_BRIGHT
                    item.setForeground(QColor(ink.on(self.bench.viewer)))
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(line, column, item)

    def _nearest(self, blob: Blob) -> str:
        """Return the name of the source within the PSF; empty where there is none."""
        sources = self.bench.document.scene.sources
        distance, name = min((((s.x - blob.x) ** 2 + (s.y - blob.y) ** 2, s.name) for s in sources), default=(0.0, ""))
        return name if sources and distance <= blob.reach**2 else ""
