"""Fits: an iterator of states over a scene and its observations.

    for state in fit(scene, observations):
        print(state.iteration, state.chi2)

A fit can be stopped at any state, edited between two of them and carried on; nothing that an edit does compiles,
and a scene that had converged starts where it ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deblend.infer.gauss_newton import advance
from deblend.infer.proximal import proximal_steps
from deblend.infer.settings import FitSettings, Outcome, Solver
from deblend.infer.state import FitState
from deblend.observe import Observation
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.compiled import compiled
from deblend.scene import Scene

FIRST_DAMPING = 1e-2
CG_TOLERANCE = 0.1
PROXIMAL_STEPS = 10
"""First-order steps in one iteration of a fit: about as dear as one second-order step."""
FLUX_TOLERANCE = 0.005
FLUX_TOLERANCE_IN_ERRORS = 0.2

compiled_advance = compiled(advance)
compiled_proximal = compiled(proximal_steps)


class Fit(Iterator[FitState]):
    """A running fit. The first state is the scene as given, with fluxes solved for where it had none."""

    def __init__(
        self,
        scene: Scene,
        observations: Sequence[Observation],
        settings: FitSettings | None = None,
        program: Program | None = None,
    ) -> None:
        self.settings = settings or FitSettings()
        self.program = program if program is not None else Program(observations, scene)
        self._lock = threading.Lock()
        self._state: FitState | None = None
        self._best: FitState | None = None
        self._quiet = 0
        self._iteration = 0
        if program is not None:
            self.program.update(scene, solve=not scene.is_solved)

    @property
    def best(self) -> FitState:
        """The state of the lowest loss since the last edit."""
        if self._best is None:
            return next(self)
        return self._best

    @property
    def state(self) -> FitState:
        """The newest state."""
        return self._state if self._state is not None else next(self)

    def __iter__(self) -> Fit:
        return self

    def __next__(self) -> FitState:
        """Take one step; raises StopIteration behind a final state."""
        if self._state is None:
            return self._start(self.program.parameters, FIRST_DAMPING)
        if self._state.outcome.is_final:
            raise StopIteration
        return self._step(self._state)

    def run(self, progress: Callable[[FitState], Any] | None = None) -> FitState:
        """Fit to the end and return the best state; `progress` is called with each one."""
        for state in self:
            if progress is not None:
                progress(state)
        return self.best

    def edit(self, scene: Scene) -> FitState:
        """Carry on from an edited scene, with all fluxes solved again jointly; return its state.

        The loss never rises by it where sources were only added: their fluxes may be zero.
        """
        damping = self.state.damping
        before = self.program.scene
        solved = self.program.update(scene)
        state = self._start(self.program.parameters, damping)
        if scene.is_solved or before is scene:
            return state
        # penalties in units of the noise can outweigh what the joint solution gains: then new sources start dark
        dark = _with_zeros(scene)
        self.program.take(dark)
        unlit = self._start(self.program.parameters, damping)
        if unlit.loss < state.loss:
            return unlit
        self.program.take(solved)
        return self._start(self.program.parameters, damping)

    def _start(self, parameters: Parameters, damping: float) -> FitState:
        self._quiet = 0
        self._best = None
        outcome = Outcome.RUNNING if self.program.scene.sources else Outcome.EMPTY
        return self._take(self._advance(parameters, damping, 0), outcome)

    def _step(self, state: FitState) -> FitState:
        if self._iteration >= self.settings.max_iterations:
            return self._take(self._advance(state.parameters, state.damping, 0), Outcome.STOPPED_AT_LIMIT)
        result = self._advance(state.parameters, state.damping, 1)
        self._iteration += 1
        if not np.isfinite(result.loss):
            return self._take(self._advance(self.best.parameters, FIRST_DAMPING, 0), Outcome.DIVERGED)
        self._quiet = self._quiet + 1 if self._is_quiet(state, result) else 0
        outcome = Outcome.RUNNING
        if self._quiet >= 2:
            outcome = Outcome.CONVERGED
        elif float(result.step) == 0.0 and float(result.damping) > 100.0:
            outcome = Outcome.STUCK
        elif self._iteration >= self.settings.max_iterations:
            outcome = Outcome.STOPPED_AT_LIMIT
        return self._take(result, outcome)

    def _advance(self, parameters: Parameters, damping: float, steps: int) -> Any:
        dtype = self.program.dtype
        layout, data = self.program.layout, self.program.data
        if self.settings.solver is Solver.PROXIMAL_GRADIENT:
            return compiled_proximal(layout, data, parameters, np.int32(steps * PROXIMAL_STEPS))
        return compiled_advance(
            layout,
            data,
            parameters,
            np.asarray(damping, dtype),
            np.int32(steps),
            np.asarray(CG_TOLERANCE, dtype),
            np.int32(self.settings.inner_iterations),
        )

    def _is_quiet(self, before: FitState, after: Any) -> bool:
        """Tell whether a step changed neither the loss nor any flux by what matters."""
        if not before.loss - float(after.loss) < self.settings.tolerance * before.loss:
            return False
        for slots, old, new in zip(self.program.members, before.parameters, after.parameters, strict=True):
            n = len(slots)
            old_flux, new_flux = np.asarray(old.flux)[:n], np.asarray(new.flux)[:n]
            allowed = np.maximum(FLUX_TOLERANCE * np.abs(old_flux), FLUX_TOLERANCE_IN_ERRORS * self._least_error)
            if np.any(np.abs(new_flux - old_flux) > allowed):
                return False
        return True

    @property
    def _least_error(self) -> np.ndarray:
        """Error of the flux of an isolated star per channel, in units of the noise of a pixel."""
        return self.program.point_source_errors

    def _take(self, result: Any, outcome: Outcome) -> FitState:
        parameters = _as_numpy(result.parameters)
        models = [
            np.asarray(model) * noise[:, None, None]
            for model, noise in zip(result.models, self.program.noise_per_observation, strict=True)
        ]
        state = FitState(
            self._iteration,
            float(result.loss),
            outcome,
            parameters,
            models,
            float(result.damping),
            self.program,
            self._lock,
        )
        self._state = state
        if self._best is None or state.loss <= self._best.loss:
            self._best = state
        return state


def fit(
    scene: Scene,
    observations: Sequence[Observation],
    settings: FitSettings | None = None,
    program: Program | None = None,
) -> Fit:
    """Fit a scene to observations; iterate over the result to watch, or call its `run` for the answer.

    Parameters
    ----------
    scene
        Sources with starting values; fluxes that are NaN are solved for first, jointly and non-negative.
    observations
        What was seen, on the pixel grid of the scene.
    program
        A program of the same observations, to be reused warm.

    Raises
    ------
    ValueError
        Where the scene does not fit the observations.
    """
    return Fit(scene, observations, settings, program)


def _as_numpy(parameters: Any) -> Parameters:
    return tuple(
        p._replace(
            theta=np.asarray(p.theta),
            flux=np.asarray(p.flux),
            pixels=None if p.pixels is None else np.asarray(p.pixels),
        )
        for p in parameters
    )


def _with_zeros(scene: Scene) -> Scene:
    sources = []
    for source in scene.sources:
        components = tuple(replace(c, spectrum=c.spectrum.at(np.nan_to_num(c.spectrum.value))) for c in source.components)
        sources.append(replace(source, components=components))
    return scene.with_sources(sources)
