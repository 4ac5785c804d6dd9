"""Sparsity: light in few pixels, or in few structures."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from deblend.constraints.dual import dual_proximal
from deblend.render.starlet import from_starlets, starlets, starlets_adjoint

SWEEPS = 200
STARLET_NORM_SQUARED = 1.0
"""Transfer functions of the structures lie in [0, 1] and add up to no more than 1, and so do their squares."""


def hard_threshold(values: Float[Array, "*shape"], strength: Float[Array, ""]) -> Float[Array, "*shape"]:
    """Return S where |S| ≥ t, else 0: the proximal operator of λ |S|_0 with t = √(2 λ) the strength [unit of values].

    (Donoho & Johnstone 1994, Biometrika 81, 425.) Not convex, so near t it may expand distances.
    """
    return jnp.where(jnp.abs(values) >= strength, values, 0.0)


def soft_threshold(values: Float[Array, "*shape"], strength: Float[Array, "..."]) -> Float[Array, "*shape"]:
    """Return sign(S) max(|S| − λ, 0): the proximal operator of λ |S|_1, λ being the strength [unit of values].

    (Donoho 1995, IEEE Trans. Inf. Theory 41, 613.) Light is taken from every pixel, from the bright ones, too.
    """
    return jnp.sign(values) * jnp.maximum(jnp.abs(values) - strength, 0.0)


def starlet_threshold(
    picture: Float[Array, "side side"], thresholds: Float[Array, " scale"]
) -> Float[Array, "side side"]:
    """Return Σ_j soft(w_j, λ_j) + c_J: the structures of a picture, each made sparse by itself [unit of the picture].

    There is a threshold per scale, J of them, the finest first; the smooth rest stays as it is. It is quick (Starck,
    Murtagh & Bertero 2011, Handbook of Mathematical Methods in Imaging, 1489), and of coefficients that are themselves
    the parameters `soft_threshold` is the proximal operator; of a picture this is none, as structures overlap, but
    `sparse_in_starlets` is.
    """
    *structures, rest = starlets(picture, len(thresholds))
    kept = soft_threshold(jnp.stack(structures), thresholds[:, None, None])
    return from_starlets(jnp.concatenate([kept, rest[None]]))


def sparse_in_starlets(
    picture: Float[Array, "side side"], thresholds: Float[Array, " scale"], sweeps: Int[Array, ""] | int = SWEEPS
) -> Float[Array, "side side"]:
    """Return argmin_x ½ |x − S|² + Σ_j λ_j |w_j(x)|_1 over the structures w_1 … w_J; all λ_j = 0 leave the picture.

    The analysis form of starlet sparsity (Starck, Fadili & Murtagh 2007), solved by its dual problem. The sum of the
    pixels stays, as structures have none.
    """
    n_scales = len(thresholds)
    largest = thresholds[:, None, None]

    def structures(p: Float[Array, "side side"]) -> Float[Array, "scale side side"]:
        return starlets(p, n_scales)[:-1]

    def adjoint(u: Float[Array, "scale side side"]) -> Float[Array, "side side"]:
        return starlets_adjoint(jnp.concatenate([u, jnp.zeros_like(u[:1])]))

    def project(u: Float[Array, "scale side side"]) -> Float[Array, "scale side side"]:
        return jnp.clip(u, -largest, largest)

    return dual_proximal(picture, structures, adjoint, project, STARLET_NORM_SQUARED, sweeps)
