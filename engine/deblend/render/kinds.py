"""Kinds of morphology, as mathematics for one object on a box of pixels.

A kind turns a vector `theta` of shape parameters into a picture of the profile, in pure JAX; grouping, batching and
masking happen in `deblend.program`. The first two entries of theta are the offset (y, x) of the center from the
middle of the box [pix]. Sizes enter as logarithms. `widths` is data that goes with a source and is never fitted.
A kind with pixels adds a free-form picture to the profile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.render.mixture import Ellipses, draw, draw_with_derivatives, ellipses
from deblend.render.rings import rings_mixture
from deblend.render.scale_mixtures import moffat_mixture, spergel_mixture
from deblend.render.sersic import fixed_mixture, sersic_mixture
from deblend.scene import (
    N_LATENT,
    N_MODES,
    PROFILE_SIGMAS,
    RING_RADII,
    DeVaucouleurs,
    Exponential,
    FreeForm,
    Galaxy,
    Gaussian,
    Learned,
    Moffat,
    Morphology,
    Point,
    Sersic,
    Spergel,
    Spline,
    Starlet,
    Vae,
    typical_shares,
)

Shape = Callable[[Float[Array, " theta"], Float[Array, ""], Float[Array, ""]], Ellipses]

HALF_LIGHT_OF_GAUSSIAN = float(np.sqrt(2.0 * np.log(2.0)))
"""Half-light radius of a circular Gaussian of width 1."""


OFFSET_TRUST = 0.7
TRUST = {
    "amplitudes": 3.0,
    "ellipticity": 0.4,
    "half_light_radius": 0.4,
    "index": 0.6,
    "beta": 0.6,
    "modes": 10.0,
    "size_class": 1.0,
    "latent": 1.0,
}
"""Largest change in one step of a solver, of the entry of theta behind each parameter."""
TYPICAL_SIGMA, TYPICAL_RANGE = 1.2, 0.9
"""Where the light of a profile is expected, and in how wide a range of the logarithm of sizes [scale]."""
PROFILE_SCATTER = 2.0
"""Standard deviation of the prior of the logarithm of each amplitude of a profile."""
ELLIPTICITY_SCATTER = 0.5
"""Standard deviation of the prior of each component of η."""


@dataclass(frozen=True)
class Prior:
    """A Gaussian belief about the entries of theta behind a parameter."""

    mean: Any
    scatter: float


ROUND = Prior(0.0, ELLIPTICITY_SCATTER)
ANY_SIZE = Prior(-0.5 * (np.log(np.asarray(PROFILE_SIGMAS) / TYPICAL_SIGMA) / TYPICAL_RANGE) ** 2, PROFILE_SCATTER)
"""Of the logarithms of a profile's amplitudes: any size may be, none is required."""
ANY_RING = Prior(np.log(typical_shares()), PROFILE_SCATTER)


