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

from deblend.infer.adaptive import AdaProx
from deblend.infer.boxes import Boxes, with_boxes
from deblend.infer.momentum import Fista
from deblend.infer.optax_steps import OptaxSteps
from deblend.infer.own_loss import Loss
from deblend.infer.quasi_newton import QuasiNewton
from deblend.infer.settings import FitSettings, Outcome, Solver, StopRule
from deblend.infer.solvers import AbstractSolver, GaussNewton, Position, ProximalGradient
from deblend.infer.state import FitState
from deblend.observe import Observation
from deblend.program import Program
from deblend.render import kind_of
from deblend.scene import Component, Scene

FLUX_TOLERANCE = 0.02
FLUX_TOLERANCE_IN_ERRORS = 1.0
CENTER_TOLERANCE = 0.05
"""A step that moves a center by more is not quiet [pix], but for what noise moves the center of a faint star by."""
ROUGH = 5e-3
"""Of the loss: a rough fit ends where steps lower it by less."""
LOSS_ROUNDING = 1e-6
"""Relative change of the loss that counts as none."""
VALLEY = 0.5
"""A step that lowers the loss by less than this per source counts as quiet, wherever the fluxes go: χ² by one."""
COUNTS = 1.0
"""A step that lowers the loss by more than this per source is not quiet, however many pixels of sky the loss is of; but
where much is left over, as of sources that are not in the scene, nobody follows that for long."""
TURNED = 0.01
"""Corners of images that have turned by more want a new geometry [pix of the model]."""
HIGHEST_DAMPING = 1e6
"""A step that fails at such a damping has no way left to go down."""

SOLVERS: dict[Solver, type[AbstractSolver]] = {
    Solver.GAUSS_NEWTON: GaussNewton,
    Solver.PROXIMAL_GRADIENT: ProximalGradient,
    Solver.FISTA: Fista,
    Solver.ADAPROX: AdaProx,
    Solver.LBFGSB: QuasiNewton,
    Solver.ADAM: OptaxSteps,
    Solver.YOGI: OptaxSteps,
}


