"""Normalizations: in which numbers first-order solvers see the light of pixels.

Light f q, with q of sum 1, is A S with A = f / K and S = K q for any K. The fit is the same whatever K is, but
the way there is not: a gradient by S at fixed A makes a source brighter where one by q only moves its light, and K says
how a step weighs pixels against fluxes. So a person may choose what is 1 after every step: the sum of A, the sum of S,
or its largest pixel; or only bound S to lie between 0 and 1 and leave K alone. Second-order solvers do not notice, and
solvers in the metric of their sources' own blocks do not, either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from deblend.program import Program
from deblend.program.arrays import GroupParameters, Parameters
from deblend.program.penalty import is_free_form
from deblend.scene import ConstraintKind

SPECTRUM, SUM, PEAK, INTERVAL = "spectrum", "sum", "peak", "interval"
TINY = 1e-20


@dataclass(frozen=True)
class Place:
    """A component whose light is pixels, and what is 1 of it."""

    group: int
    slot: int
    of: str


@dataclass(frozen=True)
class Gauge:
    """The numbers that stand for the fluxes and pixels of some components, and K of each."""

    places: tuple[Place, ...] = ()
    sums: tuple[float, ...] = ()

    @classmethod
    def of(cls, program: Program) -> Gauge:
        """Return that of a program's scene: of all components that are pixels and have a normalization."""
        found = []
        for index, (group, slots) in enumerate(zip(program.layout.groups, program.members, strict=True)):
            if not is_free_form(group):
                continue
            for slot, (source, k) in enumerate(slots):
                morphology = source.components[k].morphology
                asked = morphology.constraint(ConstraintKind.NORMALIZATION)
                if asked is not None and asked.active and asked.strength > 0:
                    found.append(Place(index, slot, str(asked.setting("of"))))
        return cls(tuple(found))

    def at(self, parameters: Parameters) -> Gauge:
        """Return it with K as it has to be for parameters (f, p)."""
        sums = []
        for number, place in enumerate(self.places):
            flux, picture = _of(parameters, place)
            total, peak = float(picture.sum()), float(picture.max())
            highest = total / max(peak, TINY)
            before = self.sums[number] if self.sums else highest
            light = float(np.abs(flux).sum())
            chosen = {SPECTRUM: light or 1.0, SUM: 1.0, PEAK: highest, INTERVAL: min(before, highest)}
            sums.append(chosen[place.of])
        return Gauge(self.places, tuple(sums))

    def factored(self, parameters: Parameters) -> Parameters:
        """Return (A, S) in the places of (f, p)."""
        return self._each(parameters, lambda flux, picture, k: (flux / k, k * picture / _total(picture)))

    def multiplied(self, factors: Parameters, before: Parameters) -> tuple[Parameters, Gauge]:
        """Return (f, p) for (A, S), with pictures that add up to what they did `before`, and the gauge there."""
        totals = iter([_total(_of(before, place)[1]) for place in self.places])
        sums = tuple(max(float(_of(factors, place)[1].sum()), TINY) for place in self.places)
        there = Gauge(self.places, sums)
        return there._each(factors, lambda a, s, k: (a * k, next(totals) * s / k)), there

    def slope(self, gradient: Parameters, parameters: Parameters) -> Parameters:
        """Return a gradient by (f, p) as one by (A, S)."""
        at = iter([_of(parameters, place) for place in self.places])

        def chained(by_flux: Any, by_picture: Any, k: float) -> tuple[Any, Any]:
            flux, picture = next(at)
            total = _total(picture)
            inward = total / k * (by_picture - np.vdot(by_picture, picture) / total)
            return k * by_flux, inward + np.vdot(by_flux, flux) / k

        return self._each(gradient, chained)

    def scaled(self, sizes: Parameters, parameters: Parameters) -> Parameters:
        """Return sizes or bounds of (f, p) as those of (A, S)."""
        totals = iter([_total(_of(parameters, place)[1]) for place in self.places])
        return self._each(sizes, lambda flux, picture, k: (flux / k, k * picture / next(totals)))

    def upper(self, bound: Parameters, parameters: Parameters) -> Parameters:
        """Return upper bounds, 1 for pixels of an interval."""
        of = iter(place.of for place in self.places)
        scaled = self.scaled(bound, parameters)
        return self._each(scaled, lambda a, s, _: (a, np.minimum(s, 1.0) if next(of) == INTERVAL else s))

    def _each(self, tree: Parameters, change: Any) -> Parameters:
        if not self.places:
            return tree
        groups: list[GroupParameters] = list(tree.groups)
        for index in {place.group for place in self.places}:
            group = groups[index]
            groups[index] = group._replace(flux=np.array(group.flux), pixels=np.array(group.pixels))
        for place, k in zip(self.places, self.sums, strict=True):
            group = groups[place.group]
            pixels: Any = group.pixels
            flux, picture = (np.asarray(part[place.slot], np.float64) for part in (group.flux, pixels))
            group.flux[place.slot], pixels[place.slot] = change(flux, picture, k)
        return tree._replace(groups=tuple(groups))


def _of(parameters: Parameters, place: Place) -> tuple[np.ndarray, np.ndarray]:
    group = parameters.groups[place.group]
    flux, picture = jax.tree.map(lambda part: np.asarray(part[place.slot], np.float64), (group.flux, group.pixels))
    return flux, picture


def _total(picture: np.ndarray) -> float:
    return max(float(picture.sum()), TINY)
