"""Draws from the posterior of pictures under a learned prior, watched step by step.

    for stage in Diffusion(problem, n_draws=4, seed=1):
        print(stage.draw, stage.step, stage.sigma)

Whoever iterates may stop between two steps and go on later. Every step has random numbers of its own, of seed, draw and
step, so that draws do not depend on where somebody stopped, or on how many there are to be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.infer.diffusion.guidance import Problem, Rule, Solution, dps_step, guided
from deblend.infer.diffusion.split_gibbs import couplings, gibbs_round
from deblend.priors.integrators import DEFAULT_STEPS, Scheme, Step, first_noise, noise_levels, step_of
from deblend.priors.interface import stacked
from deblend.program.compiled import compiler_options

AT_ONCE = 32
"""Problems whose draws are made side by side."""


@dataclass(frozen=True)
class DiffusionSettings:
    """How draws are made."""

    rule: Rule = Rule.MMPS
    scheme: Scheme = Scheme.HEUN
    """Of rules that have a denoiser of the posterior."""
    steps: int = DEFAULT_STEPS
    """Noise levels of a draw, or rounds of split Gibbs."""
    solution: Solution = field(default_factory=Solution)

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps must be at least 2, got {self.steps}.")


@dataclass(frozen=True, eq=False)
class Stage:
    """Where a draw stands."""

    draw: int
    """From 0."""
    step: int
    """How many steps have been taken."""
    steps: int
    sigma: float
    """Noise that the pictures still have, or ρ of split Gibbs [unit of pictures]."""
    pictures: Float[np.ndarray, "source y x"]
    estimate: Float[np.ndarray, "source y x"]
    """What the clean pictures were taken for before this step."""

    @property
    def is_draw(self) -> bool:
        """Whether the pictures are a draw from the posterior."""
        return self.step == self.steps


class Diffusion(Iterator[Stage]):
    """Draws being made; iterate for more, `cancel` from any thread, and iterate again after `resume`."""

    def __init__(
        self, problem: Problem, settings: DiffusionSettings | None = None, n_draws: int = 1, seed: int = 0
    ) -> None:
        """Take a problem; raises ValueError where the rule asks for what it does not have."""
        settings = DiffusionSettings() if settings is None else settings
        if n_draws < 1:
            raise ValueError(f"n_draws must be at least 1, got {n_draws}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        if settings.rule is Rule.JFPS and problem.reference is None:
            raise ValueError(
                "Jacobian-free sampling takes its covariance from a Gaussian; give the problem a reference."
            )
        self.problem, self.settings, self.n_draws, self.seed = problem, settings, n_draws, seed
        self.n_done = 0
        """Draws that are finished."""
        self._levels = levels_of(problem, settings)
        self._step = 0
        self._x: Float[Array, "source y x"] | None = None
        self._cancelled = threading.Event()

    def __iter__(self) -> Diffusion:
        return self

    def __next__(self) -> Stage:
        """Take one step; raises StopIteration behind the last draw, and once cancelled."""
        if self._cancelled.is_set() or self.n_done >= self.n_draws:
            raise StopIteration
        key = jax.random.fold_in(jax.random.key(self.seed), self.n_done)
        settings = _static(self.settings)
        levels = self._levels[self._step : self._step + 2]
        if self._x is None:
            self._x = _compiled(begin)(self.problem, settings, levels[0], jax.random.fold_in(key, 0))
        own = jax.random.fold_in(key, self._step + 1)
        self._x, estimate = _compiled(advance)(self.problem, settings, self._x, levels[0], levels[1], own)
        self._step += 1
        stage = Stage(
            self.n_done,
            self._step,
            self.settings.steps,
            float(levels[1]),
            np.asarray(self._x),
            np.asarray(estimate),
        )
        if stage.is_draw:
            self.n_done, self._step, self._x = self.n_done + 1, 0, None
        return stage

    def draws(self) -> Iterator[Float[np.ndarray, "source y x"]]:
        """Yield the draws alone."""
        return (stage.pictures for stage in self if stage.is_draw)

    def cancel(self) -> None:
        """End the iteration before the next step."""
        self._cancelled.set()

    def resume(self) -> None:
        """Let the iteration go on where it was."""
        self._cancelled.clear()


def all_at_once(
    problem: Problem, settings: DiffusionSettings, n_draws: int, seed: int
) -> Float[np.ndarray, "draw source y x"]:
    """Return the draws that `Diffusion` makes, side by side in one compiled loop: for small problems, many draws."""
    levels = levels_of(problem, settings)
    pairs = jnp.asarray(np.column_stack([levels[:-1], levels[1:]]))
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(jnp.arange(n_draws))
    result: Float[np.ndarray, "draw source y x"] = np.asarray(_compiled(every)(problem, _static(settings), pairs, keys))
    return result


def every_problem(
    problem: Problem,
    data: tuple[Float[np.ndarray, "problem *shape"], ...],
    settings: DiffusionSettings,
    seed: int,
    scales: Float[np.ndarray, " problem"] | None = None,
) -> Float[np.ndarray, "problem source y x"]:
    """Return a draw of each of many problems that differ from `problem` by their data, some at a time; with `scales`
    also by the `scale` of their linear map."""
    levels = levels_of(problem, settings)
    pairs = jnp.asarray(np.column_stack([levels[:-1], levels[1:]]))
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(jnp.arange(len(data[0])))
    given = tuple(map(jnp.asarray, data)), None if scales is None else jnp.asarray(scales)
    return np.asarray(_compiled(one_of_each)(problem, given, _static(settings), pairs, keys))


class _Static(eqx.Module):
    """What of the settings is compiled for."""

    rule: Rule = eqx.field(static=True)
    scheme: Scheme = eqx.field(static=True)
    solution: Solution


def _static(settings: DiffusionSettings) -> _Static:
    tolerance, budget = settings.solution
    return _Static(settings.rule, settings.scheme, Solution(jnp.float32(tolerance), jnp.int32(budget)))


def levels_of(problem: Problem, settings: DiffusionSettings) -> Float[np.ndarray, " level"]:
    """Return the noise levels between the steps of a draw."""
    low, high = problem.prior.levels
    dtype = problem.data[0].dtype
    if settings.rule is Rule.SPLIT_GIBBS:
        rho = couplings(high, settings.steps)
        return np.append(rho, rho[-1]).astype(dtype)
    return noise_levels(low, high, settings.steps).astype(dtype)


def begin(problem: Problem, settings: _Static, sigma: Array, key: PRNGKeyArray) -> Float[Array, "source y x"]:
    """Return what a draw begins with."""
    if settings.rule in (Rule.MMPS, Rule.JFPS):
        denoise = guided(problem, settings.rule, settings.solution)
    else:
        denoise = stacked(problem.prior)
    return first_noise(denoise, key, problem.operator.shape, sigma)


def advance(
    problem: Problem,
    settings: _Static,
    x: Float[Array, "source y x"],
    sigma: Array,
    lower: Array,
    key: PRNGKeyArray,
) -> Step:
    """Take one step of a draw."""
    if settings.rule is Rule.SPLIT_GIBBS:
        return gibbs_round(problem, x, sigma, key, settings.solution)
    if settings.rule is Rule.DPS:
        return dps_step(problem, x, sigma, lower, key)
    return step_of(settings.scheme, guided(problem, settings.rule, settings.solution), x, sigma, lower, key)


def every(
    problem: Problem, settings: _Static, pairs: Float[Array, "step 2"], keys: PRNGKeyArray
) -> Float[Array, "draw source y x"]:
    """Return a draw for every key."""
    return jax.vmap(lambda key: drawn(problem, settings, pairs, key))(keys)


def one_of_each(
    problem: Problem,
    given: tuple[tuple[Float[Array, "problem *shape"], ...], Float[Array, " problem"] | None],
    settings: _Static,
    pairs: Float[Array, "step 2"],
    keys: PRNGKeyArray,
) -> Float[Array, "problem source y x"]:
    """Return a draw for every data, and scale of the linear map, of the key of the same number."""

    def of(item: tuple[Any, PRNGKeyArray]) -> Float[Array, "source y x"]:
        (data, scale), key = item
        own = eqx.tree_at(lambda p: p.data, problem, data)
        if scale is not None:
            own = eqx.tree_at(lambda p: p.operator.scale, own, scale)
        return drawn(own, settings, pairs, key)

    result: Float[Array, "problem source y x"] = lax.map(of, (given, keys), batch_size=AT_ONCE)
    return result


def drawn(
    problem: Problem, settings: _Static, pairs: Float[Array, "step 2"], key: PRNGKeyArray
) -> Float[Array, "source y x"]:
    """Return one draw."""
    own = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(len(pairs) + 1))
    x = begin(problem, settings, pairs[0, 0], own[0])

    def step(x: Array, item: tuple[Array, Array]) -> tuple[Array, None]:
        return advance(problem, settings, x, item[0][0], item[0][1], item[1])[0], None

    return lax.scan(step, x, (pairs, own[1:]))[0]


@lru_cache(maxsize=8)
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function, compiled with the care of the engine's programs; its options are asked for at first use."""
    result: Callable[..., Any] = eqx.filter_jit(function, compiler_options=compiler_options())  # type: ignore[call-overload]
    return result
