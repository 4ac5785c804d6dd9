"""Sources that were placed far from where they are: until they are there, nothing but their profiles is fitted.

A galaxy that is 2 px off its light has a dipole there. Its corrections, its channels' own offsets and those of its
neighbors take that up before the center has come all the way, and give it back over many small steps, or never. So they
are held where they are as long as a step would move the center far.
"""

from __future__ import annotations

import numpy as np

from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.render import KINDS

FAR = 1.0
"""A step that would move a center by more has found its source astray [pix]."""
AT_REST = 0.1
"""A source that a step would move by less has arrived [pix]."""
PATIENCE = 10
"""Steps that a source may be astray for."""


class Strays:
    """The sources of a fit that are not yet where they belong."""

    def __init__(self) -> None:
        self.ids: frozenset[str] = frozenset()
        self._steps: dict[str, int] = {}
        """That each source has been astray for."""

    def seen(self, program: Program, direction: Parameters) -> frozenset[str]:
        """Return those that a step in this direction would move far, and of those that were astray all that would not
        rest; who has arrived does not go astray again."""
        result = set()
        for group, members, change in zip(program.layout.groups, program.members, direction.groups, strict=True):
            if not members or not KINDS[group.kind].is_correction:
                continue
            moves = np.hypot(*np.asarray(change.theta)[: len(members), :2].T)
            for (source, _), move in zip(members, moves, strict=True):
                is_new = source.id not in self._steps
                if move > FAR if is_new else source.id in self.ids and move > AT_REST:
                    result.add(source.id)
        return frozenset(result)

    def take(self, ids: frozenset[str]) -> bool:
        """Let these be astray from now on, but for those that have been for long; return whether others were before."""
        before = self.ids
        for each in ids:
            self._steps[each] = self._steps.get(each, 0) + 1
        self.ids = frozenset(each for each in ids if self._steps[each] <= PATIENCE)
        return self.ids != before


def held_around(program: Program, data: ProblemData, sources: frozenset[str]) -> ProblemData:
    """Return the data in which these sources, and all whose boxes touch theirs, have nothing free but profiles and
    fluxes."""
    if not sources:
        return data
    boxes = [
        (np.asarray(d.origin)[: len(members)], np.asarray(d.radius)[: len(members)])
        for members, d in zip(program.members, data.groups, strict=True)
    ]
    is_astray = [np.array([s.id in sources for s, _ in members], bool) for members in program.members]
    origins, radii = (np.concatenate(each) for each in zip(*boxes, strict=True))
    chosen = np.concatenate(is_astray)
    groups = []
    for d, (origin, radius) in zip(data.groups, boxes, strict=True):
        apart = np.abs(origin[:, None] - origins[chosen][None]).max(axis=2)
        touches = np.any(apart <= radius[:, None] + radii[chosen][None], axis=1)
        loose = np.ones(len(d.radius), d.pixels_free.dtype)
        loose[: len(touches)] = ~touches
        # by NumPy: JAX would compile a product of each shape
        pixels, aspects = np.asarray(d.pixels_free) * loose, np.asarray(d.aspect_free) * loose[:, None, None]
        groups.append(d._replace(pixels_free=pixels, aspect_free=aspects))
    return data._replace(groups=tuple(groups))
