"""Boxes that follow their sources during a fit: larger where light is cut off, smaller where there is none.

A box's radius is data of the compiled program, within the side that it was compiled for; from step to step this rule
stays within it. Where a fit settles, and light is cut off still, boxes go on to the next side, which may compile.
A box grows where its outermost rings of pixels hold light that the data see, and more would follow outside; it shrinks
to where all that is left outside is neither seen nor counts. Between the two lies a wide gap, and a box that has grown
never shrinks again in the same fit, so that no box goes back and forth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from deblend.infer.solvers import Position, compiled_linearized
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.layout import SIDES, bucket
from deblend.render import KINDS
from deblend.scene import Component, FreeForm, Galaxy, Point, Scene, Source

SEEN = 1.0
"""Signal to noise of the light of the outermost rings, over all channels, from which on a box grows."""
CUT_OFF = 4e-3
"""Share of the flux that is expected outside and on an image, from which on a box grows."""
GROWTH, MOST_GROWTH = 1.4, 2.0
"""By how much a box grows in one step, at least and at most."""
UNSEEN = 0.5
"""Signal to noise of the light that a box may give up."""
NOTHING = 5e-4
"""Share of the flux that a box may give up."""
WORTHWHILE = 0.75
"""A box shrinks where it becomes smaller than this fraction of what it is."""
LEAST_RADIUS = 8
EDGE = 2
"""How many rings of pixels are a box's edge."""
EARLIEST = 2
"""Steps before which sources are not yet what they are."""


PartId = tuple[str, int]
"""Of a source, and the index of its component: both stay what they are where a larger box is of another group."""


class Change(NamedTuple):
    """A box of another radius."""

    part: PartId
    radius: int


