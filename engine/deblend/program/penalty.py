"""What a scene is asked besides fitting the data: priors and soft constraints, all as residuals.

Symmetry and monotonicity of free-form pictures are asked in units of the noise, so their weights depend on the scene;
they are lagged: taken from one point and frozen during a step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.constraints import monotonicity_residual, symmetry_residual
from deblend.constraints.symmetry import RELATIVE
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.beliefs import belief_energy, belief_gradient, belief_product, belief_response
from deblend.program.calibration import calibration_penalty
from deblend.program.full_scene_layer import (
    full_scene_noise,
    full_scene_penalty,
    full_scene_penalty_gradient,
    full_scene_penalty_product,
)
from deblend.program.layout import GroupLayout, Layout
from deblend.program.learned import volume_penalty
from deblend.program.pictures import Linearization, Pictures, box_mask, classes_of, over_slots, reach_mask
from deblend.program.placement import prior_energy, prior_precision
from deblend.program.splitting import tether_energy
from deblend.program.star_layer import star_penalty, star_penalty_gradient, star_penalty_product
from deblend.render import KINDS


class Noise(NamedTuple):
    """Unit noise for everything that is penalised, an entry per group."""

    theta: tuple[Any, ...]
    pixels: tuple[Any, ...]
    """Three pictures per slot: for pixels or negative light, for symmetry and for monotonicity; None without pixels."""
    aspect: tuple[Any, ...]
    calibration: Any = None
    stars: Any = None
    full_scene: Any = None
    """One array of the shape of all coefficients for each way to be rough (see `roughness`)."""
    beliefs: tuple[Any, ...] = ()
    """Of what a person believes of each number; None for a group without, and empty where nobody believes anything."""


class Lag(NamedTuple):
    """Weights of a group's soft constraints, frozen during a step."""

    amplitude: Float[Array, " slot"]
    """Brightness of the source in units of the noise."""
    pixels: Float[Array, "slot side side"]


def is_free_form(group: GroupLayout) -> bool:
    """Tell whether the light of a group's sources is nothing but pixels."""
    kind = KINDS[group.kind]
    return kind.pixels is not None and not kind.is_correction


def lag(parameters: Parameters) -> tuple[Lag | None, ...]:
    """Return the weights of every group at one point; None where a group has no soft constraints."""
    return tuple(
        None if p.pixels is None else Lag(jnp.sqrt(jnp.sum(p.flux**2, axis=-1)), p.pixels) for p in parameters.groups
    )


def negative_weight(weights: Lag, data: GroupData, slot: Any, picture: Any) -> Float[Array, "side side"]:
    """Return what multiplies a picture to give the residuals of its negative light: 0 where there is none.

    A correction may take no more light than its profile has. As a bound on every pixel this would be met by many
    pixels at once in each step, and the projection onto it would undo the step; as a one-sided residual in units of
    the noise it is one more smooth term, and what is left of negative light is far below the noise.
    """
    scale = data.positivity[slot] * weights.amplitude[slot]
    return jnp.where(picture < 0, scale[..., None, None], 0.0)


def light_prices(
    layout: Layout, data: ProblemData, lags: tuple[Lag | None, ...]
) -> tuple[Float[Array, "slot 1 1"] | None, ...]:
    """Return the square of what `negative_weights` gives where light is negative, whether it is or not."""
    return tuple(
        None if weights is None or is_free_form(group) else ((d.positivity * weights.amplitude) ** 2)[:, None, None]
        for group, d, weights in zip(layout.groups, data.groups, lags, strict=True)
    )


def shape_residuals(pixels: Any, weights: Lag, data: GroupData, slot: Any) -> tuple[Any, Any]:
    """Return the residuals of symmetry and monotonicity of one free-form picture."""
    amplitude = weights.amplitude[slot]
    # a switched-off constraint is skipped, not multiplied by zero
    symmetry = lax.cond(
        data.symmetry[slot] > 0,
        lambda: symmetry_residual(amplitude * pixels, amplitude * weights.pixels[slot], data.symmetry[slot]),
        lambda: jnp.zeros_like(pixels),
    )
    monotonicity = lax.cond(
        data.monotonicity[slot] > 0,
        lambda: monotonicity_residual(amplitude * pixels, data.monotonicity[slot]),
        lambda: jnp.zeros_like(pixels),
    )
    return symmetry, monotonicity