@dataclass(frozen=True)
class Kind:
    """One kind of morphology."""

    label: str
    parameters: tuple[tuple[str, int], ...]
    """Names of the scene's parameters behind the offset in theta, with how many numbers each has."""
    logarithmic: frozenset[str]
    shape: Shape | None
    """(theta, scale, psf_variance) → Gaussians of unit flux; None where the source is nothing but its pixels."""
    pixels: str | None = None
    """Name of the scene's parameter that is a picture."""
    is_correction: bool = False
    """Whether that picture corrects the profile, in units of an envelope around it, rather than being the light."""
    is_normalised: bool = True
    """Whether the profile has flux 1 by itself; otherwise the program divides the picture by its sum."""
    priors: Mapping[str, Prior] = field(default_factory=lambda: {"ellipticity": ROUND})
    """Beliefs about parameters, by name."""
    draws: Callable[[Any, int, Any], Float[Array, "side side"]] | None = None
    """(theta, side, psf_variance) → picture of flux 1, of a morphology that is no sum of Gaussians."""
    steps: Mapping[str, float] = field(default_factory=lambda: TRUST)
    """Largest change in one step of a solver, of the entry of theta behind each parameter."""
    is_learned: bool = False
    """Whether its profile, and what its pixels may add, are drawn from tables (`render.learned`)."""
    is_decoded: bool = False
    """Whether its profile is drawn by a network (`render.decoded`)."""
    definition: str = ""
    """What tells two morphologies of a person's own apart that have one label."""

    @property
    def n_theta(self) -> int:
        return 2 + sum(size for _, size in self.parameters)

    def profile(
        self, theta: Float[Array, " theta"], scale: Float[Array, ""], side: int, psf_variance: Float[Array, ""]
    ) -> Float[Array, "side side"]:
        """Return the surface brightness per unit flux on a box [1/pix]; nothing where the source is its pixels."""
        if self.draws is not None:
            return self.draws(theta, side, psf_variance)
        if self.shape is None:
            return jnp.zeros((side, side), theta.dtype)
        return draw(self.shape(theta, scale, psf_variance), *_box(theta, side))

    def profile_with_derivatives(
        self, theta: Float[Array, " theta"], scale: Float[Array, ""], side: int, psf_variance: Float[Array, ""]
    ) -> tuple[Float[Array, "side side"], Float[Array, "theta side side"]]:
        """Return the profile and its derivatives by theta."""
        shape, draws = self.shape, self.draws
        if draws is not None:
            tangents = jax.jacfwd(lambda t: draws(t, side, psf_variance))(theta)
            return draws(theta, side, psf_variance), jnp.moveaxis(tangents, -1, 0)
        if shape is None:
            return self.profile(theta, scale, side, psf_variance), jnp.zeros((len(theta), side, side), theta.dtype)
        return draw_with_derivatives(lambda t: shape(t, scale, psf_variance), theta, *_box(theta, side))

    @property
    def has_tables(self) -> bool:
        """Whether it is drawn from what was learned (`render.tables`)."""
        return self.is_learned or self.is_decoded

    @property
    def is_own(self) -> bool:
        """Whether a person has written it."""
        return self.draws is not None

    @property
    def trust(self) -> tuple[float, ...]:
        """How far each entry of theta may go in one step of a solver: where its linearization can be believed."""
        return (OFFSET_TRUST,) * 2 + tuple(self.steps[name] for name, size in self.parameters for _ in range(size))


def point_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return the model PSF itself."""
    del scale
    one, zero = jnp.ones(1, theta.dtype), jnp.zeros(1, theta.dtype)
    return Ellipses(one / (2.0 * jnp.pi * psf_variance), one / psf_variance, zero, one / psf_variance)


def gaussian_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return an elliptical Gaussian; theta is offset, log half-light radius, η."""
    del scale
    variance = (jnp.exp(theta[2]) / HALF_LIGHT_OF_GAUSSIAN) ** 2
    return ellipses(jnp.ones(1, theta.dtype), variance[None], theta[3:5], psf_variance)


def sersic_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return a Sérsic profile; theta is offset, index, log half-light radius, η."""
    del scale
    amplitudes, variances = sersic_mixture(theta[2], jnp.exp(theta[3]))
    return ellipses(amplitudes, variances, theta[4:6], psf_variance)


def exponential_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return an exponential profile; theta is offset, log half-light radius, η."""
    del scale
    return ellipses(*fixed_mixture(1.0, jnp.exp(theta[2])), theta[3:5], psf_variance)


def de_vaucouleurs_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return a de Vaucouleurs profile; theta is offset, log half-light radius, η."""
    del scale
    return ellipses(*fixed_mixture(4.0, jnp.exp(theta[2])), theta[3:5], psf_variance)


def moffat_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return a Moffat profile; theta is offset, β, log half-light radius, η."""
    del scale
    return ellipses(*moffat_mixture(theta[2], jnp.exp(theta[3])), theta[4:6], psf_variance)


