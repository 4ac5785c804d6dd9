"""Draws of a posterior, made in a thread of their own with a program of their own: a fit or an edit waits for none.

What leaves the thread is a `Drawn`, whose arrays nobody rewrites. No Qt here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from deblend import Diagnosis, Draw, Method, Observation, Program, Samples, Sampling, Scene, give_way, sample
from deblend.infer import DataShare
from napari_deblend.draw_errors import deviations_of, shares_of
from napari_deblend.runner import ERROR, Mailbox, sentence_of

logger = logging.getLogger(__name__)

DRAWN = "drawn"
"""Name of the news."""
INTERVAL = 0.25
"""Least time between two pieces of news while draws are made [s]."""
PART = 0.3
"""Fraction of the thread's time that these may take."""
MOST_KEPT = 400e6
"""How much draws that can be looked at one by one may take [bytes]; behind them, only their numbers are kept."""


class DrawKind(Enum):
    """What a picture of draws shows."""

    MEAN = "mean"
    DEVIATION = "standard deviation"
    DRAW = "draws"
    SHARE = "data against prior"
    """Of draws under a learned prior: what of each pixel the data decide."""


class DrawPicture(NamedTuple):
    """A picture of draws that the window may want to see."""

    kind: DrawKind
    observation: int
    source_id: str | None = None
    """None for the whole model."""
    draw: int = 0
    """Which one, where it is of a single draw."""


class DrawPhase(Enum):
    """What the thread is doing, as a person would say it."""

    PREPARING = "Preparing draws"
    DRAWING = "Drawing"
    PAUSED = "Paused"
    DONE = "Ready"
    FAILED = "Failed"

    @property
    def is_busy(self) -> bool:
        """Whether more draws are to come."""
        return self in (DrawPhase.PREPARING, DrawPhase.DRAWING, DrawPhase.PAUSED)


@dataclass(frozen=True)
class DrawSettings:
    """How many draws are made, and from what."""

    draws: Annotated[int, {"min": 2, "max": 1_000_000}] = 200
    chains: Annotated[int, {"min": 1, "max": 64}] = 4
    """Of NUTS; they share the draws."""
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1}] = 0
    """The same one gives the same draws."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the draws so far say."""

    scene: Scene
    """The one that they are drawn around, as it was given."""
    method: Method
    phase: DrawPhase
    n_wanted: int
    n_kept: int
    """How many can be looked at one by one."""
    seed: int
    quantities: Mapping[str, Float[np.ndarray, "draw source"]]
    units: Mapping[str, str]
    """Of the quantities, by their names."""
    chains: Int[np.ndarray, " draw"]
    flux_errors: Float[np.ndarray, "source channel"]
    """Standard deviation [nJy]; NaN where there are too few draws."""
    diagnosis: Diagnosis | None
    """Whether chains agree; None where draws are independent of each other."""
    doubts: tuple[str, ...]
    """Sentences about what speaks against the draws."""
    pictures: Mapping[DrawPicture, np.ndarray]
    """Those that were wanted, (band, y, x) [nJy/pix]."""
    is_calibrated: bool = True
    """Whether their scatter is known to be an error bar."""
    shares: tuple[DataShare, ...] = ()
    """Of each galaxy, what the data have said against a learned prior; none before the second draw."""

    @property
    def kinds(self) -> tuple[DrawKind, ...]:
        """What can be looked at."""
        has_shares = self.method is Method.DIFFUSION and self.n_kept > 0
        return tuple(kind for kind in DrawKind if kind is not DrawKind.SHARE or has_shares)

    @property
    def n_done(self) -> int:
        return len(self.chains)

    @property
    def biases(self) -> Float[np.ndarray, " source"]:
        """By which share of its flux each source may be off for what a fit believes of shapes."""
        return shares_of(self.scene, self.method, self.quantities["blendedness"])


Job = Callable[[Sampling, Samples], Any]


