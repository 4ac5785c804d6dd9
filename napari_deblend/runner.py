"""One background thread for one set of observations, and a one-place mailbox.

What is asked for while the thread is busy is kept in one place per kind, so that the newest wish wins and a drag
never queues up. What the thread has to say goes into a mailbox of one place per kind too; a timer of the window
empties it when it has time. No Qt here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from deblend import FitSettings, Observation, Scene, give_way
from deblend.faults import machine_fault
from deblend.program import GroupLayout
from napari_deblend.components import Cube
from napari_deblend.machine import Machine, Mix, Picture, PictureKind

logger = logging.getLogger(__name__)

FRAME, ERROR = "frame", "error"
"""Kinds of news that are not the result of a job."""
COMPONENTS = "components"
LONGEST_WAIT = 60.0
"""How long components are waited for [s]."""


class Phase(Enum):
    """What the thread is doing, as a person would say it."""

    COMPILING = "Compiling"
    IDLE = "Ready"
    SOLVING = "Solving"
    RUNNING = "Fitting"
    PAUSED = "Paused"
    CLOSED = "Closed"


class Mailbox:
    """One place per kind of news; the newest wins, and whoever takes empties it."""

    def __init__(self, ring: Callable[[], None] | None = None) -> None:
        """Be empty; `ring` is called, by whoever posts, after something was posted."""
        self._lock = threading.Lock()
        self._news: dict[str, Any] = {}
        self._ring = ring

    def post(self, kind: str, news: Any) -> None:
        with self._lock:
            self._news[kind] = news
        if self._ring is not None:
            self._ring()

    def take(self) -> dict[str, Any]:
        with self._lock:
            news, self._news = self._news, {}
        return news

    @property
    def is_empty(self) -> bool:
        with self._lock:
            return not self._news


@dataclass
class _Wishes:
    """What the window has asked for and the thread has not begun."""

    edit: tuple[int, Scene] | None = None
    settings: FitSettings | None = None
    taking_part: tuple[str, ...] | None = None
    """Of the fit that is asked for; None for all sources."""
    cancel: bool = False
    redraw: bool = False
    mixes: Mapping[int, Mix] | None = None
    stop: bool = False
    jobs: dict[str, Callable[[Machine], Any]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.edit or self.settings or self.cancel or self.redraw or self.stop or self.jobs)


class Runner:
    """A thread that answers edits and runs fits until `close`."""

    def __init__(
        self,
        observations: Sequence[Observation],
        scene: Scene,
        revision: int = 0,
        mixes: Mapping[int, Mix] | None = None,
        ring: Callable[[], None] | None = None,
    ) -> None:
        self.mailbox = Mailbox(ring)
        self.phase = Phase.COMPILING
        self._machine = Machine(observations, mixes or {})
        self._wanted: frozenset[Picture] = frozenset()
        self._paused = False
        self._n_steps = 0
        """How many more iterations are taken though the fit is paused."""
        self._wake = threading.Condition()
        self._wishes = _Wishes(edit=(revision, scene))
        # not a daemon: one that is inside JAX when the interpreter ends would abort it
        self._thread = threading.Thread(target=self._work, name="deblend machine", daemon=False)
        self._thread.start()

    # what the window asks for; all but `components` and `close` return at once -------------------------------------

    def edit(self, revision: int, scene: Scene) -> None:
        """Ask for the fluxes and pictures of an edited scene; a running fit carries on from it."""
        self._wish(edit=(revision, scene))

    def run(self, settings: FitSettings, taking_part: tuple[str, ...] | None = None) -> None:
        """Ask for a fit, of some sources or of all."""
        self._paused, self._n_steps = False, 0
        self._wish(settings=settings, taking_part=taking_part)

    def run_paused(self, settings: FitSettings, taking_part: tuple[str, ...] | None = None) -> None:
        """Ask for a fit that waits after its first iteration."""
        # the first state is the start
        self._paused, self._n_steps = True, 2
        self._wish(settings=settings, taking_part=taking_part)

    def step(self) -> None:
        """Have the fit take one iteration, and wait then; one that goes on waits at once."""
        with self._wake:
            self._n_steps = 1 if self._paused else 0
            self._paused = True
            self._wake.notify()

    def pause(self, paused: bool = True) -> None:
        """Have the fit wait after its present iteration, or go on."""
        with self._wake:
            self._paused, self._n_steps = paused, 0
            self._wake.notify()

    def cancel(self) -> None:
        """Ask the fit to stop after its present iteration; its best state is kept."""
        self._paused, self._n_steps = False, 0
        self._wish(cancel=True, settings=None)

    def want(self, pictures: frozenset[Picture]) -> None:
        """Say which pictures are visible; only these are made."""
        has_new = not pictures <= self._wanted
        self._wanted = pictures
        if has_new:
            self._wish(redraw=True)

    def mix(self, mixes: Mapping[int, Mix]) -> None:
        """Have color composites made in another way from now on."""
        self._wish(mixes=dict(mixes), redraw=True)

    def submit(self, name: str, job: Callable[[Machine], Any]) -> None:
        """Have a job done in the thread; its result is posted under `name`. A newer job of that name replaces it."""
        with self._wake:
            self._wishes.jobs[name] = job
            self._wake.notify()

    def components(self, observation: int, source_ids: Sequence[str]) -> Mapping[str, Cube]:
        """Return pictures of sources as one observation sees them, waiting for the thread."""
        cubes: dict[str, Cube] = {}
        done = threading.Event()

        def job(machine: Machine) -> None:
            try:
                wanted = frozenset(Picture(PictureKind.COMPONENT, observation, i) for i in source_ids)
                cubes.update({p.source_id: cube for p, cube in machine.frame(wanted).pictures.items()})
            finally:
                done.set()

        self.submit(COMPONENTS, job)
        done.wait(timeout=LONGEST_WAIT)
        return cubes

    @property
    def is_asked(self) -> bool:
        """Whether something waits to be done: a job that takes its time looks at this, and ends."""
        return self._wishes.any

    def close(self, wait: bool = True) -> None:
        """End the thread after the call that it is in; waits for that unless told not to."""
        self._wish(stop=True)
        if wait:
            self._thread.join()

    @property
    def rooms(self) -> tuple[GroupLayout, ...] | None:
        """The groups of sources that the machine has room for; None while it prepares itself."""
        return self._machine.program.rooms if self._machine.is_ready else None

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_running(self) -> bool:
        """Whether there is a fit, or one is about to begin."""
        return self.phase in (Phase.RUNNING, Phase.PAUSED) or self._wishes.settings is not None

    @property
    def is_paused(self) -> bool:
        return self._paused and self.is_running

    def _wish(self, **wishes: Any) -> None:
        with self._wake:
            for name, wish in wishes.items():
                setattr(self._wishes, name, wish)
            self._wake.notify()

    # the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        machine = self._machine
        give_way()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wishes.any or self._pause_changed or self._goes_on)
                wishes, self._wishes = self._wishes, _Wishes()
                if wishes.settings is not None:
                    self.phase = Phase.RUNNING
            if wishes.stop:
                break
            try:
                self._obey(machine, wishes)
            except Exception as error:
                logger.exception("The background thread met an error.")
                sentence = sentence_of(error)
                if machine.break_off(sentence):
                    self._show_what_is_left(machine)
                self.mailbox.post(ERROR, sentence)
            self.phase = self._resting_phase
        self.phase = Phase.CLOSED

    def _obey(self, machine: Machine, wishes: _Wishes) -> None:
        """Do what is asked, in the order that a person would expect; then one iteration of the fit."""
        if wishes.mixes is not None:
            machine.mix(wishes.mixes)
        stopped = wishes.cancel and machine.is_fitting
        if stopped:
            machine.finish("The fit was stopped by hand.")
        if wishes.edit is not None:
            # a fit that is to follow counts as begun: nobody is to begin it once more
            if not machine.is_fitting and wishes.settings is None:
                self.phase = Phase.SOLVING if machine.is_ready else Phase.COMPILING
            machine.edit(*wishes.edit)
        if machine.is_ready and (stopped or wishes.redraw or wishes.edit is not None):
            self._show(machine)
        if wishes.settings is not None:
            self.phase = Phase.RUNNING
            # its first step may compile for seconds: until then whatever a person looks at must be there
            self.mailbox.post(FRAME, machine.frame(self._wanted | machine.every_picture))
            machine.start(wishes.settings, wishes.taking_part)
        for name, job in wishes.jobs.items():
            self.mailbox.post(name, job(machine))
        if machine.is_behind and machine.is_fitting and not self._goes_on:
            self._show(machine)
        if self._goes_on:
            machine.step()
            self._n_steps = max(self._n_steps - 1, 0)
            self._show(machine)

    def _show_what_is_left(self, machine: Machine) -> None:
        """Show the best state of a fit that broke off, where what broke it lets one."""
        try:
            self._show(machine)
        except Exception:
            logger.exception("The best state could not be drawn.")

    def _show(self, machine: Machine) -> None:
        self.mailbox.post(FRAME, machine.frame(self._wanted, is_streaming=self._goes_on))

    @property
    def _goes_on(self) -> bool:
        return self._machine.is_fitting and (not self._paused or self._n_steps > 0)

    @property
    def _pause_changed(self) -> bool:
        return self._machine.is_fitting and self._paused != (self.phase is Phase.PAUSED)

    @property
    def _resting_phase(self) -> Phase:
        if not self._machine.is_fitting:
            return Phase.IDLE
        return Phase.PAUSED if self._paused else Phase.RUNNING


def sentence_of(error: BaseException) -> str:
    """Return one sentence for a person; the traceback goes to the log."""
    if (fault := machine_fault(error)) is not None:
        return f"{fault} Your work is kept."
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else "no details were given"
    if isinstance(error, ValueError | OSError):
        return first
    return f"An internal error stopped the computation ({type(error).__name__}: {first}); your work is kept."
