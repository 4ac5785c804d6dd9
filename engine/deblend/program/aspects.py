"""How a channel sees a source other than the others do: a little moved, and with a gradient of its color.

A picture P of sum 1 has three aspects: its slopes in y and in x, and its tilt, P (L - ⟨L, P⟩) with L = ½ ln(1 + r²/s²)
and r the distance from the middle of the box. A channel sees P plus a little of each. Slopes move its centroid, the
tilt moves light inward or outward as a power of the radius does to first order; none of them changes the flux.
"""

from __future__ import annotations

from math import comb
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

N_ASPECTS = 3
TURN = 2.0
"""Radius s within which a tilt is flat [scale of the source]."""

REACH = 14
"""Pixels to each side that a derivative takes in."""
_distances = range(1, REACH + 1)
STENCIL = np.array(
    [0.0, *((-1) ** (k + 1) * comb(2 * REACH, REACH + k) / comb(2 * REACH, REACH) / k for k in _distances), 0.0]
)
"""Weights of the central differences of order 2 REACH (Fornberg 1988, Math. Comp. 51, 699), by distance. What acts on
the light of a source may not differ from how its center moves it: two pixels of mean slope, which miss a tenth of it
behind a PSF, let data tell a center from the offsets of all channels, and errors of bright stars were a third of what
the prior on those allows. Behind a seeing of 2.8 px this misses 4e-5 of the information, 6 pixels 3e-4."""

Box = Float[Array, "side side"]


def outward(side: int, scale: Any) -> Box:
    """Return L: how far out each pixel of a box lies, as a logarithm."""
    index = jnp.arange(side, dtype=jnp.result_type(scale)) - side // 2
    squared = index[:, None] ** 2 + index[None] ** 2
    return 0.5 * jnp.log1p(squared / (TURN * scale) ** 2)


def slopes(picture: Float[Array, "*stack side side"]) -> Float[Array, "2 *stack side side"]:
    """Return how a picture changes when it moves by a pixel in y, and in x: its derivatives, dark outside.

    They move the centroid of a picture by exactly as much as they are scaled by. Their transpose is their negative.
    """
    derivative = _derivative(picture.shape[-1], picture.dtype)
    along_y = jnp.einsum("ij,...jx->...ix", derivative, picture)
    return jnp.stack([along_y, jnp.einsum("...yj,ij->...yi", picture, derivative)])


def _derivative(side: int, dtype: Any) -> Box:
    """Return the matrix that takes a line of pixels to minus its derivative."""
    index = jnp.arange(side)
    behind = index[:, None] - index[None]
    return jnp.sign(behind).astype(dtype) * jnp.asarray(STENCIL, dtype)[jnp.minimum(jnp.abs(behind), REACH + 1)]


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
