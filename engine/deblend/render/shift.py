"""Sub-pixel shifts of a pixel picture, as two small matrices.

A picture that was blurred by the model PSF is well sampled, so it may be moved by band-limited interpolation:
`shifted = S(dy) @ picture @ S(dx).T`, where S holds a sinc under a Kaiser window of `TAPS` pixels a side. The
matrices are differentiable, so that a free-form source has a center that can be fitted.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TAPS = 6
"""Half the width of the interpolation kernel [pix]."""
KAISER_BETA = 6.0


def interpolation_kernel(distance: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the windowed sinc at a distance [pix]; zero from `TAPS` on."""
    ratio = jnp.clip(1.0 - (distance / TAPS) ** 2, 0.0, 1.0)
    # a polynomial in z² is smooth where the square root in the Kaiser window is not
    window = bessel_i0_of_square(KAISER_BETA**2 * ratio) / float(np.i0(KAISER_BETA))
    return jnp.where(jnp.abs(distance) < TAPS, jnp.sinc(distance) * window, 0.0)


def bessel_i0_of_square(z_squared: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return I0(z) as a function of z², by its power series; z up to about 10."""
    coefficients = [1.0]
    for order in range(1, 26):
        coefficients.append(coefficients[-1] / (4.0 * order**2))
    return jnp.polyval(jnp.asarray(coefficients[::-1], z_squared.dtype), z_squared)


def shift_matrix(offset: Float[Array, ""], side: int) -> Float[Array, "side side"]:
    """Return the matrix that moves a line of `side` pixels by `offset` [pix] towards larger index."""
    index = jnp.arange(side, dtype=jnp.result_type(offset))
    return interpolation_kernel(index[:, None] - index[None, :] - offset)
