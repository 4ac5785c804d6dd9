"""Draws from the posterior of a fitted scene, one after another.

    for draw in sample(scene, observations, "gaussian", n_draws=200, seed=1):
        print(draw.scene.fluxes)

Whoever iterates may stop between two draws and carry on later. Each draw has random numbers of its own, so that the
first hundred are the same whether a hundred are drawn or a thousand. Nothing compiles after the first one. Draws are
made in a thread of their own, so that an end that is asked for from anywhere comes at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deblend.infer.diagnosis import Diagnosis
from deblend.infer.samplers import AbstractSampler, DataShare, Made, Method, SamplerSettings, sampler_of
from deblend.observe import Observation
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.scene import Scene

if TYPE_CHECKING:
    from deblend.priors import AbstractPrior

ATTENTION = 0.05
"""Seconds after which somebody who waits for a draw looks up whether it is still wanted."""


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
    chain: int = 0
    """Which one it belongs to, where a draw depends on the one before."""

    @cached_property
    def scene(self) -> Scene:
        """The scene as drawn."""
        return self._raise(self.parameters)


class Sampling(Iterator[Draw]):
    """Draws being made; iterate for more, `cancel` from any thread, and iterate again after `resume`."""

    def __init__(self, program: Program, method: Method, n_draws: int, settings: SamplerSettings) -> None:
        self.program, self.method, self.settings = program, method, settings
        self.n_draws = n_draws
        """How many there are to be; more may be asked for at any time."""
        self.n_done = 0
        """How many there are so far."""
        self.n_unsettled = 0
        """How many of these did not reach their minimum: they are too near to the fit, and scatter too little."""
        self._sampler = sampler_of(method)(program, settings)
        self._is_ready = False
        self._cancelled = threading.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="draws")
        self._job: Future[Made | None] | None = None

    @property
    def seed(self) -> int:
        """What all random numbers come from."""
        return self.settings.seed

    def __iter__(self) -> Sampling:
        return self

    def __next__(self) -> Draw:
        """Make one draw; raises StopIteration behind the last, and soon after it was cancelled."""
        if self._cancelled.is_set() or self.n_done >= self.n_draws:
            raise StopIteration
        made = self._awaited()
        if made is None:
            raise StopIteration
        self.n_done += 1
        self.n_unsettled += not made.has_settled
        snapshot = self.program.snapshot(made.laws)
        return Draw(self.n_done - 1, made.parameters, made.has_settled, snapshot, made.chain)

    def _awaited(self) -> Made | None:
        """Return the next draw; None where it is not wanted any more. One that was begun is kept for later."""
        if self._job is None:
            self._job = self._worker.submit(self._make)
        while True:
            try:
                made = self._job.result(timeout=ATTENTION)
            except TimeoutError:
                if not self._job.done():
                    if self._cancelled.is_set():
                        return None
                    continue
                raise
            except BaseException:
                self._job = None
                raise
            self._job = None
            if made is None and not self._cancelled.is_set():
                # it was stopped on its way, and is wanted again
                self._job = self._worker.submit(self._make)
                continue
            return made

    def _make(self) -> Made | None:
        stopped = self._cancelled.is_set
        if not self._is_ready:
            self._sampler.make_ready(stopped)
            if stopped():
                return None
            self._is_ready = True
        return self._sampler.draw(self.n_done, stopped)

    @property
    def sampler(self) -> AbstractSampler:
        """What makes the draws; made ready where it is not yet."""
        if self._job is not None:
            wait([self._job])
        if not self._is_ready:
            self._sampler.make_ready()
            self._is_ready = True
        return self._sampler

    @cached_property
    def mode(self) -> Scene:
        """The scene that the draws lie around: that of the fit, at the very minimum."""
        return self.program.snapshot(self.program.laws)(self.sampler.mode)

    @property
    def is_calibrated(self) -> bool:
        """Whether the scatter of the draws is known to be an error bar; `doubts` say why it is not."""
        return self._sampler.is_calibrated

    def diagnosis(self) -> Diagnosis | None:
        """Return what tells whether chains agree so far; None where draws are independent of each other."""
        return self._sampler.diagnosis() if self._is_ready else None

    def data_shares(self) -> list[DataShare]:
        """Return, of "diffusion", what the data have said so far against what the prior did, of each source drawn."""
        return self._sampler.data_shares()

    @property
    def doubts(self) -> list[str]:
        """Sentences about what speaks against the draws so far."""
        if not self._is_ready:
            return []
        doubts = self._sampler.doubts
        if not self._sampler.has_settled:
            doubts.append(
                "The fit is not at a minimum, and none was reached from it: draws lie around where it was left; run "
                "the fit on, or hold what the data do not decide."
            )
        if self.n_unsettled:
            doubts.append(
                f"{self.n_unsettled} of {self.n_done} refits did not reach their minimum; they lie too near to the "
                "fit, so that errors are too small: use the method 'gaussian', or a simpler scene."
            )
        diagnosis = self.diagnosis()
        return doubts if diagnosis is None or not self.n_done else [*doubts, *diagnosis.doubts]

    def cancel(self) -> None:
        """End the iteration; a draw that is being made is there after `resume`."""
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
    n_chains: int = 4,
    spread: float = 3.0,
    prior: AbstractPrior | Path | str | None = None,
) -> Sampling:
    """Return an iterator of draws from the posterior of a fitted scene; what is fixed in it stays.

    Parameters
    ----------
    scene
        A fitted scene: draws lie around the minimum next to it.
    method
        "gaussian" (around the fit; quick; exact where all that is free are fluxes), "rto" (refits of perturbed data
        and priors; within bounds, so that no flux is negative), "nuts" (chains in the posterior itself, for scenes
        of profiles), or "diffusion" (pictures of all galaxies under a learned prior, and spectra, in turn).
    seed
        The same one gives the same draws.
    program
        A program of the same observations, to be reused warm. It is left with `scene`; of "diffusion" with one in
        which the galaxies that are drawn are pixels.
    n_chains, spread
        Of "nuts": how many chains there are, and how far from the fit they begin, in units of its errors.
    prior
        Of "diffusion": a prior of pictures, or the file of one; that of the package by default.

    Raises
    ------
    NoDensityError
        Where "nuts" is given a prior that has no density.
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
    if n_chains < 1:
        raise ValueError(f"n_chains must be at least 1, got {n_chains}.")
    if not 0 <= spread < 100:
        raise ValueError(f"spread must be 0 or more, and below 100 errors, got {spread}.")
    if scene.is_empty:
        raise ValueError("The scene has no sources; place one or detect them, and fit, before sampling.")
    if not scene.is_solved:
        raise ValueError("The scene has sources without fluxes; fit it before sampling.")
    if prior is not None:
        _check_prior(method, prior)
    if program is None:
        program = Program(observations, scene)
    else:
        program.take(scene)
    sampler_of(method).check(program)
    return Sampling(program, method, n_draws, SamplerSettings(seed, n_chains, spread, prior))


def _check_prior(method: Method, prior: AbstractPrior | Path | str) -> None:
    """Raise ValueError for a learned prior that a method does not take."""
    from deblend.priors import AbstractPrior, read_model, require_density

    if method is Method.DIFFUSION:
        return
    if method is Method.NUTS:
        require_density(prior if isinstance(prior, AbstractPrior) else read_model(Path(prior))[0], method.label)
    raise ValueError(f"The method {method.value!r} does not take a learned prior; use 'diffusion'.")
