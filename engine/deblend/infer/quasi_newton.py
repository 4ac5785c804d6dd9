"""L-BFGS-B: curvature learned from gradients, within bounds, as SciPy has it (Byrd, Lu, Nocedal & Zhu 1995).

Numbers are counted in units of their own errors, from the diagonal of the Gauss-Newton matrix, so that a pixel, a flux
and an ellipticity are alike. One iteration of a fit is a run of a few of SciPy's; the next one learns anew, so that a
position is all that has to be kept.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from scipy.optimize import minimize

from deblend.algebra import small_matrices
from deblend.infer.solvers import (
    AbstractSolver,
    Found,
    Position,
    as_numpy,
    compiled_blocks,
    compiled_linearized,
    compiled_seen,
    compiled_value_and_gradient,
    loss_of,
    moved,
)
from deblend.infer.splitting import tethered
from deblend.program.arrays import GroupParameters, Parameters, ProblemData
from deblend.program.full_scene_layer import full_scene_bounds
from deblend.program.support import is_own

ITERATIONS_PER_INNER = 2
"""SciPy's iterations for each of `inner_iterations`: what it learned is of use for some time."""
SMALL_DAMPING = 1e-5
STUCK = 1e7
"""Damping that tells that no way leads down."""


class QuasiNewton(AbstractSolver):
    """L-BFGS-B on all that is free."""

    first_damping = 1.0
    knows_laws = False

    def advance(self, position: Position) -> Position:
        """Return the position after a run; never of a higher merit."""
        layout, data = self._program.layout, tethered(self._program.data, position.split)
        anchor = position.held
        step = compiled_linearized(layout, data, anchor)
        pack = Packing(position.parameters, movable(data, step), scales(self._program, data, anchor, step))

        def value(x: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = compiled_value_and_gradient(layout, data, pack.unpacked(x), anchor)
            return float(loss), pack.slope(gradient)

        bounds = pack.bounds(step.lower, step.upper)
        options = {"maxiter": ITERATIONS_PER_INNER * self._inner, "ftol": 1e-9, "gtol": 1e-3}
        result = minimize(value, pack.start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        trial = compiled_seen(layout, data, pack.unpacked(result.x))
        loss = loss_of(trial, None)
        if loss < position.merit:
            after = moved(position, Found(trial, loss, None), 1.0, 1.0)
            return self._held_anew(data, after, loss)
        return self._held_anew(data, moved(position, None, 0.0, STUCK), position.merit)


class Packing:
    """Parameters as one vector of those that may move, in units of their scales."""

    def __init__(self, parameters: Parameters, free: Parameters, scale: Parameters) -> None:
        values, self._structure = jax.tree.flatten(as_numpy(parameters))
        self._values = values
        self._free = [np.asarray(part) > 0 for part in jax.tree.leaves(free)]
        self._scale = self._gathered(scale)
        self.start = self._gathered(parameters) / self._scale

    def _gathered(self, tree: Parameters) -> np.ndarray:
        leaves = jax.tree.leaves(tree)
        return np.concatenate([np.asarray(p, np.float64)[f] for p, f in zip(leaves, self._free, strict=True)])

    def unpacked(self, x: np.ndarray) -> Parameters:
        """Return the parameters of a vector."""
        numbers, done, leaves = x * self._scale, 0, []
        for value, free in zip(self._values, self._free, strict=True):
            leaf = value.copy()
            n = int(free.sum())
            leaf[free] = numbers[done : done + n]
            done += n
            leaves.append(leaf)
        result: Parameters = jax.tree.unflatten(self._structure, leaves)
        return result

    def slope(self, gradient: Parameters) -> np.ndarray:
        """Return a gradient as one by the numbers of the vector."""
        return self._gathered(gradient) * self._scale

    def bounds(self, lower: Parameters, upper: Parameters) -> np.ndarray:
        """Return the bounds of the vector, (number, 2)."""
        pairs = [
            np.broadcast_to(np.asarray(bound), value.shape)
            for side in (lower, upper)
            for bound, value in zip(jax.tree.leaves(side), self._values, strict=True)
        ]
        n = len(self._values)
        ends = [
            np.concatenate([p[f] for p, f in zip(part, self._free, strict=True)]) / self._scale
            for part in (pairs[:n], pairs[n:])
        ]
        return np.stack(ends, axis=1).astype(np.float64)


def movable(data: ProblemData, step: Any) -> Parameters:
    """Return 1 where a number may move at all; other than the free ones of a step that includes those at bounds."""
    groups = []
    for d, free in zip(data.groups, step.free.groups, strict=True):
        used = np.arange(len(d.radius)) < int(d.count)
        pixels = None
        if free.pixels is not None:
            side = free.pixels.shape[1]
            far = np.abs(np.arange(side) - side // 2)
            far = np.maximum(far[:, None], far)
            box = far <= np.asarray(d.pixel_radius)[:, None, None]
            box |= np.asarray(is_own(d.support)) & (far <= np.asarray(d.radius)[:, None, None])
            pixels = box & (np.asarray(d.pixels_free) > 0)[:, None, None] & used[:, None, None]
        theta, flux = (np.asarray(part) * used[:, None] for part in (d.theta_free, d.flux_free))
        groups.append(GroupParameters(theta, flux, pixels, np.asarray(d.aspect_free) * used[:, None, None]))
    terms = None if data.calibration is None else data.calibration.free
    stars = None if data.stars is None else data.stars.free
    *_, everywhere = full_scene_bounds(data.full_scene)
    return Parameters(tuple(groups), terms, stars, everywhere)


def scales(program: Any, data: ProblemData, parameters: Any, step: Any) -> Parameters:
    """Return about the error of every number, if it were the only one that is free."""
    zero, small = np.zeros((), program.dtype), np.asarray(SMALL_DAMPING, program.dtype)
    with small_matrices():
        blocks = compiled_blocks(program.layout, data, parameters, step, small, zero)

    def scale(diagonal: Any) -> np.ndarray:
        return 1.0 / np.sqrt(np.maximum(np.asarray(diagonal, np.float64), 1e-12))

    groups = []
    for c, p in zip(blocks.groups, parameters.groups, strict=True):
        few = scale(c.diagonal)
        n_theta, n_flux = p.theta.shape[1], p.flux.shape[1]
        pixels = None if c.pixels is None else scale(c.pixels)
        aspect = few[:, n_theta + n_flux :].reshape(p.aspect.shape)
        groups.append(GroupParameters(few[:, :n_theta], few[:, n_theta : n_theta + n_flux], pixels, aspect))
    terms = None if blocks.calibration_diagonal is None else scale(blocks.calibration_diagonal)
    stars = None if blocks.stars is None else scale(blocks.stars.diagonal)
    everywhere = None
    if blocks.full_scene is not None:
        everywhere = jax.tree.map(scale, blocks.full_scene.diagonal)
    return Parameters(tuple(groups), terms, stars, everywhere)
