"""About the inverse of the normal matrix: for every source, what belongs together, solved together.

Shape parameters, fluxes and the pixels of a source's core can stand in for each other: all pixels of a correction
together are a flux, or another profile. Taken one by one, each of them looks stiff; together they hardly change the
picture, and only their priors hold them. So one dense block per source holds them all, with the response of the
telescope as if weights were constant over the source. The pixels around the core stand alone. What sources have in
common is added to the blocks by the coarse level.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.infer.block_inverse import free_inverse
from deblend.infer.coarse import CoarseLevel, apply_coarse, coarse_level, has_coarse_level
from deblend.infer.full_scene_blocks import (
    FullSceneBlocks,
    apply_full_scene_blocks,
    full_scene_damping,
    make_full_scene_blocks,
)
from deblend.infer.source_block import CORE_RADIUS, SourceBlock, core_of, held_by_trust
from deblend.infer.star_blocks import StarBlocks, apply_star_blocks, make_star_blocks
from deblend.program.arrays import GroupParameters, Parameters, ProblemData
from deblend.program.calibration import Tangents, calibration_gram
from deblend.program.layout import Layout
from deblend.program.penalty import Lag, penalty_diagonal
from deblend.program.pictures import Linearization, over_slots
from deblend.render import KINDS

LEAST_WEIGHT = 0.05
"""Of the mean, for a source on masked pixels."""


class Preconditioner(NamedTuple):
    """About the inverse of a group's damped normal matrix."""

    block: Float[Array, "slot n n"]
    """Inverse for the shape parameters, fluxes, aspects of channels and core's pixels of each slot, in this order."""
    diagonal: Float[Array, "slot m"]
    """Diagonal of the undamped normal matrix for all but the pixels."""
    pixels: Float[Array, "slot side side"] | None
    """Diagonal of the normal matrix for pixels."""


class Preconditioners(NamedTuple):
    """About the inverse of the whole damped normal matrix."""

    groups: tuple[Preconditioner, ...]
    calibration: Float[Array, "channel 10 10"] | None = None
    """Inverse for how each channel's image is off."""
    calibration_diagonal: Float[Array, "channel 10"] | None = None
    """Diagonal of the undamped normal matrix for that."""
    stars: StarBlocks | None = None
    """For the fluxes of known stars."""
    full_scene: FullSceneBlocks | None = None
    """For light that covers the whole scene."""
    coarse: CoarseLevel | None = None
    """What sources trade; None where there is room for too many."""


def make_preconditioner(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lines: tuple[Linearization, ...],
    lags: tuple[Lag | None, ...],
    free: Parameters,
    tangents: Tangents | None,
    damping: Any,
    caution: Any,
) -> Preconditioners:
    """Return about the inverse of the damped normal matrix, a block per source."""
    result, parts = [], []
    around = local_weights(data)
    energies = local_energies(data, around)
    for index, group in enumerate(layout.groups):
        d, p, line, weights, movable = (
            data.groups[index],
            parameters.groups[index],
            lines[index],
            lags[index],
            free.groups[index],
        )
        power = jnp.concatenate([o.power[index] for o in data.observations])
        pixels = stiffness = None
        if weights is not None and line.envelope is not None:
            curvature = jnp.sum(p.flux**2 * energies[index], axis=1)[:, None, None]
            stiffness = penalty_diagonal(d, weights, line)
            pixels = curvature * line.envelope**2 + stiffness + 1e-12
        block = SourceBlock(group, d, p, line, weights, stiffness, movable, power, around[index])

        def one(slot: Any, carry: Any, block: SourceBlock = block) -> Any:
            blocks, diagonals, coarse = carry
            inverse, diagonal, own = block.inverse(slot, damping, caution)
            coarse = jax.tree.map(lambda stack, value: stack.at[slot].set(value), coarse, own)
            return blocks.at[slot].set(inverse), diagonals.at[slot].set(diagonal), coarse

        n, n_few, dtype = block.size, block.n_few, p.theta.dtype
        initial = jnp.zeros((group.capacity, n, n), dtype), jnp.ones((group.capacity, n_few), dtype)
        blocks, diagonals, part = over_slots(d.count, one, (*initial, block.no_coarse(group.capacity)))
        result.append(Preconditioner(blocks, diagonals, pixels))
        parts.append(part)
    groups, stars = tuple(result), None
    coarse = coarse_level(data, parameters, free, tuple(parts)) if has_coarse_level(layout) else None
    if data.stars is not None and free.stars is not None:
        stars = make_star_blocks(data.stars, free.stars, damping)
    everywhere = make_full_scene_blocks(
        layout, data.full_scene, parameters.full_scene, free.full_scene, damping, caution
    )
    if tangents is None or data.calibration is None or free.calibration is None:
        return Preconditioners(groups, stars=stars, full_scene=everywhere, coarse=coarse)
    gram = calibration_gram(data, tangents)
    prior = data.calibration.precision**2
    diagonal = jnp.diagonal(gram, axis1=1, axis2=2) + prior
    blocks = jax.vmap(free_inverse)(gram, prior + damping * diagonal, free.calibration)
    return Preconditioners(groups, blocks, diagonal, stars, everywhere, coarse)


