"""Dust in front of a source: a layer that multiplies light by exp(-τ(x, y) k), as said by a person.

τ is the optical depth, a picture like any morphology, and k says how it goes with wavelength. k is 1 in the V band for
a law of extinction, so that τ is the optical depth there: A_V = 1.086 τ.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from deblend.scene.galaxy import Galaxy
from deblend.scene.learned import Learned
from deblend.scene.morphologies import start_morphology
from deblend.scene.morphology import Morphology, Point, Starlet
from deblend.scene.parameter import Parameter, Status
from deblend.scene.vae import Vae

FREE, POWER_LAW = "free", "power-law"
EXTINCTION_LAWS = ("G23", "F99", "CCM89", "LMC", "SMC", POWER_LAW, FREE)
"""Gordon et al. (2023), Fitzpatrick (1999), Cardelli, Clayton & Mathis (1989), Gordon et al. (2003: the mean of the
Large Cloud, the bar of the Small one), (λ / 5500 Å)^-slope, or an optical depth of its own in every channel."""
NOT_DUST = (Point, Starlet, Learned, Vae)
"""Morphologies that are of light alone."""


@dataclass(frozen=True)
class Extinction:
    """How dust dims each wavelength: k = A(λ)/A(V).

    Raises ValueError where there is no such law, or a number has no meaning.
    """

    law: str = "G23"
    """One of `EXTINCTION_LAWS`."""
    total_to_selective: float = 3.1
    """R_V of G23, F99 and CCM89."""
    slope: float = 1.3
    """Of the power law: how fast it falls towards red."""
    redshift: float = 0.0
    """Of the dust: the light that passes it is bluer than what is observed."""

    def __post_init__(self) -> None:
        if self.law not in EXTINCTION_LAWS:
            raise ValueError(f"There is no law of extinction {self.law!r}; choose one of {', '.join(EXTINCTION_LAWS)}.")
        if not 2.3 <= self.total_to_selective <= 5.6:
            raise ValueError(f"R_V lies between 2.3 and 5.6, got {self.total_to_selective}.")
        if not np.isfinite(self.slope) or not 0 <= self.redshift <= 12:
            raise ValueError(
                f"Dust needs a finite slope and a redshift from 0 to 12, got {self.slope} and {self.redshift}."
            )

    @property
    def is_free(self) -> bool:
        """Whether each channel has an optical depth of its own."""
        return self.law == FREE


@dataclass(frozen=True, eq=False)
class Dust:
    """A layer of dust that shares the center of its source.

    Raises ValueError for a morphology that is of light alone, or depths that are negative or not as many as the law
    asks for.
    """

    morphology: Morphology
    """Of the optical depth."""
    total: Parameter
    """Optical depth where k is 1, added up over all pixels [pix]; for a law that is free one per channel."""
    radius: int
    """Half the side of the box that holds it [pix]."""
    extinction: Extinction = field(default_factory=Extinction)
    behind: tuple[int, ...] | None = None
    """Which components of the source it dims, by their indices; None for all."""

    def __post_init__(self) -> None:
        if isinstance(self.morphology, NOT_DUST):
            raise ValueError(
                f"Dust has no morphology {self.morphology.label!r}; take a profile, 'galaxy' or 'free-form'."
            )
        if self.radius < 1:
            raise ValueError(f"A box needs a radius of at least 1 pixel, got {self.radius}.")
        expected = 1 if self.extinction.is_free else 0
        if self.total.value.ndim != expected or not np.all(self.total.value >= 0) or self.total.lower < 0:
            wanted = "one per channel" if expected else "one number"
            raise ValueError(f"Optical depths are not negative, and {wanted}; got {self.total.value}.")
        if self.behind is not None:
            object.__setattr__(self, "behind", tuple(map(int, self.behind)))

    def dims(self, index: int) -> bool:
        """Tell whether it lies in front of a component of its source."""
        return self.behind is None or index in self.behind

    @property
    def depth(self) -> float:
        """Mean optical depth within the ellipse that holds half of the dust, where k is 1, or over the channels."""
        return float(np.mean(self.total.value)) / _area(self.morphology)

    @property
    def depths(self) -> np.ndarray:
        """Mean optical depth within that ellipse: one number, or one per channel where the law is free."""
        return np.asarray(self.total.value) / _area(self.morphology)

    def with_depths(self, depths: float | np.ndarray) -> Dust:
        """Return the layer with other mean optical depths; raises LockedParameterError where they are locked."""
        total = np.broadcast_to(depths, np.shape(self.total.value)) * _area(self.morphology)
        return replace(self, total=self.total.edited(total))

    def with_status(self, status: Status) -> Dust:
        """Return the layer with every parameter free, fixed or locked."""
        parameters = {name: p.with_status(status) for name, p in self.morphology.parameters.items()}
        morphology = self.morphology.with_parameters(**parameters)
        return replace(self, morphology=morphology, total=self.total.with_status(status))

    def resized(self, radius: int) -> Dust:
        return replace(self, radius=radius, morphology=self.morphology.resized(radius))


def start_dust(
    half_depth_radius: float,
    radius: int,
    *,
    n_channels: int,
    kind: str = Galaxy.label,
    depth: float = 0.3,
    extinction: Extinction | str = "G23",
    behind: tuple[int, ...] | None = None,
) -> Dust:
    """Return a round layer of dust, for `Source.dimmed`.

    Parameters
    ----------
    half_depth_radius
        Within which half of the dust is [pix].
    radius
        Half the side of its box [pix].
    kind
        Of its morphology: a profile, "galaxy" (a profile and what is off it) or "free-form".
    depth
        Mean optical depth within that radius, where k is 1; to start with.
    behind
        Indices of the components that it dims; None for all.

    Raises
    ------
    ValueError
        Where there is no such kind or law, or the depth is negative.
    """
    law = Extinction(extinction) if isinstance(extinction, str) else extinction
    morphology = start_morphology(kind, half_depth_radius, radius)
    total = depth * _area(morphology)
    value = np.full(n_channels, total) if law.is_free else np.asarray(total)
    return Dust(morphology, Parameter(value, lower=0.0), radius, law, behind)


def _area(morphology: Morphology) -> float:
    """Return twice the area of the ellipse that holds half [pix²]."""
    return float(2.0 * np.pi * max(morphology.half_light_radius_guess, 0.5) ** 2)
