"""The fits of one workbench: any state that they went through can be gone back to, in one step, or be compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from deblend import Observation, Scene
from deblend.io import Run, Session
from napari_deblend.machine import Frame
from napari_deblend.past import PastRun

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


class History:
    """What was fitted so far, the run that goes on last."""

    changed = Signal()
    """A run has ended, or another one is looked at."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._before: tuple[PastRun, ...] = ()
        """Of sessions, and of other observations under the same sources."""
        self._now: tuple[PastRun, ...] = ()
        """Of the machine that works now."""
        self.chosen: PastRun | None = None
        """The run that is looked at; None for the present one."""
        bench.framed.connect(self._on_frame)
        bench.document.observations_changed.connect(self._on_observations)

    @property
    def runs(self) -> tuple[PastRun, ...]:
        """All runs that have ended, the oldest first."""
        return (*self._before, *self._now)

    def written(self, session: Session) -> Session:
        """Return a session that holds these runs, too."""
        return replace(session, runs=tuple(past.run for past in self.runs))

    def restore(self, runs: tuple[Run, ...]) -> None:
        """Go on with the runs of a session."""
        self._before, self._now, self.chosen = tuple(map(PastRun, runs)), (), None
        self.changed.emit()

    def choose(self, past: PastRun | None) -> None:
        """Look at the curve of a run; None for the present one."""
        if past is not self.chosen:
            self.chosen = past
            self.changed.emit()

    @property
    def curve(self) -> tuple[float, ...]:
        """χ² of the run that is looked at."""
        if self.chosen is not None:
            return self.chosen.run.curve
        return () if self._bench.frame is None else self._bench.frame.curve

    # going back --------------------------------------------------------------------------------------------------

    def state(self, point: int) -> Scene:
        """Return the scene at a point of the curve that is looked at; raises ValueError where it is no longer kept."""
        if self.chosen is not None:
            return self.chosen.state(point)
        frame = self._bench.frame
        if frame is None or not 0 <= point < len(frame.states):
            raise ValueError("There is no such state on the curve; start a fit first.")
        return frame.states[point]

    def go_back_to(self, point: int) -> None:
        """Return to a state of the curve that is looked at, as one step; a fit that runs is stopped."""
        scene = self.state(point)
        observations = self._bench.document.observations if self.chosen is None else self.chosen.run.observations
        self._return_to(scene, observations, f"Go back to iteration {point}")
        self._bench.tell(f"Back at iteration {point}, χ² {self.curve[point]:.4f}; Undo returns.")

    def go_back_to_run(self, past: PastRun) -> None:
        """Return to how a run ended, as one step."""
        number = self.runs.index(past) + 1
        self._return_to(past.run.end, past.run.observations, f"Go back to run {number}")
        self._bench.tell(f"Back at the end of run {number}, χ² {past.run.chi2:.4f}; Undo returns.")

    def _return_to(self, scene: Scene, observations: tuple[Observation, ...], label: str) -> None:
        bench = self._bench
        scene = bench.rounds.with_freedom(scene)
        bench.rounds.forget()
        if bench.runner is not None and bench.runner.is_running:
            bench.runner.cancel()
        if observations is not bench.document.observations:
            bench.document.exchange(observations, scene, label)
        elif scene is not bench.document.scene:
            bench.document.replace_scene(scene, label)

    # what comes in ------------------------------------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        if len(frame.past) != len(self._now):
            self._now = frame.past
            self.changed.emit()
        # the states of all but the last ones are let go
        self._now = frame.past

    def _on_observations(self) -> None:
        # another machine begins to count anew
        self._before, self._now, self.chosen = self.runs, (), None
        self.changed.emit()
