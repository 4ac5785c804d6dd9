"""What the thread is doing, in napari's activity dock; driven by the window's timer, since its bars are no thread's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils import progress

from napari_deblend.compat import show_progress
from napari_deblend.machine import Frame
from napari_deblend.runner import Phase

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


class Activity:
    """One bar: of iterations while a fit runs, without an end while something compiles."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._bar: progress | None = None
        bench.phase_changed.connect(self._on_phase)
        bench.framed.connect(self._on_frame)
        bench.closed.connect(self._finish)

    @property
    def _iteration(self) -> int:
        return self._bench.frame.iteration if self._bench.frame is not None else 0

    def _on_phase(self, phase: Phase) -> None:
        if phase in (Phase.RUNNING, Phase.PAUSED):
            if self._bar is None or not self._bar.total:
                self._begin(self._bench.settings.max_iterations)
            self._say(phase.value, self._iteration)
        elif phase is Phase.COMPILING:
            self._begin(0)
            self._say("Compiling the model", 0)
        else:
            self._finish()

    def _on_frame(self, frame: Frame) -> None:
        bar = self._bar
        if bar is not None and bar.total and self._bench.phase is Phase.RUNNING:
            self._say(f"{Phase.RUNNING.value}, χ² {frame.chi2:.3f}", frame.iteration)

    def _begin(self, total: int) -> None:
        self._finish()
        self._bar = progress(total=total)

    def _say(self, sentence: str, iteration: int) -> None:
        if self._bar is not None:
            show_progress(self._bench.viewer, self._bar, iteration, sentence)

    def _finish(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