class Drawing:
    """A thread that makes draws around one scene until they are enough, and shows them until `close`."""

    def __init__(
        self,
        observations: Sequence[Observation],
        scene: Scene,
        method: Method,
        settings: DrawSettings,
        prior: Path | None = None,
    ) -> None:
        """Begin; `prior` is the file of the one that pictures are drawn under, that of the package without one."""
        self.mailbox = Mailbox()
        self._prior = prior if method is Method.DIFFUSION else None
        self.scene, self.method, self.settings = scene, method, settings
        self.phase = DrawPhase.PREPARING
        self._observations = tuple(observations)
        self._sampling: Sampling | None = None
        self._samples: Samples | None = None
        self._draws: list[Draw] = []
        self._chains: list[int] = []
        self._room = 1
        self._told: Drawn | None = None
        """The last news."""
        self._wanted: frozenset[DrawPicture] = frozenset()
        self._rendered: dict[DrawPicture, np.ndarray] = {}
        """Pictures of single draws, which do not change."""
        self._jobs: dict[str, Job] = {}
        self._paused = self._stopped = self._closed = self._has_news = False
        self._next_news = 0.0
        self._wake = threading.Condition()
        # not a daemon: one that is inside JAX when the interpreter ends would abort it
        self._thread = threading.Thread(target=self._work, name="deblend draws", daemon=False)
        self._thread.start()

    # what the window asks for; all but `close` return at once ----------------------------------------------------

    def pause(self, paused: bool = True) -> None:
        """Have no more draws made, or go on; one that was begun is kept for then."""
        with self._wake:
            self._paused = paused
            self._hold()

    def stop(self) -> None:
        """Have no more draws made; those there are stay."""
        with self._wake:
            self._stopped = True
            self._hold()

    def want(self, pictures: frozenset[DrawPicture]) -> None:
        """Say which pictures are looked at; only these are made."""
        with self._wake:
            if pictures != self._wanted:
                self._wanted, self._has_news = pictures, True
                self._wake.notify()

    def submit(self, name: str, job: Job) -> None:
        """Have a job done with the draws so far; its result is posted under `name`."""
        with self._wake:
            self._jobs[name] = job
            self._wake.notify()

    def close(self, wait: bool = True) -> None:
        """End the thread."""
        with self._wake:
            self._closed = True
            self._hold()
        if wait:
            self._thread.join()

    @property
    def is_paused(self) -> bool:
        return self._paused and not self._stopped

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _hold(self) -> None:
        if self._sampling is not None:
            if self._goes_on:
                self._sampling.resume()
            else:
                self._sampling.cancel()
        self._has_news = True
        self._wake.notify()

    @property
    def _goes_on(self) -> bool:
        return not (self._paused or self._stopped or self._closed)

    @property
    def _is_complete(self) -> bool:
        return self._sampling is not None and self._sampling.n_done >= self._sampling.n_draws

    # the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        give_way()
        try:
            self._begin()
            while not self._closed:
                with self._wake:
                    self._wake.wait_for(lambda: self._closed or self._has_news or self._jobs or self._draws_on)
                    jobs, self._jobs = self._jobs, {}
                if self._closed:
                    break
                self._serve(jobs)
                if self._draws_on:
                    self._take_one()
                self._tell()
        except Exception as error:
            logger.exception("The thread of draws met an error.")
            self.phase = DrawPhase.FAILED
            self.mailbox.post(ERROR, sentence_of(error))

    def _begin(self) -> None:
        scene, settings = self.scene, self.settings
        # groups as the window's own program has them, which is compiled already
        program = Program(self._observations, scene, standard_groups=True, solve=False)
        sampling = sample(
            scene,
            self._observations,
            self.method,
            settings.draws,
            settings.seed,
            program,
            settings.chains,
            prior=self._prior,
        )
        self._samples = Samples(program, with_model=True, is_calibrated=sampling.is_calibrated)
        with self._wake:
            self._sampling = sampling
            self._hold()

    @property
    def _draws_on(self) -> bool:
        return self._goes_on and not self._is_complete

    def _take_one(self) -> None:
        assert self._sampling is not None and self._samples is not None
        draw = next(self._sampling, None)
        if draw is None:
            return
        # a scene that was made is kept with its draw, and takes more room than its numbers
        fresh = replace(draw)
        self._samples.add(draw)
        self._chains.append(draw.chain)
        if not self._draws:
            self._room = max(int(MOST_KEPT / max(_size(draw), 1)), 1)
        if len(self._draws) < self._room:
            self._draws.append(fresh)
        self._has_news = True

    def _serve(self, jobs: Mapping[str, Job]) -> None:
        assert self._sampling is not None and self._samples is not None
        for name, job in jobs.items():
            self._rest()
            self.mailbox.post(name, job(self._sampling, self._samples))

    def _rest(self) -> None:
        """Wait for a draw that was begun: it works with the same program."""
        if self._sampling is not None and self._chains:
            _ = self._sampling.sampler

    def _tell(self) -> None:
        """Say where the draws stand, where that is due."""
        self.phase = self._resting_phase
        begin = time.monotonic()
        if not self._has_news or (self._draws_on and begin < self._next_news):
            return
        self._has_news = False
        self._rest()
        self.mailbox.post(DRAWN, self._drawn())
        cost = time.monotonic() - begin
        self._next_news = time.monotonic() + max(INTERVAL, cost / PART)

    @property
    def _resting_phase(self) -> DrawPhase:
        if self._stopped or self._is_complete:
            return DrawPhase.DONE
        if self._paused:
            return DrawPhase.PAUSED
        return DrawPhase.DRAWING if self._chains else DrawPhase.PREPARING

    def _drawn(self) -> Drawn:
        assert self._sampling is not None and self._samples is not None
        if self._told is not None and self._told.n_done == len(self._chains):
            return replace(self._told, phase=self._resting_phase, pictures=self._pictures())
        quantities = self._samples.quantities
        n, fluxes = len(self._chains), self._samples.fluxes
        self._told = Drawn(
            self.scene,
            self.method,
            self._resting_phase,
            self._sampling.n_draws,
            len(self._draws),
            self._sampling.seed,
            {name: values.value for name, values in quantities.items()},
            {name: str(values.unit) for name, values in quantities.items()},
            np.array(self._chains, int),
            deviations_of(fluxes, shares_of(self.scene, self.method, quantities["blendedness"].value)),
            self._sampling.diagnosis() if n else None,
            tuple(self._sampling.doubts),
            self._pictures(),
            self._sampling.is_calibrated,
            tuple(self._sampling.data_shares()),
        )
        return self._told

    def _pictures(self) -> dict[DrawPicture, np.ndarray]:
        assert self._samples is not None
        rows = {source.id: row for row, source in enumerate(self.scene.sources)}
        result = {}
        for picture in self._wanted if self._chains else ():
            row = None if picture.source_id is None else rows.get(picture.source_id)
            if row is None and picture.source_id is not None:
                continue
            if picture.kind is DrawKind.MEAN:
                result[picture] = self._samples.mean(row, picture.observation)
            elif picture.kind is DrawKind.DEVIATION:
                result[picture] = self._samples.deviation(row, picture.observation)
            elif picture.draw < len(self._draws):
                result[picture] = self._of_draw(picture, row)
        self._rendered = {p: result[p] for p in result if p.kind is DrawKind.DRAW}
        return result

    def _of_draw(self, picture: DrawPicture, row: int | None) -> np.ndarray:
        assert self._sampling is not None
        if picture not in self._rendered:
            program = self._sampling.program
            with program.standing_at(replace(self._draws[picture.draw]).scene):
                seen = (program.model if row is None else lambda k: program.component(row, k))(picture.observation)
            self._rendered[picture] = seen
        return self._rendered[picture]


def _size(draw: Draw) -> int:
    """Return how much the numbers of a draw take [bytes]."""
    return _n_bytes(draw.parameters)


def _n_bytes(part: Any) -> int:
    return sum(map(_n_bytes, part)) if isinstance(part, tuple) else 0 if part is None else int(np.asarray(part).nbytes)
