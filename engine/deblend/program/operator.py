"""The forward model and its derivative, over all sources at once.

Pictures of sources times their spectra are added to a canvas, and each observation convolves the canvas with its
difference kernels. With the linearization of the pictures J v and Jᵀ u are a few products per source and one
convolution per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.aspects import aspects_adjoint, aspects_change, outward, per_channel
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
from deblend.program.pictures import (
    Linearization,
    Pictures,
    over_slots,
    shape_adjoint,
)
from deblend.program.star_layer import add_stars, stars_adjoint


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
    return with_background(layout, data, parameters, observe(layout, calibrated(layout, data, parameters), sky))


def brightness(parameters: Parameters, lines: tuple[Linearization, ...]) -> tuple[Callable[[Any], Canvas], ...]:
    """Return what every slot is in each channel without dust: its fluxes times its picture and aspects."""

    def of(p: GroupParameters, line: Linearization) -> Callable[[Any], Canvas]:
        def patch(slot: Any) -> Canvas:
            flux = p.flux[slot][:, None]
            return jnp.tensordot(jnp.concatenate([flux, flux * p.aspect[slot]], axis=1), line.seen[slot], axes=1)

        return patch

    return tuple(of(p, line) for p, line in zip(parameters.groups, lines, strict=True))


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
    added = calibration_change(layout, data, tangents, change.calibration)
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
    by_seen = Parameters(tuple(result), calibration_adjoint(data, tangents, images), stars, everywhere)
    if by_seen.calibration is None and parameters.calibration is not None:
        by_seen = by_seen._replace(calibration=jnp.zeros_like(parameters.calibration))
    answer: Parameters = unturned(by_seen)[0]
    return answer
