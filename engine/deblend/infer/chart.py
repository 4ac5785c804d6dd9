"""Coordinates in which a posterior is about a unit Gaussian, without bounds.

The free numbers x of a program, but for pixels, are x = c(u₀ + A z). A turns coordinates z into the errors that the
Gauss-Newton matrix gives (A Aᵀ is its inverse), so that a step of 1 is one standard deviation along any direction. c
keeps every number between its bounds: it is the identity but for a few standard deviations σ next to a bound,

    c(u) = l + σ s((u - l)/σ) - σ s((u - h)/σ),    s(a) = ln(1 + exp a),

and its slope goes into the density. Absolute positions and unit steps froze a sampler of this kind elsewhere: numbers
are known to 1e-3 px, and to many digits of their fluxes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from deblend.program.arrays import Parameters

SIZES = (8, 16, 32, 64, 128, 256, 512)
"""Numbers that are compiled for; a chart of fewer has coordinates that nothing depends on."""
LEAST_PRECISION = 1e-6
"""Of a direction, relative to that of its numbers one by one: what is known less is given this."""
INSIDE = 0.5
"""How far inside of a bound a number at it begins, in its standard deviations."""
FARTHEST = 30.0
"""Of c, in standard deviations beyond a bound: there it has no slope left."""


class Chart(NamedTuple):
    """The map from coordinates to numbers; what is beyond the numbers in use is 0 and does nothing."""

    place: Int[np.ndarray, " number"]
    """Of each number in the vector of all of them (`numbers_of`); one past its end for none."""
    origin: Float[np.ndarray, " number"]
    """u₀"""
    matrix: Float[np.ndarray, "number coordinate"]
    """A"""
    lower: Float[np.ndarray, " number"]
    upper: Float[np.ndarray, " number"]
    scale: Float[np.ndarray, " number"]
    """σ"""
    share: Float[np.ndarray, " number"]
    """How much of the slope of c counts: 1, and less for a number that several stand for."""


def few(parameters: Parameters) -> Parameters:
    """Return parameters without their pixels."""
    return parameters._replace(groups=tuple(group._replace(pixels=None) for group in parameters.groups))


def numbers_of(parameters: Parameters, xp: Any) -> Float[Any, " all"]:
    """Return all numbers but the pixels as one vector; `xp` is NumPy, or what JAX has for it."""
    return xp.concatenate([xp.ravel(leaf) for leaf in jax.tree.leaves(few(parameters))])


def with_numbers(parameters: Parameters, numbers: Float[Any, " all"]) -> Parameters:
    """Return parameters with other numbers, in the order of `numbers_of`."""
    leaves, structure = jax.tree.flatten(few(parameters))
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = [
        numbers[end - leaf.size : end].reshape(leaf.shape).astype(leaf.dtype)
        for leaf, end in zip(leaves, ends, strict=True)
    ]
    changed: Parameters = jax.tree.unflatten(structure, parts)
    groups = (new._replace(pixels=old.pixels) for new, old in zip(changed.groups, parameters.groups, strict=True))
    return changed._replace(groups=tuple(groups))


def size_for(count: int) -> int:
    """Return the least size that is compiled for and holds so many numbers; raises ValueError where none does."""
    for size in SIZES:
        if size >= count:
            return size
    raise ValueError(
        f"NUTS is for scenes of up to {SIZES[-1]} free numbers, and this one has {count}: hold sources that are of no "
        "interest here, or use the method 'gaussian' or 'rto'."
    )


def within(chart: Chart, u: Float[Any, " number"], xp: Any) -> tuple[Float[Any, " number"], Float[Any, " number"]]:
    """Return c(u) and the logarithm of its slope."""
    # without a bound both are the same as far inside of one
    above = xp.where(xp.isfinite(chart.lower), u - chart.lower, xp.inf) / chart.scale
    below = xp.where(xp.isfinite(chart.upper), chart.upper - u, xp.inf) / chart.scale
    above, below = xp.minimum(above, FARTHEST), xp.minimum(below, FARTHEST)
    # s(a) = a + s(-a)
    x = u + chart.scale * (_softplus(-above, xp) - _softplus(-below, xp))
    both = xp.maximum(above + below, 1e-6)
    slope = -_softplus(-above, xp) - _softplus(-below, xp) + xp.log1p(-xp.exp(-both))
    return x, slope


def _softplus(a: Any, xp: Any) -> Any:
    return xp.logaddexp(a, 0.0)


def without_bounds(
    x: Float[np.ndarray, " number"],
    lower: Float[np.ndarray, " number"],
    upper: Float[np.ndarray, " number"],
    scale: Float[np.ndarray, " number"],
) -> tuple[Float[np.ndarray, " number"], Float[np.ndarray, " number"]]:
    """Return u with c(u) = x and the slope of c there; an x at a bound is moved a little inside of it."""
    room = np.minimum(INSIDE * scale, 0.25 * (upper - lower))
    x = np.clip(x, lower + room, upper - room)
    # e^((x-l)/σ) = (1 + e^((u-l)/σ)) / (1 + e^((u-h)/σ)), solved for u
    far = FARTHEST
    above = np.minimum(np.where(np.isfinite(lower), x - lower, np.inf) / scale, far)
    below = np.minimum(np.where(np.isfinite(upper), upper - x, np.inf) / scale, far)
    u = x + scale * (np.log(-np.expm1(-above)) - np.log(-np.expm1(-below)))
    a, b = (u - lower) / scale, (upper - u) / scale
    slope = np.exp(-np.logaddexp(-a, 0.0) - np.logaddexp(-b, 0.0)) * -np.expm1(-np.maximum(a + b, 1e-12))
    return u, slope


class Charted(NamedTuple):
    """What is compiled for: a layout, and how many numbers a chart of it has room for."""

    layout: Any
    size: int


def chart_at(
    x: Float[np.ndarray, " number"],
    normal: Float[np.ndarray, "number number"],
    lower: Float[np.ndarray, " number"],
    upper: Float[np.ndarray, " number"],
    index: Int[np.ndarray, " number"],
    tie: Float[np.ndarray, "number number"],
    n_all: int,
    dtype: Any,
) -> tuple[Chart, Float[np.ndarray, "coordinate number"]]:
    """Return the chart around numbers x with a Gauss-Newton matrix, and the inverse of its own matrix.

    `tie` is the projection onto changes that keep what is tied; `n_all` is how many numbers there are in all.
    """
    basis = _range(tie)
    scale = np.sqrt(np.maximum(np.diagonal(basis @ _inverse(basis.T @ normal @ basis) @ basis.T), 1e-30))
    origin, slope = without_bounds(x, lower, upper, scale)
    # next to a bound u moves more than x, and the slope of c has a curvature of its own
    curved = slope[:, None] * normal * slope[None, :] + np.diag((1.0 - slope) * slope / scale**2)
    values, vectors, unit = _principal(basis.T @ curved @ basis)
    matrix = basis @ (unit[:, None] * vectors / np.sqrt(values))
    inverse = (np.sqrt(values)[:, None] * vectors.T / unit) @ basis.T
    size = size_for(len(x))

    def padded(values: np.ndarray, fill: float) -> np.ndarray:
        return np.concatenate([values, np.full(size - len(values), fill)]).astype(dtype)

    full = np.zeros((size, size))
    full[: len(x), : matrix.shape[1]] = matrix
    chart = Chart(
        np.concatenate([index, np.full(size - len(index), n_all)]).astype(np.int32),
        padded(origin, 0.0),
        full.astype(dtype),
        padded(lower, -np.inf),
        padded(upper, np.inf),
        padded(scale, 1.0),
        padded(np.diagonal(tie), 0.0),
    )
    return chart, inverse


def _range(tie: Float[np.ndarray, "number number"]) -> Float[np.ndarray, "number dimension"]:
    """Return an orthonormal basis of what a projection leaves alone."""
    if np.array_equal(tie, np.eye(len(tie))):
        return tie
    values, vectors = np.linalg.eigh(tie)
    return vectors[:, values > 0.99]


def _principal(normal: Float[np.ndarray, "n n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values and vectors of a matrix in units that make its diagonal 1, and these units."""
    unit = 1.0 / np.sqrt(np.maximum(np.diagonal(normal), 1e-30))
    values, vectors = np.linalg.eigh(unit[:, None] * normal * unit[None, :])
    return np.maximum(values, LEAST_PRECISION), vectors, unit


def _inverse(normal: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    values, vectors, unit = _principal(normal)
    half = unit[:, None] * vectors / np.sqrt(values)
    result: np.ndarray = half @ half.T
    return result
