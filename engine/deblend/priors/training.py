"""Learning a prior from stamps, a step at a time; what each kind of prior learns by is in `deblend.priors.lessons`.

What is kept is the exponential average of the network over steps, with a memory that grows (about a ninth of the steps
so far). Every step has random numbers of its own, of seed and number: training that was broken off goes on as if it
were not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from safetensors.numpy import save

from deblend.priors.heads import Head
from deblend.priors.interface import AbstractPrior
from deblend.priors.lessons import LESSONS, AbstractLesson
from deblend.priors.model_file import LearnedPrior, named_arrays, read_arrays, with_arrays, write_bytes
from deblend.priors.network import n_parameters
from deblend.priors.optimizer import optimizer_of
from deblend.priors.stamps import Stamps
from deblend.scene import N_LATENT

MOST_TRIED = 256
MAY_CHANGE = ("steps", "check_every", "patience")
"""Settings that may be others when training goes on: how long it takes, and when it is looked at."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a prior is learned."""

    steps: int = 3000
    batch: int = 64
    learning_rate: float = 1e-3
    """At its highest; it rises over the first steps and falls as a cosine to nothing at the last one."""
    most_memory: float = 0.9999
    """Of the average over steps, per step."""
    check_every: int = 200
    """Steps between two trials on held-out stamps."""
    patience: int = 5
    """Trials without a better one before training ends."""
    seed: int = 0
    width: int = 48
    deep_width: int = 80
    """Of a denoiser, where it is coarse."""
    depth: int = 5
    """Blocks of a PixelCNN."""
    head: str = Head.LOGISTICS.value
    """What a PixelCNN says of a pixel: "gaussian", or "logistics" for a mixture of them."""
    latent: int = N_LATENT
    """Numbers that a VAE draws a picture from."""

    def __post_init__(self) -> None:
        Head(self.head)
        for name in ("steps", "batch", "check_every", "patience", "width", "deep_width", "depth", "latent"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate must lie between 0 and 1, got {self.learning_rate}.")
        if not 0 <= self.most_memory < 1:
            raise ValueError(f"most_memory must lie from 0 to below 1, got {self.most_memory}.")


@dataclass(frozen=True)
class Trial:
    """How the averaged network does on held-out stamps."""

    step: int
    loss: float
    """Of a denoiser the mean over `TRIED_LEVELS` of λ times the mean square error, 1 for a network that always says 0;
    of a density its bits per pixel; of a VAE what it is less probable by than its evidence, at most [nats]."""
    relative_errors: tuple[float, ...]
    """Of a denoiser, root mean square error over σ at each of `TRIED_LEVELS`."""
    learning_loss: float
    """Mean loss of the steps since the trial before."""


class Training(Iterator[Trial]):
    """Learning, from one trial on held-out stamps to the next; stop iterating to stop, and `write` to keep."""

    def __init__(
        self,
        stamps: Stamps,
        settings: TrainingSettings | None = None,
        kind: str = "score",
        begun: AbstractPrior | None = None,
    ) -> None:
        """Begin with what has learned nothing yet, or with `begun`, of the same architecture."""
        self.stamps, self.settings = stamps, TrainingSettings() if settings is None else settings
        s = self.settings
        self.lesson = LESSONS[kind](stamps, s)
        self._key = jax.random.key(s.seed)
        self.prior: Any = self.lesson.begun(jax.random.fold_in(self._key, 2**31 - 1)) if begun is None else begun
        self.averaged = self.prior
        self.best: Any = self.prior
        """The averaged network at its best trial."""
        self.trials: list[Trial] = []
        self.step = 0
        self.cpu_seconds = 0.0
        self.schedule: list[tuple[int, int]] = [(0, s.steps)]
        """From which step on how many were meant to be taken."""
        self._optimizer = optimizer_of(s.learning_rate, s.steps)
        self._state = self._optimizer.init(eqx.filter(self.lesson.learning(self.prior), eqx.is_array))
        self._tried = stamps.held_out[:MOST_TRIED]
        self._loss = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether all steps were taken, or held-out stamps have not been denoised better for long."""
        return self.step >= self.settings.steps or self.has_settled

    @property
    def has_settled(self) -> bool:
        """Whether the last trials were no better than one before them."""
        return len(self.trials) - 1 - self._best_trial() >= self.settings.patience if self.trials else False

    def __next__(self) -> Trial:
        """Learn until the next trial, and return it; raises StopIteration once training has ended."""
        if self.has_ended:
            raise StopIteration
        while not self.advance():
            pass
        return self.trials[-1]

    def advance(self) -> bool:
        """Take one step; return whether a trial was made behind it."""
        start = time.process_time()
        number = self.step
        batch = jnp.asarray(self.stamps.batch(np.random.default_rng([self.settings.seed, number]), self.settings.batch))
        key = jax.random.fold_in(self._key, number)
        memory = min(self.settings.most_memory, (1.0 + number) / (10.0 + number))
        self.prior, self.averaged, self._state, loss = _learn(
            self._optimizer, type(self.lesson), self.prior, self.averaged, self._state, batch, key, jnp.float32(memory)
        )
        if not np.isfinite(float(loss)):
            raise ValueError(f"Training went astray at step {number}; take a smaller learning rate.")
        self._loss += float(loss)
        self.step += 1
        is_due = self.step % self.settings.check_every == 0 or self.step == self.settings.steps
        if is_due:
            self.hold_trial()
        self.cpu_seconds += time.process_time() - start
        return is_due

    def hold_trial(self) -> None:
        """Try the averaged network on held-out stamps, unless this was done behind the last step."""
        since = self.step - (self.trials[-1].step if self.trials else 0)
        if self.trials and since == 0:
            return
        loss, errors = self.lesson.tried(self.averaged, self._tried, self.settings.seed)
        self.trials.append(Trial(self.step, loss, errors, self._loss / max(since, 1)))
        self._loss = 0.0
        if self._best_trial() == len(self.trials) - 1:
            self.best = self.averaged

    def finished(self) -> LearnedPrior:
        """Return the best network so far as it is to be kept."""
        prior: LearnedPrior = self.lesson.finished(self.best)
        return prior

    def _best_trial(self) -> int:
        return int(np.argmin([trial.loss for trial in self.trials]))

    # -- kept --------------------------------------------------------------------------------------------------

    def keep(self, path: Path) -> None:
        """Write everything that training needs to go on (safetensors)."""
        arrays: dict[str, np.ndarray] = {}
        for name, tree in self._trees().items():
            arrays |= named_arrays(tree, f"{name}.")
        about = {
            "settings": asdict(self.settings),
            "stamps": self.stamps.fingerprint,
            "step": self.step,
            "cpu_seconds": self.cpu_seconds,
            "schedule": self.schedule,
            "loss": self._loss,
            "trials": [asdict(trial) for trial in self.trials],
        }
        write_bytes(path, save(arrays, metadata={"training": json.dumps(about)}))

    def resume(self, path: Path) -> None:
        """Go on from what `keep` wrote; with another number of steps the learning rate falls towards that from here.

        Raises
        ------
        ValueError
            Where the file is none of these, or of other settings or stamps.
        """
        data, arrays = read_arrays(path)
        try:
            about = json.loads(_metadata(data)["training"])
            mine = asdict(self.settings)
            kept = [name for name in mine if name not in MAY_CHANGE]
            differs = sorted(name for name in kept if about["settings"].get(name) != mine[name])
            schedule = [(int(at), int(steps)) for at, steps in about["schedule"]]
            trials = [Trial(**{**t, "relative_errors": tuple(t["relative_errors"])}) for t in about["trials"]]
            step, seconds, loss = int(about["step"]), float(about["cpu_seconds"]), float(about["loss"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: this is no training that was broken off ({error}).") from error
        if differs:
            was, now = about["settings"].get(differs[0]), mine[differs[0]]
            raise ValueError(f"{path}: this training had {differs[0]} = {was}, not {now}; say the same, or begin anew.")
        if about["stamps"] != self.stamps.fingerprint:
            raise ValueError(f"{path}: this training had other stamps; give the same ones, or begin anew.")
        trees = {name: with_arrays(tree, arrays, path, f"{name}.") for name, tree in self._trees().items()}
        self.prior, self.averaged, self.best = trees["own"], trees["averaged"], trees["best"]
        self._state = trees["optimizer"]
        self.trials, self.step, self.cpu_seconds, self._loss = trials, step, seconds, loss
        more = [(step, self.settings.steps)] if schedule[-1][1] != self.settings.steps else []
        self.schedule = schedule + more

    def _trees(self) -> dict[str, Any]:
        return {"own": self.prior, "averaged": self.averaged, "best": self.best, "optimizer": self._state}

    def card(self, **more: Any) -> dict[str, Any]:
        """Return what is to be known of the best network so far."""
        best = self.trials[self._best_trial()] if self.trials else None
        return {
            **self.lesson.card(best, len(self._tried)),
            "data": self.stamps.about,
            "stamps_learned_from": len(self.stamps.learn),
            "stamps_fingerprint": self.stamps.fingerprint,
            "settings": asdict(self.settings),
            "steps_taken": self.step,
            "steps_meant_from_step": {str(at): steps for at, steps in self.schedule},
            "cpu_seconds": round(self.cpu_seconds, 1),
            "parameters": n_parameters(self.lesson.learning(self.prior)),
            "calibration_proved": False,
            "calibration": "Not tested: draws may look right, and their scatter is no error bar.",
            **more,
        }


@eqx.filter_jit
def _learn(
    optimizer: optax.GradientTransformation,
    lesson: type[AbstractLesson],
    prior: AbstractPrior,
    averaged: AbstractPrior,
    state: Any,
    batch: Float[Array, "stamp y x"],
    key: PRNGKeyArray,
    memory: Array,
) -> tuple[AbstractPrior, AbstractPrior, Any, Array]:
    """Return a prior and its average after one step; what does not learn is the same in both."""
    arrays, rest = eqx.partition(lesson.learning(prior), eqx.is_array)

    def loss_of(arrays: Any) -> Array:
        taught = eqx.tree_at(lesson.learning, prior, eqx.combine(arrays, rest))
        return lesson.loss(taught, batch, key)

    loss, slope = jax.value_and_grad(loss_of)(arrays)
    update, state = optimizer.update(slope, state, arrays)
    arrays = optax.apply_updates(arrays, update)
    past = eqx.filter(lesson.learning(averaged), eqx.is_array)
    mixed = jax.tree.map(lambda old, new: memory * old + (1.0 - memory) * new, past, arrays)
    own, mean = (eqx.tree_at(lesson.learning, prior, eqx.combine(part, rest)) for part in (arrays, mixed))
    return own, mean, state, loss


def _metadata(data: bytes) -> dict[str, str]:
    """Return what a safetensors file tells beside its arrays: its header is JSON behind eight bytes of length."""
    length = int.from_bytes(data[:8], "little")
    told = json.loads(data[8 : 8 + length])["__metadata__"]
    return dict(told)
