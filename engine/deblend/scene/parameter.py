"""Parameters: a value, whether the fit may change it, and between which bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from deblend.scene.prior import Prior, Uniform, checked


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
    priors: tuple[Prior | None, ...] = ()
    """What a person believes of each of its numbers, None for what is usual; empty where nothing is said."""

    def __post_init__(self) -> None:
        value = np.array(self.value, dtype=np.float64)
        value.setflags(write=False)
        object.__setattr__(self, "value", value)
        if not self.lower <= self.upper:
            raise ValueError(f"A parameter needs lower ≤ upper bound, got {self.lower} and {self.upper}.")
        if self.priors:
            self._check_priors()

    def _check_priors(self) -> None:
        if len(self.priors) != self.value.size:
            raise ValueError(
                f"A prior, or None, is needed for each of {self.value.size} numbers, got {len(self.priors)}."
            )
        for prior in self.priors:
            if prior is not None:
                checked(prior)
            if isinstance(prior, Uniform) and not (prior.lower < self.upper and self.lower < prior.upper):
                raise ValueError(
                    f"A uniform prior between {prior.lower:g} and {prior.upper:g} leaves nothing of the bounds "
                    f"{self.lower:g} and {self.upper:g}; change one of them."
                )

    @property
    def has_priors(self) -> bool:
        """Whether a person has said what to believe of any of its numbers."""
        return any(prior is not None for prior in self.priors)

    @property
    def range(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of each number, in the shape of `value`: bounds, and uniform priors."""
        lower, upper = (np.full(self.value.shape, bound) for bound in (self.lower, self.upper))
        for k, prior in enumerate(self.priors):
            if isinstance(prior, Uniform):
                lower.flat[k], upper.flat[k] = max(self.lower, prior.lower), min(self.upper, prior.upper)
        return lower, upper

    def prior(self, index: int = 0) -> Prior | None:
        """Return what is believed of one of its numbers; None where a person has not said anything."""
        return self.priors[index] if self.priors else None

    def believed(self, prior: Prior | None, index: int = 0) -> Parameter:
        """Return this parameter with a prior of one of its numbers, which is put between the bounds of a uniform one.

        Raises ValueError where the prior makes no sense, or where it is uniform and the parameter is locked beyond it.
        """
        priors = list(self.priors or (None,) * self.value.size)
        priors[index] = prior
        new = replace(self, priors=tuple(priors) if any(p is not None for p in priors) else ())
        within = np.clip(new.value, *new.range)
        return new if np.array_equal(within, new.value, equal_nan=True) else new.edited(within)

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
        return self.at(np.clip(value, *self.range))

    def bounded(self, lower: float, upper: float) -> Parameter:
        """Return this parameter between other bounds, and its value within them.

        Raises LockedParameterError where it is locked, and ValueError where no value lies between them.
        """
        return replace(self, lower=lower, upper=upper).edited(self.value)

    def is_like(self, other: Parameter) -> bool:
        """Whether value, status, bounds and priors are the same."""
        same = (self.status, self.lower, self.upper) == (other.status, other.lower, other.upper)
        return same and self.priors == other.priors and np.array_equal(self.value, other.value)

    def with_status(self, status: Status) -> Parameter:
        return replace(self, status=status)


class LockedParameterError(ValueError):
    """An edit met a locked parameter."""
