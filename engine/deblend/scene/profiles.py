"""Elliptical profiles of few parameters, as said by a person; all of total flux 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from deblend.scene.morphology import Morphology, round_ellipticity, sized
from deblend.scene.parameter import Parameter

MOFFAT_RANGE = (1.2, 6.0)
"""Indices β that can be drawn; at 1 the flux would be infinite."""
SPERGEL_RANGE = (-0.7, 4.0)
"""Indices ν that can be drawn."""
RING_RADII = tuple(0.2 * 1.8**k for k in range(8))
"""Radii of the coefficients of a spline, in units of its `scale`."""
TYPICAL_RING, TYPICAL_RING_RANGE = 1.05, 0.9
"""Radius of the ring that has most light [scale], and how wide a range of the logarithm of radii has much of it."""


def typical_shares() -> np.ndarray:
    """Return about how the light of a galaxy is shared among the rings of a spline, up to a factor."""
    return np.exp(-0.5 * (np.log(np.asarray(RING_RADII) / TYPICAL_RING) / TYPICAL_RING_RANGE) ** 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Elliptical(Morphology):
    """What profiles of a half-light radius and an ellipticity have in common."""

    half_light_radius: Parameter = field(default_factory=lambda: sized(2.0))
    ellipticity: Parameter = field(default_factory=round_ellipticity)

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Any:
        return cls(half_light_radius=sized(half_light_radius))

    @property
    def half_light_radius_guess(self) -> float:
        return float(self.half_light_radius.value)


@dataclass(frozen=True, eq=False, kw_only=True)
class Exponential(_Elliptical):
    """A disk: surface brightness falls as exp(-1.678 r/r_e), the Sérsic profile of n = 1."""

    label: ClassVar[str] = "exponential"


@dataclass(frozen=True, eq=False, kw_only=True)
class DeVaucouleurs(_Elliptical):
    """A bulge: surface brightness falls as exp(-7.669 (r/r_e)^¼) (de Vaucouleurs 1948), the Sérsic profile of n = 4."""

    label: ClassVar[str] = "de-vaucouleurs"


@dataclass(frozen=True, eq=False, kw_only=True)
class Moffat(_Elliptical):
    """Moffat's (1969) profile: surface brightness falls as (1 + (r/α)²)^-β."""

    label: ClassVar[str] = "moffat"
    beta: Parameter = field(default_factory=lambda: Parameter(2.5, lower=MOFFAT_RANGE[0], upper=MOFFAT_RANGE[1]))

    @classmethod
    def of_core(cls, core: float, beta: float = 2.5) -> Moffat:
        """Return a round profile of the core radius α [pix]."""
        moffat = cls()
        radius = core * np.sqrt(2.0 ** (1.0 / (beta - 1.0)) - 1.0)
        return cls(half_light_radius=sized(radius), beta=moffat.beta.edited(beta))

    @property
    def core(self) -> float:
        """The core radius α [pix]."""
        return float(self.half_light_radius.value / np.sqrt(2.0 ** (1.0 / (self.beta.value - 1.0)) - 1.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Spergel(_Elliptical):
    """Spergel's (2010) profile (u/2)^ν K_ν(u): near an exponential for ν = ½, near de Vaucouleurs for ν = -0.6."""

    label: ClassVar[str] = "spergel"
    index: Parameter = field(default_factory=lambda: Parameter(0.5, lower=SPERGEL_RANGE[0], upper=SPERGEL_RANGE[1]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Spline(Morphology):
    """A free radial profile: a spline in the logarithm of the radius, positive, not bound to fall outward."""

    label: ClassVar[str] = "spline"
    amplitudes: Parameter = field(default_factory=lambda: Parameter(_normalised(typical_shares()), lower=0.0))
    """Share of the light in the ring at each of the radii `RING_RADII` times `scale`; the first is the core."""
    ellipticity: Parameter = field(default_factory=round_ellipticity)
    scale: float = 2.0
    """Unit of the radii [pix]; best about the half-light radius."""

    @classmethod
    def start(cls, half_light_radius: float, radius: int, scale: float = 1.0) -> Spline:
        return cls(scale=half_light_radius)

    @property
    def half_light_radius_guess(self) -> float:
        inside = np.cumsum(self.amplitudes.value) / max(float(self.amplitudes.value.sum()), 1e-30)
        # half of a ring's own light lies within its radius
        middle = inside - 0.5 * np.diff(inside, prepend=0.0)
        return float(np.exp(np.interp(0.5, middle, np.log(RING_RADII))) * self.scale)


def _normalised(shares: np.ndarray) -> np.ndarray:
    result: np.ndarray = shares / shares.sum()
    return result
