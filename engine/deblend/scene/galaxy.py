"""Galaxies as a profile that pixels correct, as said by a person."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from deblend.scene.constraint import Constraint
from deblend.scene.constraint_kind import ConstraintKind
from deblend.scene.morphology import Morphology, fit_box, round_ellipticity
from deblend.scene.parameter import Parameter

PROFILE_SIGMAS = (0.3, 0.75, 1.4, 2.5, 4.4, 7.9)
"""Widths of the Gaussians that make a galaxy's profile, in units of its `scale`."""
BOX_OF_PROFILE = 2.0
"""Radius of a box that a profile fills [widths of its widest Gaussian]."""
STEP = PROFILE_SIGMAS[-1] / PROFILE_SIGMAS[-2]
"""Of the scale of a profile that becomes wider: each Gaussian is about what the next one was."""
NEARLY = 0.2
"""Of a step, by which a profile may fall short of filling its box."""
LEAST_SHARE = 1e-3
"""Of the light, in each Gaussian of a profile: a fit finds its way from little, not from nothing."""


def filling(radius: float) -> float:
    """Return the scale of a profile that fills a box of a radius [pix]."""
    return radius / (BOX_OF_PROFILE * PROFILE_SIGMAS[-1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Corrected(Morphology):
    """A picture by a few numbers, and a parameter `correction`: what pixels of a box add to it."""

    has_pixels: ClassVar[bool] = True
    scale: float = 1.0
    """Unit of the lengths of that picture, in terms of what they usually are."""
    constraints: tuple[Constraint, ...] = (
        Constraint(ConstraintKind.POSITIVITY),
        Constraint(ConstraintKind.CORRECTION, 0.3),
    )

    def takes(self, kind: ConstraintKind) -> bool:
        return kind not in (ConstraintKind.SYMMETRY, ConstraintKind.MONOTONICITY, ConstraintKind.BOUNDS)

    def resized(self, radius: int) -> Any:
        correction = self.parameters["correction"]
        return self.with_parameters(correction=correction.at(fit_box(correction.value, radius)))


def no_correction(radius: int) -> Parameter:
    """Return the correction of a box of a radius [pix] in which there is none."""
    side = 2 * radius + 1
    return Parameter(np.zeros((side, side)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Galaxy(Corrected):
    """The default for extended sources: an elliptical profile of a few Gaussians plus a signed free-form correction.

    The correction is held to a fraction of the profile's own brightness, so that where the data say little the
    source is its profile, and where they say much it takes any shape.
    """

    label: ClassVar[str] = "galaxy"
    amplitudes: Parameter
    """Flux of each Gaussian of the profile; widths are `PROFILE_SIGMAS` times `scale`. One of 0 is no part of it."""
    ellipticity: Parameter = field(default_factory=round_ellipticity)
    correction: Parameter
    """Signed light per pixel on top of the profile, (y, x), on a box centered on the source."""
    scale: float = 1.0
    """Width of the profile's Gaussians, relative to `PROFILE_SIGMAS` [pix]."""

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Galaxy:
        return cls.of_size(half_light_radius, radius, scale)

    @classmethod
    def of_size(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Galaxy:
        """Return a smooth round galaxy of about this half-light radius [pix] in a box of this radius [pix]."""
        sigmas = np.asarray(PROFILE_SIGMAS) * scale
        target = max(half_light_radius / 1.1774, 0.3 * scale)
        closeness = np.exp(-0.5 * (np.log(sigmas / target) / 0.45) ** 2) + 1e-3
        return cls(
            amplitudes=Parameter(closeness / closeness.sum(), lower=0.0),
            correction=no_correction(radius),
            scale=scale,
        )

    @property
    def half_light_radius_guess(self) -> float:
        amplitudes = self.amplitudes.value
        total = max(float(amplitudes.sum()), 1e-30)
        return float(1.1774 * np.sum(amplitudes * np.asarray(PROFILE_SIGMAS)) / total * self.scale)

    def resized(self, radius: int) -> Galaxy:
        """Return the galaxy in another box, with a profile that is wide enough to fill it."""
        boxed: Galaxy = super().resized(radius)
        steps = int(np.ceil(np.log(filling(radius) / self.scale) / np.log(STEP) - NEARLY))
        return boxed._widened(self.scale * STEP**steps) if steps > 0 else boxed

    def _widened(self, scale: float) -> Galaxy:
        """Return the galaxy with wider Gaussians: each old one is two new ones of its flux and mean width²."""
        new, old = (np.asarray(PROFILE_SIGMAS) ** 2 * s**2 for s in (scale, self.scale))
        amplitudes = self.amplitudes.value
        wider = np.clip(np.searchsorted(new, old), 1, len(new) - 1)
        share = np.clip((old - new[wider - 1]) / (new[wider] - new[wider - 1]), 0.0, 1.0)
        # what is no part of the profile, for the sake of those further out, is no part of it any more than it was
        reach = old[amplitudes > 0].max(initial=0.0) if np.any(amplitudes == 0) else np.inf
        share[new[wider] > reach] = 0.0
        light = np.zeros(len(new))
        np.add.at(light, wider, share * amplitudes)
        np.add.at(light, wider - 1, (1.0 - share) * amplitudes)
        light = np.where((new <= reach) | (light > 0), light + LEAST_SHARE * light.sum(), 0.0)
        return replace(self, amplitudes=self.amplitudes.at(light / light.sum() * amplitudes.sum()), scale=scale)
