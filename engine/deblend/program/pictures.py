"""What sources look like per unit flux, and how that changes: a picture of every slot, and its derivative.

A source's picture is its profile at the true sub-pixel center, or its free-form pixels moved there. Pixels that
correct a profile are in units of an envelope, the light that a correction may add or take: with M = G + (τ G + ε ΣG) u
and u of unit variance the prior needs no knowledge of the scene, no pixel of u can outlive the light that allowed it,
and a center that moves takes the envelope along, so that such pixels need no interpolation. The sum is divided by its
own total, so that a spectrum is the flux of its source and no scale can move between the two.

The derivative is kept as pictures: one per shape parameter and source, the envelope of its pixels, and for free-form
ones two small matrices that move them. Loops run over the used slots of a group and are compiled once, whatever their
number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.aspects import aspects, outward
from deblend.program.layout import GroupLayout, Layout
from deblend.program.support import OWN_FLOOR, is_free, is_lit, is_own
from deblend.render import KINDS, shift_matrix
from deblend.render.decoded import Decoder, decoded_derivatives, decoded_light
from deblend.render.learned import LearnedTables, learned_derivatives, learned_light
from deblend.render.tables import GalaxyTables

CORRECTION_FLOOR = 3e-6
"""Correction per pixel that one unit always stands for, relative to the flux of the source."""

Pictures = tuple[Float[Array, "slot side side"], ...]


class Linearization(NamedTuple):
    """The derivative of a group's pictures at one point, for every slot."""

    picture: Float[Array, "slot side side"]
    """The source at its sub-pixel center, per unit flux."""
    tangents: Float[Array, "slot theta side side"]
    shift_y: Float[Array, "slot side side"] | None
    shift_x: Float[Array, "slot side side"] | None
    envelope: Float[Array, "slot side side"] | None
    """Light that one unit of a pixel stands for, per unit flux of the source."""
    lit: Float[Array, "slot side side"] | None
    """1 where pixels that are moved may have light; None where they are not moved."""
    seen: Float[Array, "slot part side side"]
    """The picture and its aspects."""
    outward: Float[Array, "slot side side"]


class Masks(NamedTuple):
    """Where a source may have light."""

    light: Float[Array, "side side"]
    """1 where it may have any."""
    envelope: Float[Array, "side side"]
    """1 where pixels add to it; those that are the light and are moved, before that."""
    own: Any
    """Where pixels are its own; None for kinds without pixels."""


def over_slots(count: Any, body: Callable[[Any, Any], Any], initial: Any) -> Any:
    """Run `body(slot, carry)` over the used slots of a group."""
    return lax.fori_loop(0, count, body, initial)


