"""Kinds of morphology, as mathematics for one object on a box of pixels.

A kind turns a vector `theta` of shape parameters into a picture of the profile, in pure JAX; grouping, batching and
masking happen in `deblend.program`. The first two entries of theta are the offset (y, x) of the center from the
middle of the box [pix]. Sizes enter as logarithms. `widths` is data that goes with a source and is never fitted.
A kind with pixels adds a free-form picture to the profile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.render.mixture import gaussian_mixture
from deblend.render.sersic import sersic_mixture
from deblend.scene import PROFILE_SIGMAS, FreeForm, Galaxy, Gaussian, Morphology, Point, Sersic

Profile = Callable[[Float[Array, " theta"], Float[Array, ""], int, Float[Array, ""]], Float[Array, "side side"]]

HALF_LIGHT_OF_GAUSSIAN = float(np.sqrt(2.0 * np.log(2.0)))
"""Half-light radius of a circular Gaussian of width 1."""


OFFSET_TRUST = 0.7
TRUST = {"amplitudes": 1.0, "ellipticity": 0.4, "half_light_radius": 0.4, "index": 0.6}
"""Largest change in one step of a solver, of the entry of theta behind each parameter."""


@dataclass(frozen=True)
class Kind:
    """One kind of morphology."""

    label: str
    parameters: tuple[tuple[str, int], ...]
    """Names of the scene's parameters behind the offset in theta, with how many numbers each has."""
    logarithmic: frozenset[str]
    profile: Profile
    """(theta, scale, side, psf_variance) → surface brightness per unit flux [1/pix]."""
    pixels: str | None = None
    """Name of the scene's parameter that is a picture."""
    is_correction: bool = False
    """Whether that picture corrects the profile, in units of an envelope around it, rather than being the light."""
    is_normalised: bool = True
    """Whether the profile has flux 1 by itself; otherwise the program divides the picture by its sum."""

    @property
    def n_theta(self) -> int:
        return 2 + sum(size for _, size in self.parameters)

    @property
    def trust(self) -> tuple[float, ...]:
        """How far each entry of theta may go in one step of a solver: where its linearization can be believed."""
        return (OFFSET_TRUST,) * 2 + tuple(TRUST[name] for name, size in self.parameters for _ in range(size))


def _box(theta: Float[Array, " theta"], side: int) -> tuple[Float[Array, " side"], Float[Array, " side"]]:
    index = jnp.arange(side, dtype=theta.dtype) - side // 2
    return index - theta[0], index - theta[1]


def _mixture(theta, side, amplitudes, variances, eta, psf_variance):  # type: ignore[no-untyped-def]
    y, x = _box(theta, side)
    return gaussian_mixture(y, x, amplitudes, variances, eta, psf_variance)


def point_profile(theta, scale, side, psf_variance):  # type: ignore[no-untyped-def]
    """Return the model PSF itself."""
    del scale
    y, x = _box(theta, side)
    line_y, line_x = (jnp.exp(-0.5 * line**2 / psf_variance) for line in (y, x))
    return line_y[:, None] * line_x[None, :] / (2.0 * jnp.pi * psf_variance)


def gaussian_profile(theta, scale, side, psf_variance):  # type: ignore[no-untyped-def]
    """Return an elliptical Gaussian; theta is offset, log half-light radius, η."""
    del scale
    variance = (jnp.exp(theta[2]) / HALF_LIGHT_OF_GAUSSIAN) ** 2
    return _mixture(theta, side, jnp.ones(1, theta.dtype), variance[None], theta[3:5], psf_variance)


def sersic_profile(theta, scale, side, psf_variance):  # type: ignore[no-untyped-def]
    """Return a Sérsic profile; theta is offset, index, log half-light radius, η."""
    del scale
    amplitudes, variances = sersic_mixture(theta[2], jnp.exp(theta[3]))
    return _mixture(theta, side, amplitudes, variances, theta[4:6], psf_variance)


def galaxy_profile(theta, scale, side, psf_variance):  # type: ignore[no-untyped-def]
    """Return the sum of concentric Gaussians of one ellipticity; theta is offset, logarithms of amplitudes, η."""
    n = len(PROFILE_SIGMAS)
    variances = (jnp.asarray(PROFILE_SIGMAS, theta.dtype) * scale) ** 2
    amplitudes = jnp.exp(theta[2 : 2 + n] - jnp.max(theta[2 : 2 + n]))
    return _mixture(theta, side, amplitudes / jnp.sum(amplitudes), variances, theta[2 + n : 4 + n], psf_variance)


def no_profile(theta, scale, side, psf_variance):  # type: ignore[no-untyped-def]
    """Return nothing: the source is its pixels."""
    del scale, psf_variance
    return jnp.zeros((side, side), theta.dtype)


KINDS: dict[str, Kind] = {
    kind.label: kind
    for kind in (
        Kind(Point.label, (), frozenset(), point_profile),
        Kind(
            Gaussian.label,
            (("half_light_radius", 1), ("ellipticity", 2)),
            frozenset({"half_light_radius"}),
            gaussian_profile,
        ),
        Kind(
            Sersic.label,
            (("index", 1), ("half_light_radius", 1), ("ellipticity", 2)),
            frozenset({"half_light_radius"}),
            sersic_profile,
        ),
        Kind(
            Galaxy.label,
            (("amplitudes", len(PROFILE_SIGMAS)), ("ellipticity", 2)),
            frozenset({"amplitudes"}),
            galaxy_profile,
            pixels="correction",
            is_correction=True,
            is_normalised=False,
        ),
        Kind(FreeForm.label, (), frozenset(), no_profile, pixels="pixels", is_normalised=False),
    )
}


def kind_of(morphology: Morphology) -> Kind:
    """Return the kind that draws a morphology."""
    return KINDS[morphology.label]
