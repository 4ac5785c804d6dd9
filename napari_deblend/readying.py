"""What will be needed is made ready in a thread of its own, while a person looks and edits: fits are compiled.

That takes 5 to 20 s for images of a size that were never seen before, and a thirtieth of that afterwards, from
disk. First comes the scene as it is, or as detection would have it where there is none yet; then one with the shifts
that images are registered by; then the scene with room for more sources, where there is hardly any left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from deblend import FitSettings, Observation, Program, Scene, detect, fit
from deblend.program import GroupLayout, stand_back
from napari_deblend.finder import Finder
from napari_deblend.runner import Phase

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

SWITCH = "DEBLEND_COMPILE_AHEAD"
"""An environment variable; with "no" nothing is compiled before it is needed."""
STEPS = 2
"""The start of a fit and its first step: together they need all that it is made of."""
FREE_SLOTS = 2
"""A group with fewer of them is about to grow."""
LIBRARIES, FITS = "libraries", "fits"
"""Names of the jobs."""


class Readying:
    """Follows one workbench, and compiles when it rests."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._thread = Finder()
        self._observations: tuple[Observation, ...] = ()
        self._program: Program | None = None
        self._ready: set[Any] = set()
        """Solvers and layouts that are compiled."""
        self.is_busy = False
        """Whether something is being compiled, or is about to be."""
        self._is_wanted = False
        self._is_closed = False
        if os.environ.get(SWITCH, "").lower() != "no":
            self._thread.submit(LIBRARIES, load_libraries)
            bench.settled.connect(self._on_settled)
            bench.phase_changed.connect(self._on_phase)

    def close(self) -> None:
        """End after the call that the thread is in; nobody waits for it."""
        self._is_closed = True
        self._thread.close(wait=False)

    def _on_settled(self) -> None:
        self._is_wanted = self.is_busy = self._bench.document.is_open
        self._on_phase(self._bench.phase)

    def _on_phase(self, phase: Phase) -> None:
        if self._is_wanted and phase is Phase.IDLE:
            self._is_wanted = False
            self._begin()

    def _begin(self) -> None:
        bench = self._bench
        rooms = None if bench.runner is None else bench.runner.rooms
        if rooms is None:
            self.is_busy = False
            return
        scene, observations, settings = bench.document.scene, bench.document.observations, bench.settings
        threshold, method = bench.threshold, bench.method

        def job() -> None:
            stand_back()
            self.is_busy = True
            try:
                start = scene if scene.sources else detect(observations, threshold, method=method, solve=False)
                if start.sources:
                    self._make_ready(observations, start, rooms, settings)
            except RuntimeError:
                # Python ends meanwhile, and starts no threads any more
                if not self._is_closed:
                    raise
            finally:
                self.is_busy = False

        self._thread.submit(FITS, job)

    def _make_ready(
        self, observations: tuple[Observation, ...], scene: Scene, rooms: Sequence[GroupLayout], settings: FitSettings
    ) -> None:
        if self._program is None or observations is not self._observations:
            self._program = Program(observations, scene, solve=False)
            self._observations, self._ready = observations, set()
        program = self._program
        program.make_room(rooms)
        program.take(scene)
        for wanted, room in likely(scene, program):
            program.make_room(room)
            program.take(wanted)
            key = settings.solver, program.layout
            if key in self._ready:
                continue
            if self._is_closed or observations is not self._bench.document.observations:
                return
            if self._bench.phase is not Phase.IDLE:
                # a fit, or the answer to an edit, would wait for this; the next rest goes on here
                return
            running = fit(wanted, observations, settings=settings, program=program)
            for _ in range(STEPS):
                next(running, None)
            self._ready.add(key)


def load_libraries() -> None:
    """Load what napari does for the first layer of a process, for a second, while a person still chooses what to open.

    Nothing more of a layer: its tables of units are not made for two threads at once.
    """
    with suppress(ImportError):
        import_module("xarray")


def likely(scene: Scene, program: Program) -> Iterator[tuple[Scene, tuple[GroupLayout, ...]]]:
    """Yield the scene of a program, and what a person may well make of it next, each with the room for it."""
    rooms = program.rooms
    yield scene, rooms
    if not scene.calibrations and len(scene.channels) > 1:
        yield scene.calibrating("shift"), rooms
    free = [room.capacity - len(members) for room, members in zip(rooms, program.members, strict=True)]
    larger = (
        replace(r, capacity=2 * r.capacity) if left < FREE_SLOTS else r for r, left in zip(rooms, free, strict=True)
    )
    yield scene, tuple(larger)
