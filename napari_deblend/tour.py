"""The guided tour: which step it is at, and going on by itself when the person has done what the step says.

It only listens: nothing is held back, nothing is asked twice, and whatever else is done meanwhile is fine.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from psygnal import Signal, SignalInstance
from qtpy.QtCore import QTimer

from napari_deblend.compat import main_window
from napari_deblend.runner import Phase
from napari_deblend.sample import sample_paths
from napari_deblend.tour_steps import STEPS, Moment, Need, Step

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

PRAISE = 900
"""How long a step is shown as done before the next one comes [ms]."""
END_KEY = "Escape"
WIDGET = ("napari-deblend", "Deblend")
"""Plugin and name of the dock widget, in which the tour is shown."""


class Tour:
    """The tour through one workbench."""

    changed = Signal()
    """It is at another step, or the step is done, or lacks something."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._index: int | None = None
        self._before = Moment()
        """How the work was when the step began."""
        self._was_done = False
        """Whether what the step asks held when it began: then it waits until that is done once more."""
        self.is_done = False
        self._noted: Counter[str] = Counter()
        self._shadowed: Any = None
        """What the key that ends the tour did before."""
        self._praise = QTimer(main_window(bench.viewer))
        self._praise.setSingleShot(True)
        self._praise.timeout.connect(self.skip)

    @property
    def step(self) -> Step | None:
        """What the person is asked to do; None where there is no tour under way."""
        return None if self._index is None else STEPS[self._index]

    @property
    def number(self) -> int:
        """Of the step, from 1; 0 where there is no tour under way."""
        return 0 if self._index is None else self._index + 1

    @property
    def missing(self) -> Need:
        """What the step lacks, as after a person has closed the images."""
        step = self.step
        return Need.NOTHING if step is None or step.needs.is_met(self._moment()) else step.needs

    @property
    def holds_already(self) -> bool:
        """Whether there is nothing to do for the step, since it was so when it began."""
        return self._was_done

    # going through it --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start from the first step; with images open, from the second."""
        if self._index is None:
            for signal in self._signals:
                signal.connect(self._look)
            self._bench.document.observations_changed.connect(self._on_observations)
            viewer = self._bench.viewer
            self._shadowed = viewer.bind_key(END_KEY, lambda _: self.end(), overwrite=True)
        self._go(1 if self._bench.document.is_open else 0)

    def skip(self) -> None:
        """Go on without doing it; after the last step the tour has ended."""
        if self._index is None:
            return
        if self._index + 1 == len(STEPS):
            self.end()
        else:
            self._go(self._index + 1)

    def back(self) -> None:
        """Read the step before once more; what was done stays done."""
        if self._index:
            self._go(self._index - 1)

    def end(self) -> None:
        """Show it no more; it can be taken again at any time."""
        if self._index is None:
            return
        self._index = None
        self.disconnect()
        self.changed.emit()

    def disconnect(self) -> None:
        """Let the window go."""
        self._praise.stop()
        for signal in self._signals:
            signal.disconnect(self._look, missing_ok=True)
        self._bench.document.observations_changed.disconnect(self._on_observations, missing_ok=True)
        # with None napari unbinds
        self._bench.viewer.bind_key(END_KEY, self._shadowed, overwrite=True)
        self._shadowed = None

    def note(self, name: str) -> None:
        """Take note of something that leaves no trace in the work, as a part of the dock that was unfolded."""
        self._noted[name] += 1
        self._look()

    # looking -----------------------------------------------------------------------------------------------------

    @property
    def _signals(self) -> tuple[SignalInstance, ...]:
        """After which of them a step may be done."""
        bench = self._bench
        document = bench.document.scene_changed, bench.document.history_changed
        shown = bench.layers.view_changed, bench.stretching.changed, bench.leftovers.changed
        return (*document, *shown, bench.phase_changed, bench.history.changed, bench.told)

    def _go(self, index: int) -> None:
        self._praise.stop()
        self._index, self.is_done = index, False
        self._before = self._moment()
        self._was_done = STEPS[index].done(self._before, self._before)
        self.changed.emit()

    def _look(self, *_: Any) -> None:
        """Go on where the step is done; napari and the document may be in the middle of something, so a bit later."""
        step = self.step
        if step is None or self.is_done:
            return
        now = self._moment()
        is_done = step.done(self._before, now)
        if is_done and not self._was_done and not self._bench.document.in_gesture:
            self.is_done = True
            self._praise.start(PRAISE)
        self._was_done = self._was_done and is_done
        self.changed.emit()

    def _on_observations(self) -> None:
        """Compare with the images that are open now; opening them may be what the step asks for."""
        self._look()
        if not self.is_done:
            self._before = self._moment()

    def _moment(self) -> Moment:
        bench, document = self._bench, self._bench.document
        return Moment(
            is_open=document.is_open,
            view=bench.layers.view,
            stretch=bench.stretching.stretch,
            source_ids=tuple(s.id for s in document.scene.sources) if document.is_open else (),
            last_edit=document.last_step,
            can_redo=document.redo_label is not None,
            n_runs=len(bench.history.runs),
            is_fitting=bench.phase in (Phase.RUNNING, Phase.PAUSED),
            leftover=bench.leftovers.chosen,
            is_saved=document.is_open and bench.keeper.path is not None and bench.keeper.is_saved,
            noted=dict(self._noted),
        )


# actions ---------------------------------------------------------------------------------------------------------


def take_tour(bench: Workbench) -> None:
    """Begin the tour, in the dock widget, which is opened where it is closed."""
    bench.viewer.window.add_plugin_dock_widget(*WIDGET)
    bench.tour.begin()


def tour_skip(bench: Workbench) -> None:
    _needs_tour(bench)
    bench.tour.skip()


def tour_back(bench: Workbench) -> None:
    _needs_tour(bench)
    bench.tour.back()


def open_sample(bench: Workbench) -> None:
    """Open the sample blend and work on it; what was open is kept where it was not saved."""
    bench.load([str(path) for path in sample_paths()])


def _needs_tour(bench: Workbench) -> None:
    if bench.tour.step is None:
        raise ValueError("No tour is under way; Shift-F1 begins it.")
