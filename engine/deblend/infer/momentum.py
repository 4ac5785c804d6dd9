"""FISTA: first-order steps with momentum (Beck & Teboulle 2009, SIAM J. Imaging Sci. 2, 183).

Each source goes down its own gradient in the metric of its own block of the normal matrix, from a point ahead of where
it is; one length for all is found by search. Where the loss would rise, momentum starts anew (O'Donoghue & Candès
2015, Found. Comput. Math. 15, 715), so that it never does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from deblend.infer.solvers import (
    AbstractSolver,
    Position,
    as_numpy,
    compiled_gradient_direction,
    linearized_at,
    moved,
    search,
)
from deblend.infer.splitting import tethered
from deblend.program.arrays import Parameters

LONGER, SHORTER = 1.3, 0.4
"""Factors on the length of steps, after one that led down and one that did not."""


class Momentum(NamedTuple):
    """Where the last step began, and how much of it is carried on."""

    previous: Parameters
    weight: float
    """t of the paper."""


class Fista(AbstractSolver):
    """Accelerated block gradients, projected on bounds."""

    first_damping = 0.5

    def advance(self, position: Position) -> Position:
        """Return the position after a few steps; never of a higher merit."""
        layout, data = self._program.layout, tethered(self._program.data, position.split)
        merit = position.merit
        for _ in range(self._inner):
            ahead, weight = _ahead(position)
            step, tied, laws = linearized_at(layout, data, ahead)
            direction = compiled_gradient_direction(layout, tied, ahead.held, step)
            found = search(self._program, tied, ahead, step, direction, position.damping, laws=laws)
            if found.loss < merit:
                memory = Momentum(position.parameters, weight)
                position = moved(position, found, position.damping, min(position.damping * LONGER, 1.0))
                position, merit = replace(position, memory=memory), found.loss
            elif position.memory is not None:
                position = replace(position, memory=None, step=0.0)
            else:
                position = moved(position, None, 0.0, position.damping * SHORTER)
        return self._held_anew(data, position, merit)


def _ahead(position: Position) -> tuple[Position, float]:
    """Return the point that momentum leads to, and the weight of the next step.

    Fluxes that follow a law stay: between two points of their surface none need lie on it.
    """
    memory: Momentum | None = position.memory
    if memory is None or position.laws is not None:
        return position, 1.0
    weight = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * memory.weight**2))
    share = (memory.weight - 1.0) / weight

    def further(now: Any, before: Any) -> Any:
        return np.asarray(now + share * (now - before), now.dtype)

    parameters = jax.tree.map(further, position.parameters, as_numpy(memory.previous))
    return replace(position, parameters=parameters, held=parameters), float(weight)
