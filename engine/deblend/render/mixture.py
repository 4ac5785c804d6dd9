"""Elliptical Gaussian mixtures, convolved exactly with the Gaussian model PSF.

The shape is a conformal shear η = (η1, η2): the covariance of each Gaussian is σ² E(η) + σ0² I, with
E = cosh|η| I + sinh|η|/|η| [[η1, η2], [η2, -η1]] in (x, y), of determinant 1, so that σ keeps its area
(Bernstein & Jarvis 2002, section 2.2).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def shear(eta: Float[Array, "2"]) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Return (E_xx, E_xy, E_yy) of the conformal shear, smooth at zero."""
    size = jnp.sqrt(eta[0] ** 2 + eta[1] ** 2 + 1e-10)
    stretch = jnp.sinh(size) / size
    return jnp.cosh(size) + stretch * eta[0], stretch * eta[1], jnp.cosh(size) - stretch * eta[0]


def gaussian_mixture(
    y: Float[Array, " height"],
    x: Float[Array, " width"],
    amplitudes: Float[Array, " gaussian"],
    variances: Float[Array, " gaussian"],
    eta: Float[Array, "2"],
    psf_variance: Float[Array, ""],
) -> Float[Array, "height width"]:
    """Return the surface brightness [flux/pix] at rows `y` and columns `x` [pix from the center].

    `amplitudes` are the fluxes of the Gaussians, `variances` their widths squared before the PSF [pix²].
    """
    e_xx, e_xy, e_yy = shear(eta)
    c_xx = variances * e_xx + psf_variance
    c_yy = variances * e_yy + psf_variance
    c_xy = variances * e_xy
    determinant = c_xx * c_yy - c_xy**2
    norm = amplitudes / (2.0 * jnp.pi * jnp.sqrt(determinant))
    a, b, c = c_yy / determinant, c_xy / determinant, c_xx / determinant
    row, column = y[None, :, None], x[None, None, :]
    exponent = a[:, None, None] * column**2 - 2.0 * b[:, None, None] * (row * column) + c[:, None, None] * row**2
    return jnp.sum(norm[:, None, None] * jnp.exp(-0.5 * exponent), axis=0)
