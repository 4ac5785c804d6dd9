"""Which components go together, and how much room they are given."""

from __future__ import annotations

from collections.abc import Container, Sequence

from deblend.program.asked import is_asked
from deblend.program.beliefs import has_beliefs
from deblend.program.layout import GroupLayout, capacity_for
from deblend.program.slots import Part, group_key
from deblend.scene import Scene

GroupKey = tuple[str, int, bool]
"""Kind, side of the boxes, and whether it is of dust."""


def key_of(layout: GroupLayout) -> GroupKey:
    return layout.kind, layout.side, layout.is_absorbing


def parts_by_group(scene: Scene) -> dict[GroupKey, list[Part]]:
    """Return the components of a scene, and its dust, by the group that they belong to."""
    result: dict[GroupKey, list[Part]] = {}
    for source in scene.sources:
        for index in range(len(source.parts)):
            result.setdefault(group_key(source, index), []).append((source, index))
    return result


def room_for(
    key: GroupKey,
    parts: Sequence[Part],
    has_epochs: bool,
    present: GroupLayout | None,
    held: Container[tuple[int, int]] = (),
) -> GroupLayout:
    """Return a layout that takes these parts: the present one where it does. What a group could once, it still can, so
    that parts which it has `held` (the identity of a source, and the index of its component) need no second look."""
    kind, side, absorbs = key
    fresh = [part for part in parts if (id(part[0]), part[1]) not in held]
    ties = has_epochs or absorbs or any(source.parts[k].law is not None for source, k in fresh)
    split = not absorbs and any(is_asked(source.parts[k]) for source, k in fresh)
    believed = any(has_beliefs(*part) for part in fresh)
    capacity = capacity_for(len(parts))
    if present is not None:
        ties, split = ties or present.has_flux_ties, split or present.is_split
        believed = believed or present.has_beliefs
        capacity = present.capacity if present.capacity >= len(parts) else capacity
    layout = GroupLayout(kind, side, capacity, ties, split, absorbs, believed)
    return present if layout == present else layout
