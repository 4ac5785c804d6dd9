"""Solvers, one interface: from a position to the next, each step a few calls of compiled code.

The compiled parts are kept small and apart, so that they compile side by side, and the first step comes sooner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np

from deblend.algebra import small_matrices
from deblend.infer.astray import Strays, held_around
from deblend.infer.coarse import CoarseLevel
from deblend.infer.full_scene_blocks import FullSceneBlocks
from deblend.infer.gauss_newton import (
    Step,
    linearized,
    newton_blocks,
    newton_direction,
    value_and_gradient,
)
from deblend.infer.preconditioner import Preconditioner, Preconditioners
from deblend.infer.proximal import gradient_direction
from deblend.infer.settings import FitSettings
from deblend.infer.splitting import Split, started, tethered, updated
from deblend.infer.star_blocks import StarBlocks
from deblend.infer.trial import Trial, seen_at, tried
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.compiled import compiled, on_device, register, side_by_side
from deblend.program.laws import Laws
from deblend.program.layout import Layout
from deblend.program.penalty import Lag
from deblend.program.pictures import Linearization

STEP_FRACTIONS = (1.0, 0.4, 0.16, 0.064, 0.0256)
"""Lengths tried along a step."""
KEPT = 0.25
"""Of what a step promised: where its end keeps less, a shorter one may be better."""
REMADE = 0.03
"""Of the loss: where a step promises more, the next one has a preconditioner of its own."""
LATE = 0.03
"""Of the loss: where a step promised less, the next takes its time: what is left is trade between sources."""
LATE_FACTOR = 2
"""By how many times more conjugate-gradient iterations."""
FOLLOWED = 0.1
"""Of the loss: where a step promises more, corrections are set so that the promised picture is reached."""
CG_TOLERANCE = 0.03
MOST_ROUNDS = 4
"""How often a direction is solved for, with the pixels that it makes negative."""
FIRST_DAMPING = 10.0
DAMPING_RANGE = 0.3, 1e7
"""Weight of the belief that shape parameters move no further in a step than they can be trusted to."""
RELATIVE_DAMPING = 1e-5
"""Damping of everything else, relative to the diagonal of the normal matrix, per unit of that weight."""

register(Linearization, Lag, Step, Trial, Preconditioner, Preconditioners, CoarseLevel, StarBlocks, FullSceneBlocks)
compiled_linearized = compiled(linearized)
compiled_blocks = compiled(newton_blocks)
compiled_direction = compiled(newton_direction)
compiled_gradient_direction = compiled(gradient_direction)
compiled_tried = compiled(tried)
compiled_seen = compiled(seen_at)
compiled_value_and_gradient = compiled(value_and_gradient)


@dataclass(frozen=True, eq=False)
class Position:
    """Where a solver stands; NumPy arrays, so that it can be kept and resumed."""

    parameters: Parameters
    held: Any
    """The same parameters where programs run: putting them there again takes a seventh of a small step."""
    loss: float
    models: tuple[Any, ...]
    """Model of every observation, in units of the noise."""
    damping: float = FIRST_DAMPING
    """Levenberg-Marquardt damping for the next step, or the length of the next first-order one."""
    step: float = 1.0
    """Length accepted along the last direction; 0 where none lowered the loss."""
    predicted: float = 0.0
    """Fall of the loss that the linearized model promised for that step, where the solver has one."""
    laws: Laws | None = None
    """Where components stand whose spectra follow a law; None where there are none."""
    pictures: tuple[Any, ...] | None = None
    """Sources per unit flux where the last step began, an array per group; None before the first one."""
    split: Split | None = None
    """What holds components to constraints that have no derivative; None where there are none."""
    memory: Any = None
    """What else the solver has to remember of its way; None at its start."""

    @property
    def merit(self) -> float:
        """What the next step lowers: the loss, with the tethers that hold it to constraints."""
        return self.loss if self.split is None else self.split.merit

    @property
    def rank(self) -> tuple[bool, float]:
        """The less the better: a position that violates constraints is worse than any that meets them."""
        if self.split is None or self.split.is_met:
            return False, self.loss
        return True, self.split.distance


@dataclass(frozen=True, eq=False)
class Found:
    """What was found a fraction along a direction."""

    trial: Trial
    loss: float
    """½ χ² plus all penalties."""
    laws: Laws | None


class AbstractSolver(ABC):
    """From a position to the next."""

    _last: Split | None = None
    """What held components to their constraints, for the next start."""

    first_damping: ClassVar[float]
    knows_laws: ClassVar[bool] = True
    """Whether it keeps to the surface that the fluxes of a law lie on."""

    def __init__(self, program: Program, settings: FitSettings) -> None:
        self._program = program
        self._settings = settings
        self._inner = settings.inner_iterations

    def start(self, damping: float, before: Callable[[], Any] | None = None) -> Position:
        """Return the position of the program's scene, after something was done `before` that keeps its layout.

        Raises ValueError where spectra follow laws and the solver does not know of them.
        """
        position = self._held(started_position(self._program, damping, before))
        if position.laws is not None and not self.knows_laws:
            raise ValueError(
                "Spectra that follow a law need the solver 'gauss-newton', 'proximal-gradient' or 'fista'; choose one."
            )
        return position

    def resume(self, damping: float) -> Position:
        """Return the position of the program's scene where nothing has to compile."""
        return self._held(started_position(self._program, damping, None))

    @abstractmethod
    def advance(self, position: Position) -> Position:
        """Return the next position; never of a higher loss, unless constraints without a derivative ask for it."""

    def _held(self, position: Position) -> Position:
        """Return a started position with what holds it to its constraints."""
        data = self._program.data
        loss, split = started(self._program, data, position.held, position.loss, self._last)
        self._last = split
        return replace(position, loss=loss, split=split)

    def _held_anew(self, data: ProblemData, position: Position, merit: float) -> Position:
        """Return a position with its constraints put onto it; `merit` is its loss with the tethers in the data."""
        if position.split is None:
            return position
        loss, split = updated(self._program, data, position.held, merit, position.split)
        self._last = split
        return replace(position, loss=loss, split=split)


