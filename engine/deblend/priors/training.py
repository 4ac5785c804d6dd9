"""Learning a score prior: denoise stamps, a step at a time.

The loss is that of EDM (Karras et al. 2022, eq. 8 with their table 1): λ(σ) |D(x + σ z, σ) - x|² with λ = (σ² + σ_d²) /
(σ σ_d)² and ln σ normal, so that the network's own error counts alike at every noise level. What is kept is the
exponential average of the network over steps, with a memory that grows (about a ninth of the steps so far).
Every step has random numbers of its own, of seed and number: training that was broken off goes on as if it were not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from safetensors.numpy import save

from deblend.priors.model_file import named_arrays, read_arrays, with_arrays, write_bytes
from deblend.priors.network import n_parameters
from deblend.priors.score import ScorePrior, new_score_prior
from deblend.priors.stamps import Stamps

LEVEL_CENTER, LEVEL_SPREAD = 0.06, 1.4
"""Of the log-normal that noise levels of training are drawn from."""
TRIED_LEVELS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0)
"""Noise levels of held-out stamps [peak]."""
MOST_TRIED = 256
WARM_UP = 100
LONGEST_STEP = 1.0
"""Gradients longer than that are shortened."""
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

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "check_every", "patience", "width", "deep_width"):
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
    """Mean over `TRIED_LEVELS` of λ times the mean square error; 1 for a network that always says 0."""
    relative_errors: tuple[float, ...]
    """Root mean square error over σ, at each of `TRIED_LEVELS`."""
    learning_loss: float
    """Mean loss of the steps since the trial before."""


class Training(Iterator[Trial]):
    """Learning, from one trial on held-out stamps to the next; stop iterating to stop, and `write` to keep."""

    def __init__(self, stamps: Stamps, settings: TrainingSettings | None = None) -> None:
        self.stamps, self.settings = stamps, TrainingSettings() if settings is None else settings
        s = self.settings
        self._key = jax.random.key(s.seed)
        self.prior = new_score_prior(jax.random.fold_in(self._key, 2**31 - 1), stamps.side, s.width, s.deep_width)
        self.averaged = self.prior
        self.best = self.prior
        """The averaged network at its best trial."""
        self.trials: list[Trial] = []
        self.step = 0
        self.cpu_seconds = 0.0
        self.schedule: list[tuple[int, int]] = [(0, s.steps)]
        """From which step on how many were meant to be taken."""
        self._optimizer = _optimizer(s.learning_rate, s.steps)
        self._state = self._optimizer.init(eqx.filter(self.prior, eqx.is_array))
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
            self._optimizer, self.prior, self.averaged, self._state, batch, key, jnp.float32(memory)
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
        errors = relative_errors(self.averaged, self._tried, self.settings.seed)
        levels = np.array(TRIED_LEVELS)
        loss = float(np.mean(_weight(levels, self.prior.sigma_data) * (levels * errors) ** 2))
        self.trials.append(Trial(self.step, loss, errors, self._loss / max(since, 1)))
        self._loss = 0.0
        if self._best_trial() == len(self.trials) - 1:
            self.best = self.averaged

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
        path.parent.mkdir(parents=True, exist_ok=True)
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
            "what": "denoiser of single galaxies: stamps with their brightest pixel at 1, linear in flux",
            "method": "EDM (Karras et al. 2022): preconditioned U-Net, loss of log-normal noise, averaged over steps",
            "data": self.stamps.about,
            "stamps_learned_from": len(self.stamps.learn),
            "stamps_fingerprint": self.stamps.fingerprint,
            "settings": asdict(self.settings),
            "steps_taken": self.step,
            "steps_meant_from_step": {str(at): steps for at, steps in self.schedule},
            "cpu_seconds": round(self.cpu_seconds, 1),
            "parameters": n_parameters(self.prior),
            "held_out": None
            if best is None
            else {
                "stamps": len(self._tried),
                "at_step": best.step,
                "loss": round(best.loss, 5),
                "rms_error_over_sigma": {
                    str(s): round(e, 4) for s, e in zip(TRIED_LEVELS, best.relative_errors, strict=True)
                },
            },
            "calibration_proved": False,
            "calibration": "Not tested: draws may look right, and their scatter is no error bar.",
            **more,
        }


def relative_errors(prior: ScorePrior, stamps: Float[np.ndarray, "stamp y x"], seed: int) -> tuple[float, ...]:
    """Return root mean square error over σ of denoised stamps, at each of `TRIED_LEVELS`."""
    clean, key = jnp.asarray(stamps), jax.random.fold_in(jax.random.key(seed), 2**31 - 2)
    return tuple(float(_relative_error(prior, clean, jnp.float32(sigma), key)) for sigma in TRIED_LEVELS)


@lru_cache(maxsize=8)
def _optimizer(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Return the optimizer; one object for the same numbers, so that nothing compiles twice."""
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, min(WARM_UP, steps // 2 + 1), steps)
    return optax.chain(optax.clip_by_global_norm(LONGEST_STEP), optax.adam(rate))


@eqx.filter_jit
def _relative_error(prior: ScorePrior, clean: Float[Array, "stamp y x"], sigma: Array, key: PRNGKeyArray) -> Array:
    noisy = clean + sigma * jax.random.normal(key, clean.shape, clean.dtype)
    # a few at once: the network's layers of all of them would fill the memory
    denoised = jax.lax.map(lambda x: prior.denoise(x, sigma), noisy, batch_size=64)
    return jnp.sqrt(jnp.mean((denoised - clean) ** 2)) / sigma


@eqx.filter_jit
def _learn(
    optimizer: optax.GradientTransformation,
    prior: ScorePrior,
    averaged: ScorePrior,
    state: Any,
    batch: Float[Array, "stamp y x"],
    key: PRNGKeyArray,
    memory: Array,
) -> tuple[ScorePrior, ScorePrior, Any, Array]:
    loss, slope = eqx.filter_value_and_grad(_loss)(prior, batch, key)
    arrays, rest = eqx.partition(prior, eqx.is_array)
    update, state = optimizer.update(slope, state, arrays)
    arrays = optax.apply_updates(arrays, update)
    past = eqx.filter(averaged, eqx.is_array)
    mixed = jax.tree.map(lambda old, new: memory * old + (1.0 - memory) * new, past, arrays)
    return eqx.combine(arrays, rest), eqx.combine(mixed, rest), state, loss


def _loss(prior: ScorePrior, batch: Float[Array, "stamp y x"], key: PRNGKeyArray) -> Array:
    own, other = jax.random.split(key)
    low, high = prior.levels
    sigma = jnp.exp(jnp.log(LEVEL_CENTER) + LEVEL_SPREAD * jax.random.normal(own, (len(batch),)))
    sigma = jnp.clip(sigma, low, high)
    noisy = batch + sigma[:, None, None] * jax.random.normal(other, batch.shape, batch.dtype)
    off = jax.vmap(prior.denoise)(noisy, sigma) - batch
    return jnp.mean(_weight(sigma, prior.sigma_data)[:, None, None] * off**2)


def _weight(sigma: Any, sigma_data: float) -> Any:
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def _metadata(data: bytes) -> dict[str, str]:
    """Return what a safetensors file tells beside its arrays: its header is JSON behind eight bytes of length."""
    length = int.from_bytes(data[:8], "little")
    told = json.loads(data[8 : 8 + length])["__metadata__"]
    return dict(told)
