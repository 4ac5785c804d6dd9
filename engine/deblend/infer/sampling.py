"""Draws from the posterior of a fitted scene, one after another.

    for draw in sample(scene, observations, "gaussian", n_draws=200, seed=1):
        print(draw.scene.fluxes)

Whoever iterates may stop between two draws and carry on later. Each draw has random numbers of its own, so that the
first hundred are the same whether a hundred are drawn or a thousand. Nothing compiles after the first one.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import jax
import numpy as np

from deblend.infer.noise_solver import NoiseSolver
from deblend.infer.refits import Refits
from deblend.infer.solvers import as_numpy
from deblend.observe import Observation
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.asked import is_asked
from deblend.program.laws import Laws
from deblend.scene import Scene


class Method(Enum):
    """How draws are made; the value is what a person calls it."""

    GAUSSIAN = "gaussian"
    """The Gaussian that the Gauss-Newton matrix of the fit stands for; fluxes may be negative, so that upper limits can
    be told."""
    RTO = "rto"
    """Randomise, then optimise: fits of perturbed data and priors, within all bounds."""

    @property
    def label(self) -> str:
        """What it is, in words."""
        return {"gaussian": "Gaussian errors", "rto": "Refits of perturbed data"}[self.value]


@dataclass(frozen=True, eq=False)
class Draw:
    """One scene that the data may have come from."""

    index: int
    """From 0."""
    parameters: Parameters
    """NumPy arrays."""
    has_settled: bool
    """Whether it is what it claims to be: a refit that did not reach its minimum is not."""
    _raise: Callable[[Parameters], Scene]

    @cached_property
    def scene(self) -> Scene:
        """The scene as drawn."""
        return self._raise(self.parameters)


class AbstractSampler(ABC):
    """What makes the draws of one method."""

    mode: Parameters
    """Where it starts."""
    has_settled: bool
    """Whether that is a minimum, as far as can be told."""

    @abstractmethod
    def __init__(self, program: Program) -> None:
        """Make ready for draws of the program's scene."""

    @classmethod
    @abstractmethod
    def check(cls, program: Program) -> None:
        """Raise ValueError with a sentence where the program's scene is not for this method."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> tuple[Parameters, Laws | None, bool]:
        """Return parameters as drawn, where the laws of spectra stand then, and whether the draw has settled."""


class GaussianSampler(AbstractSampler):
    """Draws of the Gauss-Newton matrix around the fit; numbers of shapes are cut at their bounds, fluxes are not."""

    @classmethod
    def check(cls, program: Program) -> None:
        pass

    def __init__(self, program: Program) -> None:
        # operators and laws would be left by going downhill without them
        is_plain = program.laws is None and not _is_asked(program.scene)
        self.mode, self.has_settled = as_numpy(program.parameters), True
        if is_plain:
            nearest = Refits(program, self.mode)
            self.mode, self.has_settled = nearest.mode, nearest.has_settled
        self._solver = NoiseSolver(program, self.mode)
        step = self._solver.step
        self._lower, self._upper = as_numpy(step.lower), as_numpy(step.upper)

    def draw(self, rng: np.random.Generator) -> tuple[Parameters, Laws | None, bool]:
        change, _ = self._solver.draw(rng)
        laws = self._solver.laws
        if laws is not None:
            laws, change = laws.retracted(self.mode, change, 1.0, self._solver.step)
        moved = [
            u._replace(
                theta=np.clip(u.theta + np.asarray(d.theta), lo.theta, hi.theta),
                flux=u.flux + np.asarray(d.flux),
                pixels=None if u.pixels is None else u.pixels + np.asarray(d.pixels),
                aspect=np.clip(u.aspect + np.asarray(d.aspect), lo.aspect, hi.aspect),
            )
            for u, d, lo, hi in zip(
                self.mode.groups, change.groups, self._lower.groups, self._upper.groups, strict=True
            )
        ]
        straight = jax.tree.map(
            lambda u, d: u + np.asarray(d), self.mode._replace(groups=()), change._replace(groups=())
        )
        return straight._replace(groups=tuple(moved)), laws, True


class RefitSampler(AbstractSampler):
    """Fits of perturbed data and priors."""

    @classmethod
    def check(cls, program: Program) -> None:
        if program.laws is not None:
            raise ValueError(
                "Refits of perturbed data do not know spectra that follow a law; use the method 'gaussian'."
            )
        if _is_asked(program.scene):
            raise ValueError(
                "Refits of perturbed data do not know constraints that act as operators; switch them off, or use the "
                "method 'gaussian', which draws as if they were."
            )

    def __init__(self, program: Program) -> None:
        self._refits = Refits(program, program.parameters)
        self.mode, self.has_settled = self._refits.mode, self._refits.has_settled

    def draw(self, rng: np.random.Generator) -> tuple[Parameters, Laws | None, bool]:
        parameters, has_settled = self._refits.draw(rng)
        return parameters, None, has_settled


SAMPLERS: dict[Method, type[AbstractSampler]] = {Method.GAUSSIAN: GaussianSampler, Method.RTO: RefitSampler}


class Sampling(Iterator[Draw]):
    """Draws being made; iterate for more, `cancel` from any thread, and iterate again after `resume`."""

    def __init__(self, program: Program, method: Method, n_draws: int, seed: int) -> None:
        self.program, self.method, self.seed = program, method, seed
        self.n_draws = n_draws
        """How many there are to be; more may be asked for at any time."""
        self.n_done = 0
        """How many there are so far."""
        self.n_unsettled = 0
        """How many of these did not reach their minimum: they are too near to the fit, and scatter too little."""
        self._sampler: AbstractSampler | None = None
        self._cancelled = threading.Event()

    def __iter__(self) -> Sampling:
        return self

    def __next__(self) -> Draw:
        """Make one draw; raises StopIteration behind the last, and once cancelled."""
        if self._cancelled.is_set() or self.n_done >= self.n_draws:
            raise StopIteration
        parameters, laws, has_settled = self.sampler.draw(np.random.default_rng([self.seed, self.n_done]))
        self.n_done += 1
        self.n_unsettled += not has_settled
        return Draw(self.n_done - 1, parameters, has_settled, self.program.snapshot(laws))

    @property
    def sampler(self) -> AbstractSampler:
        """What makes the draws; made ready where it is not yet."""
        if self._sampler is None:
            self._sampler = SAMPLERS[self.method](self.program)
        return self._sampler

    @cached_property
    def mode(self) -> Scene:
        """The scene that the draws lie around: that of the fit, at the very minimum."""
        return self.program.snapshot(self.program.laws)(self.sampler.mode)

    def cancel(self) -> None:
        """End the iteration before the next draw."""
        self._cancelled.set()

    def resume(self) -> None:
        """Let the iteration go on where it was."""
        self._cancelled.clear()


def sample(
    scene: Scene,
    observations: Sequence[Observation],
    method: Method | str = Method.GAUSSIAN,
    n_draws: int = 100,
    seed: int = 0,
    program: Program | None = None,
) -> Sampling:
    """Return an iterator of draws from the posterior of a fitted scene; what is fixed in it stays.

    Parameters
    ----------
    scene
        A fitted scene: draws lie around the minimum next to it.
    method
        "gaussian" (around the fit; quick; exact where all that is free are fluxes), or "rto" (refits of perturbed data
        and priors; within bounds, so that no flux is negative).
    seed
        The same one gives the same draws.
    program
        A program of the same observations, to be reused warm. It is left with `scene`.

    Raises
    ------
    ValueError
        Where the scene has no sources or no fluxes yet, or where the method does not take what it has.
    """
    try:
        method = Method(method)
    except ValueError as error:
        raise ValueError(f"method must be one of {', '.join(m.value for m in Method)}, got {method!r}.") from error
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}.")
    if scene.is_empty:
        raise ValueError("The scene has no sources; place one or detect them, and fit, before sampling.")
    if not scene.is_solved:
        raise ValueError("The scene has sources without fluxes; fit it before sampling.")
    if program is None:
        program = Program(observations, scene)
    else:
        program.take(scene)
    SAMPLERS[method].check(program)
    return Sampling(program, method, n_draws, seed)


def _is_asked(scene: Scene) -> bool:
    return any(is_asked(part) for source in scene.sources for part in source.parts)
