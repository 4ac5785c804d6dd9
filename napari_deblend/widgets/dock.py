"""The dock widget "Deblend": its sections from opening to writing, in the order of the work."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_deblend.document import Document
from napari_deblend.keys import add_shortcuts, bind
from napari_deblend.runner import Phase
from napari_deblend.tour_steps import CONSTRAINTS, PLOTS
from napari_deblend.widgets.constraints import ConstraintsSection
from napari_deblend.widgets.cutting import CuttingSection
from napari_deblend.widgets.detection import DetectionSection
from napari_deblend.widgets.dragged import DraggedPictures
from napari_deblend.widgets.exporting import ExportSection
from napari_deblend.widgets.fitting import FitSection
from napari_deblend.widgets.guide import Guide
from napari_deblend.widgets.ink import sheet
from napari_deblend.widgets.keeping import KeptWorkOffer, ask_where_images_are
from napari_deblend.widgets.leftovers import LeftoversSection
from napari_deblend.widgets.looking import LookingRow
from napari_deblend.widgets.observations import ObservationsSection
from napari_deblend.widgets.parameters import ParametersSection
from napari_deblend.widgets.parts import Links, Section, action_button, fold, prose, row
from napari_deblend.widgets.source_plots import SourcePlotsSection
from napari_deblend.widgets.sources import SourcesSection
from napari_deblend.widgets.sureness import SurenessSection
from napari_deblend.widgets.tour import TourBar
from napari_deblend.workbench import Workbench

WIDTH = 420
"""[screen pix]"""


LAID_OUT = 50
"""How long after a part was unfolded it has its place [ms]."""
SHORT = 300
"""What takes less need not be told of [ms]."""


class DeblendWidget(QWidget):
    """Everything about one deblending job. Closing the dock closes no work: it is the viewer's."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        bench = Workbench.of(napari_viewer)
        bind(bench)
        self.bench = bench
        self.observations = ObservationsSection(bench)
        self.cutting = CuttingSection(bench)
        self.looking = LookingRow(bench)
        self.detection = DetectionSection(bench)
        self.sources = SourcesSection(bench)
        self.parameters = ParametersSection(bench)
        self.constraints = ConstraintsSection(bench)
        self.fitting = FitSection(bench)
        self.sureness = SurenessSection(bench)
        self.leftovers = LeftoversSection(bench)
        self.source_plots = SourcePlotsSection(bench)
        self.dragged = DraggedPictures(bench)
        self.exporting = ExportSection(bench)
        self.undo_button = action_button(bench, "undo", "↶ Undo")
        self.redo_button = action_button(bench, "redo", "Redo ↷")
        self.save_button = action_button(bench, "save_session", "Save")
        self.kept_work = KeptWorkOffer(bench)
        self.help_button = QPushButton("Keys…")
        self.help_button.clicked.connect(lambda: Guide(self).exec())
        self.help_button.setObjectName("keys")
        self.tour = TourBar(bench, self, may_offer=self.kept_work.isHidden())
        self.phase = QLabel("")
        self._phase_timer = QTimer(self)
        self._phase_timer.setSingleShot(True)
        self._phase_timer.setInterval(SHORT)
        self._phase_timer.timeout.connect(self._show_phase)
        self.sentence = prose()
        self.sentence.setObjectName("sentence")

        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(2, 4, 8, 4)
        column.setSpacing(4)
        sections: list[Section] = [self.observations, self.detection, self.sources, self.fitting, self.exporting]
        for section in sections:
            column.addWidget(fold(section.title, section))
            if section is self.sources:
                self._parameters_fold = fold(self.parameters.title, self.parameters, open_=False)
                column.addWidget(self._parameters_fold)
                self._plots_fold = fold(self.source_plots.title, self.source_plots, open_=False)
                column.addWidget(self._plots_fold)
                self._constraints_fold = fold(self.constraints.title, self.constraints, open_=False)
                column.addWidget(self._constraints_fold)
            if section is self.fitting:
                self._sureness_fold = fold(self.sureness.title, self.sureness, open_=False)
                column.addWidget(self._sureness_fold)
                column.addWidget(fold(self.leftovers.title, self.leftovers, open_=False))
            if section is self.observations:
                self._cutting_fold = fold(self.cutting.title, self.cutting, open_=bench.cutting.request is not None)
                column.addWidget(self._cutting_fold)
                column.addWidget(self.looking)
        for part, name in ((self._constraints_fold, CONSTRAINTS), (self._plots_fold, PLOTS)):
            part.toggleButton().setObjectName(f"{name}_heading")
            part.toggled.connect(partial(self._note_unfolded, name))
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(8, 6, 8, 6)
        tour_button = action_button(bench, "take_tour", "Tour", "tour_button")
        outside.addLayout(
            row(self.undo_button, self.redo_button, self.save_button, None, tour_button, self.help_button)
        )
        outside.addWidget(self.kept_work)
        outside.addWidget(self.tour)
        outside.addWidget(scroll, 1)
        below = row(self.phase)
        below.addWidget(self.sentence, 1)
        outside.addLayout(below)
        self.setMinimumWidth(WIDTH)
        self._shortcuts = add_shortcuts(self, bench)
        # Qt deletes the widget with its dock; the workbench lives on and must not call into it
        self._links = Links()
        self.destroyed.connect(partial(self._links.end))
        self._links.connect(bench.told, self._say)
        self._links.connect(bench.phase_changed, self._on_phase)
        self._links.connect(bench.refreshed, self._on_history)
        self._links.connect(bench.keeper.lost, self._on_lost)
        self._links.connect(bench.cutting.changed, self._on_cutting)
        self._links.connect(bench.constraining.wanted, self._show_constraints)
        self._links.connect(bench.parameters.wanted, self._show_parameters)
        self._links.connect(bench.source_looks.wanted, self._toggle_plots)
        self._links.connect(bench.sureness.wanted, self._toggle_sureness)
        self._scroll = scroll
        self._on_theme()
        # napari holds on to no one who listens
        bench.viewer.events.theme.connect(self._on_theme)
        self._on_history()
        self._on_phase(bench.phase)

    def sizeHint(self) -> QSize:
        """Leave the window to the image: no wider than it takes."""
        return QSize(WIDTH, super().sizeHint().height())

    def showEvent(self, event: QShowEvent | None) -> None:
        """Have nothing hide behind the scroll bar; only now napari's style tells how wide things are."""
        super().showEvent(event)
        inside, bar = self._scroll.widget(), self._scroll.verticalScrollBar()
        self._scroll.setMinimumWidth(inside.minimumSizeHint().width() + bar.sizeHint().width())
        margins = self.layout().contentsMargins()
        self.setMinimumWidth(max(WIDTH, self._scroll.minimumWidth() + margins.left() + margins.right()))

    def _on_lost(self, path: Path) -> None:
        # once the answer that says so has been taken
        QTimer.singleShot(0, partial(ask_where_images_are, self.bench, path))

    def _on_theme(self, event: Any = None) -> None:
        """Have colored words readable on the ground of the present theme."""
        if isalive(self):
            self.setStyleSheet(sheet(self.bench.viewer))

    def _say(self, sentence: str) -> None:
        self.sentence.setText(sentence)

    def _on_phase(self, phase: Phase) -> None:
        """Tell what is done; solving for an edit is over before it can be read, and only told where it lasts."""
        if phase is Phase.SOLVING:
            self._phase_timer.start()
        else:
            self._phase_timer.stop()
            self._show_phase()

    def _show_phase(self) -> None:
        phase = self.bench.phase
        self.phase.setText("" if phase is Phase.CLOSED else f"<b>{phase.value}</b>")

    def _on_cutting(self) -> None:
        """Show where to say it when a piece has to be chosen, or is being chosen."""
        cutting = self.bench.cutting
        if (cutting.is_of_file or cutting.box is not None) and not self._cutting_fold.isExpanded():
            self._cutting_fold.expand(animate=False)

    def _note_unfolded(self, name: str, is_open: bool) -> None:
        """Have the tour know what has been unfolded."""
        if is_open:
            self.bench.tour.note(name)

    def _show_constraints(self) -> None:
        """Unfold the constraints, bring them into view, and have the keyboard there."""
        self.bench.tour.note(CONSTRAINTS)
        self._constraints_fold.expand(animate=False)
        self.constraints.focus()
        # only once Qt has laid it out
        QTimer.singleShot(0, partial(self._scroll.ensureWidgetVisible, self.constraints))

    def _show_parameters(self) -> None:
        """Unfold the numbers of the source, bring them into view, and have the keyboard there."""
        self._parameters_fold.expand(animate=False)
        self.parameters.focus()
        QTimer.singleShot(LAID_OUT, self._scroll_to_parameters)

    def _scroll_to_parameters(self) -> None:
        top = self._parameters_fold.mapTo(self._scroll.widget(), QPoint(0, 0)).y()
        self._scroll.verticalScrollBar().setValue(top)

    def _toggle_plots(self) -> None:
        """Unfold the plots of the chosen source and bring them into view, or fold them away."""
        if self._plots_fold.isExpanded():
            self._plots_fold.collapse(animate=False)
        else:
            self._plots_fold.expand(animate=False)
            QTimer.singleShot(0, partial(self._scroll.ensureWidgetVisible, self.source_plots))

    def _toggle_sureness(self) -> None:
        """Unfold what the draws say and bring it into view, or fold it away."""
        if self._sureness_fold.isExpanded():
            self._sureness_fold.collapse(animate=False)
        else:
            self._sureness_fold.expand(animate=False)
            QTimer.singleShot(LAID_OUT, self._scroll_to_sureness)

    def _scroll_to_sureness(self) -> None:
        top = self._sureness_fold.mapTo(self._scroll.widget(), QPoint(0, 0)).y()
        self._scroll.verticalScrollBar().setValue(top)

    def hide_constraints(self) -> None:
        """Fold the constraints away."""
        self._constraints_fold.collapse(animate=False)
        self._scroll.verticalScrollBar().setValue(0)

    def _on_history(self) -> None:
        document: Document = self.bench.document
        for button, label, verb in (
            (self.undo_button, document.undo_label, "Take back"),
            (self.redo_button, document.redo_label, "Do again"),
        ):
            button.setEnabled(label is not None)
            button.setToolTip(f"{verb}: {label}" if label else "")