class Fit(Iterator[FitState]):
    """A running fit. The first state is the scene as given, with fluxes solved for where it had none."""

    def __init__(
        self,
        scene: Scene,
        observations: Sequence[Observation],
        settings: FitSettings | None = None,
        program: Program | None = None,
        loss: Loss | None = None,
        replaces_data: bool = False,
    ) -> None:
        self.settings = settings or FitSettings()
        if program is None:
            program = Program(observations, scene, solve=False)
        else:
            program.take(scene)
        self.program = program
        self._solver = _solver(self.program, self.settings, loss, replaces_data)
        self._lock = threading.Lock()
        self._position: Position | None = None
        self._state: FitState | None = None
        self._best: FitState | None = None
        self._boxes = Boxes(self.settings.grow_boxes, self.settings.shrink_boxes, self.settings.compile_larger)
        self._rank = True, np.inf
        """Of the best state."""
        self._quiet = self._slow = 0
        self._iteration = self._edited_at = 0

    @property
    def best(self) -> FitState:
        """The state of the lowest loss since the last edit, of those that meet all constraints where any does."""
        if self._best is None:
            return next(self)
        return self._best

    @property
    def state(self) -> FitState:
        """The newest state."""
        return self._state if self._state is not None else next(self)

    @property
    def has_slowed(self) -> bool:
        """Whether the last two steps hardly lowered the loss: where a rough fit would end."""
        return self._slow >= 2

    def __iter__(self) -> Fit:
        return self

    def __next__(self) -> FitState:
        """Take one step; raises StopIteration behind a final state."""
        if self._state is None or self._position is None:
            return self._start(self._solver.first_damping, self._solve_fluxes)
        if self._state.outcome.is_final:
            raise StopIteration
        return self._step(self._position)

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
        damping = self._solver.first_damping if self._position is None else self._position.damping
        damping = min(damping, self._solver.first_damping)
        previous = self.state
        # the limit is for one scene: an edit is a new task
        self._edited_at = self._iteration
        self.program.update(scene)
        state = self._start(damping)
        if scene.is_solved:
            return state
        # the priors of new sources may cost more than their light gains: then they start as the priors like it best,
        # and if penalties in units of the noise still rise by the new fluxes of others, dark
        bound = previous.loss * (1.0 + LOSS_ROUNDING)
        typical = _with_typical_profiles(scene)
        for solve, trial in ((True, typical), (False, _with_zeros(typical))):
            if state.loss <= bound:
                break
            self.program.update(trial, solve=solve)
            state = self._start(damping)
        return state

    def _solve_fluxes(self) -> None:
        scene = self.program.scene
        self.program.update(scene, solve=not scene.is_solved)

    def _start(self, damping: float, before: Callable[[], Any] | None = None) -> FitState:
        """Take the program's scene as it is, or as it is after something is done `before`."""
        self._quiet = self._slow = 0
        self._best = None
        scene = self.program.scene
        outcome = Outcome.EMPTY if scene.is_empty else Outcome.RUNNING
        if self.settings.max_iterations == 0:
            outcome = Outcome.STOPPED_AT_LIMIT
        position = self._solver.start(damping, before)
        return self._take(position, outcome if np.isfinite(position.loss) else self._undefined)

    @property
    def _undefined(self) -> Outcome:
        """What to say of a value that is no number."""
        is_own = any(kind_of(c.morphology).is_own for s in self.program.scene.sources for c in s.components)
        return Outcome.UNDEFINED if is_own else Outcome.DIVERGED

    def _step(self, position: Position) -> FitState:
        after = self._solver.advance(position)
        self._iteration += 1
        fall = _fall(position, after)
        self._quiet = self._quiet + 1 if self._is_quiet(position, after, fall) else 0
        self._slow = self._slow + 1 if _meets_constraints(after) and fall < ROUGH * position.loss else 0
        outcome = Outcome.RUNNING
        if not np.isfinite(after.loss):
            outcome = self._undefined
        elif self.settings.stop is StopRule.ROUGH and max(self._quiet, self._slow) >= 2:
            outcome = Outcome.ROUGHLY
        elif self._quiet >= 2:
            outcome = Outcome.CONVERGED
        elif after.step == 0.0 and after.damping > HIGHEST_DAMPING:
            outcome = Outcome.STUCK
        elif self._iteration - self._edited_at >= self.settings.max_iterations:
            outcome = Outcome.STOPPED_AT_LIMIT
        if not outcome.is_final and self.program.turned_by(after.parameters) > TURNED:
            # a rotation is linear only as long as it is small: make the geometry that it leads to
            self.program.take(self.program.snapshot(after.laws)(after.parameters))
            after = self._solver.start(after.damping)
        elif np.isfinite(after.loss) and self.program.have_left_boxes(after.parameters):
            # light at the edges of boxes is another where these stand elsewhere
            self.program.take(self.program.snapshot(after.laws)(after.parameters))
            after = self._solver.resume(after.damping)
        state = self._take(after, outcome)
        settles = outcome is Outcome.CONVERGED
        changes = self._boxes.changes(self.program, after, self._iteration, settles=settles)
        if not changes or outcome in (Outcome.STOPPED_AT_LIMIT, self._undefined):
            return state
        with_boxes(self.program, state.scene, after, changes)
        self._quiet, self._slow, self._best = 0, 0, None
        begin = self._solver.start if settles else self._solver.resume
        return self._take(begin(after.damping), Outcome.RUNNING)

    def _is_quiet(self, before: Position, after: Position, fall: float) -> bool:
        """Tell whether a step, with this fall of the loss, changed neither that nor any flux by what matters."""
        if not _meets_constraints(after):
            return False
        if fall > self.settings.tolerance * before.loss:
            return False
        # noise is half of χ² per pixel, and no step explains it; what is left over beyond may be nobody's to explain
        beyond_noise = before.loss - 0.5 * sum(o.n_unmasked for o in self.program.observations)
        if fall > max(COUNTS * len(self.program.scene), self.settings.tolerance * beyond_noise):
            return False
        if fall < VALLEY * len(self.program.scene) + LOSS_ROUNDING * before.loss:
            # what still moves trades flux between degenerate sources at no gain
            return True
        for slots, old, new in zip(
            self.program.members, before.parameters.groups, after.parameters.groups, strict=True
        ):
            n = len(slots)
            # the error of an isolated star is the least that a flux can have
            errors = self.program.point_source_errors
            allowed = np.maximum(FLUX_TOLERANCE * np.abs(old.flux[:n]), FLUX_TOLERANCE_IN_ERRORS * errors)
            if np.any(np.abs(new.flux[:n] - old.flux[:n]) > allowed):
                return False
            # a Gaussian's center is known to √2 of its width over its signal to noise
            snr = np.sqrt(np.sum((np.asarray(new.flux[:n]) / errors) ** 2, axis=1))
            sizes = [source.components[k].morphology.half_light_radius_guess for source, k in slots]
            width = np.hypot(self.program.scene.model_psf_sigma, sizes)
            noise = np.sqrt(2.0) * width / np.maximum(snr, 1.0)
            moved = np.hypot(*(np.asarray(new.theta[:n, :2]) - np.asarray(old.theta[:n, :2])).T)
            if np.any(moved > np.maximum(CENTER_TOLERANCE, noise)):
                return False
        return True

    def _take(self, position: Position, outcome: Outcome) -> FitState:
        models = self.program.seen(position.models)
        at, laws = position.parameters, position.laws
        state = FitState(self._iteration, position.loss, outcome, at, models, self.program, self._lock, laws)
        self._position, self._state = position, state
        if self._best is None or position.rank <= self._rank:
            self._best, self._rank = state, position.rank
        return state


