"""Normalization: how the brightness of a component is shared between its spectrum A and its morphology S.

Only A ⊗ S is seen, so a factor may be moved from one to the other. Which choice converges best depends on the solver
(field experience: a unit peak keeps apart objects of similar colors but rescales every pixel when a center moves; the
interval was the later choice), so all of them are there, and the choice is data.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from deblend.scene import NORMALIZATIONS


def normalized(
    spectrum: Float[Array, " band"],
    picture: Float[Array, "side side"],
    choice: Int[Array, ""],
    strength: Float[Array, ""],
) -> tuple[Float[Array, " band"], Float[Array, "side side"]]:
    """Return A and S in one of the normalizations, `choice` being a place in `NORMALIZATIONS`; strength 0 leaves them.

    - spectrum: Σ_c A_c = 1 (Melchior et al. 2018);
    - sum: Σ_i S_i = 1, so that the spectrum is the flux;
    - peak: max_i S_i = 1;
    - interval: S ← min(max(S, 0), 1), a projection, the only one that changes A ⊗ S.

    Where the sum or the peak is not positive nothing can be divided by it, and both stay as they are.
    """
    # what S is multiplied by, and A is divided by
    one = jnp.ones((), picture.dtype)
    divisors = jnp.stack([jnp.sum(spectrum), jnp.sum(picture), jnp.max(picture), one])
    divisor = divisors[choice]
    divisor = jnp.where(divisor > 0, divisor, one)
    factor = jnp.where(choice == NORMALIZATIONS.index("spectrum"), divisor, 1.0 / divisor)
    factor = jnp.where(strength > 0, factor, one)
    is_clipped = (choice == NORMALIZATIONS.index("interval")) & (strength > 0)
    return spectrum / factor, jnp.where(is_clipped, jnp.clip(picture, 0.0, 1.0), picture * factor)
