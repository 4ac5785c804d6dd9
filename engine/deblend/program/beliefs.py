"""What a person believes of single numbers, in closed form: residuals in the numbers and their logarithms.

Each number of a source, an entry of theta or a flux, has at most one prior. Its residual is

    r = a·u + b·ln u - m,

with u all numbers of the source in their own units (a half-light radius is exp of its entry of theta). A normal prior
takes the number itself, a log-normal one its logarithm, a size at a magnitude two logarithms and a color two more. All
of a, b and m is data, so that no change of a prior compiles, and ½ Σ r² is one more term of the loss, as Gauss-Newton
steps want it.

That is -ln of a density in the coordinate that r is linear in. Chains move through theta and fluxes; the density there
has the slope of one by the other as well (`measure`), times ln u each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.program.arrays import Beliefs, GroupParameters
from deblend.render import Kind, kind_of
from deblend.scene import Color, LogNormal, Normal, Prior, SizeMagnitude, Source, Uniform
from deblend.sky import AB_ZERO_POINT_NJY

LEAST = 1e-2
"""Of a number that has to be positive, as a flux in units of a pixel's noise: below, its logarithm goes on straight."""
PER_MAGNITUDE = -2.5 / np.log(10.0)
"""Magnitudes per unit of ln of a flux."""


def is_logarithm(kind: Kind) -> np.ndarray:
    """Return which entries of theta are logarithms of what a person calls the number."""
    entries = [name in kind.logarithmic for name, size in kind.parameters for _ in range(size)]
    return np.array([False, False, *entries])


def numbers_and_slopes(kind: Kind, theta: Any, flux: Any) -> tuple[Any, Any, Any, Any]:
    """Return u and ln u, (slot, number), and how each changes with its entry of theta or flux."""
    logs, ones = is_logarithm(kind), jnp.ones_like(theta)
    exponential = jnp.where(logs, jnp.exp(jnp.where(logs, theta, 0.0)), 1.0)
    log_theta, log_slope = _logarithm(jnp.where(logs, 1.0, theta))
    log_flux, flux_slope = _logarithm(flux)
    return (
        jnp.concatenate([jnp.where(logs, exponential, theta), flux], axis=-1),
        jnp.concatenate([jnp.where(logs, theta, log_theta), log_flux], axis=-1),
        jnp.concatenate([jnp.where(logs, exponential, ones), jnp.ones_like(flux)], axis=-1),
        jnp.concatenate([jnp.where(logs, ones, log_slope), flux_slope], axis=-1),
    )


def _logarithm(u: Any) -> tuple[Any, Any]:
    """Return ln u, straight below the least number, and its slope."""
    above = jnp.maximum(u, LEAST)
    return jnp.log(above) + jnp.minimum(u - LEAST, 0.0) / LEAST, 1.0 / above


def residuals_of(kind: Kind, beliefs: Beliefs, p: GroupParameters) -> Float[Array, "slot number"]:
    """Return r of every slot, 0 for a number without a prior."""
    u, log_u, _, _ = numbers_and_slopes(kind, p.theta, p.flux)
    mixed = jnp.einsum("srn,sn->sr", beliefs.linear, u) + jnp.einsum("srn,sn->sr", beliefs.logarithmic, log_u)
    return mixed - beliefs.mean


def jacobian_of(kind: Kind, beliefs: Beliefs, p: GroupParameters) -> Float[Array, "slot residual number"]:
    """Return how every residual changes with theta and fluxes, in this order."""
    _, _, slope, log_slope = numbers_and_slopes(kind, p.theta, p.flux)
    return beliefs.linear * slope[:, None] + beliefs.logarithmic * log_slope[:, None]


def belief_energy(kind: Kind, beliefs: Beliefs, p: GroupParameters) -> Float[Array, " slot"]:
    """Return Σ r² of every slot."""
    return jnp.sum(residuals_of(kind, beliefs, p) ** 2, axis=1)


def belief_gradient(kind: Kind, beliefs: Beliefs, p: GroupParameters) -> tuple[Any, Any]:
    """Return Jᵀ r, as of theta and of fluxes."""
    return belief_response(kind, beliefs, p, residuals_of(kind, beliefs, p))


