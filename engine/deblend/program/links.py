"""Links of a scene as data: which shape parameters of which slots are one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from deblend.program.arrays import GroupData
from deblend.render import kind_of
from deblend.scene import Link, Source


def with_links(
    groups: Sequence[GroupData], members: Sequence[Sequence[tuple[Source, int]]], links: Sequence[Link]
) -> tuple[tuple[GroupData, ...], tuple[Int[np.ndarray, "slot theta"], ...]]:
    """Return data in which linked parameters have one prior, common bounds and one freedom, and of every shape
    parameter of every group the number that it is.

    `members` are the source and the index of its component in every used slot; the arrays of `groups` are written to.
    """
    shapes = [g.theta_free.shape for g in groups]
    starts = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    numbers = [np.arange(start, start + np.prod(s)).reshape(s) for start, s in zip(starts, shapes, strict=False)]
    slots = {(s.id, k): (g, slot) for g, group in enumerate(members) for slot, (s, k) in enumerate(group)}
    for link in links:
        rows = [(*slots[member], _entries(members, slots[member], link.parameter)) for member in link.members]
        for each in zip(*([(g, slot, k) for k in entries] for g, slot, entries in rows), strict=True):
            free = min(groups[g].theta_free[slot, k] for g, slot, k in each)
            lower = max(groups[g].theta_lower[slot, k] for g, slot, k in each)
            upper = min(groups[g].theta_upper[slot, k] for g, slot, k in each)
            first_group, first_slot, first = each[0]
            for g, slot, k in each:
                data = groups[g]
                numbers[g][slot, k] = numbers[first_group][first_slot, first]
                data.theta_free[slot, k], data.theta_lower[slot, k], data.theta_upper[slot, k] = free, lower, upper
                data.theta_precision[slot, k] /= np.sqrt(len(each))
    return tuple(groups), tuple(n.astype(np.int32) for n in numbers)


def _entries(members: Sequence[Sequence[tuple[Source, int]]], place: tuple[int, int], parameter: str) -> range:
    """Return which entries of theta a parameter of the component in a slot is."""
    source, index = members[place[0]][place[1]]
    start = 2
    for name, size in kind_of(source.components[index].morphology).parameters:
        if name == parameter:
            return range(start, start + size)
        start += size
    raise ValueError(f"{parameter} of source {source.name or source.id} is not a number of its shape.")
