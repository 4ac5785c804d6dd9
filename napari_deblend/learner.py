"""Learning a prior from the window of one workbench: begun, followed, stopped, and offered for draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_deblend.compat import main_window
from napari_deblend.field_galaxies import FieldGalaxies
from napari_deblend.learning import LEARNED, Learned, Learning, LearningPhase
from napari_deblend.learning_settings import LearningSettings, Origin
from napari_deblend.runner import ERROR

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

LOOK = 60
"""How often an answer of the thread is looked for [ms]."""
JOB = "learning"
"""Name under which a failure is announced."""


class Learner:
    """What is learned in one workbench; it touches neither its scene nor its images."""

    changed = Signal()
    """Learning has come further, or to its end."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.settings = LearningSettings()
        self.learned: Learned | None = None
        """Where the last learning stands; None where there was none."""
        self._learning: Learning | None = None
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether something is being learned, as far as the window has heard."""
        return self.learned is not None and self.learned.phase.is_busy

    @property
    def is_stopping(self) -> bool:
        """Whether an end was asked for and is not there yet."""
        return self._learning is not None and self._learning.is_stopping

    def begin(self) -> None:
        """Learn as is set; raises ValueError with a sentence where that cannot be done."""
        if self.is_busy:
            raise ValueError("A prior is being learned; stop it, or wait for its end.")
        self.settings.check()
        field = self._field if self.settings.learn_from is Origin.FIELD else None
        self.learned = Learned()
        self._learning = Learning(self.settings, field)
        self._timer.start()
        self.changed.emit()

    def stop(self) -> None:
        """Have no more learned, and keep what there is; raises ValueError where nothing is learned."""
        if self._learning is None or not self.is_busy:
            raise ValueError("No prior is being learned.")
        self._learning.stop()
        self._bench.tell("Stopping: what has been learned is kept.")
        self.changed.emit()

    @property
    def is_offered(self) -> bool:
        """Whether a prior was written that draws can be made under."""
        return self.learned is not None and self.learned.is_written

    def take(self) -> None:
        """Have draws made under what was learned; raises ValueError where there is nothing yet."""
        if self._learning is None or not self.is_offered:
            raise ValueError("No prior has been learned here yet.")
        self._bench.sureness.take_prior(self._learning.settings.file)
        self._bench.tell(f"Draws are made under {self._learning.settings.file.name} from now on; press Draw.")

    def close(self) -> None:
        """End the thread after the step that it is in; nobody waits for it."""
        self._timer.stop()
        if self._learning is not None:
            self._learning.close()

    @property
    def _field(self) -> FieldGalaxies:
        """What is open, in the band that is looked at; raises ValueError where there are no galaxies yet."""
        bench = self._bench
        if not bench.document.is_open or not bench.document.scene.sources:
            raise ValueError("There are no galaxies to learn from; open images, detect sources, and fit.")
        if bench.runner is not None and bench.runner.is_running:
            raise ValueError("A fit is running, and galaxies are cut out with its models: stop it, or wait.")
        scene, k = bench.document.scene, bench.layers.seen_by
        if not scene.is_solved:
            raise ValueError("The fluxes of the last edit are being solved; try again in a moment.")
        observations = bench.document.observations
        return FieldGalaxies(observations, scene, k, min(bench.layers.band, len(observations[k].channels) - 1))

    def _look(self) -> None:
        learning = self._learning
        assert learning is not None
        news = learning.mailbox.take()
        if ERROR in news:
            self._bench.fail(JOB, news[ERROR])
        if LEARNED in news:
            self.learned = news[LEARNED]
            if self.learned.phase in (LearningPhase.DONE, LearningPhase.STOPPED):
                self._bench.tell(self.learned.sentence)
            if not self.learned.phase.is_busy:
                self._timer.stop()
            self.changed.emit()


# actions -----------------------------------------------------------------------------------------------------------


def learn_prior(bench: Workbench) -> None:
    """Show where priors are learned."""
    from napari_deblend.widgets.learning import show_learning

    show_learning(bench)


def stop_learning(bench: Workbench) -> None:
    """Learn no more, and keep what there is."""
    bench.learner.stop()
