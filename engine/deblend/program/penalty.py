"""What a scene is asked besides fitting the data: priors and soft constraints, all as residuals.

Symmetry and monotonicity of free-form pictures are asked in units of the noise, so their weights depend on the scene;
they are lagged: taken from one point and frozen during a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.constraints import monotonicity_residual, symmetry_residual
from deblend.constraints.symmetry import RELATIVE
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.layout import GroupLayout, Layout
from deblend.program.operator import (
    Linearization,
    Pictures,
    box_mask,
    over_slots,
    shape_adjoint,
    shape_change,
)
from deblend.render import KINDS


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
    return tuple(None if p.pixels is None else Lag(jnp.sqrt(jnp.sum(p.flux**2, axis=-1)), p.pixels) for p in parameters)


def negative_weight(weights: Lag, data: GroupData, slot: Any, picture: Any) -> Float[Array, "side side"]:
    """Return what multiplies a picture to give the residuals of its negative light: 0 where there is none.

    A correction may take no more light than its profile has. As a bound on every pixel this would be met by many
    pixels at once in each step, and the projection onto it would undo the step; as a one-sided residual in units of
    the noise it is one more smooth term, and what is left of negative light is far below the noise.
    """
    return jnp.where(picture < 0, data.positivity[slot] * weights.amplitude[slot], 0.0)


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
    for group, d, p, weights, stack in zip(layout.groups, data.groups, parameters, lags, pictures, strict=True):
        used = jnp.arange(group.capacity) < d.count
        each = jnp.sum((d.theta_precision * (p.theta - d.theta_mean)) ** 2, axis=1)
        if p.pixels is not None:
            each += d.correction_precision**2 * jnp.sum(p.pixels**2, axis=(1, 2))
        each += d.offset_precision**2 * jnp.sum(p.offset**2, axis=(1, 2))
        total += 0.5 * jnp.sum(jnp.where(used, each, 0.0))
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
    return total


def penalty_gradient(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    lines: tuple[Linearization, ...],
) -> Parameters:
    """Return Jᵀ r of the penalties at one point."""

    def respond(group: GroupLayout, d: GroupData, p: GroupParameters, w: Lag, line: Linearization, slot: Any) -> Any:
        if is_free_form(group):
            residuals, transpose = jax.vjp(lambda x: shape_residuals(x, w, d, slot), p.pixels[slot])  # type: ignore[index]
            return None, transpose(residuals)[0]
        weight = negative_weight(w, d, slot, line.picture[slot])
        return shape_adjoint(line, slot, weight**2 * line.picture[slot])

    linear = [
        (d.theta_precision**2 * (p.theta - d.theta_mean), d, p) for d, p in zip(data.groups, parameters, strict=True)
    ]
    start = [
        GroupParameters(
            theta,
            jnp.zeros_like(p.flux),
            _scaled(d.correction_precision**2, p.pixels),
            _scaled(d.offset_precision**2, p.offset),
        )
        for theta, d, p in linear
    ]
    return _responses(layout, data, parameters, lags, lines, start, respond)


def penalty_product(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    lines: tuple[Linearization, ...],
    vector: Parameters,
) -> Parameters:
    """Return Jᵀ J v of the penalties at one point."""
    directions = dict(zip(layout.groups, vector, strict=True))

    def respond(group: GroupLayout, d: GroupData, p: GroupParameters, w: Lag, line: Linearization, slot: Any) -> Any:
        v = directions[group]
        if is_free_form(group):

            def at(picture: Any) -> Any:
                return shape_residuals(picture, w, d, slot)

            _, change = jax.jvp(at, (p.pixels[slot],), (v.pixels[slot],))  # type: ignore[index]
            _, transpose = jax.vjp(at, p.pixels[slot])  # type: ignore[index]
            return None, transpose(change)[0]
        weight = negative_weight(w, d, slot, line.picture[slot])
        return lax.cond(
            jnp.any(weight > 0),
            lambda: shape_adjoint(line, slot, weight**2 * shape_change(line, slot, v.theta, v.pixels)),
            lambda: (jnp.zeros_like(v.theta[slot]), jnp.zeros_like(v.pixels[slot])),  # type: ignore[index]
        )

    start = [
        GroupParameters(
            d.theta_precision**2 * v.theta,
            jnp.zeros_like(v.flux),
            _scaled(d.correction_precision**2, v.pixels),
            _scaled(d.offset_precision**2, v.offset),
        )
        for d, v in zip(data.groups, vector, strict=True)
    ]
    return _responses(layout, data, parameters, lags, lines, start, respond)


def noise_response(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    lines: tuple[Linearization, ...],
    theta: tuple[Any, ...],
    pixels: tuple[Any, ...],
    offset: tuple[Any, ...],
) -> Parameters:
    """Return Jᵀ of the penalties times noise: per shape parameter, offset, and three pictures per source."""
    noises = dict(zip(layout.groups, pixels, strict=True))

    def respond(group: GroupLayout, d: GroupData, p: GroupParameters, w: Lag, line: Linearization, slot: Any) -> Any:
        noise = noises[group]
        if is_free_form(group):
            _, transpose = jax.vjp(lambda x: shape_residuals(x, w, d, slot), p.pixels[slot])  # type: ignore[index]
            return None, transpose((noise[1, slot], noise[2, slot]))[0]
        return shape_adjoint(line, slot, negative_weight(w, d, slot, line.picture[slot]) * noise[1, slot])

    start = [
        GroupParameters(
            d.theta_precision * t,
            jnp.zeros_like(p.flux),
            None if noise is None else _scaled(d.correction_precision, noise[0]),
            _scaled(d.offset_precision, o),
        )
        for d, p, t, noise, o in zip(data.groups, parameters, theta, pixels, offset, strict=True)
    ]
    return _responses(layout, data, parameters, lags, lines, start, respond)


def penalty_diagonal(data: GroupData, weights: Lag, line: Linearization) -> Float[Array, "slot side side"]:
    """Return about the diagonal of Jᵀ J of the penalties on pixels."""
    amplitude = weights.amplitude[:, None, None]
    diagonal = (data.correction_precision**2)[:, None, None] + jnp.zeros_like(weights.pixels)
    if line.shift_y is None and line.envelope is not None:
        negative = jnp.where(line.picture < 0, data.positivity[:, None, None] * amplitude, 0.0)
        return diagonal + (negative * line.envelope) ** 2
    mean = jnp.maximum(amplitude * weights.pixels, 0.0)
    symmetry = data.symmetry[:, None, None] * amplitude / (1.0 + RELATIVE * mean)
    return diagonal + 0.5 * symmetry**2 + 1.4 * data.monotonicity[:, None, None] * amplitude**2


def _scaled(factor: Any, pixels: Any) -> Any:
    return None if pixels is None else factor[:, None, None] * pixels


def _responses(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    lines: tuple[Linearization, ...],
    start: list[GroupParameters],
    respond: Callable[..., tuple[Any, Any]],
) -> Parameters:
    """Add to `start` what `respond` gives for shape parameters (or None) and pixels of every used slot with pixels."""
    result = []
    for group, d, p, weights, line, first in zip(
        layout.groups, data.groups, parameters, lags, lines, start, strict=True
    ):
        if weights is None:
            result.append(first)
            continue

        def respond_to(slot: Any, carry: Any, item: Any = (group, d, p, weights, line)) -> Any:
            theta, pixels = respond(*item, slot)
            added = carry._replace(pixels=carry.pixels.at[slot].add(pixels))
            return added if theta is None else added._replace(theta=added.theta.at[slot].add(theta))

        result.append(over_slots(d.count, respond_to, first))
    return tuple(result)


def pixel_mask(group: GroupLayout, data: GroupData, dtype: Any) -> Float[Array, "slot side side"]:
    """Return 1 where a pixel is used and free."""
    masks = jax.vmap(lambda radius: box_mask(group.side, radius, dtype))(data.pixel_radius)
    return masks * data.pixels_free[:, None, None].astype(dtype)


def free_form_bound(data: GroupData, pixels: Float[Array, "slot side side"]) -> Float[Array, "slot side side"]:
    """Return the least value of pixels that are the light: 0, where it may not be negative."""
    return jnp.where((data.positivity > 0)[:, None, None], jnp.zeros_like(pixels), -jnp.inf)
