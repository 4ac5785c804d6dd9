"""Sources to blends: what is fitted together, and in which box.

A blend is a group of sources whose footprints touch, or a part of one that is too large for a box. It owns its
sources: their numbers in the catalog are those of this blend. Sources of others whose light reaches in are its guests:
they are fitted with it, and what comes of them is dropped. So a border between two blends lies within what both of them
fit, and every source is measured by the blend that sees it whole.

Boxes are squares of few sizes, so that all blends share what is compiled for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from deblend.batch.survey import Sources
from deblend.program.layout import SIDES, GroupLayout, bucket
from deblend.sky import PixelBox

BOXES = (40, 104)
"""Sides of boxes [pix]: for nearly all, and for all others."""
ROOM = {40: {31: 16}, 104: {31: 32, 63: 8, 127: 4}}
"""How many sources of each size of box fit into a blend, by the side of its box."""
MARGIN = 4
"""Sky around the reach of a blend's sources [pix]."""
MOST_OWNED = 14
"""A larger group is split."""
WIDEST = 88
"""So is one whose sources reach further from end to end [pix]: guests have to fit into the box, too."""
BEYOND = 2
"""Sky around the center of a guest [pix]."""
INVITED = 1.0
"""A source is a guest where its reach and that of a source of the blend, times this, overlap."""


