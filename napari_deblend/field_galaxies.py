"""The galaxies of a fitted field, as a prior is learned from them; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deblend import Observation, Program, Scene
from deblend.measure import galaxy_stamps

if TYPE_CHECKING:
    from deblend.infer.diffusion.expectation import Observed

LEAST_GALAXIES = 64
"""Below which nothing is learned from a field: as many as a galaxy's covariance has modes in the first lap, so that
fewer would be known by heart."""


@dataclass(frozen=True, eq=False)
class FieldGalaxies:
    """A fitted field, and the band that its galaxies are looked at in."""

    observations: tuple[Observation, ...]
    scene: Scene
    observation: int
    band: int

    @property
    def channel(self) -> str:
        """Name of the band."""
        return self.observations[self.observation].channels[self.band].name

    def observed(self, side: int) -> Observed:
        """Return the single galaxies of the field on stamps of a side [pix], in units of the noise.

        Raises ValueError, in one sentence that says how many are needed, where they are too few.
        """
        from deblend.infer.diffusion.observed_stamps import observed_behind

        # groups as the window's own program has them, which is compiled already
        program = Program(self.observations, self.scene, standard_groups=True, solve=False)
        found = galaxy_stamps(program, self.observation, self.band, side)
        n = len(found.images)
        if n < LEAST_GALAXIES:
            why = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items())
            raise ValueError(
                f"This field has {n} single galaxies in {self.channel} that are bright and whole on {side} pixels"
                f"{f' ({why})' if why else ''}; a prior needs {LEAST_GALAXIES} or more: open a larger field, or give a "
                "file of observed stamps of several."
            )
        psf = self.observations[self.observation].psf[self.band]
        return observed_behind(found.images, psf, 1.0, self.scene.model_psf_sigma)
