"""Elliptical Gaussian mixtures, convolved exactly with the Gaussian model PSF, and their derivatives.

The shape is a conformal shear η = (η1, η2): the covariance of each Gaussian is σ² E(η) + σ0² I, with
E = cosh|η| I + sinh|η|/|η| [[η1, η2], [η2, -η1]] in (x, y), of determinant 1, so that σ keeps its area
(Bernstein & Jarvis 2002, section 2.2).

Few numbers describe a mixture, many pixels show it: derivatives are taken of the numbers, and reach the pixels by
one product with the exponentials that the picture needs anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Ellipses(NamedTuple):
    """Concentric Gaussians: peak · exp(-½ (a x² - 2 b x y + c y²))."""

    peak: Float[Array, " gaussian"]
    """Surface brightness at the center [flux/pix]."""
    a: Float[Array, " gaussian"]
    b: Float[Array, " gaussian"]
    c: Float[Array, " gaussian"]


def shear(eta: Float[Array, "2"]) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Return (E_xx, E_xy, E_yy) of the conformal shear, smooth at zero."""
    size = jnp.sqrt(eta[0] ** 2 + eta[1] ** 2 + 1e-10)
    stretch = jnp.sinh(size) / size
    return jnp.cosh(size) + stretch * eta[0], stretch * eta[1], jnp.cosh(size) - stretch * eta[0]


def ellipses(
    amplitudes: Float[Array, " gaussian"],
    variances: Float[Array, " gaussian"],
    eta: Float[Array, "2"],
    psf_variance: Float[Array, ""],
) -> Ellipses:
    """Return sheared Gaussians behind the model PSF.

    `amplitudes` are the fluxes of the Gaussians, `variances` their widths squared before the PSF [pix²].
    """
    e_xx, e_xy, e_yy = shear(eta)
    c_xx = variances * e_xx + psf_variance
    c_yy = variances * e_yy + psf_variance
    c_xy = variances * e_xy
    determinant = c_xx * c_yy - c_xy**2
    peak = amplitudes / (2.0 * jnp.pi * jnp.sqrt(determinant))
    return Ellipses(peak, c_yy / determinant, c_xy / determinant, c_xx / determinant)


def _exponentials(shape: Ellipses, y: Any, x: Any) -> Float[Array, "gaussian height width"]:
    a, b, c = (number[:, None, None] for number in shape[1:])
    row, column = y[None, :, None], x[None, None, :]
    return jnp.exp(-0.5 * (a * column**2 - 2.0 * b * (row * column) + c * row**2))


def draw(shape: Ellipses, y: Float[Array, " height"], x: Float[Array, " width"]) -> Float[Array, "height width"]:
    """Return the surface brightness [flux/pix] at rows `y` and columns `x` [pix from the center]."""
    return jnp.tensordot(shape.peak, _exponentials(shape, y, x), axes=1)


def draw_with_derivatives(
    shape_of: Callable[[Float[Array, " theta"]], Ellipses],
    theta: Float[Array, " theta"],
    y: Float[Array, " height"],
    x: Float[Array, " width"],
) -> tuple[Float[Array, "height width"], Float[Array, "theta height width"]]:
    """Return the picture of `shape_of(theta)`, and its derivatives by theta.

    The first two entries of theta are the center (y, x) that `y` and `x` are counted from; no shape depends on them.
    """
    shape = shape_of(theta)
    light = _exponentials(shape, y, x)
    slope: Ellipses = jax.tree.map(lambda numbers: numbers[2:], _jacobian(shape_of, theta))
    peak = shape.peak
    rows = (peak[None], slope.peak, -0.5 * peak[None] * slope.a, peak[None] * slope.b, -0.5 * peak[None] * slope.c,
            jnp.stack([peak * shape.a, peak * shape.b, peak * shape.c]))  # fmt: skip
    sums = jnp.tensordot(jnp.concatenate(rows), light, axes=1)
    n = len(theta) - 2
    picture, (by_peak, by_a, by_b, by_c) = sums[0], (sums[1 + k * n : 1 + (k + 1) * n] for k in range(4))
    of_a, of_b, of_c = sums[1 + 4 * n :]
    row, column = y[None, :, None], x[None, None, :]
    shapes = by_peak + by_a * column**2 + by_b * (row * column) + by_c * row**2
    center = jnp.concatenate([of_c[None] * row - of_b[None] * column, of_a[None] * column - of_b[None] * row])
    return picture, jnp.concatenate([center, shapes])


def _jacobian(shape_of: Callable[[Any], Ellipses], theta: Any) -> Ellipses:
    """Return the derivative of every number of a shape, (theta, gaussian)."""
    return jax.tree.map(lambda numbers: numbers.T, jax.jacfwd(shape_of)(theta))
