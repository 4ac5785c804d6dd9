"""Symmetry: a source looks the same turned by 180° about its center.

As a residual for a second-order solver: r = λ (f - f^R) / √2, divided by 1 + 0.3 of the lagged mean of f and f^R, so
that it asks for a relative symmetry of bright pixels and an absolute one of pixels at the noise. f is the picture
in units of the noise. As operators: the mean of a picture and its turned self, or the lesser of both.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.constraints.strength import leaned

RELATIVE = 0.3


def symmetry_residual(
    picture: Float[Array, "side side"], lagged: Float[Array, "side side"], strength: Float[Array, ""]
) -> Float[Array, "side side"]:
    """Return the residuals of a picture [noise units], with its tolerance taken from the `lagged` picture."""
    mean = 0.5 * jnp.maximum(lagged + turned(lagged), 0.0)
    return strength * (picture - turned(picture)) / (jnp.sqrt(2.0) * (1.0 + RELATIVE * mean))


def turned(picture: Float[Array, "side side"]) -> Float[Array, "side side"]:
    """Return the picture turned by 180° about its middle pixel."""
    return picture[::-1, ::-1]


def turned_about(picture: Float[Array, "side side"], center: Float[Array, "2"]) -> Float[Array, "side side"]:
    """Return S^R(p) = S(2 c − p): the picture turned by 180° about its center.

    `center` is c, the offset (y, x) from the middle pixel [pix]. Along each axis S(2 c − i) = Σ_j sinc(i + j − 2 c) S_j
    for what is band-limited: exact where 2 c is whole, and else as good as the picture is well sampled (1e-5 of the
    peak for a Gaussian of σ = 1.5 pix; single pixels ring). What comes from outside of the box is dark. The sinc is
    not cut short, because the turn is then its own adjoint and makes no picture larger (in the sum of squares), which
    `symmetric` needs to be a projection.
    """
    side = picture.shape[0]
    index = jnp.arange(side, dtype=picture.dtype) - side // 2
    rows, columns = (jnp.sinc(index[:, None] + index[None, :] - 2.0 * c) for c in center.astype(picture.dtype))
    return rows @ picture @ columns


def symmetric(
    picture: Float[Array, "side side"], center: Float[Array, "2"], strength: Float[Array, ""]
) -> Float[Array, "side side"]:
    """Return s ½ (S + S^R) + (1 − s) S, with S^R as in `turned_about` and s the strength, from 0 to 1.

    For s = 1 the projection onto the symmetric pictures. (Melchior et al. 2018, Astronomy & Computing 24, 129.)
    """
    return leaned(picture, 0.5 * (picture + turned_about(picture, center)), strength)


def symmetric_minimum(
    picture: Float[Array, "side side"], center: Float[Array, "2"], strength: Float[Array, ""]
) -> Float[Array, "side side"]:
    """Return s min(S, S^R) + (1 − s) S: light without a counterpart beyond the center belongs to somebody else.

    It takes all of a neighbour's light and, of faint sources, a bias from the noise. (The SDSS deblender, Lupton 2001.)
    """
    return leaned(picture, jnp.minimum(picture, turned_about(picture, center)), strength)
