"""A galaxy under a learned prior, as said by a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from deblend.scene.constraint import Constraint
from deblend.scene.constraint_kind import ConstraintKind
from deblend.scene.galaxy import Corrected, no_correction
from deblend.scene.parameter import Parameter

N_MODES = 64
"""How many ways of differing from the mean galaxy of its size are learned."""
LEARNED_SIGMA = 0.8
"""Width of the model PSF behind which galaxies were learned [pix]."""
LEARNED_REACH = 23
"""How far from the middle their pictures were learned [pix at that PSF]."""
LEARNED_RADII = tuple(1.12 * 1.255**k for k in range(8))
"""Half-light radii of the size classes, that PSF included [pix at that PSF]."""
LEARNED_LARGEST = float(np.sqrt(LEARNED_RADII[-1] ** 2 - LEARNED_RADII[0] ** 2))
"""The largest of them without that PSF."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Learned(Corrected):
    """A galaxy that looks like galaxies do: a mean picture of its size, learned modes of differing from it, and what
    single pixels may add; for irregular ones.

    Its picture n is a draw from a Gaussian: n = μ + L v + d u, where v and u are believed to be standard normal.
    """

    label: ClassVar[str] = "learned"
    size_class: Parameter = field(default_factory=lambda: Parameter(3.0, lower=0.0, upper=len(LEARNED_RADII) - 1.0))
    """Number of the size class; where it is free a fit chooses it anew in every step."""
    modes: Parameter = field(default_factory=lambda: Parameter(np.zeros(N_MODES)))
    """How much there is of each learned mode, v."""
    correction: Parameter
    """What single pixels add, u, (y, x), on a box centered on the source."""
    scale: float = 1.0
    """How much larger than what was learned the galaxies of all classes are, beyond what the model PSF says."""
    constraints: tuple[Constraint, ...] = (
        Constraint(ConstraintKind.POSITIVITY),
        Constraint(ConstraintKind.LEARNED_PRIOR, 0.2),
    )

    def takes(self, kind: ConstraintKind) -> bool:
        return kind is not ConstraintKind.CORRECTION and super().takes(kind)

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Learned:
        # what is larger than all that was learned is like the largest of it, seen from nearer
        stretch = max(half_light_radius / LEARNED_LARGEST, 1.0)
        seen = np.hypot(half_light_radius / stretch, LEARNED_RADII[0])
        nearest = int(np.argmin(np.abs(np.log(np.asarray(LEARNED_RADII) / seen))))
        return cls(
            size_class=Parameter(float(nearest), lower=0.0, upper=len(LEARNED_RADII) - 1.0),
            correction=no_correction(radius),
            scale=stretch,
        )

    @property
    def half_light_radius_guess(self) -> float:
        seen = LEARNED_RADII[int(np.clip(round(float(self.size_class.value)), 0, len(LEARNED_RADII) - 1))]
        return float(np.sqrt(max(seen**2 - LEARNED_RADII[0] ** 2, 0.1)) * self.scale)
