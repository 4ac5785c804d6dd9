"""AdaProx: proximal gradients with a pace for every number, learned from its gradients (Melchior, Joseph & Moolekamp
2019, arXiv:1910.10094), with four ways of learning it.

Adam (Kingma & Ba 2015), AMSGrad (Reddi, Kale & Kumar 2018), PAdam (Chen & Gu 2018) and RAdam (Liu et al. 2020) keep
running means m of the gradient and v of its square. The metric is diagonal, in which the proximal operator of a bound
is the bound itself; other operators come through the splitting (`infer.splitting`). Gradients are counted in units in
which every number has a curvature of 1, and the length of steps is found by search, so that there is none to set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from deblend.infer.gauge import Gauge
from deblend.infer.quasi_newton import Packing, movable, scales
from deblend.infer.settings import Scheme
from deblend.infer.solvers import (
    AbstractSolver,
    Found,
    Position,
    compiled_linearized,
    compiled_seen,
    loss_of,
    moved,
)
from deblend.infer.splitting import tethered

FIRST, SECOND = 0.9, 0.999
"""Decay of the running means of gradients, and of their squares."""
PARTIAL = 0.125
"""Exponent of v in PAdam; a half is that of Adam."""
LONGER, SHORTER = 1.3, 0.5
TINY = 1e-8


class Learned(NamedTuple):
    """What is known of gradients so far; of all that may move, as vectors."""

    mean: np.ndarray
    square: np.ndarray
    largest: np.ndarray
    """The largest that `square` has been."""
    steps: int
    scale: Any
    """Errors of all numbers, where they were first worked out: units are not to change on the way."""
    gauge: Gauge = Gauge()
    """In which numbers pixels are seen."""


class AdaProx(AbstractSolver):
    """Adaptive first-order steps, projected on bounds."""

    first_damping = 3.0
    """Length of steps, in errors of each number."""
    knows_laws = False

    def advance(self, position: Position) -> Position:
        """Return the position after a few steps; never of a higher merit."""
        layout, data = self._program.layout, tethered(self._program.data, position.split)
        merit = position.merit
        for _ in range(self._inner):
            step = compiled_linearized(layout, data, position.held)
            known: Learned | None = position.memory
            here = position.parameters
            gauge = (Gauge.of(self._program) if known is None else known.gauge).at(here)
            units = known.scale if known is not None else scales(self._program, data, position.held, step)
            units = gauge.scaled(units, here) if known is None else units
            pack = Packing(gauge.factored(here), movable(data, step), units)
            gradient = pack.slope(gauge.slope(step.gradient, here))
            if known is None:
                zeros = np.zeros_like(gradient)
                known = Learned(zeros, zeros, zeros, 0, units, gauge)
            learned, direction = learn(self._settings.scheme, known, gradient)
            low, high = pack.bounds(gauge.scaled(step.lower, here), gauge.upper(step.upper, here)).T
            factors = pack.unpacked(np.clip(pack.start - position.damping * direction, low, high))
            end, there = gauge.multiplied(factors, here)
            trial = compiled_seen(layout, data, end)
            loss = loss_of(trial, None)
            if loss < merit:
                position = moved(position, Found(trial, loss, None), 1.0, position.damping * LONGER)
                position, merit = replace(position, memory=learned._replace(gauge=there)), loss
            else:
                # what was learned points uphill: look around anew, more carefully
                position = replace(moved(position, None, 0.0, position.damping * SHORTER), memory=None)
        return self._held_anew(data, position, merit)


def learn(scheme: Scheme, known: Learned, gradient: np.ndarray) -> tuple[Learned, np.ndarray]:
    """Return what is known after one more gradient, and the direction uphill for a step of length 1."""
    steps = known.steps + 1
    mean = FIRST * known.mean + (1 - FIRST) * gradient
    square = SECOND * known.square + (1 - SECOND) * gradient**2
    largest = np.maximum(known.largest, square / (1 - SECOND**steps))
    learned = Learned(mean, square, largest, steps, known.scale, known.gauge)
    unbiased = mean / (1 - FIRST**steps)
    size = np.sqrt(square / (1 - SECOND**steps))
    if scheme is Scheme.AMSGRAD:
        return learned, unbiased / (np.sqrt(largest) + TINY)
    if scheme is Scheme.PADAM:
        return learned, unbiased / (largest**PARTIAL + TINY)
    if scheme is Scheme.RADAM:
        # how many gradients the mean square is worth; with four or fewer its spread is unknown
        most = 2 / (1 - SECOND) - 1
        worth = most - 2 * steps * SECOND**steps / (1 - SECOND**steps)
        if worth <= 4:
            return learned, unbiased / max(float(np.abs(unbiased).max()), TINY)
        rectified = (worth - 4) * (worth - 2) * most / ((most - 4) * (most - 2) * worth)
        return learned, np.sqrt(rectified) * unbiased / (size + TINY)
    return learned, unbiased / (size + TINY)
