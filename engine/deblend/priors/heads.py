"""Densities of one number: what an autoregressive prior says of a pixel, given all before it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

SHARPEST, WIDEST = -5.0, 3.0
"""Bounds of the logarithm of a scale."""
PARTS = 5
"""Of a mixture."""


class Head(Enum):
    """Which density; the value is what a person calls it."""

    GAUSSIAN = "gaussian"
    """One Gaussian (Lanusse, Melchior & Moolekamp 2019)."""
    LOGISTICS = "logistics"
    """A mixture of logistic distributions (Salimans et al. 2017, not made discrete)."""

    @property
    def size(self) -> int:
        """How many numbers say it."""
        return 2 if self is Head.GAUSSIAN else 3 * PARTS

    def log_prob(self, u: Float[Array, "*shape"], told: Float[Array, "*shape size"]) -> Float[Array, "*shape"]:
        """Return the logarithm of the density at u; numbers of 0 stand for about a standard normal distribution."""
        if self is Head.GAUSSIAN:
            scale = _log_scale(told[..., 1])
            return -0.5 * ((u - told[..., 0]) * jnp.exp(-scale)) ** 2 - scale - 0.5 * jnp.log(2.0 * jnp.pi)
        shares, middles, scales = _parts(told)
        z = (u[..., None] - middles) * jnp.exp(-scales)
        each = -z - scales - 2.0 * jax.nn.softplus(-z)
        return logsumexp(jax.nn.log_softmax(shares) + each, axis=-1)

    def draw(self, told: Float[Array, " size"], key: PRNGKeyArray) -> Float[Array, ""]:
        """Return a number of that density."""
        if self is Head.GAUSSIAN:
            return told[0] + jnp.exp(_log_scale(told[1])) * jax.random.normal(key, (), told.dtype)
        one, two = jax.random.split(key)
        shares, middles, scales = _parts(told)
        part = jax.random.categorical(one, shares)
        return middles[part] + jnp.exp(scales[part]) * jax.random.logistic(two, (), told.dtype)


def _log_scale(x: Any) -> Any:
    return jnp.clip(x, SHARPEST, WIDEST)


def _parts(told: Any) -> tuple[Any, Any, Any]:
    """Return shares (logarithmic), middles and logarithmic scales of the parts of a mixture."""
    shares, middles, scales = jnp.split(told, 3, axis=-1)
    spread = jnp.linspace(-1.5, 1.5, PARTS, dtype=told.dtype)
    # of a start that is about normal: logistics of scale s have the variance 3.29 s²
    spread = jnp.broadcast_to(spread, middles.shape)
    return shares - 0.5 * spread**2, middles + spread, _log_scale(scales - 0.8)
