"""The inverse of a block of a normal matrix, and that of a larger one of which few rows are used."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

RIDGE = 1e-6
"""Relative to the diagonal of a block: its inverse is taken in single precision."""


TILE = 32
"""Rows that are eliminated at once."""


def free_inverse(matrix: Any, added: Any, is_free: Any) -> Float[Array, "n n"]:
    """Return the inverse of a matrix with `added` on its diagonal, for the parameters that are free."""
    scaled, root = _scaled(matrix + jnp.diag(added), is_free)
    return _symmetric(jnp.linalg.inv(scaled), root, is_free)


def first_inverse(
    matrix: Float[Array, "n n"], is_free: Float[Array, " n"], count: Int[Array, ""]
) -> Float[Array, "n n"]:
    """Return the inverse for the parameters that are free, all of which are among the first `count`.

    By Gauss-Jordan elimination of a tile of rows at a time, so that what is not used costs nothing.
    """
    n = len(is_free)
    wide = -(-n // TILE) * TILE
    scaled, root = _scaled(matrix, is_free)

    def eliminated(k: Any, a: Any) -> Any:
        start = k * TILE
        zero = jnp.zeros_like(start)
        columns = lax.dynamic_slice(a, (zero, start), (wide, TILE))
        rows = lax.dynamic_slice(a, (start, zero), (TILE, wide))
        inverse = jnp.linalg.inv(lax.dynamic_slice(rows, (zero, start), (TILE, TILE)))
        solved = inverse @ rows
        a = lax.dynamic_update_slice(a - columns @ solved, solved, (start, zero))
        a = lax.dynamic_update_slice(a, -columns @ inverse, (zero, start))
        return lax.dynamic_update_slice(a, inverse, (start, start))

    padded = jnp.eye(wide, dtype=scaled.dtype).at[:n, :n].set(scaled)
    inverse = lax.fori_loop(0, (count + TILE - 1) // TILE, eliminated, padded)
    return _symmetric(inverse[:n, :n], root, is_free)


def _scaled(matrix: Any, is_free: Any) -> tuple[Float[Array, "n n"], Float[Array, " n"]]:
    """Return a matrix of unit diagonal, of which what is not free is no part, and the roots of its diagonal."""
    diagonal = jnp.diagonal(matrix)
    root = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix / root[None] / root[:, None] * is_free[None] * is_free[:, None]
    return scaled + jnp.diag(1.0 - is_free + RIDGE), root


def _symmetric(inverse: Any, root: Any, is_free: Any) -> Float[Array, "n n"]:
    inverse = inverse / root[None] / root[:, None]
    return 0.5 * (inverse + inverse.T) * is_free[None] * is_free[:, None]
