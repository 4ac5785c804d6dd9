"""The posterior of a program around one point: how much its energy changes, with gradient and Gauss-Newton matrix.

The energy is ½ χ² plus all priors, -ln of the density but for a constant. Changes of χ² are summed from changes of the
models: in single precision the difference of two large sums would be lost. Weights of what is asked in units of the
noise stay those of the anchor, so that there is one density.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from deblend.infer.chart import Charted, numbers_of, with_numbers
from deblend.infer.gauss_newton import Step, normal_product, slope_at
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.beliefs import measure_energy
from deblend.program.calibration import calibrated
from deblend.program.compiled import compiled, register
from deblend.program.layout import Layout
from deblend.program.noise import weighted
from deblend.program.operator import Canvas
from deblend.program.penalty import lag, penalty
from deblend.program.ties import tied
from deblend.render import KINDS


class Anchor(NamedTuple):
    """The point that energies are counted from."""

    parameters: Parameters
    models: tuple[Canvas, ...]
    """Of every observation, in units of the noise."""


class Around(NamedTuple):
    """What is known of the energy at a point."""

    energy: Float[Array, ""]
    gradient: Float[Array, " number"]
    normal: Float[Array, "number number"]
    """The Gauss-Newton matrix, of as many numbers as it was asked for; 0 for others."""
    tie: Float[Array, "number number"]
    """The projection onto changes that keep what is tied, of as many numbers."""
    models: tuple[Canvas, ...]


def energy_at(
    layout: Layout, data: ProblemData, parameters: Parameters, anchor: Anchor
) -> tuple[Float[Array, ""], Parameters]:
    """Return the energy less ½ χ² of the anchor, and its gradient."""
    energy, slope = _seen(layout, data, parameters, anchor)
    return energy, slope.gradient


def _seen(layout: Layout, data: ProblemData, parameters: Parameters, anchor: Anchor) -> tuple[Any, Any]:
    lags = lag(anchor.parameters)
    slope = slope_at(layout, data, parameters, lags)
    change = [new - old for new, old in zip(slope.models, anchor.models, strict=True)]
    both = [
        new + old - 2.0 * o.images for new, old, o in zip(slope.models, anchor.models, data.observations, strict=True)
    ]
    fall = sum(jnp.vdot(c, w) for c, w in zip(change, weighted(data, both), strict=True))
    pictures = tuple(line.picture for line in slope.lines)
    energy = 0.5 * fall + penalty(layout, data, parameters, lags, pictures)
    groups = []
    for group, d, p, g in zip(layout.groups, data.groups, parameters.groups, slope.gradient.groups, strict=True):
        if d.beliefs is not None:
            # a fit is best where squares are; a density also has the slopes of the numbers that it is of
            more, theta, flux = measure_energy(KINDS[group.kind], d.beliefs, p)
            energy, g = energy + more, g._replace(theta=g.theta + theta, flux=g.flux + flux)
        groups.append(g)
    gradient = tied(data, slope.gradient._replace(groups=tuple(groups)))
    return energy, slope._replace(gradient=gradient)


def around(
    charted: Charted,
    data: ProblemData,
    parameters: Parameters,
    anchor: Anchor,
    index: Int[Array, " number"],
    count: Any,
) -> Around:
    """Return what the energy is like at a point, with the Gauss-Newton matrix of the first `count` numbers."""
    layout, size = charted
    energy, slope = _seen(layout, data, parameters, anchor)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    step = Step(slope.lines, lag(anchor.parameters), zeros, zeros, zeros, slope.gradient, slope.tangents)
    seen = calibrated(layout, data, parameters)
    n_all = numbers_of(parameters, jnp).shape[0]

    def chosen(tree: Parameters) -> Float[Array, " number"]:
        return jnp.append(numbers_of(tree, jnp), 0.0)[index]

    def row(number: Any, carry: Any) -> Any:
        normal, tie = carry
        unit = jnp.zeros(n_all + 1, normal.dtype).at[index[number]].set(1.0)[:-1]
        change = with_numbers(zeros, unit)
        product = normal_product(layout, seen, parameters, step, change)
        return normal.at[number].set(chosen(product)), tie.at[number].set(chosen(tied(data, change)))

    empty = jnp.zeros((size, size), energy.dtype)
    normal, tie = lax.fori_loop(0, count, row, (empty, empty))
    return Around(energy, chosen(slope.gradient), normal, tie, slope.models)


register(Anchor, Around)
compiled_around = compiled(around)