def fit(
    scene: Scene,
    observations: Sequence[Observation],
    settings: FitSettings | None = None,
    program: Program | None = None,
    loss: Loss | None = None,
    replaces_data: bool = False,
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
    loss
        A loss of your own: from the model of every observation, (band, y, x) [nJy/pix], to a number, in `jax.numpy`. It
        is added to what is minimized, and needs the solver "adam" or "yogi".
    replaces_data
        Whether it stands for ½ χ² rather than being added to it; priors and constraints stay.

    Raises
    ------
    ValueError
        Where the scene does not fit the observations.
    """
    return Fit(scene, observations, settings, program, loss, replaces_data)


def _solver(program: Program, settings: FitSettings, loss: Loss | None, replaces_data: bool) -> AbstractSolver:
    kind = SOLVERS[settings.solver]
    if loss is None:
        return kind(program, settings)
    if kind is not OptaxSteps:
        raise ValueError(f"A loss of your own needs the solver 'adam' or 'yogi', not {settings.solver.value!r}.")
    return OptaxSteps(program, settings, loss, replaces_data)


def _fall(before: Position, after: Position) -> float:
    """Return by how much a step lowered the loss; one that was cut short, by how much the whole one had promised to."""
    if after.split is not None:
        return abs(before.loss - after.loss)
    return max(before.loss - after.loss, after.predicted if after.step < 1.0 else 0.0)


def _meets_constraints(position: Position) -> bool:
    return position.split is None or position.split.is_met


def _with_typical_profiles(scene: Scene) -> Scene:
    """Return the scene with profiles that were never solved for shaped as their priors like it best."""

    def shaped(component: Component) -> Component:
        morphology = component.morphology
        prior = kind_of(morphology).priors.get("amplitudes")
        if prior is None or component.is_solved:
            return component
        free, typical = morphology.parameters, np.exp(prior.mean)
        changed = {
            "amplitudes": free["amplitudes"].at(typical / typical.sum()),
            "ellipticity": free["ellipticity"].at(np.zeros(2)),
        }
        if "correction" in free:
            changed["correction"] = free["correction"].at(np.zeros_like(free["correction"].value))
        return replace(component, morphology=morphology.with_parameters(**changed))

    return _with_components(scene, shaped)


def _with_zeros(scene: Scene) -> Scene:
    """Return the scene with zero where a flux was never solved for."""
    return _with_components(scene, lambda c: replace(c, spectrum=c.spectrum.at(np.nan_to_num(c.spectrum.value))))


def _with_components(scene: Scene, change: Callable[[Component], Component]) -> Scene:
    """Return the scene with every component changed."""
    return scene.with_sources(
        replace(source, components=tuple(change(component) for component in source.components))
        for source in scene.sources
    )