def line_mask(side: int, radius: Any, dtype: Any) -> Float[Array, " side"]:
    """Return 1 on the rows or columns of the box in use, 0 on its padding."""
    return (jnp.abs(jnp.arange(side) - side // 2) <= radius).astype(dtype)


def light_of(pictures: Float[Array, "*stack side side"]) -> Float[Array, "*stack"]:
    """Return the sum of every picture; as a product with ones it takes a quarter of the time."""
    return jnp.tensordot(pictures, jnp.ones(pictures.shape[-2:], pictures.dtype), axes=2)


def box_mask(side: int, radius: Any, dtype: Any) -> Float[Array, "side side"]:
    """Return 1 inside of the box in use, 0 in its padding."""
    line = line_mask(side, radius, dtype)
    return line[:, None] * line[None, :]


def masks_of(group: GroupLayout, radius: Any, support: Any, dtype: Any) -> Masks:
    """Return where a source may have light in its box of this radius; `support` as in `GroupData`."""
    box = box_mask(group.side, radius, dtype)
    if support is None:
        return Masks(box, box, None)
    free = box * is_free(support, dtype) if KINDS[group.kind].is_correction else box
    return Masks(box * is_lit(support, dtype), free, is_own(support))


def reach_mask(side: int, radius: Any, reach: Any, support: Any, dtype: Any) -> Float[Array, "side side"]:
    """Return 1 where the light of a source may follow what its pixels are asked: within its `reach`, and in its box
    where pixels are its own."""
    near = box_mask(side, reach, dtype)
    if support is None:
        return near
    return jnp.where(is_own(support), box_mask(side, radius, dtype), near) * is_free(support, dtype)


def profile_of(
    group: GroupLayout, theta: Any, scale: Any, psf_variance: Any, tables: GalaxyTables | None
) -> tuple[Float[Array, "side side"], Float[Array, "side side"]]:
    """Return the profile of one source, and its scatter, that the light of its pixels goes by."""
    kind = KINDS[group.kind]
    if kind.is_learned:
        return learned_light(theta, scale, psf_variance, group.side, classes_of(tables))
    if kind.is_decoded:
        profile = decoded_light(theta, scale, psf_variance, group.side, decoder_of(tables))
        return profile, profile
    profile = kind.profile(theta, scale, group.side, psf_variance)
    return profile, profile


def classes_of(tables: GalaxyTables | None) -> LearnedTables:
    """Return the size classes that there are; raises ValueError where a source needs what it was not given."""
    if tables is None or tables.classes is None:
        raise ValueError("A learned morphology is drawn from tables; pass those of deblend.priors.tables.")
    return tables.classes


def decoder_of(tables: GalaxyTables | None) -> Decoder:
    """Return the decoder that there is; raises ValueError where a source needs what it was not given."""
    if tables is None or tables.decoder is None:
        raise ValueError("A vae morphology is drawn by a decoder; pass that of deblend.priors.tables.")
    return tables.decoder


def envelope_of(
    group: GroupLayout, scatter: Float[Array, "*stack side side"], correction: Any, masks: Masks
) -> Float[Array, "*stack side side"]:
    """Return the light that one unit of a pixel stands for; for a correction it is linear in the scatter."""
    kind = KINDS[group.kind]
    if not kind.is_correction:
        return masks.envelope
    envelope = correction * scatter
    if not kind.is_learned:
        least = jnp.where(False if masks.own is None else masks.own, OWN_FLOOR, CORRECTION_FLOOR)
        floor = jnp.broadcast_to(least.astype(scatter.dtype), scatter.shape)
        envelope = envelope + floor * light_of(scatter)[..., None, None]
    return envelope * jnp.broadcast_to(masks.envelope, scatter.shape)


def picture_of(
    group: GroupLayout,
    theta: Any,
    pixels: Any,
    scale: Any,
    correction: Any,
    radius: Any,
    psf_variance: Any,
    tables: GalaxyTables | None = None,
    support: Any = None,
) -> Float[Array, "side side"]:
    """Return one source per unit flux at its sub-pixel center."""
    masks = masks_of(group, radius, support, theta.dtype)
    profile, scatter = (part * masks.light for part in profile_of(group, theta, scale, psf_variance, tables))
    if pixels is None:
        return normalised(group, profile)
    envelope = envelope_of(group, scatter, correction, masks)
    if KINDS[group.kind].is_correction:
        return normalised(group, profile + envelope * pixels)
    shift_y, shift_x = shift_matrix(theta[0], group.side), shift_matrix(theta[1], group.side)
    return normalised(group, shift_y @ (envelope * pixels) @ shift_x.T * masks.light)


def normalised(group: GroupLayout, picture: Float[Array, "side side"]) -> Float[Array, "side side"]:
    """Return the picture with sum 1, unless its kind has flux 1 by itself."""
    return picture if KINDS[group.kind].is_normalised else picture / _total(picture)


def _total(picture: Float[Array, "side side"]) -> Float[Array, ""]:
    total = light_of(picture)
    return jnp.where(jnp.abs(total) > 1e-6, total, 1.0)


def linearize_group(
    group: GroupLayout,
    data: GroupData,
    parameters: GroupParameters,
    psf_variance: Any,
    tables: GalaxyTables | None = None,
) -> Linearization:
    """Return pictures and their derivatives for every used slot."""
    kind, side = KINDS[group.kind], group.side
    dtype = parameters.theta.dtype

    def one(slot: Any) -> Linearization:
        theta, scale = parameters.theta[slot], data.scale[slot]
        line = line_mask(side, data.radius[slot], dtype)
        masks = masks_of(group, data.radius[slot], None if data.support is None else data.support[slot], dtype)
        mask = masks.light
        if kind.is_learned:
            profile, scatter = learned_light(theta, scale, psf_variance, side, classes_of(tables))
            tangents, of_scatter = learned_derivatives(theta, scale, psf_variance, side, classes_of(tables))
            profile, scatter = profile * mask, scatter * mask
            tangents, of_scatter = tangents * mask[None], of_scatter * mask[None]
        else:
            if kind.is_decoded:
                profile = decoded_light(theta, scale, psf_variance, side, decoder_of(tables))
                tangents = decoded_derivatives(theta, scale, psf_variance, side, decoder_of(tables))
            else:
                profile, tangents = kind.profile_with_derivatives(theta, scale, side, psf_variance)
            profile, tangents = profile * mask, tangents * mask[None]
            scatter, of_scatter = profile, tangents
        out = outward(side, scale)
        if parameters.pixels is None:
            return Linearization(profile, tangents, None, None, None, None, _with_aspects(profile, out), out)
        pixels = parameters.pixels[slot]
        envelope = envelope_of(group, scatter, data.correction[slot], masks)
        shifts: tuple[Any, Any] = (None, None)
        lit = None
        if kind.is_correction:
            picture = profile + envelope * pixels
            # the scatter may depend on the offset alone
            change = envelope_of(group, of_scatter, data.correction[slot], masks) * pixels[None]
            tangents = tangents + jnp.pad(change, ((0, len(tangents) - len(change)), (0, 0), (0, 0)))
        else:
            (shift_y, slope_y), (shift_x, slope_x) = (
                jax.jvp(lambda offset: shift_matrix(offset, side), (theta[axis],), (jnp.ones((), dtype),))
                for axis in (0, 1)
            )
            # masked rows of the matrices keep moved pixels inside of the box without a further product
            shifts = shift_y * line[:, None], shift_x * line[:, None]
            moved = pixels @ shifts[1].T
            lit = mask
            picture = shifts[0] @ moved * mask
            tangents = jnp.stack([slope_y @ moved, shifts[0] @ (pixels @ slope_x.T)]) * mask[None]
        total = _total(picture)
        picture = picture / total
        tangents = (tangents - light_of(tangents)[:, None, None] * picture[None]) / total
        return Linearization(picture, tangents, *shifts, envelope / total, lit, _with_aspects(picture, out), out)

    example = jax.eval_shape(one, jnp.zeros((), int))
    initial = jax.tree.map(lambda leaf: jnp.zeros((group.capacity, *leaf.shape), leaf.dtype), example)

    def body(slot: Any, carry: Linearization) -> Linearization:
        return jax.tree.map(lambda stack, value: stack.at[slot].set(value), carry, one(slot))

    result: Linearization = over_slots(data.count, body, initial)
    return result


def _with_aspects(picture: Any, out: Any) -> Float[Array, "part side side"]:
    return jnp.concatenate([picture[None], aspects(picture, out)])


def moved_pixels(line: Linearization, slot: Any, pixels: Any) -> Float[Array, "side side"]:
    """Return the light of pixels where they are seen."""
    light = line.envelope[slot] * pixels  # type: ignore[index]
    if line.shift_y is None or line.shift_x is None:
        return light
    return line.shift_y[slot] @ light @ line.shift_x[slot].T * line.lit[slot]  # type: ignore[index]


def unmoved(line: Linearization, slot: Any, light: Any) -> Float[Array, "side side"]:
    """Return light, as it is seen, on the pixels that make it."""
    if line.shift_y is None or line.shift_x is None:
        return light
    return line.shift_y[slot].T @ (light * line.lit[slot]) @ line.shift_x[slot]  # type: ignore[index]


def moved_pixels_adjoint(line: Linearization, slot: Any, light: Any) -> Float[Array, "side side"]:
    """Return the transpose of `moved_pixels`."""
    return line.envelope[slot] * unmoved(line, slot, light)  # type: ignore[index]


def linearize(layout: Layout, data: ProblemData, parameters: Parameters) -> tuple[Linearization, ...]:
    """Return the linearization of every group."""
    return tuple(
        linearize_group(group, d, p, data.psf_variance, data.learned)
        for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True)
    )


def group_pictures(
    group: GroupLayout,
    data: GroupData,
    parameters: GroupParameters,
    psf_variance: Any,
    tables: GalaxyTables | None = None,
) -> Float[Array, "slot side side"]:
    """Return every used slot's picture, per unit flux at its sub-pixel center."""

    def body(slot: Any, carry: Any) -> Any:
        pixels = parameters.pixels[slot] if parameters.pixels is not None else None
        shape = data.scale[slot], data.correction[slot], data.radius[slot]
        support = None if data.support is None else data.support[slot]
        picture = picture_of(group, parameters.theta[slot], pixels, *shape, psf_variance, tables, support)
        return carry.at[slot].set(picture)

    empty = jnp.zeros((group.capacity, group.side, group.side), parameters.theta.dtype)
    result: Float[Array, "slot side side"] = over_slots(data.count, body, empty)
    return result


def pictures_of(layout: Layout, data: ProblemData, parameters: Parameters) -> Pictures:
    """Return the pictures of every group."""
    return tuple(
        group_pictures(group, d, p, data.psf_variance, data.learned)
        for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True)
    )


