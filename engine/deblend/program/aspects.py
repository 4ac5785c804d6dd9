"""How a channel sees a source other than the others do: a little moved, and with a gradient of its color.

A picture P of sum 1 has three aspects: its slopes in y and in x, and its tilt, P (L - ⟨L, P⟩) with L = ½ ln(1 + r²/s²)
and r the distance from the middle of the box. A channel sees P plus a little of each. Slopes move its centroid, the
tilt moves light inward or outward as a power of the radius does to first order; none of them changes the flux.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

N_ASPECTS = 3
TURN = 2.0
"""Radius s within which a tilt is flat [scale of the source]."""

Box = Float[Array, "side side"]


def outward(side: int, scale: Any) -> Box:
    """Return L: how far out each pixel of a box lies, as a logarithm."""
    index = jnp.arange(side, dtype=jnp.result_type(scale)) - side // 2
    squared = index[:, None] ** 2 + index[None] ** 2
    return 0.5 * jnp.log1p(squared / (TURN * scale) ** 2)


def slopes(picture: Float[Array, "*stack side side"]) -> Float[Array, "2 *stack side side"]:
    """Return how a picture changes when it moves by a pixel in y, and in x: central differences, dark outside.

    They move the centroid of a picture by exactly as much as they are scaled by. Their transpose is their negative.
    """
    axes = picture.ndim - 2, picture.ndim - 1
    return jnp.stack([0.5 * (_shifted(picture, axis, 1) - _shifted(picture, axis, -1)) for axis in axes])


def _shifted(picture: Any, axis: int, by: int) -> Any:
    """Return the picture moved by one pixel, with nothing moved in."""
    empty = jnp.zeros_like(lax.slice_in_dim(picture, 0, 1, axis=axis))
    n = picture.shape[axis]
    kept = lax.slice_in_dim(picture, 0, n - 1, axis=axis) if by > 0 else lax.slice_in_dim(picture, 1, n, axis=axis)
    return jnp.concatenate([empty, kept] if by > 0 else [kept, empty], axis=axis)


def aspects(picture: Box, out: Box) -> Float[Array, "aspect side side"]:
    """Return the aspects of a picture."""
    tilt = picture * (out - jnp.vdot(out, picture))
    return jnp.concatenate([slopes(picture), tilt[None]])


def aspects_change(picture: Box, change: Box, out: Box) -> Float[Array, "aspect side side"]:
    """Return how the aspects of a picture change with it."""
    tilt = change * (out - jnp.vdot(out, picture)) - picture * jnp.vdot(out, change)
    return jnp.concatenate([slopes(change), tilt[None]])


def aspects_adjoint(picture: Box, lights: Float[Array, "aspect side side"], out: Box) -> Box:
    """Return the transpose of `aspects_change`."""
    along_y, along_x, tilt = lights
    moved = -slopes(along_y)[0] - slopes(along_x)[1]
    return moved + tilt * (out - jnp.vdot(out, picture)) - out * jnp.vdot(picture, tilt)


def per_channel(picture: Box, aspect: Float[Array, "channel aspect"], out: Box) -> Float[Array, "channel side side"]:
    """Return a picture as every channel sees it."""
    return picture[None] + jnp.tensordot(aspect, aspects(picture, out), axes=1)
