"""The inverse of a block of a normal matrix."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

RIDGE = 1e-6
"""Relative to the diagonal of a block: its inverse is taken in single precision."""


def free_inverse(matrix: Any, added: Any, is_free: Any) -> Float[Array, "n n"]:
    """Return the inverse of a matrix with `added` on its diagonal, for the parameters that are free."""
    matrix = matrix + jnp.diag(added)
    diagonal = jnp.diagonal(matrix)
    root = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix / root[None] / root[:, None] * is_free[None] * is_free[:, None]
    scaled = scaled + jnp.diag(1.0 - is_free + RIDGE)
    inverse = jnp.linalg.inv(scaled) / root[None] / root[:, None]
    return 0.5 * (inverse + inverse.T) * is_free[None] * is_free[:, None]
