"""A prior of pictures learned in a thread of its own, that gives way to all others: work goes on meanwhile.

What leaves the thread is `Learned`, whose arrays nobody rewrites. No Qt here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from deblend import give_way
from napari_deblend.field_galaxies import FieldGalaxies
from napari_deblend.learning_settings import LearningSettings, Origin
from napari_deblend.runner import ERROR, Mailbox, sentence_of

if TYPE_CHECKING:
    from deblend.infer.diffusion.expectation import Observed
    from deblend.priors import Stamps
    from deblend.priors.training import Training

logger = logging.getLogger(__name__)

LEARNED = "learned"
"""Name of the news."""
INTERVAL = 0.2
"""Least time between two pieces of news [s]."""
MOST_SHOWN = 32
"""Draws that are shown."""


class LearningPhase(Enum):
    """What the thread is doing, as a person would say it."""

    GATHERING = "Getting stamps"
    BEGINNING = "Finding the Gaussian that the stamps come from"
    DRAWING = "Drawing what was seen"
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
    """Galaxies that the prior draws, once it is written; before, what observed stamps may be; brightest pixel 1."""
    is_written: bool = False
    """Whether there is a prior that draws can be made under."""
    lap: int = 0
    """Of expectation and maximization, from 1; 0 for none."""
    sentence: str = ""
    """How it ended."""


class _StoppedError(Exception):
    """Somebody wants an end while stamps are made."""


class Learning:
    """A thread that learns a prior and writes it."""

    def __init__(self, settings: LearningSettings, field: FieldGalaxies | None = None) -> None:
        """Begin; a `field` is needed where its galaxies are learned from."""
        self.mailbox = Mailbox()
        self.settings = settings
        self._field = field
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
            if self.settings.learn_from.is_observed:
                self._learn_by_laps()
            else:
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
            self._finish(training, can_go_on=True)

    def _learn_by_laps(self) -> None:
        """Draw what the observed galaxies may be, learn of the draws, and again (Rozet et al. 2024)."""
        from deblend.infer.diffusion.expectation import Laps, normalized, observed_as_stamps
        from deblend.priors import ScorePrior, write_model
        from deblend.priors.training import Training

        settings = self.settings
        self._tell(phase=LearningPhase.GATHERING)
        observed, card = self._observed()
        self._go_on(done=0, total=0)
        self._tell(phase=LearningPhase.BEGINNING)
        laps, learned = Laps(observed, settings.seed), None
        n = len(laps.observed.images)
        while not self._stopped:
            lap = laps.number
            self._tell(phase=LearningPhase.DRAWING, lap=lap, done=0, total=n, seconds_left=None)
            if laps.draw(self._still_drawing) is None:
                break
            assert laps.draws is not None
            pictures = normalized(laps.draws)
            self._tell(pictures=pictures[:MOST_SHOWN])
            about = f"posterior draws of {n} galaxies of {card['observed']}, lap {lap}"
            begun = laps.prior if isinstance(laps.prior, ScorePrior) else None
            stamps = observed_as_stamps(pictures, about, settings.seed)
            training = Training(stamps, settings.training_settings(), begun=begun)
            self._take_steps(training)
            if training.step:
                training.hold_trial()
                learned = training
                card["laps"] = lap
            if lap == settings.laps or self._stopped:
                break
            laps.go_on(training.best)
        if learned is None:
            raise _StoppedError
        sigma = card.pop("psf_sigma_pix")
        more = {"expectation_maximization": card, "psf_sigma_pix": sigma}
        if self._closed:
            write_model(settings.file, learned.best, learned.card(name=settings.file.stem, **more))
        else:
            self._finish(learned, can_go_on=False, **more)

    def _observed(self) -> tuple[Observed, dict[str, Any]]:
        """Return observed stamps, and what a card says of them."""
        from deblend.infer.diffusion.observed_stamps import observed_behind, read_observed_stamps
        from deblend.scene.learned import LEARNED_SIGMA

        settings = self.settings
        if settings.learn_from is Origin.FIELD:
            assert self._field is not None
            field, sigma = self._field, self._field.scene.model_psf_sigma
            return field.observed(settings.side), {"observed": f"a field in {field.channel}", "psf_sigma_pix": sigma}
        images, psf = read_observed_stamps(settings.stamps, settings.psf)
        card = {"observed": settings.stamps.name, "psf": settings.psf.name, "noise": settings.noise}
        return observed_behind(images, psf, settings.noise), {**card, "psf_sigma_pix": LEARNED_SIGMA}

    def _still_drawing(self, done: int) -> bool:
        self._tell(only_if_due=True, done=done)
        return not self._stopped

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
            if training.advance() and not self.settings.learn_from.is_observed:
                training.keep(self.settings.kept)
            if training.step == first + 1:
                # compiling is no part of a step
                compiled = time.monotonic()
                self._tell(phase=LearningPhase.LEARNING, **_standing(training))
                continue
            pace = (time.monotonic() - compiled) / (training.step - first - 1)
            left = min(pace * (training.settings.steps - training.step), budget - spent)
            self._tell(only_if_due=True, seconds_left=left, **_standing(training))

    def _finish(self, training: Training, *, can_go_on: bool, **more: Any) -> None:
        """Write the best network, with `more` on its card, and say how it came to its end."""
        from deblend.priors.keeping import write_learned

        settings = self.settings
        self._tell(phase=LearningPhase.WRITING, seconds_left=None)
        training.hold_trial()
        if can_go_on:
            training.keep(settings.kept)
        pictures = write_learned(settings.file, training, **more)
        best = min(training.trials, key=lambda trial: trial.loss)
        what = f"the best network, of step {best.step} (held-out error {best.loss:.4f}), is in {settings.file}."
        if training.has_settled:
            why = "has settled"
        elif training.has_ended:
            why = "has ended"
        else:
            why = "was stopped" if self._stopped else "has had its time"
        lap = f" of lap {self._news.lap}" if self._news.lap else ""
        then = ""
        if can_go_on and training.has_ended:
            settings.kept.unlink(missing_ok=True)
        elif can_go_on:
            then = ", and can be gone on with"
        sentence = f"Learning {why} after step {training.step}{lap}{then}; {what}"
        phase = LearningPhase.STOPPED if self._stopped else LearningPhase.DONE
        self._tell(phase=phase, pictures=pictures, is_written=True, sentence=sentence, **_standing(training))

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
