"""A free radial profile, and its rings as sums of Gaussians, so that the convolution with the model PSF is exact.

The surface brightness is a cubic B-spline in ln r with positive coefficients (de Boor 1978): one for every one of the
radii `RING_RADII`, the first for all within. The spline is smooth and positive whatever the coefficients, need not fall
outward, and is linear in them; a fit sees their logarithms. Each ring of it, which never changes but for its size, is
written as signed Gaussians once, by least squares.
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import BSpline

from deblend.scene import RING_RADII

_RATIO = 1.3
"""Of the widths of neighbouring Gaussians: finer ones cancel each other more than they gain."""
_STEP = float(np.log(RING_RADII[1] / RING_RADII[0]))
_WIDTHS = np.exp(np.arange(np.log(0.12 * RING_RADII[0]), np.log(1.7 * RING_RADII[-1]), np.log(_RATIO)))
"""Widths of the Gaussians, in units of the scale of the profile."""
_RIDGE = 1e-4
_FAR = 100.0
"""How many times its radius outside of a ring errors are weighed up to."""


def ring_brightness(radius: Float[np.ndarray, "..."], ring: int) -> Float[np.ndarray, "..."]:
    """Return the spline of one coefficient at a radius [scale], its height 2/3; all within the first radius are one."""
    position = np.log(np.maximum(radius, 1e-12) / RING_RADII[0]) / _STEP - ring
    spline = BSpline.basis_element([-2.0, -1.0, 0.0, 1.0, 2.0], extrapolate=False)
    result: Float[np.ndarray, "..."] = np.nan_to_num(spline(position))
    # splines of all coefficients add up to 1: those inside of the first radius make up for what the others leave
    for inner in (1, 2, 3) if ring == 0 else ():
        result = result + np.nan_to_num(spline(position + inner))
    return np.where((position < -1.0) & (ring == 0), 1.0, result)


@lru_cache(maxsize=1)
def ring_table() -> Float[np.ndarray, "ring gaussian"]:
    """Return the flux in each Gaussian of a ring of flux 1, for every ring."""
    radii = np.geomspace(0.03 * RING_RADII[0], 12.0 * RING_RADII[-1], 1500)
    shapes = np.exp(-0.5 * (radii[:, None] / _WIDTHS) ** 2)
    areas = 2.0 * np.pi * _WIDTHS**2
    rows = []
    for ring, middle in enumerate(RING_RADII):
        # far outside of a ring its neighbours are much fainter than it is
        weight = (1.0 + np.minimum(radii / middle, _FAR) ** 2)[:, None]
        ridge = _RIDGE * np.sqrt(radii.size) * np.eye(_WIDTHS.size)
        design = np.vstack([shapes * weight, ridge])
        target = np.concatenate([ring_brightness(radii, ring) * weight[:, 0], np.zeros(_WIDTHS.size)])
        fluxes = np.linalg.lstsq(design, target, rcond=None)[0] * areas
        rows.append(fluxes / fluxes.sum())
    return np.array(rows)


def rings_mixture(
    shares: Float[Array, " ring"], scale: Float[Array, ""]
) -> tuple[Float[Array, " gaussian"], Float[Array, " gaussian"]]:
    """Return the fluxes and the variances [pix²] of the Gaussians of a profile with these shares of light in its rings.

    `scale` is the unit of the radii [pix].
    """
    table = jnp.asarray(ring_table(), shares.dtype)
    return shares @ table, jnp.asarray(_WIDTHS**2, shares.dtype) * scale**2
