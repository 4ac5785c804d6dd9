"""Monotonicity: a source does not brighten away from its center.

Three forms, over the neighbours j of pixel i that are nearer to the center (`inward` has their weights w_ij):

- a one-sided residual r_i = √ρ max(0, f_i − Σ_j w_ij f_j) for a second-order solver;
- one pass from the center outward, which cuts (Melchior et al. 2018);
- the projection onto the cone of all pictures without violation, which is the nearest of them and keeps more light.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from deblend.constraints.dual import dual_proximal
from deblend.constraints.inward import inner_mean, inward_weights, transposed
from deblend.constraints.strength import leaned

SWEEPS = 500
"""Enough for pictures of 63 pixels a side; most need fewer (docs/decisions.md)."""


def monotonicity_residual(picture: Float[Array, "side side"], strength: Float[Array, ""]) -> Float[Array, "side side"]:
    """Return the residuals of a picture [noise units]: how much every pixel outshines those inside of it."""
    weights = inward_weights(picture.shape[0])
    excess = picture - inner_mean(jnp.asarray(weights, picture.dtype), picture)
    has_inner = jnp.asarray(weights.sum(axis=0) > 0)
    return jnp.sqrt(strength) * jnp.where(has_inner, jnp.maximum(excess, 0.0), 0.0)


def cut_outward(
    picture: Float[Array, "side side"],
    weights: Float[Array, "8 side side"],
    tolerance: Float[Array, ""],
    strength: Float[Array, ""],
) -> Float[Array, "side side"]:
    """Return S_i ← min(S_i, (1 − g) Σ_j w_ij S_j), pixel by pixel from the center outward; g is the tolerance.

    `weights` are those of `inward_weights_about`. The result is monotonic but not the nearest such picture: light is
    only taken, never added. A strength below 1 takes that share of it. (Melchior et al. 2018, section 3.3.)

    Every pixel looks at nearer ones only, so repeating the rule for all pixels at once ends, after as many sweeps as
    the longest chain that something is cut along, with what the ordered pass gives.
    """
    has_inner = jnp.sum(weights, axis=0) > 0

    def sweep(carry):  # type: ignore[no-untyped-def]
        current, _ = carry
        allowed = (1.0 - tolerance) * inner_mean(weights, current)
        new = jnp.where(has_inner, jnp.minimum(picture, allowed), picture)
        # "less" rather than "other", so that a NaN ends it
        return new, jnp.any(new < current)

    cut, _ = lax.while_loop(lambda carry: carry[1], sweep, (picture, jnp.asarray(True)))
    return leaned(picture, cut, strength)


def nearest_monotonic(
    picture: Float[Array, "side side"],
    weights: Float[Array, "8 side side"],
    tolerance: Float[Array, ""],
    strength: Float[Array, ""],
    sweeps: Int[Array, ""] | int = SWEEPS,
) -> Float[Array, "side side"]:
    """Return argmin_x |x − S|² among all x with x_i ≤ (1 − g) Σ_j w_ij x_j; g is the tolerance.

    `weights` are those of `inward_weights_about`. The projection onto a polyhedral cone, a kind of isotonic regression
    (Barlow et al. 1972, Statistical Inference under Order Restrictions) whose order is "not brighter than the mean of
    the inner neighbours", solved by its dual problem to about the rounding of its numbers. A strength below 1 goes
    that share of the way.
    """
    has_inner = (jnp.sum(weights, axis=0) > 0).astype(picture.dtype)
    scaled = (1.0 - tolerance) * weights
    back = transposed(scaled)

    def excess(p: Float[Array, "side side"]) -> Float[Array, "side side"]:
        return has_inner * p - inner_mean(scaled, p)

    def adjoint(u: Float[Array, "side side"]) -> Float[Array, "side side"]:
        return has_inner * u - inner_mean(back, u)

    # L Lᵀ is bounded by the sums along the rows of |L| |L|ᵀ; they are larger near the center, which many pixels look at
    columns = has_inner + inner_mean(back, jnp.ones_like(picture))
    rows = has_inner * columns + inner_mean(scaled, columns)
    curvature = jnp.where(has_inner > 0, rows, 1.0)
    nearest = dual_proximal(picture, excess, adjoint, lambda u: jnp.maximum(u, 0.0), curvature, sweeps)
    return leaned(picture, nearest, strength)