def local_energies(
    data: ProblemData, around: tuple[Float[Array, "slot channel"], ...]
) -> tuple[Float[Array, "slot channel"], ...]:
    """Return how well data of the weights around each source hold a pixel of unit flux, Σ W K², per group."""
    energy = jnp.concatenate([o.kernel_energy for o in data.observations])
    return tuple(weights * energy[None] for weights in around)


def local_weights(data: ProblemData) -> tuple[Float[Array, "slot channel"], ...]:
    """Return the mean weight of the pixels around each source, per group."""
    return tuple(jax.vmap(lambda origin: _weights_around(data, origin))(d.origin) for d in data.groups)


def _weights_around(data: ProblemData, origin: Any) -> Float[Array, " channel"]:
    """Return the mean weight of the pixels around a source, per channel; never next to nothing."""
    means = []
    for o in data.observations:
        n_bands, *shape = o.weights.shape
        size = tuple(min(2 * CORE_RADIUS + 1, n) for n in shape)
        place = o.place[:, :2] @ origin.astype(o.place.dtype) + o.place[:, 2]
        corner = tuple(jnp.floor(place[i] + 0.5).astype(origin.dtype) - size[i] // 2 for i in (0, 1))
        # a source that this telescope does not see has the weight of a masked one
        is_seen = jnp.all(place > -CORE_RADIUS) & jnp.all(place < jnp.asarray(shape) + CORE_RADIUS)
        near = (
            jnp.mean(lax.dynamic_slice(o.weights, (jnp.zeros_like(corner[0]), *corner), (n_bands, *size)), axis=(1, 2))
            * is_seen
        )
        means.append(jnp.maximum(near, LEAST_WEIGHT * jnp.mean(o.weights, axis=(1, 2))))
    return jnp.concatenate(means)


def precondition(preconditioners: Preconditioners, free: Parameters, r: Parameters) -> Parameters:
    """Return about the solution of the damped normal equations for the right side r."""
    result = []
    coarse: Any = [None] * len(r.groups)
    if preconditioners.coarse is not None:
        coarse = apply_coarse(preconditioners.coarse, r)
    for c, x, movable, traded in zip(preconditioners.groups, r.groups, free.groups, coarse, strict=True):
        n_few = c.diagonal.shape[1]
        together = [_few(x)]
        if x.pixels is not None:
            core = core_of(x.pixels.shape[1])
            inner = x.pixels[:, *core]
            together.append(inner.reshape(len(inner), -1))
        solved = jnp.einsum("kij,kj->ki", c.block, jnp.concatenate(together, axis=1))
        pixels = None
        if x.pixels is not None and movable.pixels is not None:
            pixels = x.pixels / c.pixels * movable.pixels
            pixels = pixels.at[:, *core].set(solved[:, n_few:].reshape(inner.shape) * movable.pixels[:, *core])
        own = _with_few(x, solved[:, :n_few] * _few(movable), pixels)
        result.append(own if traded is None else own._replace(theta=own.theta + traded[0], flux=own.flux + traded[1]))
    terms = None
    if preconditioners.calibration is not None and r.calibration is not None and free.calibration is not None:
        terms = jnp.einsum("ckl,cl->ck", preconditioners.calibration, r.calibration) * free.calibration
    stars = None
    if preconditioners.stars is not None and r.stars is not None and free.stars is not None:
        stars = apply_star_blocks(preconditioners.stars, free.stars, r.stars)
    everywhere = apply_full_scene_blocks(preconditioners.full_scene, r.full_scene)
    return Parameters(tuple(result), terms, stars, everywhere)


def damping_product(
    layout: Layout, preconditioners: Preconditioners, damping: Any, caution: Any, v: Parameters
) -> Parameters:
    """Return what damping adds to the product of the normal matrix and v: a fraction of its diagonal, and trust."""
    result = []
    for group, c, x in zip(layout.groups, preconditioners.groups, v.groups, strict=True):
        few = _few(x)
        trust = jnp.asarray(KINDS[group.kind].trust, few.dtype)
        few = (damping * c.diagonal + held_by_trust(trust, few.shape[1], caution)[None]) * few
        result.append(_with_few(x, few, None if x.pixels is None else damping * c.pixels * x.pixels))
    terms = None
    if preconditioners.calibration_diagonal is not None and v.calibration is not None:
        terms = damping * preconditioners.calibration_diagonal * v.calibration
    stars = None
    if preconditioners.stars is not None and v.stars is not None:
        stars = damping * preconditioners.stars.diagonal * v.stars
    everywhere = full_scene_damping(preconditioners.full_scene, damping, caution, v.full_scene)
    return Parameters(tuple(result), terms, stars, everywhere)


def _few(x: GroupParameters) -> Float[Array, "slot m"]:
    """Return all parameters but the pixels, in the order of the blocks."""
    return jnp.concatenate([x.theta, x.flux, x.aspect.reshape(len(x.aspect), -1)], axis=1)


def _with_few(x: GroupParameters, few: Float[Array, "slot m"], pixels: Any) -> GroupParameters:
    """Return parameters of the shapes of x, taken from a block's vector and from pixels."""
    n_theta, n_flux = x.theta.shape[1], x.flux.shape[1]
    aspect = few[:, n_theta + n_flux :].reshape(x.aspect.shape)
    return GroupParameters(few[:, :n_theta], few[:, n_theta : n_theta + n_flux], pixels, aspect)
