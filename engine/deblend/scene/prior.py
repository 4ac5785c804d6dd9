"""What is believed of a number before the images are looked at: closed forms, each the density of one number.

A normal prior is a density of the number in its own unit, a log-normal one of its logarithm, that of sizes one of
log10 r at a magnitude, a color one of the flux given that in another channel. A fit finds the best place in the
coordinate in which the density is a Gaussian; chains know the density itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Normal(NamedTuple):
    """A Gaussian prior of a parameter, in its own unit."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class LogNormal:
    """A Gaussian prior of the logarithm of a positive parameter."""

    median: float
    """In the unit of the parameter."""
    deviation: float
    """Of the natural logarithm: 0.1 is about ten percent."""

    def __post_init__(self) -> None:
        _positive("The median of a log-normal prior", self.median)
        _positive("The standard deviation of a log-normal prior", self.deviation)


@dataclass(frozen=True)
class Uniform:
    """As likely anywhere between two bounds, and impossible elsewhere."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not -float("inf") < self.lower < self.upper < float("inf"):
            raise ValueError(
                f"A uniform prior lies between two finite bounds, the lower one first, got {self.lower:g} and "
                f"{self.upper:g}."
            )


@dataclass(frozen=True)
class SizeMagnitude:
    """A half-light radius as expected at the magnitude of its component: log10 r is Gaussian around
    log10 `size` + `slope` (m - `magnitude`)."""

    size: float
    """Expected at that magnitude [pix]."""
    magnitude: float
    """[AB mag]"""
    slope: float = -0.1
    """How log10 of the size changes with magnitude [dex/mag]; what is brighter is larger where it is negative."""
    deviation: float = 0.2
    """Of log10 of the size [dex]."""
    channel: int = 0
    """Which channel of the scene the magnitude is of."""

    def __post_init__(self) -> None:
        _positive("The size of a size-magnitude prior", self.size)
        _positive("The standard deviation of a size-magnitude prior", self.deviation)


@dataclass(frozen=True)
class Color:
    """A flux as expected from that in another channel: the difference of magnitudes, this channel's less the other's,
    is Gaussian."""

    other: int
    """A channel of the scene."""
    mean: float
    """[mag]"""
    deviation: float
    """[mag]"""

    def __post_init__(self) -> None:
        _positive("The standard deviation of a color", self.deviation)


Prior = Normal | LogNormal | Uniform | SizeMagnitude | Color


def checked(prior: Prior) -> None:
    """Raise ValueError with a sentence where a prior makes no sense."""
    if isinstance(prior, Normal):
        _positive("The standard deviation of a normal prior", prior.deviation)
    elif not isinstance(prior, LogNormal | Uniform | SizeMagnitude | Color):
        raise ValueError(
            "A prior is Normal, LogNormal, Uniform, SizeMagnitude or Color, got "
            f"{type(prior).__name__}; what has no closed form cannot be a number's prior."
        )


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is above 0 and finite, got {value:g}.")