def penalty(
    layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...], pictures: Pictures
) -> Float[Array, ""]:
    """Return ½ Σ r² over all priors and soft constraints, given the pictures of the sources."""
    total = jnp.zeros((), data.psf_variance.dtype)
    for group, d, p, weights, stack in zip(layout.groups, data.groups, parameters.groups, lags, pictures, strict=True):
        used = jnp.arange(group.capacity) < d.count
        each = prior_energy(d, p.theta)
        if p.pixels is not None:
            each += d.correction_precision**2 * jnp.sum(p.pixels**2, axis=(1, 2))
        each += jnp.sum((d.aspect_precision[:, None] * p.aspect) ** 2, axis=(1, 2))
        if d.beliefs is not None:
            each += belief_energy(KINDS[group.kind], d.beliefs, p)
        total += 0.5 * jnp.sum(jnp.where(used, each, 0.0))
        if d.tether is not None:
            total += jnp.sum(jnp.where(used, tether_energy(d.tether, p.flux, stack), 0.0))
        if KINDS[group.kind].is_learned and data.learned is not None:
            total += volume_penalty(group, d, p, data.psf_variance, classes_of(data.learned))
        if weights is None:
            continue

        def squares(slot: Any, carry: Any, item: Any = (group, d, p, weights, stack)) -> Any:
            group, d, p, w, stack = item
            if is_free_form(group):
                symmetry, monotonicity = shape_residuals(p.pixels[slot], w, d, slot)
                return carry + 0.5 * (jnp.sum(symmetry**2) + jnp.sum(monotonicity**2))
            negative = negative_weight(w, d, slot, stack[slot]) * stack[slot]
            return carry + 0.5 * jnp.sum(negative**2)

        total = over_slots(d.count, squares, total)
    total += calibration_penalty(data, parameters) + star_penalty(data, parameters)
    return total + full_scene_penalty(data.full_scene, parameters.full_scene)


def negative_weights(
    layout: Layout, data: ProblemData, lags: tuple[Lag | None, ...], lines: tuple[Linearization, ...]
) -> tuple[Float[Array, "slot side side"] | None, ...]:
    """Return what multiplies the pictures of every group to give the residuals of their negative light.

    None where light is nothing but pixels, which have a bound instead, or where there are no pixels.
    """
    return tuple(
        None if weights is None or is_free_form(group) else negative_weight(weights, d, slice(None), line.picture)
        for group, d, weights, line in zip(layout.groups, data.groups, lags, lines, strict=True)
    )


def penalty_gradient(
    layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...]
) -> Parameters:
    """Return Jᵀ r of the penalties at one point, but for that on negative light."""

    def respond(d: GroupData, p: GroupParameters, w: Lag, slot: Any) -> Any:
        residuals, transpose = jax.vjp(lambda x: shape_residuals(x, w, d, slot), p.pixels[slot])  # type: ignore[index]
        return transpose(residuals)[0]

    start = [
        GroupParameters(
            prior_precision(d, p.theta) ** 2 * (p.theta - d.theta_mean),
            jnp.zeros_like(p.flux),  # priors of laws are added outside of compiled code
            _scaled(d.correction_precision**2, p.pixels),
            d.aspect_precision[:, None] ** 2 * p.aspect,
        )
        for d, p in zip(data.groups, parameters.groups, strict=True)
    ]
    start = _with_beliefs(layout, data, parameters, start, belief_gradient)
    terms = None
    if data.calibration is not None and parameters.calibration is not None:
        terms = data.calibration.precision**2 * (parameters.calibration - data.calibration.mean)
    stars = star_penalty_gradient(data, parameters.stars)
    everywhere = full_scene_penalty_gradient(data.full_scene, parameters.full_scene)
    return Parameters(_responses(layout, data, parameters, lags, start, respond), terms, stars, everywhere)


def penalty_product(
    layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...], vector: Parameters
) -> Parameters:
    """Return Jᵀ J v of the penalties at one point, but for that on negative light."""

    def respond(d: GroupData, p: GroupParameters, w: Lag, v: GroupParameters, slot: Any) -> Any:
        def at(picture: Any) -> Any:
            return shape_residuals(picture, w, d, slot)

        _, change = jax.jvp(at, (p.pixels[slot],), (v.pixels[slot],))  # type: ignore[index]
        _, transpose = jax.vjp(at, p.pixels[slot])  # type: ignore[index]
        return transpose(change)[0]

    start = [
        GroupParameters(
            prior_precision(d, p.theta) ** 2 * v.theta,
            _law_product(d, v.flux),
            _scaled(d.correction_precision**2, v.pixels),
            d.aspect_precision[:, None] ** 2 * v.aspect,
        )
        for d, p, v in zip(data.groups, parameters.groups, vector.groups, strict=True)
    ]
    start = _with_beliefs(layout, data, parameters, start, belief_product, vector.groups)
    terms = None
    if data.calibration is not None and vector.calibration is not None:
        terms = data.calibration.precision**2 * vector.calibration
    stars = star_penalty_product(data, vector.stars)
    everywhere = full_scene_penalty_product(data.full_scene, vector.full_scene)
    responses = _responses(layout, data, parameters, lags, start, respond, vector.groups)
    return Parameters(responses, terms, stars, everywhere)


