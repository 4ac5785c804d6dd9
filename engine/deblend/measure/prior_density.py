"""What was believed of a quantity before the images were looked at, as a density: to be drawn beside the posterior."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from deblend.measure.naming import column_key
from deblend.scene import Color, LogNormal, Normal, Prior, SizeMagnitude, Source, Uniform
from deblend.sky import AB_ZERO_POINT_NJY, Channel, PixelAffine

Density = Callable[[Float[np.ndarray, " x"]], Float[np.ndarray, " x"]]
"""Of a quantity in the unit of its column; its integral is 1."""
SOFTENED = np.sqrt(3.0)
"""Scale of a Cauchy distribution along one axis, where that in two dimensions has the curvature of a unit Gaussian."""
MOST_OF = 400
"""Draws that a density which depends on fluxes is averaged over."""


def prior_density(
    source: Source,
    channels: Sequence[Channel],
    name: str,
    fluxes: Float[np.ndarray, "draw channel"],
    to_image: PixelAffine,
) -> Density | None:
    """Return the prior of one of the quantities of `Samples`; None where nothing was said of that quantity itself.

    A size at a magnitude, and a flux of which a color was said, depend on other fluxes: these are taken from the draws,
    (draw, channel) [nJy]. `to_image` takes the scene's pixels to those of the first image.
    """
    if name in ("x", "y"):
        return _of_center(source, name, to_image)
    if len(source.components) > 1:
        return None
    component, keys = source.components[0], [column_key(channel) for channel in channels]
    fluxes = np.maximum(fluxes[:: max(len(fluxes) // MOST_OF, 1)], 1e-6)
    if name == "half_light_radius" and "half_light_radius" in component.morphology.parameters:
        return _scaled(_of_size(component.morphology.parameters[name].prior(), fluxes), to_image.scale)
    for k, key in enumerate(keys):
        prior = component.spectrum.prior(k)
        if name == f"flux_{key}":
            return _of_flux(prior, fluxes)
        if k + 1 < len(keys) and name == f"color_{key}_{keys[k + 1]}":
            redder = component.spectrum.prior(k + 1)
            if isinstance(prior, Color) and prior.other == k + 1:
                return _normal(prior.mean, prior.deviation)
            if isinstance(redder, Color) and redder.other == k:
                return _normal(-redder.mean, redder.deviation)
    return None


def _of_center(source: Source, name: str, to_image: PixelAffine) -> Density | None:
    axis = 0 if name == "x" else 1
    said = source.center.priors
    if not source.center.is_free:
        return None
    if said:
        prior = source.center.prior(axis)
        y, x = to_image(source.y, source.x)
        at = float(x if axis == 0 else y)
        # along the axes only, which images that are not turned share with the scene
        moved = None if prior is None else _plain(prior)
        here = source.center.value[axis]
        return None if moved is None else lambda v: moved(here + (v - at) / to_image.scale) / to_image.scale
    y, x = to_image(source.anchor[1], source.anchor[0])
    middle, scale = float(x if axis == 0 else y), SOFTENED * source.center_scatter * to_image.scale
    if not np.isfinite(scale):
        return None
    return lambda v: scale / np.pi / (scale**2 + (v - middle) ** 2)


def _of_size(prior: Prior | None, fluxes: Float[np.ndarray, "draw channel"]) -> Density | None:
    if not isinstance(prior, SizeMagnitude):
        return _plain(prior)
    magnitudes = AB_ZERO_POINT_NJY - 2.5 * np.log10(fluxes[:, prior.channel])
    expected = np.log10(prior.size) + prior.slope * (magnitudes - prior.magnitude)

    def density(r: Float[np.ndarray, " x"]) -> Float[np.ndarray, " x"]:
        off = (np.log10(np.maximum(r, 1e-9))[:, None] - expected) / prior.deviation
        return _bell(off).mean(axis=1) / (prior.deviation * np.log(10.0) * np.maximum(r, 1e-9))

    return density


def _of_flux(prior: Prior | None, fluxes: Float[np.ndarray, "draw channel"]) -> Density | None:
    if not isinstance(prior, Color):
        return _plain(prior)
    others = AB_ZERO_POINT_NJY - 2.5 * np.log10(fluxes[:, prior.other])

    def density(f: Float[np.ndarray, " x"]) -> Float[np.ndarray, " x"]:
        own = AB_ZERO_POINT_NJY - 2.5 * np.log10(np.maximum(f, 1e-9))
        off = (own[:, None] - others - prior.mean) / prior.deviation
        return np.where(f > 0, _bell(off).mean(axis=1) / prior.deviation * 2.5 / np.log(10.0) / np.maximum(f, 1e-9), 0)

    return density


def _plain(prior: Prior | None) -> Density | None:
    if isinstance(prior, Normal):
        return _normal(prior.mean, prior.deviation)
    if isinstance(prior, LogNormal):
        return lambda v: np.where(
            v > 0,
            _bell(np.log(np.maximum(v, 1e-300) / prior.median) / prior.deviation)
            / (prior.deviation * np.maximum(v, 1e-300)),
            0.0,
        )
    if isinstance(prior, Uniform):
        return lambda v: ((v >= prior.lower) & (v <= prior.upper)) / (prior.upper - prior.lower)
    return None


def _normal(mean: float, deviation: float) -> Density:
    return lambda v: _bell((v - mean) / deviation) / deviation


def _scaled(density: Density | None, factor: float) -> Density | None:
    return None if density is None else lambda v: density(v / factor) / factor


def _bell(off: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return np.exp(-0.5 * off**2) / np.sqrt(2.0 * np.pi)
