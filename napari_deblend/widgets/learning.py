"""Dialog: learning what galaxies look like, with its progress, the error on held-out stamps, and draws at the end."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyqtgraph as pg
from jaxtyping import Float
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QProgressBar, QPushButton, QVBoxLayout

from napari_deblend.compat import main_window
from napari_deblend.learning import MOST_SHOWN, Learned, LearningPhase
from napari_deblend.learning_settings import LearningSettings, Origin
from napari_deblend.widgets.curve import LogPlot
from napari_deblend.widgets.ink import DATA, sheet
from napari_deblend.widgets.parts import Links, action_button, call, fold, prose, row
from napari_deblend.widgets.pixmaps import tiled_pixmap
from napari_deblend.widgets.settings import form
from napari_deblend.workbench import Workbench

NAME = "learning"
WIDTH = 560
"""[screen pix]"""
CURVE_HEIGHT = 140
LEAST_RANGE = 0.5
"""Of that curve, so that its axis has numbers [decades]."""
COLUMNS = 8
"""Of the draws that are shown."""
WHAT = (
    "A prior knows what single galaxies look like. It is learned from stamps of them, and the next draws of “pictures "
    "under a learned prior” can be made under it. You can go on working meanwhile."
)
TIPS = {
    "learn_from": "Galaxies of the generator, stamps of your own, or the single galaxies of the fitted field, in the "
    "band that is looked at, less the models of all others; from what was observed by expectation and maximization",
    "stamps": "A cube (stamp, y, x) of single galaxies, each on the pixel side // 2: FITS or .npy",
    "psf": "The PSF of the stamps: an image of odd side, FITS or .npy",
    "noise": "Standard deviation of a pixel, in the unit of the stamps",
    "galaxies": "How many are generated; a tenth as many more are held out",
    "side": "Of the stamps [pix]; larger galaxies need wider ones, and learn more slowly",
    "laps": "How often pictures are drawn of what was observed, and learned of; minutes and steps are of each",
    "minutes": "After which learning ends; it can be gone on with",
    "steps": "After which learning ends; it ends earlier where held-out stamps are not denoised better any more",
    "stamps_a_step": "How many stamps each step learns from",
    "width": "Channels of the network: a wider one learns more, and more slowly",
    "seed": "The same one gives the same prior",
    "file": "Where the prior is written; beside it come its card (.json) and a picture (.png)",
}
ASKED = {
    Origin.GENERATOR: ("galaxies", "side"),
    Origin.STAMPS: ("stamps",),
    Origin.OBSERVED: ("stamps", "psf", "noise", "laps"),
    Origin.FIELD: ("side", "laps"),
}
"""What is asked for some origins alone."""


class LearningDialog(QDialog):
    """Settings, buttons, and how it goes. Closing it stops nothing."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(main_window(bench.viewer))
        self.setObjectName(NAME)
        self.setWindowTitle("Learn a prior")
        self.setMinimumWidth(WIDTH)
        self.setStyleSheet(sheet(bench.viewer))
        self._bench = bench
        self.form = form(bench.learner.settings, self._set)
        for name, tip in TIPS.items():
            self.form[name].tooltip = tip
        self.learn = QPushButton("Learn")
        self.learn.setDefault(True)
        self.learn.setToolTip("Begin in the background; go on with what was broken off at this file")
        self.learn.clicked.connect(self._begin)
        self.stop = action_button(bench, "stop_learning", "Stop, keep what is learned")
        self.take = QPushButton("Use for draws")
        self.take.setToolTip("Make the next draws of pictures under this prior")
        self.take.clicked.connect(self._take)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        call(self.bar, "How far it is")
        self.sentence = prose()
        self.curve = HeldOutCurve()
        self.drawn = QLabel()
        self.drawn.setAlignment(Qt.AlignmentFlag.AlignCenter)
        call(self.drawn, "Galaxies that the prior draws")
        self.drawn.setToolTip("Galaxies that the prior draws, faint light brightened: do they look like galaxies?")
        column = QVBoxLayout(self)
        column.addWidget(prose(WHAT))
        self.settings = fold("What from, and how long", self.form.native)
        column.addWidget(self.settings)
        column.addLayout(row(self.learn, self.stop, None, self.take))
        column.addWidget(self.bar)
        column.addWidget(self.sentence)
        column.addWidget(self.curve)
        column.addWidget(self.drawn)
        # what is folded away leaves no gaps
        column.addStretch(1)
        self._was_busy = False
        self._shown: Float[np.ndarray, "draw y x"] | None = None
        self._links = Links()
        self.destroyed.connect(partial(self._links.end))
        self._links.connect(bench.learner.changed, self._show)
        for name in ("stamps", "psf"):
            if not self.form[name].value.name:
                # no file is no folder
                self.form[name].line_edit.value = ""
        self._show_fields()
        self._show()

    def _set(self, settings: LearningSettings) -> None:
        self._bench.learner.settings = settings
        self._show_fields()
        self._show()

    def _show_fields(self) -> None:
        """Ask for nothing that does not matter."""
        chosen = self._bench.learner.settings.learn_from
        for name in {name for names in ASKED.values() for name in names}:
            self.form[name].visible = name in ASKED[chosen]

    def _begin(self) -> None:
        try:
            self._bench.learner.begin()
        except ValueError as error:
            self.sentence.setText(str(error))
            self._bench.tell(str(error))
        else:
            # room for what comes of it
            self.settings.collapse()
            self.adjustSize()

    def _take(self) -> None:
        try:
            self._bench.learner.take()
        except ValueError as error:
            self.sentence.setText(str(error))

    def _show(self) -> None:
        learner = self._bench.learner
        learned, is_busy = learner.learned, learner.is_busy
        self.form.native.setEnabled(not is_busy)
        self.learn.setText("Go on" if learner.settings.goes_on else "Learn")
        self.learn.setEnabled(not is_busy)
        self.stop.setEnabled(is_busy and not learner.is_stopping)
        self.take.setEnabled(learner.is_offered and not is_busy)
        self.bar.setVisible(is_busy)
        self.curve.setVisible(learned is not None and bool(learned.trial_steps))
        if learned is None:
            self.drawn.hide()
            return
        if learned.phase is LearningPhase.FAILED and self._was_busy:
            # for what has to be said otherwise
            self.settings.expand(animate=False)
        self._was_busy = is_busy
        is_unknown = learned.phase in (LearningPhase.BEGINNING, LearningPhase.PREPARING, LearningPhase.WRITING)
        self.bar.setRange(0, 0 if is_unknown else learned.total)
        self.bar.setValue(learned.done)
        self.sentence.setText(said(learned, learner.is_stopping))
        self.curve.show_trials(learned.trial_steps, learned.trial_losses)
        if learned.pictures is not self._shown:
            self._shown = learned.pictures
            if learned.pictures is not None:
                self.drawn.setPixmap(tiled_pixmap(learned.pictures[:MOST_SHOWN], COLUMNS))
            self.drawn.setVisible(learned.pictures is not None)
            self.adjustSize()