def noise_response(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    noise: Noise,
) -> Parameters:
    """Return Jᵀ of the penalties times noise, but for that on negative light."""

    def respond(d: GroupData, p: GroupParameters, w: Lag, pictures: Any, slot: Any) -> Any:
        _, transpose = jax.vjp(lambda x: shape_residuals(x, w, d, slot), p.pixels[slot])  # type: ignore[index]
        return transpose((pictures[1, slot], pictures[2, slot]))[0]

    start = [
        GroupParameters(
            prior_precision(d, p.theta) * theta,
            jnp.zeros_like(p.flux),
            None if pictures is None else _scaled(d.correction_precision, pictures[0]),
            d.aspect_precision[:, None] * aspect,
        )
        for d, p, theta, pictures, aspect in zip(
            data.groups, parameters.groups, noise.theta, noise.pixels, noise.aspect, strict=True
        )
    ]
    believed = noise.beliefs or (None,) * len(layout.groups)
    start = _with_beliefs(layout, data, parameters, start, belief_response, believed)
    terms = None
    if data.calibration is not None and noise.calibration is not None:
        terms = data.calibration.precision * noise.calibration
    stars = None if data.stars is None or noise.stars is None else data.stars.precision * noise.stars
    everywhere = full_scene_noise(data.full_scene, noise.full_scene)
    responses = _responses(layout, data, parameters, lags, start, respond, noise.pixels)
    return Parameters(responses, terms, stars, everywhere)


def penalty_diagonal(data: GroupData, weights: Lag, line: Linearization) -> Float[Array, "slot side side"]:
    """Return about the diagonal of Jᵀ J of the penalties on pixels."""
    amplitude = weights.amplitude[:, None, None]
    diagonal = (data.correction_precision**2)[:, None, None] + jnp.zeros_like(weights.pixels)
    if data.tether is not None and line.envelope is not None:
        diagonal += (data.tether.stiffness * weights.amplitude**2)[:, None, None] * line.envelope**2
    if line.shift_y is None and line.envelope is not None:
        return diagonal + (negative_weight(weights, data, slice(None), line.picture) * line.envelope) ** 2
    mean = jnp.maximum(amplitude * weights.pixels, 0.0)
    symmetry = data.symmetry[:, None, None] * amplitude / (1.0 + RELATIVE * mean)
    return diagonal + 0.5 * symmetry**2 + 1.4 * data.monotonicity[:, None, None] * amplitude**2


def _law_product(data: GroupData, flux: Float[Array, "slot channel"]) -> Float[Array, "slot channel"]:
    """Return Jᵀ J v of the priors of laws, as they are on the planes of fluxes that these laws allow."""
    if data.flux_root is None:
        return jnp.zeros_like(flux)
    return jnp.einsum("skc,scd,sd->sk", data.flux_root, data.flux_root, flux)


def _with_beliefs(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    start: list[GroupParameters],
    respond: Callable[..., tuple[Any, Any]],
    *each: Any,
) -> list[GroupParameters]:
    """Add to `start` what `respond` gives for theta and fluxes where a person has said what to believe of them.

    It is called with a group's kind, beliefs and parameters, and what `each` holds for the group.
    """
    result = []
    for group, first, d, *item in zip(layout.groups, start, data.groups, parameters.groups, *each, strict=True):
        if d.beliefs is not None:
            theta, flux = respond(KINDS[group.kind], d.beliefs, *item)
            first = first._replace(theta=first.theta + theta, flux=first.flux + flux)
        result.append(first)
    return result


def _scaled(factor: Any, pixels: Any) -> Any:
    return None if pixels is None else factor[:, None, None] * pixels


def _responses(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    start: list[GroupParameters],
    respond: Callable[..., Float[Array, "side side"]],
    *each: Any,
) -> tuple[GroupParameters, ...]:
    """Add to `start` what `respond` gives for the pixels of every used slot whose light is nothing but pixels.

    It is called with a group's data, parameters, weights, what `each` holds for the group, and a slot.
    """
    result = []
    for group, first, *item in zip(layout.groups, start, data.groups, parameters.groups, lags, *each, strict=True):
        if is_free_form(group):

            def respond_to(slot: Any, carry: Any, item: Any = item) -> Any:
                return carry._replace(pixels=carry.pixels.at[slot].add(respond(*item, slot)))

            first = over_slots(item[0].count, respond_to, first)
        result.append(first)
    return tuple(result)


def pixel_mask(group: GroupLayout, data: GroupData, dtype: Any) -> Float[Array, "slot side side"]:
    """Return 1 where a pixel is used and free."""
    if KINDS[group.kind].is_correction and data.support is not None:
        reach = partial(reach_mask, group.side, dtype=dtype)
        masks = jax.vmap(reach)(data.radius, data.pixel_radius, data.support)
    else:
        # pixels that are moved are dark behind that move
        masks = jax.vmap(lambda radius: box_mask(group.side, radius, dtype))(data.pixel_radius)
    return masks * data.pixels_free[:, None, None].astype(dtype)


def free_form_bound(data: GroupData, pixels: Float[Array, "slot side side"]) -> Float[Array, "slot side side"]:
    """Return the least value of pixels that are the light: 0, where it may not be negative."""
    return jnp.where((data.positivity > 0)[:, None, None], jnp.zeros_like(pixels), -jnp.inf)
