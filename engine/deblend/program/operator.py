"""The forward model and its derivative, over all sources at once.

A source's picture is its profile at the true sub-pixel center, or its free-form pixels moved there. Pixels that
correct a profile are in units of an envelope, the light that a correction may add or take: with M = G + (τ G + ε ΣG) u
and u of unit variance the prior needs no knowledge of the scene, no pixel of u can outlive the light that allowed it,
and a center that moves takes the envelope along, so that such pixels need no interpolation. The sum is divided by its
own total, so that a spectrum is the flux of its source and no scale can move between the two. Times its spectrum it is
added to a canvas, and each observation convolves the canvas with its difference kernels.

The derivative is kept as pictures: one per shape parameter and source, the envelope of its pixels, and for free-form
ones two small matrices that move them. With these J v and Jᵀ u are a few products per source and one convolution per
channel. Loops run over the used slots of a group and are compiled once, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.aspects import aspects, aspects_adjoint, aspects_change, outward, per_channel
from deblend.program.calibration import (
    Tangents,
    calibrated,
    calibration_adjoint,
    calibration_change,
    turned,
    with_background,
)
from deblend.program.convolution import Canvas, observe, observe_adjoint
from deblend.program.dust_layer import dimmed, dimmed_adjoint, dimmed_change, shines
from deblend.program.full_scene_layer import full_scene_adjoint, full_scene_change, full_scene_light
from deblend.program.layout import GroupLayout, Layout
from deblend.program.star_layer import add_stars, stars_adjoint
from deblend.render import KINDS, shift_matrix
from deblend.render.learned import LearnedTables, learned_derivatives, learned_light

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
    seen: Float[Array, "slot part side side"]
    """The picture and its aspects."""
    outward: Float[Array, "slot side side"]


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


def profile_of(
    group: GroupLayout, theta: Any, scale: Any, psf_variance: Any, tables: LearnedTables | None
) -> tuple[Float[Array, "side side"], Float[Array, "side side"]]:
    """Return the profile of one source, and its scatter, that the light of its pixels goes by."""
    kind = KINDS[group.kind]
    if kind.is_learned:
        return learned_light(theta, scale, psf_variance, group.side, known(tables))
    profile = kind.profile(theta, scale, group.side, psf_variance)
    return profile, profile


def known(tables: LearnedTables | None) -> LearnedTables:
    """Return tables that there are; raises ValueError where a source needs what it was not given."""
    if tables is None:
        raise ValueError("A learned morphology is drawn from tables; pass those of deblend.priors.tables.")
    return tables


def envelope_of(
    group: GroupLayout, scatter: Float[Array, "*stack side side"], correction: Any, mask: Any
) -> Float[Array, "*stack side side"]:
    """Return the light that one unit of a pixel stands for; for a correction it is linear in the scatter."""
    kind = KINDS[group.kind]
    if not kind.is_correction:
        return mask
    floor = 0.0 if kind.is_learned else CORRECTION_FLOOR * light_of(scatter)[..., None, None]
    return (correction * scatter + floor) * jnp.broadcast_to(mask, scatter.shape)


def picture_of(
    group: GroupLayout,
    theta: Any,
    pixels: Any,
    scale: Any,
    correction: Any,
    radius: Any,
    psf_variance: Any,
    tables: LearnedTables | None = None,
) -> Float[Array, "side side"]:
    """Return one source per unit flux at its sub-pixel center."""
    mask = box_mask(group.side, radius, theta.dtype)
    profile, scatter = (part * mask for part in profile_of(group, theta, scale, psf_variance, tables))
    if pixels is None:
        return normalised(group, profile)
    envelope = envelope_of(group, scatter, correction, mask)
    if KINDS[group.kind].is_correction:
        return normalised(group, profile + envelope * pixels)
    shift_y, shift_x = shift_matrix(theta[0], group.side), shift_matrix(theta[1], group.side)
    return normalised(group, shift_y @ (envelope * pixels) @ shift_x.T * mask)


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
    tables: LearnedTables | None = None,
) -> Linearization:
    """Return pictures and their derivatives for every used slot."""
    kind, side = KINDS[group.kind], group.side
    dtype = parameters.theta.dtype

    def one(slot: Any) -> Linearization:
        theta, scale = parameters.theta[slot], data.scale[slot]
        line = line_mask(side, data.radius[slot], dtype)
        mask = line[:, None] * line[None, :]
        if kind.is_learned:
            profile, scatter = learned_light(theta, scale, psf_variance, side, known(tables))
            tangents, of_scatter = learned_derivatives(theta, scale, psf_variance, side, known(tables))
            profile, scatter = profile * mask, scatter * mask
            tangents, of_scatter = tangents * mask[None], of_scatter * mask[None]
        else:
            profile, tangents = kind.profile_with_derivatives(theta, scale, side, psf_variance)
            profile, tangents = profile * mask, tangents * mask[None]
            scatter, of_scatter = profile, tangents
        out = outward(side, scale)
        if parameters.pixels is None:
            return Linearization(profile, tangents, None, None, None, _with_aspects(profile, out), out)
        pixels = parameters.pixels[slot]
        envelope = envelope_of(group, scatter, data.correction[slot], mask)
        shifts: tuple[Any, Any] = (None, None)
        if kind.is_correction:
            picture = profile + envelope * pixels
            # the scatter may depend on the offset alone
            change = envelope_of(group, of_scatter, data.correction[slot], mask) * pixels[None]
            tangents = tangents + jnp.pad(change, ((0, len(tangents) - len(change)), (0, 0), (0, 0)))
        else:
            (shift_y, slope_y), (shift_x, slope_x) = (
                jax.jvp(lambda offset: shift_matrix(offset, side), (theta[axis],), (jnp.ones((), dtype),))
                for axis in (0, 1)
            )
            # masked rows of the matrices keep moved pixels inside of the box without a further product
            shifts = shift_y * line[:, None], shift_x * line[:, None]
            moved = pixels @ shifts[1].T
            picture = shifts[0] @ moved
            tangents = jnp.stack([slope_y @ moved, shifts[0] @ (pixels @ slope_x.T)]) * mask[None]
        total = _total(picture)
        picture = picture / total
        tangents = (tangents - light_of(tangents)[:, None, None] * picture[None]) / total
        return Linearization(picture, tangents, *shifts, envelope / total, _with_aspects(picture, out), out)

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
    return line.shift_y[slot] @ light @ line.shift_x[slot].T


def unmoved(line: Linearization, slot: Any, light: Any) -> Float[Array, "side side"]:
    """Return light, as it is seen, on the pixels that make it."""
    if line.shift_y is None or line.shift_x is None:
        return light
    return line.shift_y[slot].T @ light @ line.shift_x[slot]


def moved_pixels_adjoint(line: Linearization, slot: Any, light: Any) -> Float[Array, "side side"]:
    """Return the transpose of `moved_pixels`."""
    return line.envelope[slot] * unmoved(line, slot, light)  # type: ignore[index]


def linearize(layout: Layout, data: ProblemData, parameters: Parameters) -> tuple[Linearization, ...]:
    """Return the linearization of every group."""
    return tuple(
        linearize_group(group, d, p, data.psf_variance, data.learned)
        for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True)
    )


def _corner(layout: Layout, group: GroupLayout, origin: Any) -> tuple[Any, Any]:
    start = layout.pad + layout.margin - group.side // 2
    return origin[0] + start, origin[1] + start


def _add_patch(scratch: Canvas, patch: Canvas, corner: tuple[Any, Any]) -> Canvas:
    start = (jnp.zeros_like(corner[0]), *corner)
    return lax.dynamic_update_slice(scratch, lax.dynamic_slice(scratch, start, patch.shape) + patch, start)


def _on_planes(layout: Layout, data: GroupData, slot: Any, patch: Canvas) -> Canvas:
    """Return what a source adds to every plane of the canvas, of what it adds to every channel."""
    if data.psf_share is None:
        return patch
    return patch[np.array(layout.planes)] * data.psf_share[slot][:, None, None]


def _on_channels(layout: Layout, data: GroupData, slot: Any, patch: Canvas) -> Canvas:
    """Return the transpose of `_on_planes`."""
    if data.psf_share is None:
        return patch
    gathering = np.eye(layout.n_channels)[:, list(layout.planes)].astype(patch.dtype)
    return jnp.tensordot(gathering * data.psf_share[slot][None], patch, axes=1)


def draw(
    layout: Layout,
    data: ProblemData,
    dtype: Any,
    patches: Sequence[Callable[[Any], Canvas]],
    stars: Float[Array, "star passband"] | None,
    everywhere: Canvas | None,
) -> Canvas:
    """Return the canvas with one patch per used slot added, known stars of these fluxes, and light that is everywhere;
    `patches` makes the patches, a function per group; those of dust are not drawn."""
    scratch = jnp.zeros((len(layout.planes), *layout.scratch_shape), dtype)
    for group, d, patch in zip(layout.groups, data.groups, patches, strict=True):
        if not shines(group):
            continue

        def body(slot: Any, carry: Canvas, group: Any = group, d: Any = d, patch: Any = patch) -> Canvas:
            return _add_patch(carry, _on_planes(layout, d, slot, patch(slot)), _corner(layout, group, d.origin[slot]))

        scratch = over_slots(d.count, body, scratch)
    if data.stars is not None and stars is not None:
        scratch = add_stars(layout, data.stars, stars, scratch)
    margin, (height, width) = layout.margin, layout.canvas_shape
    canvas = scratch[:, margin : margin + height, margin : margin + width]
    return canvas if everywhere is None else canvas + everywhere


def group_pictures(
    group: GroupLayout,
    data: GroupData,
    parameters: GroupParameters,
    psf_variance: Any,
    tables: LearnedTables | None = None,
) -> Float[Array, "slot side side"]:
    """Return every used slot's picture, per unit flux at its sub-pixel center."""

    def body(slot: Any, carry: Any) -> Any:
        pixels = parameters.pixels[slot] if parameters.pixels is not None else None
        shape = data.scale[slot], data.correction[slot], data.radius[slot]
        return carry.at[slot].set(picture_of(group, parameters.theta[slot], pixels, *shape, psf_variance, tables))

    empty = jnp.zeros((group.capacity, group.side, group.side), parameters.theta.dtype)
    result: Float[Array, "slot side side"] = over_slots(data.count, body, empty)
    return result


def pictures_of(layout: Layout, data: ProblemData, parameters: Parameters) -> Pictures:
    """Return the pictures of every group."""
    return tuple(
        group_pictures(group, d, p, data.psf_variance, data.learned)
        for group, d, p in zip(layout.groups, data.groups, parameters.groups, strict=True)
    )


def sky_of(layout: Layout, data: ProblemData, parameters: Parameters, pictures: Pictures) -> Canvas:
    """Return the canvas of all sources, in units of each channel's noise, from their pictures."""
    parameters = turned(data, parameters)
    patches = tuple(
        lambda slot, g=g, d=d, p=p, stack=stack: (
            p.flux[slot][:, None, None] * per_channel(stack[slot], p.aspect[slot], outward(g.side, d.scale[slot]))
        )
        for g, d, p, stack in zip(layout.groups, data.groups, parameters.groups, pictures, strict=True)
    )
    everywhere = full_scene_light(layout, data.full_scene, parameters.full_scene)
    seen = dimmed(layout, data, patches)
    return draw(layout, data, data.observations[0].images.dtype, seen, parameters.stars, everywhere)


def render(layout: Layout, data: ProblemData, parameters: Parameters, pictures: Pictures) -> tuple[Canvas, ...]:
    """Return the model of every observation, in units of each channel's noise, from the pictures of the sources."""
    sky = sky_of(layout, data, parameters, pictures)
    return with_background(layout, parameters, observe(layout, calibrated(layout, data, parameters), sky))


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


def brightness(parameters: Parameters, lines: tuple[Linearization, ...]) -> tuple[Callable[[Any], Canvas], ...]:
    """Return what every slot is in each channel without dust: its fluxes times its picture and aspects."""

    def of(p: GroupParameters, line: Linearization) -> Callable[[Any], Canvas]:
        def patch(slot: Any) -> Canvas:
            flux = p.flux[slot][:, None]
            return jnp.tensordot(jnp.concatenate([flux, flux * p.aspect[slot]], axis=1), line.seen[slot], axes=1)

        return patch

    return tuple(of(p, line) for p, line in zip(parameters.groups, lines, strict=True))


def picture_changes(data: ProblemData, lines: tuple[Linearization, ...], change: Parameters) -> Pictures:
    """Return how every picture changes with shape parameters and pixels."""
    result = []
    for d, line, v in zip(data.groups, lines, change.groups, strict=True):

        def body(slot: Any, carry: Any, line: Linearization = line, v: GroupParameters = v) -> Any:
            return carry.at[slot].set(shape_change(line, slot, v.theta, v.pixels))

        result.append(over_slots(d.count, body, jnp.zeros_like(line.picture)))
    return tuple(result)


def apply_jacobian(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lines: tuple[Linearization, ...],
    change: Parameters,
    changes: Pictures,
    tangents: Tangents | None = None,
) -> tuple[Canvas, ...]:
    """Return J v: how the models change with the parameters, given how the pictures do.

    `data` are calibrated, and `tangents` are how the models change with that.
    """

    def patch_of(
        p: GroupParameters, line: Linearization, v: GroupParameters, pictures: Float[Array, "slot side side"]
    ) -> Callable[[Any], Canvas]:
        def patch(slot: Any) -> Canvas:
            picture, own = line.picture[slot], pictures[slot]
            flux, flux_change, aspect = p.flux[slot][:, None], v.flux[slot][:, None], p.aspect[slot]
            of_own = jnp.concatenate([flux, flux * aspect], axis=1)
            of_seen = jnp.concatenate([flux_change, flux * v.aspect[slot] + flux_change * aspect], axis=1)
            changed = jnp.concatenate([own[None], aspects_change(picture, own, line.outward[slot])])
            return jnp.tensordot(of_own, changed, axes=1) + jnp.tensordot(of_seen, line.seen[slot], axes=1)

        return patch

    parameters, change = jax.jvp(partial(turned, data), (parameters,), (change,))
    of_light = tuple(patch_of(*item) for item in zip(parameters.groups, lines, change.groups, changes, strict=True))
    patches = dimmed_change(layout, data, brightness(parameters, lines), of_light)
    everywhere = full_scene_change(layout, data.full_scene, parameters.full_scene, change.full_scene)
    canvas = draw(layout, data, data.observations[0].images.dtype, patches, change.stars, everywhere)
    images = observe(layout, data, canvas)
    added = calibration_change(layout, tangents, change.calibration)
    return images if added is None else tuple(map(jnp.add, images, added))


def apply_adjoint(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lines: tuple[Linearization, ...],
    images: tuple[Canvas, ...],
    lights: tuple[Float[Array, "slot side side"] | None, ...],
    tangents: Tangents | None = None,
) -> Parameters:
    """Return Jᵀ u for images u of every observation, and what `lights` on the pictures themselves add to it.

    `data` and `tangents` as in `apply_jacobian`.
    """
    scratch = observe_adjoint(layout, data, images)
    parameters, unturned = jax.vjp(partial(turned, data), parameters)

    def cut_of(group: GroupLayout, d: GroupData) -> Callable[[Any], Canvas]:
        def cut(slot: Any) -> Canvas:
            row, column = _corner(layout, group, d.origin[slot])
            corner = (jnp.zeros_like(row), row, column)
            around = lax.dynamic_slice(scratch, corner, (len(layout.planes), group.side, group.side))
            return _on_channels(layout, d, slot, around)

        return cut

    cuts = tuple(cut_of(group, d) for group, d in zip(layout.groups, data.groups, strict=True))
    seen_on = dimmed_adjoint(layout, data, brightness(parameters, lines), cuts)
    result = []
    for d, p, *item in zip(data.groups, parameters.groups, seen_on, lines, lights, strict=True):

        def body(slot: Any, carry: GroupParameters, p: Any = p, item: Any = item) -> GroupParameters:
            on_slot, line, light = item
            patch = on_slot(slot)
            picture, aspect = line.picture[slot], p.aspect[slot]
            seen = jnp.tensordot(patch, line.seen[slot], axes=((1, 2), (1, 2)))
            flux = p.flux[slot][:, None]
            seen_as = jnp.tensordot(jnp.concatenate([flux, flux * aspect], axis=1).T, patch, axes=1)
            mixed = seen_as[0] + aspects_adjoint(picture, seen_as[1:], line.outward[slot])
            theta, pixels = shape_adjoint(line, slot, mixed if light is None else mixed + light[slot])
            new = GroupParameters(theta, seen[:, 0] + jnp.sum(aspect * seen[:, 1:], axis=1), pixels, flux * seen[:, 1:])
            return jax.tree.map(lambda stack, value: stack.at[slot].set(value), carry, new)

        result.append(over_slots(d.count, body, jax.tree.map(jnp.zeros_like, p)))
    stars = None if data.stars is None else stars_adjoint(layout, data.stars, scratch)
    everywhere = full_scene_adjoint(layout, data.full_scene, parameters.full_scene, scratch)
    by_seen = Parameters(tuple(result), calibration_adjoint(layout, tangents, images), stars, everywhere)
    if by_seen.calibration is None and parameters.calibration is not None:
        by_seen = by_seen._replace(calibration=jnp.zeros_like(parameters.calibration))
    answer: Parameters = unturned(by_seen)[0]
    return answer