def belief_response(kind: Kind, beliefs: Beliefs, p: GroupParameters, residuals: Any) -> tuple[Any, Any]:
    """Return Jᵀ times what stands for residuals, as of theta and of fluxes."""
    pulled = jnp.einsum("srn,sr->sn", jacobian_of(kind, beliefs, p), residuals)
    return pulled[:, : p.theta.shape[1]], pulled[:, p.theta.shape[1] :]


def belief_product(kind: Kind, beliefs: Beliefs, p: GroupParameters, v: GroupParameters) -> tuple[Any, Any]:
    """Return Jᵀ J v, as of theta and of fluxes."""
    change = jnp.concatenate([v.theta, v.flux], axis=1)
    return belief_response(kind, beliefs, p, jnp.einsum("srn,sn->sr", jacobian_of(kind, beliefs, p), change))


def measure_energy(kind: Kind, beliefs: Beliefs, p: GroupParameters) -> tuple[Any, Any, Any]:
    """Return what the energy of chains has besides ½ Σ r², all slots together, and its gradient by theta and fluxes."""
    _, log_u, _, log_slope = numbers_and_slopes(kind, p.theta, p.flux)
    pull = beliefs.measure * log_slope
    n_theta = p.theta.shape[1]
    return jnp.sum(beliefs.measure * log_u), pull[:, :n_theta], pull[:, n_theta:]


# from what is said to data ----------------------------------------------------------------------------------------


def no_beliefs(n_slots: int, n_numbers: int, dtype: Any) -> Beliefs:
    """Return data of slots of whose numbers nothing is believed."""
    rows = n_slots, n_numbers
    return Beliefs(*(np.zeros((*rows, n_numbers), dtype) for _ in range(2)), *(np.zeros(rows, dtype) for _ in range(2)))


def has_beliefs(source: Source, index: int) -> bool:
    """Tell whether a person has said what to believe of any number of a part of a source.

    Raises ValueError with a sentence where that is a number that takes no prior.
    """
    component = source.parts[index]
    others = {"channel offsets": source.channel_offsets, "color gradients": component.color_gradients}
    for name, parameter in others.items():
        if parameter.has_priors:
            raise _takes_none(name, source)
    shapes = component.morphology.parameters
    said = [source.center, component.spectrum, *shapes.values()]
    if index >= len(source.components):
        if any(p.has_priors for p in said[1:]):
            raise _takes_none("optical depth and shape of dust", source)
        return source.center.has_priors
    for name, parameter in shapes.items():
        if parameter.has_priors and (parameter.value.ndim > 1 or name in ("amplitudes", "modes")):
            raise _takes_none(name, source)
    return any(p.has_priors for p in said)


def lower_beliefs(
    beliefs: Beliefs, slot: int, source: Source, index: int, origin: tuple[int, int], noise: np.ndarray
) -> None:
    """Write what is believed of a part of a source into a slot.

    `origin` is the pixel (y, x) under the middle of its box, `noise` the unit of flux of every channel [nJy]. Raises
    ValueError with a sentence for a prior that a number cannot have.
    """
    for part in beliefs:
        part[slot] = 0.0
    if not has_beliefs(source, index):
        return
    component, kind = source.parts[index], kind_of(source.parts[index].morphology)
    logs, n_theta = is_logarithm(kind), kind.n_theta
    # parts share a center, and its prior
    share = 1.0 / np.sqrt(len(source.parts))
    for axis, place in ((0, 1), (1, 0)):
        prior = source.center.prior(axis)
        if isinstance(prior, Normal):
            weight = share / prior.deviation
            _write(beliefs, slot, place, weight * (prior.mean - origin[place]), {place: weight}, {})
        elif prior is not None and not isinstance(prior, Uniform):
            raise ValueError(f"A center of source {_called(source)} takes a normal or a uniform prior.")
    if index >= len(source.components):
        return
    start = 2
    for name, size in kind.parameters:
        for k in range(size):
            prior = component.morphology.parameters[name].prior(k)
            if prior is not None:
                _of_shape(beliefs, slot, start + k, bool(logs[start + k]), prior, n_theta, noise, name, source)
        start += size
    for channel in range(len(noise)):
        prior = component.spectrum.prior(channel)
        if prior is not None:
            _of_flux(beliefs, slot, n_theta, channel, prior, noise, source)


