"""Section: start, pause and stop the fit, or draws around it; how it goes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel

from deblend import Method, Solver
from napari_deblend.fit_notes import METHODS, notes_of
from napari_deblend.machine import Frame
from napari_deblend.participation import SENTENCES, Participation
from napari_deblend.runner import Phase
from napari_deblend.widgets.calibrating import Calibrating
from napari_deblend.widgets.curve import Curve
from napari_deblend.widgets.parts import Section, Still, action_button, fold, prose, row
from napari_deblend.widgets.prior_choice import PriorChoice
from napari_deblend.widgets.runs import Runs
from napari_deblend.widgets.settings import form
from napari_deblend.workbench import Workbench

PRIMARY = """
QPushButton { background-color: #1f7a99; color: white; font-weight: bold; padding: 5px 18px; }
QPushButton:hover { background-color: #2a93b8; }
"""

WAYS_TO_DRAW = {
    Method.GAUSSIAN: "Draws of the Gaussian around the fit: quick, exact where all that is free are fluxes",
    Method.RTO: "Fits of perturbed data and priors: slower; within bounds, so that no flux is negative",
    Method.NUTS: "Chains in the posterior itself, with R-hat: for scenes of profiles",
    Method.DIFFUSION: "Pictures of all galaxies as a learned prior knows them, with their spectra: seconds per draw",
}
"""How sure the fit is, each with a sentence."""


class FitSection(Section):
    """Buttons, settings, the chi² curve and the numbers of the present state."""

    title = "Fit"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.go = action_button(bench, "fit_or_pause", "Fit")
        self.draw = action_button(bench, "draw_or_pause", "Draw")
        self.draw.setStyleSheet(PRIMARY)
        self.enough = action_button(bench, "stop_drawing", "Stop, keep the draws")
        self.go.setStyleSheet(PRIMARY)
        self.step = action_button(bench, "step_fit", "Step")
        self.stop = action_button(bench, "cancel_fit", "Stop, keep the best")
        self.numbers = QLabel("")
        self.numbers.setObjectName("numbers")
        self.curve = Curve()
        self.curve.chosen.connect(self._go_back)
        self.who = QComboBox()
        self.who.setObjectName("participation")
        for participation in Participation:
            self.who.addItem(participation.value, participation)
            self.who.setItemData(self.who.count() - 1, SENTENCES[participation], Qt.ItemDataRole.ToolTipRole)
        self.who.setToolTip("Which sources the fit may change; all others stay as they are")
        self.who.setCurrentIndex(list(Participation).index(bench.participation))
        self.who.activated.connect(self._set_participation)
        self.form = form(bench.settings, self._set_settings)
        self._form_widget = self.form.native
        self.method = QComboBox()
        for solver, (name, sentence) in METHODS.items():
            self.method.addItem(name, solver)
            self.method.setItemData(self.method.count() - 1, sentence, Qt.ItemDataRole.ToolTipRole)
        self.method.insertSeparator(self.method.count())
        for method, sentence in WAYS_TO_DRAW.items():
            self.method.addItem(f"How sure: {method.label}", method)
            self.method.setItemData(self.method.count() - 1, sentence, Qt.ItemDataRole.ToolTipRole)
        self.method.activated.connect(self._set_method)
        self.draw_form = form(bench.sureness.settings, self._set_draw_settings)
        self.prior = PriorChoice(bench)
        self._is_drawing = False
        self.notes = prose()
        numbers = Still(self.numbers, widest="χ² 88888.8888")
        self.numbers.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.column.addLayout(row(self.go, self.step, self.stop, self.draw, self.enough, None, numbers))
        self.column.addLayout(row(QLabel("Method"), self.method, None))
        self._who_label = QLabel("Sources")
        self.column.addLayout(row(self._who_label, self.who, None))
        self.column.addWidget(self.draw_form.native)
        self.column.addWidget(self.prior)
        self.column.addWidget(self.notes)
        self.column.addWidget(self.curve)
        self.runs = Runs(bench)
        self.runs_fold = fold("History of runs", self.runs, open_=False)
        self.column.addWidget(self.runs_fold)
        self.calibrating = Calibrating(bench)
        self.column.addWidget(fold("How images are off", self.calibrating, open_=False))
        self.column.addWidget(fold("Settings", self._form_widget, open_=False))
        self.listen(bench.phase_changed, self._on_phase)
        self.listen(bench.framed, self._on_frame)
        self.listen(bench.document.observations_changed, self._on_observations)
        self.listen(bench.refreshed, self._show_method)
        self.listen(bench.history.changed, self._show_curve)
        self.listen(bench.sureness.changed, self._show_drawing)
        self.listen(bench.sureness.chosen, self._on_way_chosen)
        self._on_phase(bench.phase)
        self._show_method()
        if bench.frame is not None:
            self._on_frame(bench.frame)

    def _on_phase(self, phase: Phase) -> None:
        texts = {Phase.RUNNING: "Pause", Phase.PAUSED: "Go on"}
        self.go.setText(texts.get(phase, "Fit"))
        self.stop.setEnabled(phase in texts)
        self._form_widget.setEnabled(phase not in texts)
        self.method.setEnabled(phase not in texts)
        self.who.setEnabled(phase not in texts)

    def _on_frame(self, frame: Frame) -> None:
        each = "  ".join(f"{name} {chi2:.3f}" for name, chi2 in frame.chi2_per_observation.items())
        self.numbers.setText(f"χ² {frame.chi2:.4f}")
        self.numbers.setToolTip(f"χ² per unmasked pixel: {each}")
        self._show_curve()

    def _show_curve(self) -> None:
        curve = self.bench.history.curve
        if len(curve) != len(self.curve.values) or tuple(self.curve.values) != curve:
            self.curve.show_values(curve)

    def _go_back(self, point: int) -> None:
        try:
            self.bench.history.go_back_to(point)
        except ValueError as error:
            self.bench.tell(str(error))

    def _set_participation(self, place: int) -> None:
        self.bench.participation = self.who.itemData(place)

    def _on_observations(self) -> None:
        self.numbers.setText("")
        self.curve.show_values(())

    def _set_settings(self, settings: Any) -> None:
        self.bench.settings = settings
        self._show_method()

    def _set_method(self, place: int) -> None:
        chosen = self.method.itemData(place)
        self._is_drawing = isinstance(chosen, Method)
        if isinstance(chosen, Method):
            self.bench.sureness.choose(chosen)
        else:
            self.form["solver"].value = chosen
            self._show_method()

    def _on_way_chosen(self) -> None:
        self._is_drawing = True
        self._show_method()

    def _set_draw_settings(self, settings: Any) -> None:
        self.bench.sureness.settings = settings

    def _show_method(self) -> None:
        """Show the method, and what to be careful about with it."""
        bench, sureness = self.bench, self.bench.sureness
        chosen: Method | Solver = sureness.method if self._is_drawing else bench.settings.solver
        place = next(k for k in range(self.method.count()) if self.method.itemData(k) is chosen)
        self.method.setCurrentIndex(place)
        self.method.setToolTip(self.method.itemData(place, Qt.ItemDataRole.ToolTipRole))
        self._show_drawing()
        if self._is_drawing:
            self.notes.hide()
            return
        notes = notes_of(bench.document.scene, bench.settings.solver) if bench.document.is_open else []
        text = "\n".join(notes)
        if text != self.notes.text():
            self.notes.setText(text)
        self.notes.setVisible(bool(notes))

    def _show_drawing(self) -> None:
        """Show the buttons of what is chosen: a fit, or draws around it."""
        sureness, is_drawing = self.bench.sureness, self._is_drawing
        for widget in (self.go, self.step, self.stop, self.who, self._who_label):
            widget.setVisible(not is_drawing)
        for widget in (self.draw, self.enough, self.draw_form.native):
            widget.setVisible(is_drawing)
        self.prior.setVisible(is_drawing and sureness.method is Method.DIFFUSION)
        self.prior.setEnabled(not sureness.is_busy)
        self.draw_form["chains"].visible = is_drawing and sureness.method is Method.NUTS
        is_busy = sureness.is_busy
        self.draw.setText("Draw" if not is_busy else "Go on" if sureness.is_paused else "Pause")
        self.enough.setEnabled(is_busy)
        self.draw_form.native.setEnabled(not is_busy)
