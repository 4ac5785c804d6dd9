"""Where sources are believed to be: near where they were placed, unless the data say otherwise.

A click or a catalog is off by a few tenths of a pixel, and now and then by far more. A Gaussian knows nothing of the
latter: 2 px from the anchor it pulls with 22/px at a scatter of 0.3 px, and corrections and the channels' own offsets
give way to that before the center goes all the way. The prior is therefore a bivariate Cauchy distribution,
-ln p = 3/2 ln(1 + q/3), with q the squared distance in units of the scatter: at its top as a Gaussian of that scatter,
with a pull that never exceeds 2.9/px and falls further out. Its weight is frozen during a step, as in iteratively
reweighted least squares (Holland & Welsch 1977): a quadratic that lies above it and touches it.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData

TAIL = 3.0
"""Of a Cauchy distribution in two dimensions, where its top is curved as a Gaussian's is: (1 + q/3)^(-3/2)."""
N_CENTER = 2
"""Numbers of a shape that are its center, in front of all others."""


def prior_energy(data: GroupData, theta: Float[Array, "slot theta"]) -> Float[Array, " slot"]:
    """Return -2 ln of the prior of every slot's center and shape."""
    squares = (data.theta_precision * (theta - data.theta_mean)) ** 2
    distance = jnp.sum(squares[:, :N_CENTER], axis=1)
    return TAIL * jnp.log1p(distance / TAIL) + jnp.sum(squares[:, N_CENTER:], axis=1)


def prior_precision(data: GroupData, theta: Float[Array, "slot theta"]) -> Float[Array, "slot theta"]:
    """Return the precision of the Gaussian that stands for the prior in a step: that at hand, for the center less."""
    squares = (data.theta_precision * (theta - data.theta_mean)) ** 2
    distance = jnp.sum(squares[:, :N_CENTER], axis=1, keepdims=True)
    is_center: Any = jnp.arange(theta.shape[1])[None, :] < N_CENTER
    return data.theta_precision * jnp.where(is_center, (1.0 + distance / TAIL) ** -0.5, 1.0)