def shape_change(line: Linearization, slot: Any, theta: Any, pixels: Any) -> Float[Array, "side side"]:
    """Return how one source's picture changes with its shape parameters and pixels."""
    change = jnp.tensordot(theta[slot], line.tangents[slot], axes=1)
    if pixels is None:
        return change
    moved = moved_pixels(line, slot, pixels[slot])
    return change + moved - light_of(moved) * line.picture[slot]


def shape_adjoint(line: Linearization, slot: Any, light: Any) -> tuple[Float[Array, " theta"], Any]:
    """Return the transpose of `shape_change`."""
    theta = jnp.tensordot(line.tangents[slot], light, axes=2)
    if line.envelope is None:
        return theta, None
    return theta, moved_pixels_adjoint(line, slot, light - jnp.vdot(light, line.picture[slot]))


def picture_changes(data: ProblemData, lines: tuple[Linearization, ...], change: Parameters) -> Pictures:
    """Return how every picture changes with shape parameters and pixels."""
    result = []
    for d, line, v in zip(data.groups, lines, change.groups, strict=True):

        def body(slot: Any, carry: Any, line: Linearization = line, v: GroupParameters = v) -> Any:
            return carry.at[slot].set(shape_change(line, slot, v.theta, v.pixels))

        result.append(over_slots(d.count, body, jnp.zeros_like(line.picture)))
    return tuple(result)
