"""The part of a program that is free: what is held is light that was there before.

Sources of which nothing is free become part of the images, once, so that a density costs what its free sources do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

from deblend.infer.gauss_newton import MAX_ASPECT
from deblend.program import Program
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.full_scene_layer import full_scene_bounds
from deblend.program.layout import Layout
from deblend.program.observation_layout import framed
from deblend.program.star_layer import star_bounds


@dataclass(frozen=True, eq=False)
class FreePart:
    """A problem of the sources that anything is free of."""

    layout: Layout
    data: ProblemData
    parameters: Parameters
    _whole: Parameters
    kept: tuple[tuple[int, Int[np.ndarray, " slot"]], ...]
    """Of each group its number in the program, and which slots its first ones are there."""
    is_all: bool
    """Whether nothing was left out."""

    def whole(self, parameters: Parameters) -> Parameters:
        """Return the parameters of the program with those of this part."""
        if self.is_all:
            return parameters
        groups = list(self._whole.groups)
        for (number, slots), p in zip(self.kept, parameters.groups, strict=True):
            old = groups[number]
            theta, flux, aspect = (np.array(part) for part in (old.theta, old.flux, old.aspect))
            theta[slots], flux[slots], aspect[slots] = (
                np.asarray(part)[: len(slots)] for part in (p.theta, p.flux, p.aspect)
            )
            groups[number] = old._replace(theta=theta, flux=flux, aspect=aspect)
        return self._whole._replace(groups=tuple(groups))


def free_part(program: Program) -> FreePart:
    """Return the part of a program's problem that is free; all of it where the light of what is held depends on the
    rest, or is held together with it."""
    layout, data = program.layout, program.data
    parameters: Parameters = jax.tree.map(np.asarray, program.parameters)
    free = [is_free(d) for d in data.groups]
    counts = [int(d.count) for d in data.groups]
    is_alone = data.center_ties is None and data.links is None and parameters.calibration is None
    is_alone &= parameters.stars is None and parameters.full_scene is None and not layout.has_dust
    if not is_alone or not any(map(np.any, free)) or all(f[:n].all() for f, n in zip(free, counts, strict=True)):
        everything = tuple((number, np.arange(n)) for number, n in enumerate(counts))
        return FreePart(layout, data, parameters, parameters, everything, True)
    kept = tuple((number, np.flatnonzero(f)) for number, f in enumerate(free) if f.any())
    groups, few = [], []
    for number, slots in kept:
        order = np.concatenate([slots, np.flatnonzero(~free[number])])
        d, p = data.groups[number], parameters.groups[number]
        moved: GroupData = jax.tree.map(lambda a, o=order: a[o] if np.ndim(a) else a, d)
        groups.append(moved._replace(count=np.int32(len(slots))))
        sorted_p: GroupParameters = jax.tree.map(lambda a, o=order: a[o], p)
        few.append(sorted_p)
    numbers = [number for number, _ in kept]
    observations = tuple(
        o._replace(
            images=np.asarray(o.images) - framed(light, o.images.shape[1:]), power=tuple(o.power[k] for k in numbers)
        )
        for o, light in zip(data.observations, _held_light(program, free), strict=True)
    )
    return FreePart(
        replace(layout, groups=tuple(layout.groups[k] for k in numbers)),
        data._replace(groups=tuple(groups), observations=observations),
        parameters._replace(groups=tuple(few)),
        parameters,
        kept,
        False,
    )


def is_free(data: GroupData) -> Bool[np.ndarray, " slot"]:
    """Return which used slots of a group anything but pixels is free of."""
    used = np.arange(len(data.radius)) < int(data.count)
    return used & ((data.theta_free > 0).any(1) | (data.flux_free > 0).any(1) | (data.aspect_free > 0).any((1, 2)))


def _held_light(program: Program, free: list[np.ndarray]) -> list[np.ndarray]:
    """Return the light of what is not free, as every observation sees it, in units of the noise."""
    at = {
        (source.id, index): (group, slot)
        for group, members in enumerate(program.members)
        for slot, (source, index) in enumerate(members)
    }
    lights = [np.zeros(o.images.shape) for o in program.observations]
    for (source, index), columns in zip(program.parts, program.columns(), strict=True):
        group, slot = at[source.id, index]
        if free[group][slot]:
            continue
        start = 0
        for light, noise, column in zip(lights, program.noise_per_observation, columns, strict=True):
            flux = source.components[index].spectrum.value[start : start + len(noise)] / noise
            rows, across = column.window
            light[:, rows, across] += flux[:, None, None] * column.patch
            start += len(noise)
    return [light.astype(program.dtype) for light in lights]


@dataclass(frozen=True)
class Freedom:
    """What may move, and between which bounds, as parameters each; pixels stay."""

    free: Parameters
    lower: Parameters
    upper: Parameters


def freedom(data: ProblemData, parameters: Parameters) -> Freedom:
    """Return what may move; other than in a fit's step no bound depends on where that stands."""
    free, lower, upper = [], [], []
    for d, p in zip(data.groups, parameters.groups, strict=True):
        used = np.arange(len(d.radius)) < int(d.count)
        furthest = np.full_like(p.aspect, MAX_ASPECT)
        movable: Any = d.theta_free * used[:, None], d.flux_free * used[:, None], d.aspect_free * used[:, None, None]
        free.append(GroupParameters(movable[0], movable[1], None, movable[2]))
        lower.append(GroupParameters(d.theta_lower, d.flux_lower, None, -furthest))
        upper.append(GroupParameters(d.theta_upper, d.flux_upper, None, furthest))
    terms: tuple[Any, Any, Any] = (None, None, None)
    if data.calibration is not None and parameters.calibration is not None:
        terms = data.calibration.free, data.calibration.lower, data.calibration.upper
    *star_range, free_stars = star_bounds(data)
    *everywhere, free_everywhere = full_scene_bounds(data.full_scene)
    return Freedom(
        Parameters(tuple(free), terms[0], free_stars, free_everywhere),
        Parameters(tuple(lower), terms[1], star_range[0], everywhere[0]),
        Parameters(tuple(upper), terms[2], star_range[1], everywhere[1]),
    )
