"""What a scene is asked besides fitting the data: priors and soft constraints, all as residuals.

Symmetry and monotonicity of free-form pictures are asked in units of the noise, so their weights depend on the scene;
they are lagged: taken from one point and frozen during a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.constraints import monotonicity_residual, symmetry_residual
from deblend.constraints.symmetry import RELATIVE
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.layout import GroupLayout, Layout
from deblend.program.operator import box_mask, over_slots
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


def lag(layout: Layout, parameters: Parameters) -> tuple[Lag | None, ...]:
    """Return the weights of every group at one point; None where a group has no soft constraints."""
    return tuple(
        Lag(jnp.sqrt(jnp.sum(p.flux**2, axis=-1)), p.pixels) if is_free_form(group) and p.pixels is not None else None
        for group, p in zip(layout.groups, parameters, strict=True)
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
    layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...]
) -> Float[Array, ""]:
    """Return ½ Σ r² over all priors and soft constraints."""
    total = jnp.zeros((), data.psf_variance.dtype)
    for group, d, p, weights in zip(layout.groups, data.groups, parameters, lags, strict=True):
        used = jnp.arange(group.capacity) < d.count
        each = jnp.sum((d.theta_precision * (p.theta - d.theta_mean)) ** 2, axis=1)
        if p.pixels is not None:
            each += d.correction_precision**2 * jnp.sum(p.pixels**2, axis=(1, 2))
        total += 0.5 * jnp.sum(jnp.where(used, each, 0.0))
        if weights is not None:

            def body(slot: Any, carry: Any, d: Any = d, p: Any = p, w: Any = weights) -> Any:
                residuals = shape_residuals(p.pixels[slot], w, d, slot)
                return carry + 0.5 * sum(jnp.sum(r**2) for r in residuals)

            total = over_slots(d.count, body, total)
    return total


def penalty_gradient(
    layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...]
) -> Parameters:
    """Return Jᵀ r of the penalties at one point."""
    result = []
    for d, p, weights in zip(data.groups, parameters, lags, strict=True):
        pixels = None
        if p.pixels is not None:
            pixels = (d.correction_precision**2)[:, None, None] * p.pixels
        if weights is not None:

            def body(slot: Any, carry: Any, d: Any = d, p: Any = p, w: Any = weights) -> Any:
                residuals, transpose = jax.vjp(lambda x: shape_residuals(x, w, d, slot), p.pixels[slot])
                return carry.at[slot].add(transpose(residuals)[0])

            pixels = over_slots(d.count, body, pixels)
        theta = d.theta_precision**2 * (p.theta - d.theta_mean)
        result.append(GroupParameters(theta, jnp.zeros_like(p.flux), pixels))
    return tuple(result)


def penalty_product(
    layout: Layout, data: ProblemData, parameters: Parameters, lags: tuple[Lag | None, ...], vector: Parameters
) -> Parameters:
    """Return Jᵀ J v of the penalties at one point."""
    result = []
    for d, p, weights, v in zip(data.groups, parameters, lags, vector, strict=True):
        pixels = None
        if v.pixels is not None:
            pixels = (d.correction_precision**2)[:, None, None] * v.pixels
        if weights is not None:

            def body(slot: Any, carry: Any, d: Any = d, p: Any = p, w: Any = weights, v: Any = v) -> Any:
                def at(picture: Any) -> Any:
                    return shape_residuals(picture, w, d, slot)

                _, change = jax.jvp(at, (p.pixels[slot],), (v.pixels[slot],))
                _, transpose = jax.vjp(at, p.pixels[slot])
                return carry.at[slot].add(transpose(change)[0])

            pixels = over_slots(d.count, body, pixels)
        result.append(GroupParameters(d.theta_precision**2 * v.theta, jnp.zeros_like(v.flux), pixels))
    return tuple(result)


def penalty_diagonal(data: GroupData, weights: Lag | None) -> Float[Array, "slot #side #side"]:
    """Return about the diagonal of Jᵀ J of the penalties on pixels."""
    diagonal = (data.correction_precision**2)[:, None, None]
    if weights is None:
        return diagonal
    amplitude = weights.amplitude[:, None, None]
    mean = jnp.maximum(amplitude * weights.pixels, 0.0)
    symmetry = data.symmetry[:, None, None] * amplitude / (1.0 + RELATIVE * mean)
    return diagonal + 0.5 * symmetry**2 + 1.4 * data.monotonicity[:, None, None] * amplitude**2


def pixel_mask(group: GroupLayout, data: GroupData, dtype: Any) -> Float[Array, "slot side side"]:
    """Return 1 where a pixel is used and free."""
    masks = jax.vmap(lambda radius: box_mask(group.side, radius, dtype))(data.radius)
    return masks * data.pixels_free[:, None, None].astype(dtype)


def noise_response(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lags: tuple[Lag | None, ...],
    theta: tuple[Any, ...],
    pixels: tuple[Any, ...],
) -> Parameters:
    """Return Jᵀ of the penalties times noise: one picture for each of correction, symmetry and monotonicity."""
    result = []
    for d, p, weights, t, noise in zip(data.groups, parameters, lags, theta, pixels, strict=True):
        picture = None
        if p.pixels is not None:
            picture = d.correction_precision[:, None, None] * noise[0]
        if weights is not None:

            def body(slot: Any, carry: Any, d: Any = d, p: Any = p, w: Any = weights, noise: Any = noise) -> Any:
                _, transpose = jax.vjp(lambda x: shape_residuals(x, w, d, slot), p.pixels[slot])
                return carry.at[slot].add(transpose((noise[1, slot], noise[2, slot]))[0])

            picture = over_slots(d.count, body, picture)
        result.append(GroupParameters(d.theta_precision * t, jnp.zeros_like(p.flux), picture))
    return tuple(result)
