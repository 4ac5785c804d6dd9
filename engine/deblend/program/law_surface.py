"""One component whose fluxes follow a law: where it stands on the surface f = a L(p), and the plane that touches it
there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from deblend.program.law_chart import Chart, Coordinates
from deblend.render.spectra import Passbands
from deblend.scene import Component

RANK = 1e-4
"""Of the largest singular value: what changes fluxes by less is not known from them."""
DIFFERENCE = 1e-4
"""Step of derivatives by central differences."""
HALVINGS = 6
"""How often a step is halved that would lead beyond the bounds of fluxes."""
ROUNDING = 1e-5

Fluxes = Float[np.ndarray, " channel"]


class Plane(NamedTuple):
    """The plane of fluxes that touches the surface of a law, and what moves on the surface mean there."""

    basis: Float[np.ndarray, "channel direction"]
    """Orthonormal."""
    to_coordinates: Float[np.ndarray, "coordinate channel"]
    """How coordinates change with fluxes on the plane."""
    pulled: Float[np.ndarray, "channel prior"]
    """What residuals of priors add to the gradient by fluxes."""
    settled: Float[np.ndarray, "coordinate prior"]
    """How those change coordinates that no flux tells."""

    @property
    def tie(self) -> Float[np.ndarray, "channel channel"]:
        """The projection onto the plane."""
        return self.basis @ self.basis.T

    @property
    def root(self) -> Float[np.ndarray, "channel channel"]:
        """The symmetric root of what priors add to the normal matrix of the fluxes."""
        values, vectors = np.linalg.eigh(self.pulled @ self.pulled.T)
        return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


@dataclass(frozen=True, eq=False)
class Lawful:
    """A component with a law, in its slot, at one point of the surface; fluxes are in units of the noise."""

    component: Component
    key: tuple[str, int]
    """The id of its source and its index there."""
    group: int
    slot: int
    chart: Chart
    passbands: Passbands
    noise: Fluxes
    parts: Float[np.ndarray, "amplitude channel"]
    """1 where an amplitude lights a channel: there is one, or one for each epoch of what varies."""
    coordinates: Coordinates
    amplitudes: Float[np.ndarray, " amplitude"]
    present: Float[np.ndarray, "amplitude channel"]
    """Its colors there: the fluxes of amplitudes 1."""

    @property
    def is_free(self) -> bool:
        return self.component.spectrum.is_free

    def colors(self, coordinates: Coordinates) -> Float[np.ndarray, "amplitude channel"]:
        """Return the fluxes of amplitudes 1, as it is at these coordinates."""
        means = self.passbands.means(self.chart.law, self.chart.values(coordinates))
        if not np.all(np.isfinite(means)):
            raise ValueError(
                f"The {self.chart.law.label} of source {self.key[0]} is not finite in all passbands at "
                f"{self.chart.values(coordinates)}; bound its parameters."
            )
        return self.parts * (means / self.noise)

    @property
    def fluxes(self) -> Fluxes:
        return self.amplitudes @ self.present

    @property
    def penalty(self) -> float:
        """½ Σ r² over the priors of its parameters."""
        if not self.is_free:
            return 0.0
        residuals, _ = self.chart.prior(self.coordinates)
        return 0.5 * float(residuals @ residuals)

    @cached_property
    def slopes(self) -> Float[np.ndarray, "channel coordinate"]:
        """How the fluxes change with the coordinates, by differences that stay within bounds."""
        chart, result = self.chart, np.zeros((len(self.noise), self.chart.size))
        for k in range(chart.size):
            low, high = self.coordinates.copy(), self.coordinates.copy()
            low[k] = max(low[k] - DIFFERENCE, chart.lower[k])
            high[k] = min(high[k] + DIFFERENCE, chart.upper[k])
            if high[k] > low[k]:
                result[:, k] = self.amplitudes @ (self.colors(high) - self.colors(low)) / (high[k] - low[k])
        return result

    def with_fluxes(self, fluxes: Fluxes) -> Lawful:
        """Return it with the amplitudes that come closest to these fluxes."""
        return replace(self, amplitudes=self._amplitudes(self.present, fluxes))

    def _amplitudes(self, colors: Float[np.ndarray, "amplitude channel"], fluxes: Fluxes) -> np.ndarray:
        sizes = np.sum(colors**2, axis=1)
        result = colors @ fluxes / np.where(sizes > 0, sizes, 1.0)
        return np.maximum(result, 0.0) if self.component.spectrum.lower >= 0 else result

    def plane(self, held: np.ndarray | None = None) -> Plane:
        """Return the plane that touches the surface here, with some coordinates `held`."""
        n, n_amplitudes = self.chart.size, len(self.amplitudes)
        movable = np.ones(n) if held is None else 1.0 - held
        sizes = np.sqrt(np.sum(self.present**2, axis=1))
        scales = np.maximum(np.abs(self.amplitudes), 1.0 / np.where(sizes > 0, sizes, 1.0))
        jacobian = np.concatenate([(self.present * scales[:, None]).T, self.slopes * movable], axis=1)
        left, values, right = np.linalg.svd(jacobian)
        rank = int(np.sum(values > RANK * values[0]))
        basis = left[:, :rank]
        told = (right[:rank, n_amplitudes:].T / values[:rank]) @ basis.T
        untold = right[rank:, n_amplitudes:].T * movable[:, None]
        _, prior = self.chart.prior(self.coordinates)
        prior = prior * movable
        # coordinates that no flux tells go to where priors are best met
        undone = np.linalg.pinv(prior @ untold, rcond=1e-8)
        left_over = np.eye(len(prior)) - prior @ untold @ undone
        seen = left_over @ prior @ told
        return Plane(basis, told - untold @ undone @ prior @ told, seen.T, -untold @ undone)

    def moved(self, change: Fluxes, plane: Plane, fraction: float, lower: Fluxes, upper: Fluxes) -> Lawful:
        """Return where a fraction of a step on the plane leads, brought back to the surface and within bounds."""
        residuals, _ = self.chart.prior(self.coordinates)
        for _ in range(HALVINGS):
            step = fraction * (plane.to_coordinates @ change + plane.settled @ residuals)
            step = step / max(1.0, float(np.max(np.abs(step) / self.chart.furthest, initial=0.0)))
            coordinates = np.clip(self.coordinates + step, self.chart.lower, self.chart.upper)
            colors = self.colors(coordinates)
            amplitudes = self._amplitudes(colors, self.fluxes + fraction * change)
            fluxes = amplitudes @ colors
            room = ROUNDING * np.abs(fluxes)
            if np.all((fluxes >= lower - room) & (fluxes <= upper + room)):
                return replace(self, coordinates=coordinates, amplitudes=amplitudes, present=colors)
            fraction *= 0.5
        return self

    def held(self, gradient: Fluxes) -> np.ndarray:
        """Return 1 for coordinates at a bound that the way down leads across."""
        down = -(self.slopes.T @ gradient)
        at_lower, at_upper = self.coordinates <= self.chart.lower, self.coordinates >= self.chart.upper
        return np.asarray((at_lower & (down < 0)) | (at_upper & (down > 0)), np.float64)