def spergel_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return a Spergel profile; theta is offset, index, log half-light radius, η."""
    del scale
    return ellipses(*spergel_mixture(theta[2], jnp.exp(theta[3])), theta[4:6], psf_variance)


def spline_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return a spline of the radius; theta is offset, logarithms of the light in its rings, η."""
    n = len(RING_RADII)
    return ellipses(*rings_mixture(jax.nn.softmax(theta[2 : 2 + n]), scale), theta[2 + n : 4 + n], psf_variance)


def galaxy_shape(theta, scale, psf_variance):  # type: ignore[no-untyped-def]
    """Return the sum of concentric Gaussians of one ellipticity; theta is offset, logarithms of amplitudes, η."""
    n = len(PROFILE_SIGMAS)
    variances = (jnp.asarray(PROFILE_SIGMAS, theta.dtype) * scale) ** 2
    return ellipses(jax.nn.softmax(theta[2 : 2 + n]), variances, theta[2 + n : 4 + n], psf_variance)


def _box(theta: Float[Array, " theta"], side: int) -> tuple[Float[Array, " side"], Float[Array, " side"]]:
    """Return rows and columns of a box, from the center."""
    index = jnp.arange(side, dtype=theta.dtype) - side // 2
    return index - theta[0], index - theta[1]


_SIZED = (("half_light_radius", 1), ("ellipticity", 2))
_LOG_SIZE = frozenset({"half_light_radius"})
_LOG_AMPLITUDES = frozenset({"amplitudes"})

PIXELS_ALONE = (FreeForm.label, Starlet.label)
"""What differs between these is what is asked of them."""

KINDS: dict[str, Kind] = {
    kind.label: kind
    for kind in (
        Kind(Point.label, (), frozenset(), point_shape),
        Kind(Gaussian.label, _SIZED, _LOG_SIZE, gaussian_shape),
        Kind(Exponential.label, _SIZED, _LOG_SIZE, exponential_shape),
        Kind(DeVaucouleurs.label, _SIZED, _LOG_SIZE, de_vaucouleurs_shape),
        Kind(Sersic.label, (("index", 1), *_SIZED), _LOG_SIZE, sersic_shape),
        Kind(Moffat.label, (("beta", 1), *_SIZED), _LOG_SIZE, moffat_shape),
        Kind(Spergel.label, (("index", 1), *_SIZED), _LOG_SIZE, spergel_shape),
        Kind(
            Spline.label,
            (("amplitudes", len(RING_RADII)), ("ellipticity", 2)),
            _LOG_AMPLITUDES,
            spline_shape,
            priors={"amplitudes": ANY_RING, "ellipticity": ROUND},
        ),
        Kind(
            Galaxy.label,
            (("amplitudes", len(PROFILE_SIGMAS)), ("ellipticity", 2)),
            _LOG_AMPLITUDES,
            galaxy_shape,
            pixels="correction",
            is_correction=True,
            is_normalised=False,
            priors={"amplitudes": ANY_SIZE, "ellipticity": ROUND},
        ),
        Kind(
            Learned.label,
            (("size_class", 1), ("modes", N_MODES)),
            frozenset(),
            None,
            pixels="correction",
            is_correction=True,
            is_normalised=False,
            priors={},
            is_learned=True,
        ),
        Kind(
            Vae.label,
            (("latent", N_LATENT),),
            frozenset(),
            None,
            pixels="correction",
            is_correction=True,
            is_normalised=False,
            priors={"latent": Prior(0.0, 1.0)},
            is_decoded=True,
        ),
        *(Kind(label, (), frozenset(), None, pixels="pixels", is_normalised=False) for label in PIXELS_ALONE),
    )
}
"""Every kind by its label; those of a person's own morphologies come behind (see `render.own`)."""


def kind_of(morphology: Morphology) -> Kind:
    """Return the kind that draws a morphology."""
    return KINDS[morphology.label]
