"""A galaxy that a network draws, as said by a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from deblend.scene.galaxy import Corrected, no_correction
from deblend.scene.learned import LEARNED_SIGMA
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


def size_number(half_light_radius: float, log_at_zero: float, log_per_latent: float) -> float:
    """Return the first number of a galaxy of a half-light radius without the PSF [pix at that PSF], by the law of sizes
    of its network."""
    seen = np.hypot(half_light_radius, _PSF_RADIUS)
    return float(np.clip((np.log(seen) - log_at_zero) / log_per_latent, -LATENT_BOUND, LATENT_BOUND))


@dataclass(frozen=True, eq=False, kw_only=True)
class Vae(Corrected):
    """A galaxy that a variational autoencoder draws from a few numbers, believed to be standard normal, and what single
    pixels add to that; for spirals and irregulars as for smooth ones.

    The first number says how large it is, the others by how much they change the picture, most first.
    """

    label: ClassVar[str] = "vae"
    latent: Parameter = field(
        default_factory=lambda: Parameter(np.zeros(N_LATENT), lower=-LATENT_BOUND, upper=LATENT_BOUND)
    )
    correction: Parameter
    """Signed light per pixel on top of that picture, (y, x), on a box centered on the source."""
    scale: float = 1.0
    """How much larger than what was learned it is, beyond what the model PSF says."""

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Vae:
        # what is larger than all that was learned is like the largest of it, seen from nearer
        stretch = max(half_light_radius / VAE_LARGEST, 1.0)
        start = cls(correction=no_correction(radius), scale=stretch)
        return start.with_parameters(latent=start.latent.at(start._sized(half_light_radius)))

    @property
    def half_light_radius_guess(self) -> float:
        seen = float(np.exp(LOG_SIZE_AT_ZERO + LOG_SIZE_PER_LATENT * self.latent.value[0]))
        return float(np.sqrt(max(seen**2 - _PSF_RADIUS**2, 0.1)) * self.scale)

    def with_half_light_radius(self, size: float) -> Vae:
        result: Vae = self.with_parameters(latent=self.latent.edited(self._sized(size)))
        return result

    def _sized(self, half_light_radius: float) -> np.ndarray:
        """Return the numbers of the same galaxy of another size."""
        first = size_number(half_light_radius / self.scale, LOG_SIZE_AT_ZERO, LOG_SIZE_PER_LATENT)
        return np.concatenate([[first], self.latent.value[1:]])
