"""About the inverse of the normal matrix of known stars: neighbours together, a dense block for each cell of the sky.

Only fluxes are free, so that the matrix of a block is known beforehand, weights and masks included. What couples stars
of different blocks, and stars with galaxies, is left to the conjugate gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.infer.block_inverse import free_inverse
from deblend.program.arrays import StarData
from deblend.program.star_layer import Numbers


class StarBlocks(NamedTuple):
    """About the inverse of the damped normal matrix of known stars."""

    inverse: Float[Array, "block passband n n"]
    diagonal: Numbers
    """Of the undamped normal matrix."""


def make_star_blocks(data: StarData, free: Numbers, damping: Any) -> StarBlocks:
    """Return about the inverse of the normal matrix; `damping` is relative to its diagonal."""
    prior = _by_block(data, data.precision**2)
    diagonal = jnp.diagonal(data.gram, axis1=2, axis2=3) + prior
    added = prior + damping * diagonal
    inverse = jax.vmap(jax.vmap(free_inverse))(data.gram, added, _by_block(data, free))
    return StarBlocks(inverse, _by_star(diagonal))


def apply_star_blocks(blocks: StarBlocks, free: Numbers, residual: Numbers) -> Numbers:
    """Return about the solution of the damped normal equations for a right side."""
    n_blocks, n_passbands, n, _ = blocks.inverse.shape
    right = residual.reshape(n_blocks, n, n_passbands)
    solved = jnp.einsum("bpij,bjp->bip", blocks.inverse, right)
    return solved.reshape(residual.shape) * free


def _by_block(data: StarData, numbers: Numbers) -> Float[Array, "block passband n"]:
    n_blocks, n_passbands, n, _ = data.gram.shape
    return jnp.swapaxes(numbers.reshape(n_blocks, n, n_passbands), 1, 2)


def _by_star(numbers: Float[Array, "block passband n"]) -> Numbers:
    return jnp.swapaxes(numbers, 1, 2).reshape(-1, numbers.shape[1])
