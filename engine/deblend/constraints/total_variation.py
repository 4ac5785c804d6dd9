"""Total variation: few edges rather than many small bumps."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from deblend.constraints.dual import dual_proximal

SWEEPS = 200
GRADIENT_NORM_SQUARED = 8.0
"""Of differences along both axes (Chambolle 2004)."""


def gradient(picture: Float[Array, "side side"]) -> Float[Array, "2 side side"]:
    """Return forward differences along y and x; 0 behind the last row and column."""
    return jnp.stack([jnp.diff(picture, axis=axis, append=_edge(picture, axis)) for axis in (0, 1)])


def gradient_adjoint(field: Float[Array, "2 side side"]) -> Float[Array, "side side"]:
    """Return the adjoint of `gradient`, which is minus a divergence."""
    rows = jnp.concatenate([field[0, :-1], jnp.zeros_like(field[0, :1])])
    columns = jnp.concatenate([field[1, :, :-1], jnp.zeros_like(field[1, :, :1])], axis=1)
    return jnp.pad(rows, ((1, 0), (0, 0)))[:-1] - rows + jnp.pad(columns, ((0, 0), (1, 0)))[:, :-1] - columns


def total_variation(picture: Float[Array, "side side"]) -> Float[Array, ""]:
    """Return Σ_i |∇S|_i, with the length of the gradient in every pixel (isotropic)."""
    return jnp.sum(jnp.sqrt(jnp.sum(gradient(picture) ** 2, axis=0)))


def smooth_in_patches(
    picture: Float[Array, "side side"], strength: Float[Array, ""], sweeps: Int[Array, ""] | int = SWEEPS
) -> Float[Array, "side side"]:
    """Return argmin_x ½ |x − S|² + λ Σ_i |∇x|_i, λ being the strength [unit of the picture]; 0 leaves the picture.

    The isotropic total variation of Rudin, Osher & Fatemi (1992), by the dual problem of Chambolle (2004, J. Math.
    Imaging Vision 20, 89) with the acceleration of Beck & Teboulle (2009). The sum of the pixels stays.
    """

    def project(field: Float[Array, "2 side side"]) -> Float[Array, "2 side side"]:
        length = jnp.sqrt(jnp.sum(field**2, axis=0))
        return field * jnp.where(length > strength, strength / jnp.where(length > 0, length, 1.0), 1.0)[None]

    smooth = dual_proximal(picture, gradient, gradient_adjoint, project, GRADIENT_NORM_SQUARED, sweeps)
    return jnp.where(strength > 0, smooth, picture)


def _edge(picture: Float[Array, "side side"], axis: int) -> Float[Array, "..."]:
    return picture[-1:, :] if axis == 0 else picture[:, -1:]