class Boxes:
    """What is to be known from step to step."""

    def __init__(self, may_grow: bool = True, may_shrink: bool = True, may_compile: bool = True) -> None:
        self._may_grow, self._may_shrink, self._may_compile = may_grow, may_shrink, may_compile
        self._grown: set[PartId] = set()

    def changes(self, program: Program, position: Position, iteration: int, *, settles: bool = False) -> list[Change]:
        """Return the boxes that are to change where the fit stands; where it settles, beyond their side, too."""
        result: list[Change] = []
        is_off = not (self._may_grow or self._may_shrink)
        if is_off or position.pictures is None or iteration < EARLIEST:
            return result
        layouts, shape = program.layout.groups, program.scene.grid.shape
        free = {(g.kind, g.side): g.capacity - len(own) for g, own in zip(layouts, program.members, strict=True)}
        for k, (members, p) in enumerate(zip(program.members, position.parameters.groups, strict=True)):
            if not members:
                continue
            pictures = np.asarray(position.pictures[k])
            for slot, (source, index) in enumerate(members):
                if not _may_change(source, index):
                    continue
                radius, (least, largest) = source.components[index].radius, radii_of(layouts[k].side)
                flux = float(np.linalg.norm(p.flux[slot]))
                # a learned prior costs by the pixel, and its losses in boxes of two sizes are no match
                beyond = settles and not KINDS[layouts[k].kind].is_learned
                limits = least, min(SIDES[-1] // 2 if beyond else largest, furthest(source, shape))
                wanted = wanted_radius(pictures[slot], flux, radius, limits, seen_beyond(source, radius, shape))
                if wanted > largest:
                    larger = layouts[k].kind, bucket(wanted)
                    has_room = free.get(larger, 0) > 0
                    wanted = wanted if has_room or self._may_compile else largest
                    free[larger] = free.get(larger, 0) - has_room
                if wanted > radius and self._may_grow:
                    self._grown.add((source.id, index))
                    result.append(Change((source.id, index), wanted))
                elif wanted < radius and self._may_shrink and (source.id, index) not in self._grown:
                    result.append(Change((source.id, index), wanted))
        return result


def _may_change(source: Source, index: int) -> bool:
    """Tell whether a source is the fit's to change at all."""
    component = source.components[index]
    is_free = source.center.is_free and component.spectrum.is_free and not component.is_box_held
    morphology = component.morphology
    if isinstance(morphology, Galaxy) and np.any(morphology.amplitudes.value == 0):
        # what is further out is that of others, who have no source
        return False
    # what is pixels alone takes up its neighbours' light at the edge, and would follow that
    return is_free and not isinstance(morphology, Point | FreeForm)


def radii_of(side: int) -> tuple[int, int]:
    """Return the smallest and the largest radius of boxes that are compiled as one of this side [pix]."""
    smaller = [s for s in SIDES[1:] if s < side]
    return (smaller[-1] // 2 + 1 if smaller else LEAST_RADIUS), side // 2


def furthest(source: Source, shape: tuple[int, int]) -> int:
    """Return the radius of a box that reaches every pixel of an image [pix]."""
    (x, y), (height, width) = source.center.value, shape
    return int(np.ceil(max(x, y, width - 1 - x, height - 1 - y, 1.0)))


def seen_beyond(source: Source, radius: int, shape: tuple[int, int]) -> float:
    """Return how much of what a larger box would add is on an image [of that]."""
    (x, y), (height, width) = source.center.value, shape
    larger = int(np.ceil(GROWTH * radius))

    def inside(reach: int) -> float:
        across = (min(at + reach, n - 1) - max(at - reach, 0) + 1 for at, n in ((x, width), (y, height)))
        return float(np.prod([max(n, 0.0) for n in across]))

    return (inside(larger) - inside(radius)) / ((2 * larger + 1) ** 2 - (2 * radius + 1) ** 2)


def wanted_radius(
    picture: Float[np.ndarray, "side side"], flux: float, radius: int, limits: tuple[int, int], share: float = 1.0
) -> int:
    """Return the radius [pix] that the box of a source should have.

    `picture` is the source per unit flux, and `flux` that of all channels, as a Gaussian sum in units of the noise;
    of what is outside, a `share` is on an image.
    """
    # light in squares around the middle, of every radius
    middle = picture.shape[0] // 2
    away = np.abs(np.arange(picture.shape[0]) - middle)
    ring = np.maximum(away[:, None], away[None, :])
    light = np.bincount(ring.ravel(), weights=picture.ravel(), minlength=middle + 1)[: radius + 1]
    pixels = 8.0 * np.maximum(np.arange(radius + 1), 0.125)
    edge = slice(radius - EDGE + 1, radius + 1)
    seen = flux * light[edge].sum() / np.sqrt(pixels[edge].sum())
    ratio = _ratio(light)
    cut_off = share * light[edge].sum() * ratio / (1.0 - ratio)
    if radius < limits[1] and seen * np.sqrt(share) > SEEN and cut_off > CUT_OFF:
        # to where what is left outside no longer counts
        further = radius + EDGE * np.log(CUT_OFF / cut_off) / np.log(ratio)
        return min(int(np.ceil(np.clip(further, GROWTH * radius, MOST_GROWTH * radius))), limits[1])
    outside = np.cumsum(np.abs(light)[::-1])[::-1]
    noise = np.sqrt(np.cumsum(pixels[::-1])[::-1])
    needed = np.flatnonzero((outside > NOTHING) | (flux * outside / noise > UNSEEN))
    wanted = max(int(needed[-1]) + EDGE if needed.size else 0, limits[0])
    return wanted if wanted < WORTHWHILE * radius else radius


def _ratio(light: Float[np.ndarray, " ring"]) -> float:
    """Return how light falls from one edge to the next, from that of the rings of a box; it falls on like that."""
    edge, before = light[-EDGE:].sum(), light[-2 * EDGE : -EDGE].sum()
    return float(np.clip(edge / max(before, edge), 0.0, 0.95)) if edge > 0 else 0.0


def with_boxes(program: Program, scene: Scene, position: Position, changes: list[Change]) -> Scene:
    """Return the scene with boxes of other radii, and take it; sources are as bright as before where they were.

    `scene` is that of the position, with its sources in the program's slots.
    """
    before = _pictures(program, position.parameters)
    radii = {}
    for (source_id, index), radius in changes:
        component = scene[source_id].components[index]
        radii[source_id, index] = min(component.radius, radius)
        scene = scene.replace(_with(scene[source_id], index, component.resized(radius)))
    program.take(scene)
    after = _pictures(program, program.parameters)
    for part, kept in radii.items():
        old, new = (_inner(pictures[part], kept).sum() for pictures in (before, after))
        source, component = scene[part[0]], scene[part[0]].components[part[1]]
        spectrum = component.spectrum.at(component.spectrum.value * (old / new if new > 0 else 1.0))
        scene = scene.replace(_with(source, part[1], replace(component, spectrum=spectrum)))
    program.take(scene)
    return scene


def _pictures(program: Program, parameters: Parameters) -> dict[PartId, Float[np.ndarray, "side side"]]:
    lines = compiled_linearized(program.layout, program.data, parameters).lines
    return {
        (source.id, index): picture
        for members, line in zip(program.members, lines, strict=True)
        for (source, index), picture in zip(members, np.asarray(line.picture), strict=False)
    }


def _inner(picture: Float[np.ndarray, "side side"], radius: int) -> Float[np.ndarray, "inner inner"]:
    middle = picture.shape[0] // 2
    return picture[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]


def _with(source: Source, index: int, component: Component) -> Source:
    components = (*source.components[:index], component, *source.components[index + 1 :])
    return replace(source, components=components)
