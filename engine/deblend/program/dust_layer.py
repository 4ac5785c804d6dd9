"""Dust: what multiplies the light of components by exp(-D), with D the optical depth in every channel.

A layer of dust is a slot like any other, of a group that absorbs. Its "fluxes" are total optical depths in units that
make them, to first order, what they take from the light behind: an optical depth D takes D E of a light E, so the unit
is minus one over about how bright that light is. A layer is then a source of negative light, and all that solvers know
of sources, what they can trade and how each is preconditioned, holds for it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, ProblemData
from deblend.program.layout import GroupLayout, Layout

Patch = Float[Array, "channel side side"]
Patches = Sequence[Callable[[Any], Patch]]
"""What sources are in every channel, a function of the slot for every group."""


def shines(group: GroupLayout) -> bool:
    """Tell whether a group is of what is drawn, rather than of what dims that."""
    return not group.is_absorbing


def dimmed(layout: Layout, data: ProblemData, patches: Patches) -> Patches:
    """Return the light of every slot behind its dust, from that without it and, for dust, its depths in their units."""
    if not layout.has_dust:
        return patches

    def behind(d: GroupData, group: GroupLayout, patch: Callable[[Any], Patch]) -> Callable[[Any], Patch]:
        def seen(slot: Any) -> Patch:
            light = patch(slot)
            return _where_dusty(
                d, slot, lambda: light * jnp.exp(-_depth(layout, data, patches, d, slot, group.side)), light
            )

        return seen if shines(group) else patch

    return tuple(behind(*item) for item in zip(data.groups, layout.groups, patches, strict=True))


def dimmed_change(layout: Layout, data: ProblemData, patches: Patches, changes: Patches) -> Patches:
    """Return how the light of every slot behind its dust changes, given how light and depths do."""
    if not layout.has_dust:
        return changes

    def behind(
        d: GroupData, group: GroupLayout, patch: Callable[[Any], Patch], change: Callable[[Any], Patch]
    ) -> Callable[[Any], Patch]:
        def seen(slot: Any) -> Patch:
            of_light = change(slot)

            def dusty() -> Patch:
                depth, of_depth = (_depth(layout, data, each, d, slot, group.side) for each in (patches, changes))
                return jnp.exp(-depth) * (of_light - patch(slot) * of_depth)

            return _where_dusty(d, slot, dusty, of_light)

        return seen if shines(group) else change

    return tuple(behind(*item) for item in zip(data.groups, layout.groups, patches, changes, strict=True))


def dimmed_adjoint(layout: Layout, data: ProblemData, patches: Patches, lights: Patches) -> Patches:
    """Return the transpose of `dimmed_change`: what light on every slot, seen behind its dust, is for the slot itself
    and, for dust, for its depths."""
    if not layout.has_dust:
        return lights
    absorbing = _absorbing(layout)
    onto = [_empty(layout, data, index) for index in absorbing]
    for index, (group, d) in enumerate(zip(layout.groups, data.groups, strict=True)):
        if shines(group):
            onto = lax.fori_loop(0, d.count, _onto_dust(layout, data, patches, lights, index), onto)

    def behind(index: int) -> Callable[[Any], Patch]:
        d, group = data.groups[index], layout.groups[index]

        def seen(slot: Any) -> Patch:
            if not shines(group):
                return d.unit[slot][:, None, None] * onto[absorbing.index(index)][slot]  # type: ignore[index]
            light = lights[index](slot)
            return _where_dusty(
                d, slot, lambda: light * jnp.exp(-_depth(layout, data, patches, d, slot, group.side)), light
            )

        return seen

    return tuple(map(behind, range(len(layout.groups))))


def _onto_dust(layout: Layout, data: ProblemData, patches: Patches, lights: Patches, index: int) -> Callable[..., Any]:
    """Return what adds, for one slot of a group that shines, its part of the gradient by depths."""
    d, group = data.groups[index], layout.groups[index]

    def body(slot: Any, onto: Any) -> Any:
        def add(k: int) -> Callable[[], Any]:
            def added() -> Any:
                depth = _depth(layout, data, patches, d, slot, group.side)
                of_depth = on_side(-patches[index](slot) * jnp.exp(-depth) * lights[index](slot), onto[k].shape[-1])
                return [*onto[:k], onto[k].at[d.screen[slot, 1]].add(of_depth), *onto[k + 1 :]]  # type: ignore[index]

            return added

        return lax.switch(d.screen[slot, 0] + 1, [lambda: onto, *map(add, range(len(onto)))])  # type: ignore[index]

    return body


def _depth(layout: Layout, data: ProblemData, patches: Patches, d: GroupData, slot: Any, side: int) -> Patch:
    """Return the optical depth in front of a slot, on its box; or how it changes, from how the depths do."""
    which, member = d.screen[slot]  # type: ignore[index]

    def of(index: int) -> Callable[[], Patch]:
        return lambda: on_side(data.groups[index].unit[member][:, None, None] * patches[index](member), side)  # type: ignore[index]

    return lax.switch(jnp.maximum(which, 0), [of(index) for index in _absorbing(layout)])


def _where_dusty(d: GroupData, slot: Any, dusty: Callable[[], Patch], plain: Patch) -> Patch:
    result: Patch = lax.cond(d.screen[slot, 0] >= 0, dusty, lambda: plain)  # type: ignore[index]
    return result


def on_side(patch: Any, side: int, xp: Any = jnp) -> Any:
    """Return a picture on a box of another side about the same middle; what is cut off is gone, what is new is dark."""
    old = patch.shape[-1]
    if side <= old:
        cut = slice(old // 2 - side // 2, old // 2 + side // 2 + 1)
        return patch[:, cut, cut]
    extra = side // 2 - old // 2
    return xp.pad(patch, ((0, 0), (extra, extra), (extra, extra)))


def _absorbing(layout: Layout) -> list[int]:
    return [index for index, group in enumerate(layout.groups) if group.is_absorbing]


def _empty(layout: Layout, data: ProblemData, index: int) -> Float[Array, "slot channel side side"]:
    group, unit = layout.groups[index], data.groups[index].unit
    return jnp.zeros((*unit.shape, group.side, group.side), unit.dtype)  # type: ignore[union-attr]