class GaussNewton(AbstractSolver):
    """Projected Gauss-Newton with a damped, preconditioned conjugate-gradient direction and a line search."""

    first_damping = FIRST_DAMPING
    _data: Any = None
    _blocks: Any = None
    """The preconditioner, kept while steps are small."""

    def start(self, damping: float, before: Callable[[], Any] | None = None) -> Position:
        """Return the position of the program's scene, while the parts of the first step compile."""
        layout, data, parameters = self._program.layout, self._program.data, self._program.parameters
        self._data, self._strays = on_device(data), Strays()
        if all(part.is_ready(layout) for part in (compiled_linearized, compiled_blocks, compiled_direction)):
            self._blocks = None
            return self._held(started_position(self._program, damping, before))
        # with a source at most in each group: machine code is linked where it is first run
        little = data._replace(groups=tuple(g._replace(count=np.minimum(g.count, 1)) for g in data.groups))
        if little.stars is not None:
            little = little._replace(stars=little.stars._replace(count=np.minimum(little.stars.count, 1)))

        damped, numbers = self._damped(damping), self._numbers()
        step = compiled_linearized.zeros(layout, little, parameters)
        blocks = compiled_blocks.zeros(layout, little, parameters, step, *damped)
        self._blocks = None
        with small_matrices():
            position = side_by_side(
                lambda: started_position(self._program, damping, before),
                # what takes longest first
                lambda: jax.block_until_ready(compiled_linearized(layout, little, parameters)),
                lambda: compiled_direction(layout, little, parameters, step, blocks, *damped, *numbers),
                lambda: jax.block_until_ready(compiled_blocks(layout, little, parameters, step, *damped)),
            )
        return self._held(position)

    def resume(self, damping: float) -> Position:
        self._data, self._blocks = on_device(self._program.data), None
        return super().resume(damping)

    def _damped(self, damping: float) -> tuple[Any, Any]:
        dtype = self._program.dtype
        return np.asarray(RELATIVE_DAMPING * damping, dtype), np.asarray(damping, dtype)

    def _numbers(self, position: Position | None = None) -> tuple[Any, Any, Any]:
        is_late = position is not None and 0.0 < position.predicted < LATE * position.loss
        inner = LATE_FACTOR * self._inner if is_late else self._inner
        return np.asarray(CG_TOLERANCE, self._program.dtype), np.int32(inner), np.int32(MOST_ROUNDS)

    def advance(self, position: Position) -> Position:
        direction, promise, step, data, laws = self._directed(position)
        astray = self._strays.seen(self._program, direction)
        if not astray <= self._strays.ids:
            self._hold_around(astray | self._strays.ids)
            direction, promise, step, data, laws = self._directed(position)
            astray = self._strays.seen(self._program, direction)
        if not np.isfinite(promise):
            # no step leads on from a derivative that is no number
            return replace(position, loss=np.nan, step=0.0)
        if promise > REMADE * position.loss or position.split is not None:
            self._blocks = None
        self._hold_around(astray)
        following = promise > FOLLOWED * position.loss
        end, length = None, 0.0
        for fraction in STEP_FRACTIONS:
            found = search(self._program, data, position, step, direction, fraction, following, laws)
            if end is not None and found.loss >= end.loss:
                break
            if found.loss < position.merit:
                end, length = found, fraction
                if position.merit - found.loss > KEPT * promise:
                    break
        if end is not None:
            gain = (position.merit - end.loss) / max(promise, 1e-30)
            damping = float(np.clip(position.damping * damping_change(gain, length), *DAMPING_RANGE))
            after = replace(moved(position, end, length, damping, promise), pictures=pictures_of(step))
            return self._held_anew(data, after, end.loss)
        stayed = moved(position, None, 0.0, min(position.damping * 10.0, DAMPING_RANGE[1]), promise)
        return self._held_anew(data, stayed, position.merit)

    def _hold_around(self, sources: frozenset[str]) -> None:
        """Hold all but profiles and fluxes around these sources from the next direction on."""
        if self._strays.take(sources):
            self._blocks = None

    def _directed(self, position: Position) -> tuple[Parameters, float, Step, ProblemData, Laws | None]:
        """Return a direction, the fall of the loss that it promises, and the linearized problem that it is of."""
        data = held_around(self._program, tethered(self._data, position.split), self._strays.ids)
        layout, damped = self._program.layout, self._damped(position.damping)
        step, data, laws = linearized_at(layout, data, position)
        with small_matrices():
            if self._blocks is None:
                self._blocks = compiled_blocks(layout, data, position.held, step, *damped)
            numbers = self._numbers(position)
            direction, predicted = compiled_direction(
                layout, data, position.held, step, self._blocks, *damped, *numbers
            )
            return direction, float(predicted), step, data, laws


