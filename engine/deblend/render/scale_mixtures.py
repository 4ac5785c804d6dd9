"""Moffat's and Spergel's profiles as sums of Gaussians, so that their convolution with the model PSF is exact.

Both are Gaussians whose widths follow a gamma distribution, by Euler's integral for a power:
(1 + q)^-a Γ(a) = ∫ t^(a-1) exp(-t - q t) dt. For Moffat (1969) q is (r/α)², and the light is in Gaussians of
variance α²/2t with t of shape β - 1; Spergel (2010) defines his profile by its Fourier transform, where q is (k s)²,
and variances are 2 t s² with t of shape 1 + ν. All weights are positive, and smooth in the index.

In ln t the integrand is smooth and falls to nothing on both sides, so that equal steps integrate it to many digits;
what lies beyond the first step, a power of t, is put there.
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import Chebyshev
from scipy.optimize import brentq
from scipy.special import gamma, kv

from deblend.scene import MOFFAT_RANGE, SPERGEL_RANGE

_STEP = 0.6
_MOFFAT_NODES = np.arange(-13.0, 3.3, _STEP)
"""ln t. The first one is a Gaussian wider than any box, next to which wider ones are not told from a constant."""
_SPERGEL_NODES = np.arange(-14.4, 3.3, _STEP)
"""ln t. The first one is a Gaussian that is narrow beside the model PSF of any galaxy in a box."""
_DEGREE = 12

Mixture = tuple[Float[Array, " gaussian"], Float[Array, " gaussian"]]


def gamma_weights(shape: Float[Array, ""], nodes: Float[np.ndarray, " node"]) -> Float[Array, " node"]:
    """Return the share of t^(shape-1) exp(-t) dt at each of the nodes, equally spaced in ln t."""
    u = jnp.asarray(nodes, jnp.result_type(shape))
    weights = jnp.exp(shape * u - jnp.exp(u))
    # a geometric series stands for the nodes before the first one
    before = jnp.exp(shape * u[0]) / jnp.expm1(shape * _STEP)
    weights = weights.at[0].add(before)
    return weights / jnp.sum(weights)


def moffat_mixture(beta: Float[Array, ""], half_light_radius: Float[Array, ""]) -> Mixture:
    """Return the fluxes and the variances [pix²] of the Gaussians of a Moffat profile of total flux 1."""
    beta = jnp.clip(beta, *MOFFAT_RANGE)
    weights = gamma_weights(beta - 1.0, _MOFFAT_NODES)
    core = half_light_radius / jnp.sqrt(jnp.expm1(jnp.log(2.0) / (beta - 1.0)))
    return weights, 0.5 * core**2 * jnp.asarray(np.exp(-_MOFFAT_NODES), weights.dtype)


def spergel_mixture(index: Float[Array, ""], half_light_radius: Float[Array, ""]) -> Mixture:
    """Return the fluxes and the variances [pix²] of the Gaussians of a Spergel profile of total flux 1."""
    index = jnp.clip(index, *SPERGEL_RANGE)
    weights = gamma_weights(1.0 + index, _SPERGEL_NODES)
    low, high = SPERGEL_RANGE
    position = (2.0 * index - low - high) / (high - low)
    square = jnp.polyval(jnp.asarray(_squared_half_light(), weights.dtype), position)
    return weights, 2.0 * half_light_radius**2 / square * jnp.asarray(np.exp(_SPERGEL_NODES), weights.dtype)


def spergel_half_light(index: float) -> float:
    """Return c_ν, the half-light radius in units of the scale s (Spergel 2010, equation 5)."""

    def outside(u: float) -> float:
        return float((1.0 + index) * (0.5 * u) ** (index + 1.0) * kv(index + 1.0, u) / gamma(index + 2.0)) - 0.25

    return float(brentq(outside, 1e-3, 10.0, xtol=1e-12))


@lru_cache(maxsize=1)
def _squared_half_light() -> Float[np.ndarray, " power"]:
    """Return the polynomial that is c_ν² over the range of ν, mapped to -1…1; highest power first."""
    low, high = SPERGEL_RANGE

    def squared(positions: Float[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
        return np.array([spergel_half_light(0.5 * (low + high + p * (high - low))) ** 2 for p in positions])

    polynomial = Chebyshev.interpolate(squared, _DEGREE).convert(kind=np.polynomial.Polynomial)
    return polynomial.coef[::-1]