@dataclass(frozen=True)
class Blend:
    """Sources that are fitted together."""

    number: int
    tile: int
    owned: tuple[int, ...]
    """Rows of the sources that are its own."""
    guests: tuple[int, ...]
    """Rows of those that are fitted with it, nearest first."""
    box: PixelBox
    """A square of pixels of its tile, that may reach over its edge."""

    @property
    def side(self) -> int:
        return self.box.shape[0]

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Of all its sources, its own first."""
        return (*self.owned, *self.guests)


def room_in(side: int, kind: str, oversampling: int = 1) -> tuple[GroupLayout, ...]:
    """Return the groups that every blend in a box of this side [pix] has room for, on pixels so much finer."""
    if kind == "point":
        return (GroupLayout(kind, SIDES[0], sum(ROOM[side].values())),)
    room: dict[int, int] = {}
    for usual, capacity in ROOM[side].items():
        finer = bucket(min(usual // 2 * oversampling, SIDES[-1] // 2), least=SIDES[1])
        room[finer] = room.get(finer, 0) + capacity
    return tuple(GroupLayout(kind, n, capacity) for n, capacity in room.items() if capacity)


def blends_of(sources: Sources) -> tuple[Blend, ...]:
    """Return the blends of a field; every source that counts is owned by one of them."""
    result: list[Blend] = []
    for tile in np.unique(sources.tile).tolist():
        mine = np.flatnonzero(sources.tile == tile)
        x, y, reach = sources.x[mine], sources.y[mine], sources.reach[mine].astype(float)
        neighbours = _neighbours(x, y, reach)
        order = np.argsort(sources.group[mine], kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(sources.group[mine][order])) + 1)
        for group in sorted(groups, key=lambda members: int(members[0])):
            for part in _parts(group, x, y, reach):
                owned = part[sources.owned[mine][part]]
                if not len(owned):
                    continue
                # of one group, what another tile owns is fitted with it, but is no more than a guest
                foreign = part[~sources.owned[mine][part]]
                guests, box = _invited(owned, foreign, neighbours, x, y, reach)
                own, others = (tuple(mine[list(rows)].tolist()) for rows in (owned, guests))
                result.append(Blend(len(result), tile, own, others, box))
    return tuple(result)


def shared_out(
    box: PixelBox,
    x: Float[np.ndarray, " source"],
    y: Float[np.ndarray, " source"],
    reach: Float[np.ndarray, " source"],
    is_of_blend: Bool[np.ndarray, " source"],
    is_owned: Bool[np.ndarray, " source"],
) -> tuple[Bool[np.ndarray, "y x"], Bool[np.ndarray, "y x"]]:
    """Tell which pixels of a box belong to sources that are not of the blend, and are to be left out of its fit; and
    on which pixels another source would be the blend's own.

    A pixel belongs to the source in whose reach it lies deepest, as a fraction of that reach; one beyond the reach of
    all sources belongs to none. What is found there later is owned with the source that is nearest by that measure.
    """
    rows, columns = np.arange(*box.y)[:, None], np.arange(*box.x)[None]
    others, guests, own = nearest = np.full((3, *box.shape), np.inf)
    for k in range(len(x)):
        part = nearest[int(is_of_blend[k]) + int(is_owned[k])]
        np.minimum(part, np.hypot(rows - y[k], columns - x[k]) / reach[k], out=part)
    claimed: Bool[np.ndarray, "y x"] = (others < 1.0) & (others < np.minimum(guests, own))
    return claimed, own <= np.minimum(guests, others)


def _neighbours(x: np.ndarray, y: np.ndarray, reach: np.ndarray) -> list[Int[np.ndarray, " neighbour"]]:
    """Return, for every source, those whose reach overlaps with its own, nearest first."""
    if not len(x):
        return []
    places = np.column_stack([x, y])
    result = []
    for k, near in enumerate(cKDTree(places).query_ball_point(places, INVITED * (reach + reach.max()))):
        others = np.array([j for j in near if j != k], int)
        distance = np.hypot(x[others] - x[k], y[others] - y[k])
        touching = distance < INVITED * (reach[others] + reach[k])
        others, distance = others[touching], distance[touching]
        result.append(others[np.lexsort((others, distance))])
    return result


def _parts(members: np.ndarray, x: np.ndarray, y: np.ndarray, reach: np.ndarray) -> Sequence[np.ndarray]:
    """Return a group as parts that fit into a box: halved at the widest gap along its longer side."""
    spans = [_span(places[members], reach[members]) for places in (x, y)]
    lengths = [high - low for low, high in spans]
    if len(members) == 1 or (len(members) <= MOST_OWNED and max(lengths) <= WIDEST):
        return [np.sort(members)]
    along = (x, y)[int(np.argmax(lengths))]
    ordered = members[np.lexsort((members, along[members]))]
    gaps = np.diff(along[ordered])
    # within the middle half, so that halves are about alike
    first, last = len(gaps) // 4, max(len(gaps) - len(gaps) // 4, len(gaps) // 4 + 1)
    cut = first + int(np.argmax(gaps[first:last])) + 1
    return [*_parts(ordered[:cut], x, y, reach), *_parts(ordered[cut:], x, y, reach)]


def _span(places: np.ndarray, reach: np.ndarray) -> tuple[float, float]:
    return float((places - reach).min()), float((places + reach).max())


def _invited(
    owned: np.ndarray,
    foreign: np.ndarray,
    neighbours: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    reach: np.ndarray,
) -> tuple[list[int], PixelBox]:
    """Return the guests of a blend and its box: as many of those that reach in as there is room for."""
    bounds = [list(_span(places[owned], reach[owned] + MARGIN)) for places in (x, y)]
    own = set(owned.tolist())
    invited: dict[int, float] = {}
    for k in owned.tolist():
        for other in (*neighbours[k].tolist(), *foreign.tolist()):
            if other not in own:
                overlap = np.hypot(x[other] - x[k], y[other] - y[k]) / (reach[other] + reach[k])
                invited[other] = min(invited.get(other, np.inf), float(overlap))
    room = sum(ROOM[BOXES[-1]].values()) - len(owned)
    guests: list[int] = []
    for guest in sorted(invited, key=lambda each: (invited[each], each))[:room]:
        wider = [
            [min(low, place - BEYOND), max(high, place + BEYOND)]
            for (low, high), place in zip(bounds, (x[guest], y[guest]), strict=True)
        ]
        if max(high - low for low, high in wider) + 1 <= BOXES[-1]:
            bounds = wider
            guests.append(guest)
    members = [*owned.tolist(), *guests]
    extent = max(*(high - low for low, high in bounds), 2.0 * reach[members].max()) + 1
    fitting = [s for s in BOXES if s >= extent and sum(ROOM[s].values()) >= len(members)]
    middle = [0.5 * (low + high) for low, high in bounds]
    return guests, PixelBox.around(middle[0], middle[1], fitting[0] if fitting else BOXES[-1])
