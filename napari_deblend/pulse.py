"""The timers between the threads and the window: when the mailboxes are looked into, and when a frame is shown.

The timer pulls the newest frame when the window has time for it; after a frame that cost much it waits longer, so
that a slow screen never falls behind and never freezes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_deblend import garbage
from napari_deblend.compat import main_window
from napari_deblend.jobs import MACHINE
from napari_deblend.machine import Frame
from napari_deblend.runner import ERROR, FRAME, Phase, Runner

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

STREAM_INTERVAL = 0.16
"""Least time between two pictures of a running fit [s]: six a second."""
EDIT_INTERVAL = 0.008
"""How often the mailbox is looked into while an answer to an edit is awaited [s]."""
IDLE_INTERVAL = 0.03
LISTS_DELAY = 0.08
"""How long after a picture of a running fit its numbers are written into table and plot [s]: drawn in one go, the
window would be away for twice as long."""
DRAG_LISTS_DELAY = 0.25
"""The same for a picture of a drag."""
WINDOW_SHARE = 0.3
"""Fraction of the window's time that pictures may take."""
SETTLE_TIME = 400
"""How long nothing must change before the slow things are done: thumbnails, signal-to-noise [ms]."""


class Bell(QObject):
    """Rung in any thread, heard in the window's as soon as that is free."""

    rung = Signal()

    def ring(self) -> None:
        self.rung.emit()


class Pulse:
    """Shows what the threads of one workbench have to say, as fast as its window can."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.phase = Phase.CLOSED
        self.frame: Frame | None = None
        """The last one that was shown."""
        self._shown_revision = 0
        self._last_frame_time = 0.0
        self._timer = self._single_shot(self._on_timer)
        self._lists_timer = self._single_shot(self._refresh_lists)
        self._settle_timer = self._single_shot(self._on_settled)
        self.bell = Bell()
        """To be rung when the machine has posted something."""
        self.bell.rung.connect(self._on_rung, Qt.ConnectionType.QueuedConnection)

    def _single_shot(self, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(main_window(self._bench.viewer))
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        return timer

    def begin(self) -> None:
        """Forget what was shown: another thread begins."""
        self.frame = None
        self._shown_revision = 0
        self._timer.start(0)

    def look_soon(self) -> None:
        """Look into the mailbox soon; asked for again and again, as by a drag, it is not put off."""
        soon = round(1000 * EDIT_INTERVAL)
        if not self._timer.isActive() or self._timer.remainingTime() > soon:
            self._timer.start(soon)

    def settle_later(self) -> None:
        """Do the slow things once nothing has changed for a moment from now."""
        self._settle_timer.start(SETTLE_TIME)

    def set_phase(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self._bench.phase_changed.emit(phase)

    def _on_rung(self) -> None:
        """Show the answer to an edit at once; all else has time until the timer fires."""
        # what rang may be heard after the window has gone, and its timers with it
        is_awaited = self._bench.runner is not None and self._shown_revision != self._bench.document.revision
        if is_awaited and self._timer.isActive():
            self._timer.start(0)

    def _on_timer(self) -> None:
        bench, begin = self._bench, time.perf_counter()
        bench.answers.take_findings()
        runner = bench.runner
        if runner is not None:
            self.set_phase(runner.phase)
            is_streaming = runner.phase is Phase.RUNNING and self._shown_revision == bench.document.revision
            if not is_streaming or begin - self._last_frame_time >= STREAM_INTERVAL:
                self._take_news(runner)
        if runner is not None or bench.is_reading:
            is_awaited = self._shown_revision != bench.document.revision or bench.finder.is_busy
            pause = EDIT_INTERVAL if is_awaited else IDLE_INTERVAL
            cost = time.perf_counter() - begin
            self._timer.start(round(1000 * max(pause, cost / WINDOW_SHARE - cost)))

    def _take_news(self, runner: Runner) -> None:
        news = runner.mailbox.take()
        if FRAME in news:
            self._last_frame_time = time.perf_counter()
            self._show(news.pop(FRAME))
        if ERROR in news:
            self._bench.fail(MACHINE, news.pop(ERROR))
        for name, outcome in news.items():
            self._bench.answers.take(name, outcome)

    def _show(self, frame: Frame) -> None:
        bench = self._bench
        was_running = self.frame is not None and not self.frame.sentence
        is_streaming = self.phase is Phase.RUNNING and self._shown_revision == frame.revision and not frame.sentence
        self.frame = frame
        self._shown_revision = frame.revision
        bench.document.accept(frame.scene, frame.revision)
        bench.layers.show(frame)
        if not (is_streaming or bench.document.in_gesture):
            self._refresh_lists()
        elif not self._lists_timer.isActive():
            self._lists_timer.start(round(1000 * (LISTS_DELAY if is_streaming else DRAG_LISTS_DELAY)))
        if frame.sentence and was_running:
            bench.tell(frame.sentence)
        bench.curtain.up()
        self.settle_later()

    def _refresh_lists(self) -> None:
        self._lists_timer.stop()
        if self.frame is not None:
            self._bench.framed.emit(self.frame)
            self._bench.refreshed.emit()

    def _on_settled(self) -> None:
        bench = self._bench
        if self.phase is Phase.RUNNING:
            self.settle_later()
            return
        bench.markers.show()
        bench.handles.show()
        bench.paths.show()
        bench.layers.renew_components()
        bench.layers.refresh_thumbnails()
        bench.settled.emit()
        if bench.document.is_open:
            garbage.spare(id(bench))
