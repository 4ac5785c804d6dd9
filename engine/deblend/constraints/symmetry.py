"""Symmetry: a source looks the same turned by 180° about its center.

As a residual for a second-order solver: r = λ (f - f^R) / √2, divided by 1 + 0.3 of the lagged mean of f and f^R, so
that it asks for a relative symmetry of bright pixels and an absolute one of pixels at the noise. f is the picture
in units of the noise. (The proximal form, S ← ½ (S + S^R), is in Melchior et al. 2018, section 3.2.)
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

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