class HeldOutCurve(LogPlot):
    """The error on held-out stamps against the step, logarithmic."""

    def __init__(self) -> None:
        super().__init__(CURVE_HEIGHT, "held-out error", "step")
        self.getPlotItem().getViewBox().setLimits(minYRange=LEAST_RANGE)
        self.setAccessibleName("Error on held-out stamps")
        self.setToolTip("The error on stamps that were held out; 1 for a network that has learned nothing")
        self.line = self.plot(pen=pg.mkPen(DATA, width=2), symbol="o", symbolSize=5, symbolBrush=DATA, symbolPen=None)

    def show_trials(self, steps: tuple[int, ...], losses: tuple[float, ...]) -> None:
        """Show the losses of trials behind these steps."""
        self.line.setData(np.array(steps, float), np.array(losses, float))


def said(learned: Learned, is_stopping: bool) -> str:
    """Return where learning stands, in words."""
    if learned.sentence:
        return learned.sentence
    if is_stopping:
        return "Stopping behind this step; what has been learned is kept…"
    text = f"Lap {learned.lap}: {learned.phase.value.lower()}" if learned.lap else learned.phase.value
    if learned.phase is LearningPhase.PREPARING:
        return f"{text}: the first step compiles for up to a minute…"
    if learned.total and learned.phase is not LearningPhase.WRITING:
        what = "galaxy" if learned.phase in (LearningPhase.GATHERING, LearningPhase.DRAWING) else "step"
        text += f": {what} {learned.done} of {learned.total}"
    if learned.trial_losses:
        text += f"; held-out error {learned.trial_losses[-1]:.4f}"
    if learned.seconds_left is not None:
        minutes = learned.seconds_left / 60.0
        text += f"; about {minutes:.0f} min more" if minutes >= 1 else "; less than a minute more"
    return f"{text}…"


def show_learning(bench: Workbench) -> LearningDialog:
    """Open the dialog of a window, or bring it to the front; return it."""
    window = main_window(bench.viewer)
    dialog: LearningDialog = window.findChild(LearningDialog, NAME) or LearningDialog(bench)
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog
