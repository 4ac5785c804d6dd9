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

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, GroupParameters, ObservationData, Parameters, ProblemData
from deblend.program.layout import GroupLayout, Layout, ObservationLayout
from deblend.render import KINDS, shift_matrix

CORRECTION_FLOOR = 1e-5
"""Correction per pixel that one unit always stands for, relative to the flux of the source."""

Canvas = Float[Array, "channel y x"]
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


def over_slots(count: Any, body: Callable[[Any, Any], Any], initial: Any) -> Any:
    """Run `body(slot, carry)` over the used slots of a group."""
    return lax.fori_loop(0, count, body, initial)


def line_mask(side: int, radius: Any, dtype: Any) -> Float[Array, " side"]:
    """Return 1 on the rows or columns of the box in use, 0 on its padding."""
    return (jnp.abs(jnp.arange(side) - side // 2) <= radius).astype(dtype)


def box_mask(side: int, radius: Any, dtype: Any) -> Float[Array, "side side"]:
    """Return 1 inside of the box in use, 0 in its padding."""
    line = line_mask(side, radius, dtype)
    return line[:, None] * line[None, :]


def profile_of(group: GroupLayout, theta: Any, scale: Any, psf_variance: Any) -> Float[Array, "side side"]:
    return KINDS[group.kind].profile(theta, scale, group.side, psf_variance)


def envelope_of(
    group: GroupLayout, profile: Float[Array, "*stack side side"], correction: Any, mask: Any
) -> Float[Array, "*stack side side"]:
    """Return the light that one unit of a pixel stands for; for a correction it is linear in the profile."""
    if not KINDS[group.kind].is_correction:
        return mask
    floor = CORRECTION_FLOOR * jnp.sum(profile, axis=(-2, -1), keepdims=True)
    return (correction * profile + floor) * jnp.broadcast_to(mask, profile.shape)


def picture_of(
    group: GroupLayout, theta: Any, pixels: Any, scale: Any, correction: Any, radius: Any, psf_variance: Any
) -> Float[Array, "side side"]:
    """Return one source per unit flux at its sub-pixel center."""
    mask = box_mask(group.side, radius, theta.dtype)
    profile = profile_of(group, theta, scale, psf_variance) * mask
    if pixels is None:
        return normalised(group, profile)
    envelope = envelope_of(group, profile, correction, mask)
    if KINDS[group.kind].is_correction:
        return normalised(group, profile + envelope * pixels)
    shift_y, shift_x = shift_matrix(theta[0], group.side), shift_matrix(theta[1], group.side)
    return normalised(group, shift_y @ (envelope * pixels) @ shift_x.T * mask)


def normalised(group: GroupLayout, picture: Float[Array, "side side"]) -> Float[Array, "side side"]:
    """Return the picture with sum 1, unless its kind has flux 1 by itself."""
    return picture if KINDS[group.kind].is_normalised else picture / _total(picture)


def _total(picture: Float[Array, "side side"]) -> Float[Array, ""]:
    total = jnp.sum(picture)
    return jnp.where(jnp.abs(total) > 1e-6, total, 1.0)


def linearize_group(
    group: GroupLayout, data: GroupData, parameters: GroupParameters, psf_variance: Any
) -> Linearization:
    """Return pictures and their derivatives for every used slot."""
    kind, side = KINDS[group.kind], group.side
    dtype = parameters.theta.dtype

    def one(slot: Any) -> Linearization:
        theta, scale = parameters.theta[slot], data.scale[slot]
        line = line_mask(side, data.radius[slot], dtype)
        mask = line[:, None] * line[None, :]
        profile, tangents = kind.profile_with_derivatives(theta, scale, side, psf_variance)
        profile, tangents = profile * mask, tangents * mask[None]
        if parameters.pixels is None:
            return Linearization(profile, tangents, None, None, None)
        pixels = parameters.pixels[slot]
        envelope = envelope_of(group, profile, data.correction[slot], mask)
        shifts: tuple[Any, Any] = (None, None)
        if kind.is_correction:
            picture = profile + envelope * pixels
            tangents = tangents + envelope_of(group, tangents, data.correction[slot], mask) * pixels[None]
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
        tangents = (tangents - jnp.sum(tangents, axis=(1, 2), keepdims=True) * picture[None]) / total
        return Linearization(picture, tangents, *shifts, envelope / total)

    example = jax.eval_shape(one, jnp.zeros((), int))
    initial = jax.tree.map(lambda leaf: jnp.zeros((group.capacity, *leaf.shape), leaf.dtype), example)

    def body(slot: Any, carry: Linearization) -> Linearization:
        return jax.tree.map(lambda stack, value: stack.at[slot].set(value), carry, one(slot))

    result: Linearization = over_slots(data.count, body, initial)
    return result


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
        linearize_group(group, d, p, data.psf_variance)
        for group, d, p in zip(layout.groups, data.groups, parameters, strict=True)
    )


def _corner(layout: Layout, group: GroupLayout, origin: Any) -> tuple[Any, Any]:
    start = layout.pad + layout.margin - group.side // 2
    return origin[0] + start, origin[1] + start


def _add_patch(scratch: Canvas, patch: Canvas, corner: tuple[Any, Any]) -> Canvas:
    start = (jnp.zeros_like(corner[0]), *corner)
    return lax.dynamic_update_slice(scratch, lax.dynamic_slice(scratch, start, patch.shape) + patch, start)


def draw(layout: Layout, data: ProblemData, dtype: Any, patches: tuple[Callable[[Any], Canvas], ...]) -> Canvas:
    """Return the canvas with one patch per used slot added; `patches` makes them, a function per group."""
    scratch = jnp.zeros((layout.n_channels, *layout.scratch_shape), dtype)
    for group, d, patch in zip(layout.groups, data.groups, patches, strict=True):

        def body(slot: Any, carry: Canvas, group: Any = group, d: Any = d, patch: Any = patch) -> Canvas:
            return _add_patch(carry, patch(slot), _corner(layout, group, d.origin[slot]))

        scratch = over_slots(d.count, body, scratch)
    margin, (height, width) = layout.margin, layout.canvas_shape
    return scratch[:, margin : margin + height, margin : margin + width]


def convolve(layout: ObservationLayout, pad: int, data: ObservationData, canvas: Canvas) -> Canvas:
    """Return what an observation sees of the sky canvas."""
    (height, width), r = layout.shape, layout.radius
    inner = canvas[layout.start : layout.stop, pad - r : pad + height + r, pad - r : pad + width + r]
    spectrum = jnp.fft.rfft2(inner, s=layout.fft_shape) * data.transfer
    return jnp.fft.irfft2(spectrum, s=layout.fft_shape)[:, r : r + height, r : r + width]


def convolve_adjoint(layout: ObservationLayout, pad: int, data: ObservationData, image: Canvas) -> Canvas:
    """Return the transpose of `convolve`, on the channels of this observation."""
    (height, width), r = layout.shape, layout.radius
    rows, columns = layout.fft_shape
    padded = jnp.pad(image, ((0, 0), (r, rows - height - r), (r, columns - width - r)))
    spectrum = jnp.fft.rfft2(padded) * jnp.conj(data.transfer)
    back = jnp.fft.irfft2(spectrum, s=layout.fft_shape)[:, : height + 2 * r, : width + 2 * r]
    extra = pad - r
    return jnp.pad(back, ((0, 0), (extra, extra), (extra, extra)))


def observe(layout: Layout, data: ProblemData, canvas: Canvas) -> tuple[Canvas, ...]:
    """Return what every observation sees of the sky canvas."""
    return tuple(
        convolve(o, layout.pad, d, canvas) for o, d in zip(layout.observations, data.observations, strict=True)
    )


def observe_adjoint(layout: Layout, data: ProblemData, images: tuple[Canvas, ...]) -> Canvas:
    """Return the transpose of `observe`, embedded in the scratch array that boxes are cut from."""
    canvas = jnp.concatenate(
        [
            convolve_adjoint(o, layout.pad, d, image)
            for o, d, image in zip(layout.observations, data.observations, images, strict=True)
        ]
    )
    margin = layout.margin
    return jnp.pad(canvas, ((0, 0), (margin, margin), (margin, margin)))


def slopes(picture: Float[Array, "*stack side side"]) -> Float[Array, "2 *stack side side"]:
    """Return how a picture changes when it moves by a pixel in y, and in x: central differences, dark outside.

    They move the centroid of a picture by exactly as much as they are scaled by. Their transpose is their negative.
    """
    axes = picture.ndim - 2, picture.ndim - 1
    return jnp.stack([0.5 * (_shifted(picture, axis, 1) - _shifted(picture, axis, -1)) for axis in axes])


def _shifted(picture: Any, axis: int, by: int) -> Any:
    """Return the picture moved by one pixel, with nothing moved in."""
    empty = jnp.zeros_like(lax.slice_in_dim(picture, 0, 1, axis=axis))
    n = picture.shape[axis]
    kept = lax.slice_in_dim(picture, 0, n - 1, axis=axis) if by > 0 else lax.slice_in_dim(picture, 1, n, axis=axis)
    return jnp.concatenate([empty, kept] if by > 0 else [kept, empty], axis=axis)


def per_channel(
    picture: Float[Array, "side side"], offset: Float[Array, "channel 2"]
) -> Float[Array, "channel side side"]:
    """Return a picture as every channel sees it, off by a little."""
    return picture[None] + jnp.tensordot(offset, slopes(picture), axes=1)


def group_pictures(
    group: GroupLayout, data: GroupData, parameters: GroupParameters, psf_variance: Any
) -> Float[Array, "slot side side"]:
    """Return every used slot's picture, per unit flux at its sub-pixel center."""

    def body(slot: Any, carry: Any) -> Any:
        pixels = parameters.pixels[slot] if parameters.pixels is not None else None
        shape = data.scale[slot], data.correction[slot], data.radius[slot]
        return carry.at[slot].set(picture_of(group, parameters.theta[slot], pixels, *shape, psf_variance))

    empty = jnp.zeros((group.capacity, group.side, group.side), parameters.theta.dtype)
    result: Float[Array, "slot side side"] = over_slots(data.count, body, empty)
    return result


def pictures_of(layout: Layout, data: ProblemData, parameters: Parameters) -> Pictures:
    """Return the pictures of every group."""
    return tuple(
        group_pictures(group, d, p, data.psf_variance)
        for group, d, p in zip(layout.groups, data.groups, parameters, strict=True)
    )


def render(layout: Layout, data: ProblemData, parameters: Parameters, pictures: Pictures) -> tuple[Canvas, ...]:
    """Return the model of every observation, in units of each channel's noise, from the pictures of the sources."""
    patches = tuple(
        lambda slot, p=p, stack=stack: p.flux[slot][:, None, None] * per_channel(stack[slot], p.offset[slot])
        for p, stack in zip(parameters, pictures, strict=True)
    )
    return observe(layout, data, draw(layout, data, data.observations[0].images.dtype, patches))


def shape_change(line: Linearization, slot: Any, theta: Any, pixels: Any) -> Float[Array, "side side"]:
    """Return how one source's picture changes with its shape parameters and pixels."""
    change = jnp.tensordot(theta[slot], line.tangents[slot], axes=1)
    if pixels is None:
        return change
    moved = moved_pixels(line, slot, pixels[slot])
    return change + moved - jnp.sum(moved) * line.picture[slot]


def shape_adjoint(line: Linearization, slot: Any, light: Any) -> tuple[Float[Array, " theta"], Any]:
    """Return the transpose of `shape_change`."""
    theta = jnp.tensordot(line.tangents[slot], light, axes=2)
    if line.envelope is None:
        return theta, None
    return theta, moved_pixels_adjoint(line, slot, light - jnp.sum(light * line.picture[slot]))


def apply_jacobian(
    layout: Layout, data: ProblemData, parameters: Parameters, lines: tuple[Linearization, ...], change: Parameters
) -> tuple[Canvas, ...]:
    """Return J v: how the models change with the parameters."""

    def patch_of(p: GroupParameters, line: Linearization, v: GroupParameters) -> Callable[[Any], Canvas]:
        def patch(slot: Any) -> Canvas:
            picture, change = line.picture[slot], shape_change(line, slot, v.theta, v.pixels)
            flux, offset = p.flux[slot][:, None], p.offset[slot]
            flux_change, moved = v.flux[slot][:, None], flux * v.offset[slot] + v.flux[slot][:, None] * offset
            factors = jnp.concatenate([flux, flux_change, flux * offset, moved], axis=1)
            parts = jnp.concatenate([change[None], picture[None], slopes(change), slopes(picture)])
            return jnp.tensordot(factors, parts, axes=1)

        return patch

    patches = tuple(patch_of(*item) for item in zip(parameters, lines, change, strict=True))
    return observe(layout, data, draw(layout, data, data.observations[0].images.dtype, patches))


def apply_adjoint(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    lines: tuple[Linearization, ...],
    images: tuple[Canvas, ...],
) -> Parameters:
    """Return Jᵀ u for images u of every observation."""
    scratch = observe_adjoint(layout, data, images)
    result = []
    for group, d, p, line in zip(layout.groups, data.groups, parameters, lines, strict=True):

        def body(
            slot: Any, carry: GroupParameters, group: Any = group, d: Any = d, p: Any = p, line: Any = line
        ) -> GroupParameters:
            row, column = _corner(layout, group, d.origin[slot])
            corner = (jnp.zeros_like(row), row, column)
            patch = lax.dynamic_slice(scratch, corner, (layout.n_channels, group.side, group.side))
            picture, offset = line.picture[slot], p.offset[slot]
            parts = jnp.concatenate([picture[None], slopes(picture)])
            seen = jnp.tensordot(patch, parts, axes=((1, 2), (1, 2)))
            flux = p.flux[slot][:, None]
            own, *moved = jnp.tensordot(jnp.concatenate([flux, flux * offset], axis=1).T, patch, axes=1)
            mixed = own - sum(slopes(light)[axis] for axis, light in enumerate(moved))
            theta, pixels = shape_adjoint(line, slot, mixed)
            new = GroupParameters(theta, seen[:, 0] + jnp.sum(offset * seen[:, 1:], axis=1), pixels, flux * seen[:, 1:])
            return jax.tree.map(lambda stack, value: stack.at[slot].set(value), carry, new)

        result.append(over_slots(d.count, body, jax.tree.map(jnp.zeros_like, p)))
    return tuple(result)
