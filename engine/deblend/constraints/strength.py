"""How strongly a projection acts."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def leaned(
    given: Float[Array, "*shape"], projected: Float[Array, "*shape"], strength: Float[Array, ""]
) -> Float[Array, "*shape"]:
    """Return S + s (P(S) − S): S for s = 0, its projection P(S) for s = 1 (and beyond).

    For a convex set this is the proximal operator of ½ ρ d², with d the distance to the set and ρ = s / (1 − s)
    (Parikh & Boyd 2014, section 6.2 with ½ d²), so it keeps the firm non-expansiveness of the projection.
    """
    share = jnp.clip(strength, 0.0, 1.0).astype(given.dtype)
    # both ends are met to the last digit
    return jnp.where(share >= 1, projected, jnp.where(share > 0, given + share * (projected - given), given))
