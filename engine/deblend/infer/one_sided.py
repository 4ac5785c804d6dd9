"""Conjugate gradients where light may not be negative.

A source's negative light is asked for by a one-sided residual: ½ s² min(0, picture)² per pixel. To a step that is a
quadratic function as long as the same pixels are negative at its end as were when it set out. Where others are, the
linearized problem promises what no step can keep: faint wings lie close to zero, and each of their pixels that is
pushed below it costs what had not been counted. So a direction is solved for again, from where it led to, with those
pixels counted that are negative there (the primal-dual active set method of Hintermüller, Ito & Kunisch 2003).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from deblend.infer.conjugate_gradients import dot
from deblend.program.pictures import Pictures

MISTAKEN = 0.3
"""Of the fall of the loss that is promised: where more hangs on pixels that were taken to be what they are not, the
direction is solved for again."""


class Light(NamedTuple):
    """Pictures whose negative light has a price."""

    pictures: Pictures
    """At the start."""
    prices: tuple[Float[Array, "slot 1 1"], ...]
    """What ½ of a pixel's square costs where it is negative: s²."""


Product = Callable[[Any, Pictures, Pictures], tuple[Any, Pictures]]
"""The normal matrix times a vector v, given what the square of each pixel costs and what else acts on pictures; and
how the pictures change with v."""


class _State(NamedTuple):
    x: Any
    r: Any
    p: Any
    rz: Float[Array, ""]
    light: Pictures
    """At x."""
    negative: tuple[Bool[Array, "slot side side"], ...]
    """Which pixels are counted as negative."""
    iteration: Any
    """Of this round."""
    round: Any
    begins: Any
    """Whether a round begins."""
    fall: Float[Array, ""]
    ends: Any


def one_sided_gradients(
    product: Product, inverse: Callable[[Any], Any], right: Any, light: Light, tolerance: Any, budget: Any, rounds: Any
) -> tuple[Any, Float[Array, ""]]:
    """Minimize a quadratic function plus the price of negative light; return where, and by how much it falls.

    `right` is minus the gradient at 0, with the negative light that is there. A round ends when the residual, in the
    metric of the preconditioner, has fallen to `tolerance` of where the first one started, or after `budget` products.
    There are as many `rounds` at most; with 1 those pixels are counted that are negative at the start.
    """
    at_start = tuple(picture < 0 for picture in light.pictures)
    z = inverse(right)
    first = dot(right, z)
    zero = jax.tree.map(jnp.zeros_like, right)
    nothing = jnp.zeros_like(first)
    none, one, no = jnp.zeros((), int), jnp.ones((), int), jnp.zeros((), bool)
    start = _State(zero, right, z, first, light.pictures, at_start, none, one, no, nothing, first <= 0)

    def body(s: _State) -> _State:
        costs = tuple(price * n for price, n in zip(light.prices, s.negative, strict=True))
        newly = tuple(
            price * (n.astype(picture.dtype) - n0) * picture
            for price, n, n0, picture in zip(light.prices, s.negative, at_start, light.pictures, strict=True)
        )
        a_v, change = product(
            jax.tree.map(lambda a, b: jnp.where(s.begins, a, b), s.x, s.p),
            costs,
            tuple(jnp.where(s.begins, part, 0.0) for part in newly),
        )
        curvature = dot(s.p, a_v)
        goes = ~s.begins & (curvature > 0)
        alpha = jnp.where(goes, s.rz / jnp.where(goes, curvature, 1.0), 0.0)
        x = jax.tree.map(lambda a, b: a + alpha * b, s.x, s.p)
        at = tuple(a + alpha * b for a, b in zip(s.light, change, strict=True))
        r = jax.tree.map(lambda b, old, a: jnp.where(s.begins, b - a, old - alpha * a), right, s.r, a_v)
        z = inverse(r)
        rz = jnp.where(goes | s.begins, dot(r, z), 0.0)
        beta = jnp.where(goes, rz / s.rz, 0.0)
        p = jax.tree.map(lambda a, b: a + beta * b, z, s.p)
        iteration = s.iteration + 1
        # what the quadratic function falls by, and what of that hangs on pixels that are not what they were taken for
        counted = sum(jnp.sum(part * now) for part, now in zip(newly, at, strict=True))
        fall = 0.5 * (dot(x, right) + dot(x, r) - counted)
        mistaken = sum(
            0.5 * jnp.sum(price * now**2 * (n != (now < 0)))
            for price, n, now in zip(light.prices, s.negative, at, strict=True)
        )
        is_done = (iteration >= budget) | (rz <= tolerance**2 * first)
        again = is_done & (s.round < rounds) & (mistaken > MISTAKEN * fall)
        negative = tuple(jnp.where(again, now < 0, n) for n, now in zip(s.negative, at, strict=True))
        iteration = jnp.where(again, 0, iteration)
        return _State(x, r, p, rz, at, negative, iteration, s.round + again, again, fall, is_done & ~again)

    end = lax.while_loop(lambda s: ~s.ends, body, start)
    return end.x, end.fall
