"""Monotonicity: a source does not brighten away from its center.

As a one-sided residual: r_i = √ρ max(0, f_i - Σ_j w_ij f_j), over the neighbours j of pixel i that are nearer to the
center, weighted by the cosine of the angle to the center (Melchior et al. 2018, section 3.3, as a projection).
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


@lru_cache(maxsize=16)
def inward_weights(side: int) -> Float[np.ndarray, "8 side side"]:
    """Return w_ij for the eight neighbours of every pixel; they sum to 1 but in the middle, where they are 0."""
    index = np.arange(side) - side // 2
    y, x = np.meshgrid(index, index, indexing="ij")
    distance = np.hypot(y, x)
    weights = []
    for dy, dx in NEIGHBOURS:
        is_nearer = np.hypot(y + dy, x + dx) < distance
        cosine = -(dy * y + dx * x) / np.maximum(distance * np.hypot(dy, dx), 1e-9)
        weights.append(np.where(is_nearer, np.maximum(cosine, 0.0), 0.0))
    stack = np.array(weights)
    total = stack.sum(axis=0)
    return stack / np.where(total > 0, total, 1.0)


def monotonicity_residual(picture: Float[Array, "side side"], strength: Float[Array, ""]) -> Float[Array, "side side"]:
    """Return the residuals of a picture [noise units]: how much every pixel outshines those inside of it."""
    side = picture.shape[0]
    weights = jnp.asarray(inward_weights(side), picture.dtype)
    padded = jnp.pad(picture, 1)
    inner = sum(
        weight * padded[1 + dy : 1 + dy + side, 1 + dx : 1 + dx + side]
        for weight, (dy, dx) in zip(weights, NEIGHBOURS, strict=True)
    )
    has_inner = jnp.asarray(inward_weights(side).sum(axis=0) > 0)
    return jnp.sqrt(strength) * jnp.where(has_inner, jnp.maximum(picture - inner, 0.0), 0.0)
