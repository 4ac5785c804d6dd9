"""Sources under a learned prior: which size class each belongs to, and what its picture is made of.

The prior of a picture n is λ² (n - μ)ᵀ C⁻¹ (n - μ) + ln det C, with C = D + L Lᵀ. Written as n = μ + L v + √D u
it is λ² (|v|² + |u|²) at the v and u of least length, so that each of them is a residual of its own, and what makes the
prior stiff in pixels is an identity in v and u: the few modes are solved for together, like shape parameters, and the
preconditioner needs nothing else. μ, L and D are those of the size class that the sum above is least for. Between steps
a picture is written anew with the v, u and class that suit it best, which changes nothing but the prior.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, GroupParameters, ProblemData
from deblend.program.layout import GroupLayout
from deblend.program.pictures import Masks, masks_of, over_slots
from deblend.render import KINDS
from deblend.render.learned import (
    FIRST_MODE,
    SIZE_CLASS,
    LearnedTables,
    class_of,
    drawn,
    learned_light,
    of_modes,
    onto_modes,
    stretch_of,
)

REFINEMENTS = 3
"""How often v is mended for a picture that lies between pixels, or is cut by its box."""


def _masks(group: GroupLayout, data: GroupData, slot: Any, dtype: Any) -> Masks:
    return masks_of(group, data.radius[slot], None if data.support is None else data.support[slot], dtype)


def volumes(
    group: GroupLayout, data: GroupData, slot: Any, psf_variance: Any, tables: LearnedTables
) -> Float[Array, " class"]:
    """Return ln det C of every class on the box of a source, relative to the smallest class."""
    mask = _masks(group, data, slot, tables.mean.dtype).light
    stretch = stretch_of(data.scale[slot], psf_variance)

    def volume(number: Any) -> Any:
        spread = drawn(tables, number, jnp.zeros(2, tables.mean.dtype), stretch, group.side).spread
        return 2.0 * jnp.sum(mask * jnp.log(spread)) + jnp.sum(jnp.log1p(stretch**2 * tables.weight[number]))

    each = jax.lax.map(volume, jnp.arange(len(tables.mean)))
    return each - each[0]


def volume_penalty(
    group: GroupLayout, data: GroupData, parameters: GroupParameters, psf_variance: Any, tables: LearnedTables
) -> Float[Array, ""]:
    """Return ½ ln det C, summed over the sources of a group that their prior is on for."""

    def add(slot: Any, total: Any) -> Any:
        volume = volumes(group, data, slot, psf_variance, tables)[class_of(parameters.theta[slot], tables)]
        return total + 0.5 * jnp.where(data.correction_precision[slot] > 0, volume, 0.0)

    result: Float[Array, ""] = over_slots(data.count, add, jnp.zeros((), parameters.theta.dtype))
    return result


def rewritten(
    group: GroupLayout, data: GroupData, parameters: GroupParameters, psf_variance: Any, tables: LearnedTables
) -> GroupParameters:
    """Return the same pictures by the classes, modes and pixels that their priors like best."""

    def body(slot: Any, carry: GroupParameters) -> GroupParameters:
        theta, pixels = _rewritten(group, data, parameters, slot, psf_variance, tables)
        return carry._replace(theta=carry.theta.at[slot].set(theta), pixels=carry.pixels.at[slot].set(pixels))  # type: ignore[union-attr]

    result: GroupParameters = over_slots(data.count, body, parameters)
    return result


def _rewritten(
    group: GroupLayout,
    data: GroupData,
    parameters: GroupParameters,
    slot: Any,
    psf_variance: Any,
    tables: LearnedTables,
) -> tuple[Float[Array, " theta"], Float[Array, "side side"]]:
    theta, pixels, strength = parameters.theta[slot], parameters.pixels[slot], data.correction_precision[slot]  # type: ignore[index]
    masks = _masks(group, data, slot, theta.dtype)
    mask = masks.light
    profile, spread = learned_light(theta, data.scale[slot], psf_variance, group.side, tables)
    picture = mask * (profile + spread * masks.envelope * pixels)
    stretch = stretch_of(data.scale[slot], psf_variance)
    volume = volumes(group, data, slot, psf_variance, tables)

    def told_by(number: Any) -> tuple[Any, Any, Any]:
        at = drawn(tables, number, theta[:2], stretch, group.side)
        # a pixel that the class says nothing of takes what is missing
        off = mask * (picture - at.mean) / at.spread
        gain = 1.0 / (1.0 + stretch**2 * tables.weight[number])

        def mended(_: Any, modes: Any) -> Any:
            left = off - mask * of_modes(tables, number, at, modes) / at.spread
            return modes + gain * (onto_modes(tables, number, at, left / at.spread) - modes)

        modes = jax.lax.fori_loop(0, REFINEMENTS, mended, jnp.zeros_like(theta[FIRST_MODE:]))
        left = off - mask * of_modes(tables, number, at, modes) / at.spread
        cost = strength**2 * (jnp.sum(modes**2) + jnp.sum(left**2)) + volume[number]
        return cost, modes, left

    costs, modes, left = jax.lax.map(told_by, jnp.arange(len(tables.mean)))
    own = class_of(theta, tables)
    best = jnp.where(data.theta_free[slot, SIZE_CLASS] > 0, jnp.argmin(costs), own)
    new = jnp.concatenate([theta[:SIZE_CLASS], best[None].astype(theta.dtype), modes[best]])
    # where a person holds what it is made of, or nothing says what is better, it stays
    may = (data.theta_free[slot, FIRST_MODE] > 0) & (data.pixels_free[slot] > 0) & (strength > 0)
    return jnp.where(may, new, theta), jnp.where(may, left[best] * masks.envelope, pixels)


def with_best_classes(
    layout: Any, data: ProblemData, groups: tuple[GroupParameters, ...]
) -> tuple[GroupParameters, ...]:
    """Return the parameters of all groups with those under a learned prior rewritten."""
    if data.learned is None or data.learned.classes is None:
        return groups
    tables = data.learned.classes
    return tuple(
        rewritten(group, d, p, data.psf_variance, tables) if KINDS[group.kind].is_learned else p
        for group, d, p in zip(layout.groups, data.groups, groups, strict=True)
    )
