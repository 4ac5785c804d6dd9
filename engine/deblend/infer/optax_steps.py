"""Adam and Yogi, as optax has them, for any loss (Kingma & Ba 2015; Zaheer et al. 2018, NeurIPS 31).

Numbers are counted in units of their own errors and the length of steps is found by search, as for AdaProx. What
optax remembers is part of the position, so that a fit goes on from any; it has the shapes of the program's slots, so
that no edit compiles.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from deblend.infer.adaptive import LONGER, SHORTER
from deblend.infer.own_loss import Loss, OwnLoss
from deblend.infer.quasi_newton import movable, scales
from deblend.infer.settings import FitSettings, Solver
from deblend.infer.solvers import (
    AbstractSolver,
    Found,
    Position,
    as_numpy,
    compiled_linearized,
    compiled_seen,
    loss_of,
    moved,
)
from deblend.infer.splitting import tethered
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.compiled import compiled, on_device
from deblend.program.layout import Layout
from deblend.program.ties import tied

TRANSFORMS = {Solver.ADAM: "scale_by_adam", Solver.YOGI: "scale_by_yogi"}
"""What they are called in optax."""


class Remembered(NamedTuple):
    """What is known of the way so far."""

    state: Any
    """Of optax."""
    units: Parameters
    """Errors of all numbers, where they were first worked out."""


def keeping_ties(layout: Layout, data: ProblemData, change: Parameters) -> Parameters:
    """Return the part of a change that keeps what is tied."""
    return tied(data, change)


compiled_keeping_ties = compiled(keeping_ties)


class OptaxSteps(AbstractSolver):
    """Adaptive first-order steps of optax, projected on bounds."""

    first_damping = 3.0
    """Length of steps, in errors of each number."""
    knows_laws = False

    def __init__(
        self, program: Program, settings: FitSettings, loss: Loss | None = None, replaces_data: bool = False
    ) -> None:
        """With a `loss` that is added to what a fit minimizes, or stands for its ½ χ²."""
        super().__init__(program, settings)
        self._own = None if loss is None else OwnLoss(program, loss, replaces_data)
        # some hundred milliseconds, and only for those who choose it
        import optax

        transform = getattr(optax, TRANSFORMS[settings.solver])()
        self._init, self._update = jax.jit(transform.init), jax.jit(transform.update)

    def _held(self, position: Position) -> Position:
        return super()._held(replace(position, loss=self._loss(position.loss, position.models)))

    def _loss(self, loss: float, models: Any) -> float:
        return loss if self._own is None else self._own(loss, models)

    def advance(self, position: Position) -> Position:
        """Return the position after a few steps; never of a higher merit."""
        layout, data = self._program.layout, tethered(self._program.data, position.split)
        merit = position.merit
        for _ in range(self._inner):
            step = compiled_linearized(layout, data, position.held)
            gradient = step.gradient
            if self._own is not None:
                gradient = self._own.gradient(data, position.held, step, position.models)
            free, known = movable(data, step), position.memory
            if known is None:
                units = scales(self._program, data, position.held, step)
                known = Remembered(self._init(on_device(_float(position.parameters))), units)
            slope = jax.tree.map(_masked, gradient, known.units, free)
            direction, state = self._update(on_device(_float(slope)), known.state)
            end = self._end(data, position, direction, known.units, free, step)
            trial = compiled_seen(layout, data, end)
            loss = self._loss(loss_of(trial, None), trial.models)
            if loss < merit:
                found = moved(position, Found(trial, loss, None), 1.0, position.damping * LONGER)
                position, merit = replace(found, memory=known._replace(state=state)), loss
            else:
                # what was learned points uphill: look around anew, more carefully
                position = replace(moved(position, None, 0.0, position.damping * SHORTER), memory=None)
        return self._held_anew(data, position, merit)

    def _end(
        self, data: ProblemData, position: Position, direction: Any, units: Any, free: Any, step: Any
    ) -> Parameters:
        """Return where a step leads, within bounds and with ties kept."""
        change = jax.tree.map(lambda d, u, f: -position.damping * _masked(d, u, f), as_numpy(direction), units, free)
        along = as_numpy(compiled_keeping_ties(self._program.layout, data, _float(change)))
        here = position.parameters

        def within(x: Any, d: Any, low: Any, high: Any) -> np.ndarray:
            x = np.asarray(x)
            return np.where(d != 0, np.clip(x + d, np.asarray(low), np.asarray(high)), x).astype(x.dtype)

        end: Parameters = jax.tree.map(within, here, along, step.lower, step.upper)
        return end


def _masked(value: Any, unit: Any, free: Any) -> np.ndarray:
    return np.where(np.asarray(free) > 0, np.asarray(value) * np.asarray(unit), 0.0)


def _float(tree: Parameters) -> Parameters:
    result: Parameters = jax.tree.map(lambda part: np.asarray(part, np.float32), tree)
    return result