def _of_shape(
    beliefs: Beliefs,
    slot: int,
    place: int,
    is_log: bool,
    prior: Prior,
    n_theta: int,
    noise: np.ndarray,
    name: str,
    source: Source,
) -> None:
    """Write the prior of a number of a shape; chains move through its logarithm where that is its entry of theta."""
    if isinstance(prior, Normal):
        _write(beliefs, slot, place, prior.mean / prior.deviation, {place: 1 / prior.deviation}, {})
        beliefs.measure[slot, place] = -1.0 if is_log else 0.0
    elif isinstance(prior, Uniform):
        beliefs.measure[slot, place] = -1.0 if is_log else 0.0
    elif isinstance(prior, LogNormal):
        _write(beliefs, slot, place, np.log(prior.median) / prior.deviation, {}, {place: 1 / prior.deviation})
        beliefs.measure[slot, place] = 0.0 if is_log else 1.0
    elif isinstance(prior, SizeMagnitude) and name == "half_light_radius":
        _check_channel(prior.channel, noise, source)
        # ln r = ln size + slope' (-1.0857 ln f + zero point - magnitude)
        slope, deviation = prior.slope * np.log(10.0), prior.deviation * np.log(10.0)
        zero = AB_ZERO_POINT_NJY - 2.5 * np.log10(noise[prior.channel]) - prior.magnitude
        of = {place: 1 / deviation, n_theta + prior.channel: -slope * PER_MAGNITUDE / deviation}
        _write(beliefs, slot, place, (np.log(prior.size) + slope * zero) / deviation, {}, of)
        beliefs.measure[slot, place] = 0.0 if is_log else 1.0
    else:
        raise ValueError(
            f"The {name.replace('_', ' ')} of source {_called(source)} takes a normal, log-normal or uniform prior"
            f"{' or one of size and magnitude' if name == 'half_light_radius' else ''}, not {type(prior).__name__}."
        )


def _of_flux(
    beliefs: Beliefs, slot: int, n_theta: int, channel: int, prior: Prior, noise: np.ndarray, source: Source
) -> None:
    """Write the prior of a flux; chains move through it in units of the noise."""
    place, unit = n_theta + channel, float(noise[channel])
    if isinstance(prior, Normal):
        _write(beliefs, slot, place, prior.mean / prior.deviation, {place: unit / prior.deviation}, {})
    elif isinstance(prior, LogNormal):
        mean = (np.log(prior.median) - np.log(unit)) / prior.deviation
        _write(beliefs, slot, place, mean, {}, {place: 1 / prior.deviation})
        beliefs.measure[slot, place] = 1.0
    elif isinstance(prior, Color):
        _check_channel(prior.other, noise, source)
        if prior.other == channel:
            raise ValueError(f"A color of source {_called(source)} needs two channels, got {channel} twice.")
        other, weight = n_theta + prior.other, PER_MAGNITUDE / prior.deviation
        mean = prior.mean / prior.deviation - weight * (np.log(unit) - np.log(noise[prior.other]))
        _write(beliefs, slot, place, mean, {}, {place: weight, other: -weight})
        beliefs.measure[slot, place] = 1.0
    elif not isinstance(prior, Uniform):
        raise ValueError(
            f"A flux of source {_called(source)} takes a normal, log-normal or uniform prior or a color, not "
            f"{type(prior).__name__}."
        )


def _write(
    beliefs: Beliefs, slot: int, row: int, mean: float, linear: dict[int, float], logarithmic: dict[int, float]
) -> None:
    beliefs.mean[slot, row] = mean
    for of, part in ((linear, beliefs.linear), (logarithmic, beliefs.logarithmic)):
        for place, weight in of.items():
            part[slot, row, place] = weight


def _check_channel(channel: int, noise: Sequence[float] | np.ndarray, source: Source) -> None:
    if not 0 <= channel < len(noise):
        raise ValueError(
            f"A prior of source {_called(source)} names channel {channel}, and there are 0 to {len(noise) - 1}."
        )


def _takes_none(name: str, source: Source) -> ValueError:
    return ValueError(f"The {name.replace('_', ' ')} of source {_called(source)} take no prior; remove it.")


def _called(source: Source) -> str:
    return source.name or source.id
