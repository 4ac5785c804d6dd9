"""Bounds: pixels or fluxes that may not leave an interval."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.constraints.strength import leaned

TINY = 1e-10
"""Least brightness of a center, relative to the brightest pixel."""


def positive(values: Float[Array, "*shape"], strength: Float[Array, ""]) -> Float[Array, "*shape"]:
    """Return values without what is negative, S ← max(S, 0), or nearer to that for a strength below 1.

    The projection onto the non-negative orthant (Melchior et al. 2018, Astronomy & Computing 24, 129).
    """
    return leaned(values, jnp.maximum(values, 0.0), strength)


def bounded(
    values: Float[Array, "*shape"],
    lower: Float[Array, "*shape"],
    upper: Float[Array, "*shape"],
    strength: Float[Array, ""],
) -> Float[Array, "*shape"]:
    """Return values held to an interval, S ← min(max(S, l), u), or nearer to that for a strength below 1.

    Bounds may be infinite; where they contradict each other the upper one holds. (Parikh & Boyd 2014, Foundations and
    Trends in Optimization 1, 127, section 6.2.4.)
    """
    return leaned(values, jnp.minimum(jnp.maximum(values, lower), upper), strength)


def bright_at_center(
    picture: Float[Array, "side side"], center: Float[Array, "2"], strength: Float[Array, ""]
) -> Float[Array, "side side"]:
    """Return a picture with light in its central pixel, S_c ← max(S_c, ε max |S|): a source keeps its middle.

    `center` is the offset (y, x) from the middle pixel [pix]; the pixel it falls into counts. ε is `TINY`, and of an
    empty picture the center gets ε itself. A `strength` multiplies it, so that 0 changes nothing.
    (Melchior et al. 2018, section 3.4.)
    """
    peak = jnp.max(jnp.abs(picture))
    least = TINY * jnp.where(peak > 0, peak, 1.0)
    lifted = jnp.where(is_center(picture.shape[0], center), jnp.maximum(picture, strength * least), picture)
    return jnp.where(strength > 0, lifted, picture)


def is_center(side: int, center: Float[Array, "2"]) -> Float[Array, "side side"]:
    """Tell which pixel holds a center, given as offset (y, x) from the middle pixel [pix]; the nearest if outside."""
    place = jnp.clip(jnp.round(center) + side // 2, 0, side - 1)
    index = jnp.arange(side, dtype=place.dtype)
    return (index[:, None] == place[0]) & (index[None, :] == place[1])
