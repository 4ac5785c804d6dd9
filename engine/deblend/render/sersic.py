"""The Sérsic profile as a sum of Gaussians, so that its convolution with the model PSF is exact.

For n ≥ ½ the profile is a mixture of Gaussians of all widths (Hogg & Lang 2013 use a few). Here the widths are
fixed relative to the half-light radius and the weights, signed, are fitted by least squares to
the profile on a fine grid of n; between grid points they are interpolated smoothly, so that n is differentiable.
Core and flux are right by construction: there is no central pixel to integrate.
"""

from __future__ import annotations

from functools import cache, lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gamma, gammaincinv

from deblend.algebra import small_matrices

INDEX_RANGE = (0.5, 4.0)
"""Sérsic indices that the table covers."""
_N_STEPS = 141
_WIDTH_OF_GAUSSIAN = 1.0 / np.sqrt(2.0 * np.log(2.0))
"""Width of a Gaussian of half-light radius 1; it is one of the widths, so that n = ½ is exact."""
_WIDTHS = _WIDTH_OF_GAUSSIAN * np.concatenate(
    [0.37 * 1.6 ** np.arange(-15.0, 0.0), 1.22 ** np.arange(-5.0, 5.0), 1.22**4 * 1.55 ** np.arange(1.0, 6.0)]
)
"""Widths [half-light radii]: coarse for the cusp and the wings, fine where profiles of small n bend."""


def sersic_b(index: float) -> float:
    """Return b_n, for which half of the light is inside the half-light radius (Ciotti 1991)."""
    return float(gammaincinv(2.0 * index, 0.5))


def sersic_brightness(radius: Float[np.ndarray, "..."], index: float) -> Float[np.ndarray, "..."]:
    """Return the surface brightness at a radius [half-light radii], for total flux 1."""
    b = sersic_b(index)
    flux = 2.0 * np.pi * index * b ** (-2.0 * index) * gamma(2.0 * index)
    return np.exp(-b * radius ** (1.0 / index)) / flux


@lru_cache(maxsize=1)
def weight_table() -> Float[np.ndarray, "index gaussian"]:
    """Return the flux in each Gaussian for every n of the grid."""
    with small_matrices():
        return np.array([sersic_weights(index) for index in np.linspace(*INDEX_RANGE, _N_STEPS)])


@cache
def sersic_weights(index: float) -> Float[np.ndarray, " gaussian"]:
    """Return the flux in each Gaussian for one n."""
    radii = np.geomspace(3e-5, 60.0, 900)
    shapes = np.exp(-0.5 * (radii[:, None] / _WIDTHS) ** 2) / (2.0 * np.pi * _WIDTHS**2)
    profile = sersic_brightness(radii, index)
    light = radii**2 * profile
    # relative errors count where there is light, absolute ones in wings and cores that hold none
    scale = radii**2 / (light + 3e-4 * light.max())
    ridge = 1e-8 * np.diag(np.linalg.norm(shapes * scale[:, None], axis=0))
    flux_row = 300.0 * np.ones((1, _WIDTHS.size))
    design = np.vstack([shapes * scale[:, None], ridge, flux_row])
    target = np.concatenate([profile * scale, np.zeros(_WIDTHS.size), [300.0]])
    return np.linalg.lstsq(design, target, rcond=None)[0]


def fixed_mixture(
    index: float, half_light_radius: Float[Array, ""]
) -> tuple[Float[Array, " gaussian"], Float[Array, " gaussian"]]:
    """Return the same as `sersic_mixture` for an index that is no parameter."""
    weights = jnp.asarray(sersic_weights(index), half_light_radius.dtype)
    return weights, jnp.asarray(_WIDTHS**2, weights.dtype) * half_light_radius**2


def sersic_mixture(
    index: Float[Array, ""], half_light_radius: Float[Array, ""]
) -> tuple[Float[Array, " gaussian"], Float[Array, " gaussian"]]:
    """Return the fluxes and the variances [pix²] of the Gaussians of a Sérsic profile of total flux 1."""
    table = jnp.asarray(weight_table(), jnp.result_type(index))
    low, high = INDEX_RANGE
    position = jnp.clip((index - low) / (high - low), 0.0, 1.0) * (_N_STEPS - 1)
    cell = jnp.clip(jnp.floor(position), 1, _N_STEPS - 3).astype(int)
    t = position - cell
    before, left, right, after = (table[cell + k] for k in (-1, 0, 1, 2))
    # cubic Lagrange interpolation on four neighbours
    weights = (
        -t * (t - 1) * (t - 2) / 6 * before
        + (t + 1) * (t - 1) * (t - 2) / 2 * left
        - (t + 1) * t * (t - 2) / 2 * right
        + (t + 1) * t * (t - 1) / 6 * after
    )
    return weights, jnp.asarray(_WIDTHS**2, weights.dtype) * half_light_radius**2
