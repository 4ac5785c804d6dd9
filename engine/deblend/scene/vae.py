"""A galaxy that a network draws, as said by a person."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from deblend.scene.constraint import Constraint
from deblend.scene.constraint_kind import ConstraintKind
from deblend.scene.learned import LEARNED_SIGMA
from deblend.scene.morphology import Morphology, fit_box
from deblend.scene.parameter import Parameter

N_LATENT = 32
"""How many numbers a picture is drawn from."""
LATENT_BOUND = 6.0
"""They are believed to be standard normal: none is ever further from 0."""
LOG_SIZE_AT_ZERO, LOG_SIZE_PER_LATENT = 1.0203380639648036, 0.5510297508088113
"""Half-light radii of the network's galaxies, its PSF included, by the first number: the logarithm at 0 [pix at that
PSF], and by how much it changes with it."""
VAE_LARGEST = 7.0
"""The largest half-light radius that it has learned from, without that PSF [pix at that PSF]."""
_PSF_RADIUS = LEARNED_SIGMA * float(np.sqrt(2.0 * np.log(2.0)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Vae(Morphology):
    """A galaxy that a variational autoencoder draws from a few numbers, believed to be standard normal, and what single
    pixels add to that; for spirals and irregulars as for smooth ones.

    The first number says how large it is, the others by how much they change the picture, most first.
    """

    label: ClassVar[str] = "vae"
    has_pixels: ClassVar[bool] = True
    latent: Parameter = field(
        default_factory=lambda: Parameter(np.zeros(N_LATENT), lower=-LATENT_BOUND, upper=LATENT_BOUND)
    )
    correction: Parameter
    """Signed light per pixel on top of that picture, (y, x), on a box centered on the source."""
    scale: float = 1.0
    """How much larger than what was learned it is, beyond what the model PSF says."""
    constraints: tuple[Constraint, ...] = (
        Constraint(ConstraintKind.POSITIVITY),
        Constraint(ConstraintKind.CORRECTION, 0.3),
    )

    def takes(self, kind: ConstraintKind) -> bool:
        return kind not in (ConstraintKind.SYMMETRY, ConstraintKind.MONOTONICITY, ConstraintKind.BOUNDS)

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Vae:
        # what is larger than all that was learned is like the largest of it, seen from nearer
        stretch = max(half_light_radius / VAE_LARGEST, 1.0)
        side = 2 * radius + 1
        start = cls(correction=Parameter(np.zeros((side, side))), scale=stretch)
        return start.with_parameters(latent=start.latent.at(start._sized(half_light_radius)))

    @property
    def half_light_radius_guess(self) -> float:
        seen = float(np.exp(LOG_SIZE_AT_ZERO + LOG_SIZE_PER_LATENT * self.latent.value[0]))
        return float(np.sqrt(max(seen**2 - _PSF_RADIUS**2, 0.1)) * self.scale)

    def with_half_light_radius(self, size: float) -> Vae:
        result: Vae = self.with_parameters(latent=self.latent.edited(self._sized(size)))
        return result

    def resized(self, radius: int) -> Vae:
        return replace(self, correction=self.correction.at(fit_box(self.correction.value, radius)))

    def _sized(self, half_light_radius: float) -> np.ndarray:
        """Return the numbers of the same galaxy of another size."""
        seen = np.hypot(half_light_radius / self.scale, _PSF_RADIUS)
        first = (np.log(seen) - LOG_SIZE_AT_ZERO) / LOG_SIZE_PER_LATENT
        return np.concatenate([[np.clip(first, -LATENT_BOUND, LATENT_BOUND)], self.latent.value[1:]])
