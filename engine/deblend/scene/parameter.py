"""Parameters: a value, whether the fit may change it, and between which bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np


class Status(Enum):
    """Who may change a parameter."""

    FREE = "free"
    """The fit and a person."""
    FIXED = "fixed"
    """A person; the fit keeps it."""
    LOCKED = "locked"
    """Nobody, until a person unlocks it."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """A number or an array of numbers of a scene, as a person says it; float64, never written in place."""

    value: Any
    """A float64 array, whatever it was made from."""
    status: Status = Status.FREE
    lower: float = -np.inf
    upper: float = np.inf

    def __post_init__(self) -> None:
        value = np.array(self.value, dtype=np.float64)
        value.setflags(write=False)
        object.__setattr__(self, "value", value)
        if not self.lower <= self.upper:
            raise ValueError(f"A parameter needs lower ≤ upper bound, got {self.lower} and {self.upper}.")

    @property
    def is_free(self) -> bool:
        return self.status is Status.FREE

    def at(self, value: Any) -> Parameter:
        """Return this parameter with another value; bounds and status stay."""
        return replace(self, value=np.asarray(value, dtype=np.float64))

    def edited(self, value: Any) -> Parameter:
        """Return this parameter as a person sets it: within its bounds, and never where it is locked."""
        if self.status is Status.LOCKED:
            raise LockedParameterError("This parameter is locked; unlock it to change it.")
        return self.at(np.clip(value, self.lower, self.upper))

    def bounded(self, lower: float, upper: float) -> Parameter:
        """Return this parameter between other bounds, and its value within them.

        Raises LockedParameterError where it is locked, and ValueError where no value lies between them.
        """
        return replace(self, lower=lower, upper=upper).edited(self.value)

    def is_like(self, other: Parameter) -> bool:
        """Whether value, status and bounds are the same."""
        same = (self.status, self.lower, self.upper) == (other.status, other.lower, other.upper)
        return same and np.array_equal(self.value, other.value)

    def with_status(self, status: Status) -> Parameter:
        return replace(self, status=status)


class LockedParameterError(ValueError):
    """An edit met a locked parameter."""
