"""The free parameters of a law as coordinates for the fit, with their bounds and priors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.scene import Law, Normal

FURTHEST = 1.0
"""How far a parameter may go in one step, or its logarithm; and a quarter of the room between its bounds."""

Coordinates = Float[np.ndarray, " coordinate"]


class Chart:
    """The free numbers of a law as coordinates: themselves, or their logarithms."""

    def __init__(self, law: Law, bounds: Mapping[str, tuple[float, float]] | None = None) -> None:
        """Take a law, and `bounds` of some parameters that are narrower than their own."""
        self.law = law
        self._free = [(name, p) for name, p in law.parameters.items() if p.is_free]
        sizes = [p.value.size for _, p in self._free]
        self.size = sum(sizes)
        self._places = [slice(end - n, end) for n, end in zip(sizes, np.cumsum(sizes), strict=True)]
        self.lower, self.upper = np.zeros(self.size), np.zeros(self.size)
        self.start = np.zeros(self.size)
        means, deviations = np.zeros(self.size), np.full(self.size, np.inf)
        for (name, p), place in zip(self._free, self._places, strict=True):
            self.start[place] = self._inward(name, p.value.ravel())
            low, high = (bounds or {}).get(name, (-np.inf, np.inf))
            self.lower[place] = self._inward(name, max(p.lower, low))
            self.upper[place] = self._inward(name, min(p.upper, high))
            if name in law.priors:
                means[place], deviations[place] = Normal(*law.priors[name])
        self._means, self._deviations = means, deviations
        self.has_prior = np.isfinite(deviations)
        self.furthest = np.minimum(FURTHEST, 0.25 * (self.upper - self.lower))

    def _inward(self, name: str, value: Any) -> Any:
        if name not in self.law.logarithms:
            return value
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(np.asarray(value, np.float64) + self.law.logarithms[name], 0.0))

    def numbers(self, coordinates: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Return the numbers of the parameters, in their own units, and their derivatives by the coordinates."""
        numbers, slopes = coordinates.copy(), np.ones(self.size)
        for (name, _), place in zip(self._free, self._places, strict=True):
            if name in self.law.logarithms:
                slopes[place] = np.exp(coordinates[place])
                numbers[place] = slopes[place] - self.law.logarithms[name]
        return numbers, slopes

    def by_name(self, numbers: Float[np.ndarray, "... coordinate"]) -> dict[str, np.ndarray]:
        """Return numbers of all coordinates by the name of their parameter, in its shape."""
        return {
            name: numbers[..., place].reshape((*numbers.shape[:-1], *p.value.shape))
            for (name, p), place in zip(self._free, self._places, strict=True)
        }

    def values(self, coordinates: Coordinates) -> dict[str, np.ndarray]:
        """Return the values of all parameters, those that are not free as they are said."""
        said = {name: p.value for name, p in self.law.parameters.items()}
        return {**said, **self.by_name(self.numbers(coordinates)[0])}

    def prior(self, coordinates: Coordinates) -> tuple[np.ndarray, Float[np.ndarray, "prior coordinate"]]:
        """Return the residuals of the priors, and their derivatives."""
        numbers, slopes = self.numbers(coordinates)
        rows = np.flatnonzero(self.has_prior)
        derivatives = np.zeros((len(rows), self.size))
        derivatives[np.arange(len(rows)), rows] = slopes[rows] / self._deviations[rows]
        return (numbers - self._means)[rows] / self._deviations[rows], derivatives

    def law_at(self, coordinates: Coordinates) -> Law:
        """Return the law with fitted values."""
        changed = self.by_name(self.numbers(coordinates)[0])
        parameters = self.law.parameters
        inside = {n: parameters[n].at(np.clip(v, parameters[n].lower, parameters[n].upper)) for n, v in changed.items()}
        result: Law = self.law.with_parameters(**inside)
        return result
