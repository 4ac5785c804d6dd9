"""Constraints, as said by a person: which, how strong, on or off. Their operators live in `deblend.constraints`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ConstraintKind(Enum):
    """What a constraint asks of a component's morphology."""

    POSITIVITY = "positivity"
    """No pixel emits negative light."""
    CORRECTION = "correction"
    """The free-form correction stays within a fraction (the strength) of the profile's own brightness."""
    SYMMETRY = "symmetry"
    """The morphology looks the same turned by 180° about the center; soft."""
    MONOTONICITY = "monotonicity"
    """The morphology does not brighten away from the center; soft."""


@dataclass(frozen=True)
class Constraint:
    """A constraint with its strength; strength and switch are data to the fit, so changing them compiles nothing."""

    kind: ConstraintKind
    strength: float = 1.0
    active: bool = True

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise ValueError(f"The strength of {self.kind.value} must not be negative, got {self.strength}.")