class ProximalGradient(AbstractSolver):
    """First-order steps, each source at its own pace, projected on its bounds; one length for all, found by search."""

    first_damping = 0.5

    def advance(self, position: Position) -> Position:
        """Return the position after a few steps; never of a higher loss."""
        layout, data = self._program.layout, tethered(self._program.data, position.split)
        merit = position.merit
        for _ in range(self._inner):
            step, tied, laws = linearized_at(layout, data, position)
            direction = compiled_gradient_direction(layout, tied, position.held, step)
            found = search(self._program, tied, position, step, direction, position.damping, laws=laws)
            if found.loss < merit:
                position, merit = moved(position, found, position.damping, min(position.damping * 1.3, 1.0)), found.loss
                position = replace(position, pictures=pictures_of(step))
            else:
                position = moved(position, None, 0.0, position.damping * 0.4)
        return self._held_anew(data, position, merit)


def linearized_at(layout: Layout, data: ProblemData, position: Position) -> tuple[Any, ProblemData, Laws | None]:
    """Return the problem linearized at a position, with the data and the laws that hold for the step from there."""
    if position.laws is None:
        return compiled_linearized(layout, data, position.held), data, None
    laws, data, step = position.laws.linearized(data, lambda tied: compiled_linearized(layout, tied, position.held))
    return step, data, laws


def search(
    program: Program,
    data: ProblemData,
    position: Position,
    step: Any,
    direction: Any,
    fraction: float,
    following: bool = False,
    laws: Laws | None = None,
) -> Found:
    """Return what is found a fraction along a direction."""
    if laws is not None:
        laws, direction = laws.retracted(position.parameters, direction, fraction, step)
    trial = compiled_tried(
        program.layout,
        data,
        position.held,
        direction,
        np.asarray(fraction, program.dtype),
        np.asarray(following, program.dtype),
        step.lower,
        step.upper,
        step.lines,
    )
    return Found(trial, loss_of(trial, laws), laws)


def loss_of(trial: Any, laws: Laws | None) -> float:
    """Return the loss of a trial with the priors of laws; not JAX's own number, since comparing such would compile."""
    return float(trial.loss) + (0.0 if laws is None else laws.penalty)


def started_position(program: Program, damping: float, before: Callable[[], Any] | None) -> Position:
    """Return the position of the program's scene, after something was done `before`."""
    if before is not None:
        before()
    parameters = program.parameters
    wide = [_filled(parameters, value) for value in (0.0, -np.inf, np.inf)]
    zero = np.zeros((), program.dtype)
    lines = compiled_linearized.zeros(program.layout, program.data, parameters).lines
    trial = compiled_tried(program.layout, program.data, parameters, wide[0], zero, zero, wide[1], wide[2], lines)
    models = tuple(map(np.asarray, trial.models))
    laws = program.laws
    return Position(as_numpy(trial.parameters), trial.parameters, loss_of(trial, laws), models, damping, laws=laws)


def damping_change(gain: float, fraction: float) -> float:
    """Return the factor on the damping: trust the linearized model as far as it kept its promise."""
    if gain > 0.7 and fraction == 1.0:
        return 0.3
    return 1.0 if gain > 0.3 and fraction == 1.0 else 4.0


def moved(position: Position, found: Found | None, fraction: float, damping: float, predicted: float = 0.0) -> Position:
    """Return the position that was found a fraction along a direction, or the same one where nothing was."""
    if found is None:
        return replace(position, damping=damping, step=0.0, predicted=predicted)
    models, end = tuple(map(np.asarray, found.trial.models)), found.trial.parameters
    at = as_numpy(end), end, found.loss, models
    return Position(*at, damping, fraction, predicted, found.laws, split=position.split)


def pictures_of(step: Any) -> tuple[Any, ...]:
    """Return the sources per unit flux where a problem was linearized."""
    return tuple(line.picture for line in step.lines)


def as_numpy(parameters: Any) -> Parameters:
    """Return parameters as NumPy arrays."""
    result: Parameters = jax.tree.map(np.asarray, parameters)
    return result


def _filled(parameters: Parameters, value: float) -> Parameters:
    result: Parameters = jax.tree.map(lambda part: np.full_like(part, value), parameters)
    return result
