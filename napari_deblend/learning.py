"""A prior of pictures learned in a thread of its own, that gives way to all others: work goes on meanwhile.

What leaves the thread is `Learned`, whose arrays nobody rewrites. No Qt here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from jaxtyping import Float

from deblend import give_way
from napari_deblend.runner import ERROR, Mailbox, sentence_of

if TYPE_CHECKING:
    from deblend.priors import Stamps
    from deblend.priors.training import Training, TrainingSettings

logger = logging.getLogger(__name__)

LEARNED = "learned"
"""Name of the news."""
INTERVAL = 0.2
"""Least time between two pieces of news [s]."""
CHECK_EVERY, PATIENCE = 100, 10
"""Steps between two trials on held-out stamps, and trials without a better one that end learning."""
SUFFIX = ".safetensors"
KEPT = ".training"
"""Of the file beside a prior that holds what is needed to go on."""
STAMPS_FILTER = "Stamps (*.fits *.fit *.fits.gz *.npy);;All files (*)"


class Origin(Enum):
    """What galaxies are learned from."""

    GENERATOR = "generated galaxies"
    STAMPS = "a file of stamps"


@dataclass(frozen=True)
class LearningSettings:
    """What is learned from, how long, and where to."""

    learn_from: Annotated[Origin, {"choices": [(origin.value, origin) for origin in Origin]}] = Origin.GENERATOR
    stamps: Annotated[Path, {"filter": STAMPS_FILTER}] = Path()
    """A cube (stamp, y, x) of single galaxies without noise."""
    galaxies: Annotated[int, {"min": 64, "max": 1_000_000}] = 12_000
    """How many are generated."""
    side: Annotated[int, {"min": 16, "max": 64, "step": 4}] = 32
    """Of generated stamps [pix]."""
    minutes: Annotated[float, {"min": 0.1, "max": 10_000.0, "step": 5.0}] = 25.0
    """After which learning ends."""
    steps: Annotated[int, {"min": 1, "max": 1_000_000}] = 3000
    """After which it ends, too; towards them the learning rate falls."""
    stamps_a_step: Annotated[int, {"min": 1, "max": 4096}] = 64
    width: Annotated[int, {"min": 8, "max": 256, "step": 8}] = 48
    """Channels of the network."""
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1}] = 0
    file: Annotated[Path, {"mode": "w", "filter": f"Priors (*{SUFFIX})"}] = field(
        default_factory=lambda: Path.home() / f"galaxies{SUFFIX}"
    )
    """Where the prior is written."""

    @property
    def kept(self) -> Path:
        """The file with what is needed to go on."""
        return self.file.with_suffix(KEPT)

    def check(self) -> None:
        """Raise ValueError, in one sentence, where what is asked for cannot be done."""
        if self.file.suffix != SUFFIX:
            raise ValueError(f"{self.file.name}: the name of a prior must end in {SUFFIX}.")
        if not self.file.parent.is_dir():
            raise ValueError(f"{self.file.parent}: there is no such folder to write the prior into.")
        if self.file.exists() and not self.kept.exists():
            raise ValueError(f"{self.file}: there is such a prior already; choose another name for the new one.")
        if self.learn_from is Origin.STAMPS and not self.stamps.is_file():
            named = f"{self.stamps}: there is no such file" if self.stamps.name else "No file is named"
            raise ValueError(f"{named}; give a cube of stamps (stamp, y, x), FITS or .npy.")

    def training_settings(self) -> TrainingSettings:
        """Return how the network is learned."""
        from deblend.priors.training import TrainingSettings

        # where it is coarse a network is 5/3 as wide, in groups of eight channels
        deep_width = 8 * round(self.width * 5 / 24)
        return TrainingSettings(
            steps=self.steps,
            batch=self.stamps_a_step,
            check_every=CHECK_EVERY,
            patience=PATIENCE,
            seed=self.seed,
            width=self.width,
            deep_width=deep_width,
        )


class LearningPhase(Enum):
    """What the thread is doing, as a person would say it."""

    GATHERING = "Getting stamps"
    PREPARING = "Preparing the network"
    LEARNING = "Learning"
    WRITING = "Writing it, and drawing galaxies of it"
    DONE = "Learned"
    STOPPED = "Stopped"
    FAILED = "Failed"

    @property
    def is_busy(self) -> bool:
        """Whether more is to come."""
        return self not in (LearningPhase.DONE, LearningPhase.STOPPED, LearningPhase.FAILED)


@dataclass(frozen=True, eq=False)
class Learned:
    """Where learning stands."""

    phase: LearningPhase = LearningPhase.GATHERING
    done: int = 0
    total: int = 0
    """Stamps, or steps, of so many; 0 where nobody knows."""
    trial_steps: tuple[int, ...] = ()
    trial_losses: tuple[float, ...] = ()
    """The error on held-out stamps: 1 for a network that always says 0."""
    seconds_left: float | None = None
    """About how long it takes still."""
    pictures: Float[np.ndarray, "draw y x"] | None = None
    """Galaxies that the prior draws, brightest pixel 1; once it is written."""
    sentence: str = ""
    """How it ended."""


class _StoppedError(Exception):
    """Somebody wants an end while stamps are made."""


class Learning:
    """A thread that learns a prior and writes it."""

    def __init__(self, settings: LearningSettings) -> None:
        self.mailbox = Mailbox()
        self.settings = settings
        self._news = Learned()
        self._stopped = self._closed = False
        self._next_news = 0.0
        # not a daemon: one that is inside JAX when the interpreter ends would abort it
        self._thread = threading.Thread(target=self._work, name="deblend learning", daemon=False)
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is being taken, and keep what has been learned."""
        self._stopped = True

    def close(self) -> None:
        """End soon, and keep what is needed to go on; nobody waits for it."""
        self._stopped = self._closed = True

    @property
    def phase(self) -> LearningPhase:
        return self._news.phase

    @property
    def is_stopping(self) -> bool:
        """Whether an end was asked for and is not there yet."""
        return self._stopped and self.phase.is_busy

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    # the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        give_way()
        try:
            self._learn()
        except _StoppedError:
            self._tell(phase=LearningPhase.STOPPED, sentence="Stopped before anything was learned; nothing is written.")
        except Exception as error:
            logger.exception("Learning a prior met an error.")
            sentence = sentence_of(error)
            self.mailbox.post(ERROR, sentence)
            self._tell(phase=LearningPhase.FAILED, sentence=sentence)

    def _learn(self) -> None:
        from deblend.priors.training import Training

        settings = self.settings
        self._tell(phase=LearningPhase.GATHERING)
        stamps = self._stamps(lambda done, total: self._go_on(done=done, total=total))
        training = Training(stamps, settings.training_settings())
        if settings.kept.exists():
            training.resume(settings.kept)
        self._take_steps(training)
        if training.step == 0:
            raise _StoppedError
        training.keep(settings.kept)
        if not self._closed:
            self._finish(training)

    def _stamps(self, progress: Callable[[int, int], None]) -> Stamps:
        from deblend.priors import generated_stamps, read_stamps
        from deblend.priors.stamps import HELD_OUT_SHARE

        settings = self.settings
        if settings.learn_from is Origin.STAMPS:
            return read_stamps(settings.stamps, settings.seed)
        total = round((1.0 + HELD_OUT_SHARE) * settings.galaxies)
        return generated_stamps(settings.side, settings.galaxies, settings.seed, lambda done: progress(done, total))

    def _take_steps(self, training: Training) -> None:
        """Learn until there is no more time, or an end is asked for."""
        first, begun = training.step, time.monotonic()
        budget = 60.0 * self.settings.minutes
        self._tell(phase=LearningPhase.PREPARING, **_standing(training))
        while not training.has_ended and not self._stopped and (spent := time.monotonic() - begun) < budget:
            if training.advance():
                training.keep(self.settings.kept)
            if training.step == first + 1:
                # compiling is no part of a step
                compiled = time.monotonic()
                self._tell(phase=LearningPhase.LEARNING, **_standing(training))
                continue
            pace = (time.monotonic() - compiled) / (training.step - first - 1)
            left = min(pace * (training.settings.steps - training.step), budget - spent)
            self._tell(only_if_due=True, seconds_left=left, **_standing(training))

    def _finish(self, training: Training) -> None:
        """Write the best network, and say how it came to its end."""
        from deblend.priors.keeping import write_learned

        settings = self.settings
        self._tell(phase=LearningPhase.WRITING, seconds_left=None)
        training.hold_trial()
        training.keep(settings.kept)
        pictures = write_learned(settings.file, training)
        best = min(training.trials, key=lambda trial: trial.loss)
        what = f"the best network, of step {best.step} (held-out error {best.loss:.4f}), is in {settings.file}."
        if training.has_ended:
            settings.kept.unlink(missing_ok=True)
            why = "has settled" if training.has_settled else "has ended"
            phase, sentence = LearningPhase.DONE, f"Learning {why} after {training.step} steps; {what}"
        else:
            phase = LearningPhase.STOPPED if self._stopped else LearningPhase.DONE
            why = "was stopped" if self._stopped else "has had its time"
            sentence = f"Learning {why} after {training.step} steps, and can be gone on with; {what}"
        self._tell(phase=phase, pictures=pictures, sentence=sentence, **_standing(training))

    def _go_on(self, done: int, total: int) -> None:
        if self._stopped:
            raise _StoppedError
        self._tell(only_if_due=True, done=done, total=total)

    def _tell(self, *, only_if_due: bool = False, **news: Any) -> None:
        """Have the window know what is new."""
        self._news = replace(self._news, **news)
        if only_if_due and time.monotonic() < self._next_news:
            return
        self._next_news = time.monotonic() + INTERVAL
        self.mailbox.post(LEARNED, self._news)


def _standing(training: Training) -> dict[str, Any]:
    """Return where a training stands, as `Learned` has it."""
    trials = training.trials
    steps, losses = tuple(trial.step for trial in trials), tuple(trial.loss for trial in trials)
    return {"done": training.step, "total": training.settings.steps, "trial_steps": steps, "trial_losses": losses}
