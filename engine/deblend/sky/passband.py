"""Passbands: how much of the light of each wavelength a channel lets through."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Passband:
    """A transmission curve: how many photons of each wavelength are counted, in any unit.

    It is linear between its points and zero beyond them. Raises ValueError where it is no such curve.
    """

    wavelengths: Float[np.ndarray, " point"]
    """Ascending [Å]."""
    transmission: Float[np.ndarray, " point"]
    origin: str = "given"
    """Where it is from, as a part of a sentence: "the curve hsc_i of astro-sedpy"."""

    def __post_init__(self) -> None:
        wavelengths, transmission = (np.array(v, np.float64) for v in (self.wavelengths, self.transmission))
        if wavelengths.ndim != 1 or wavelengths.shape != transmission.shape or len(wavelengths) < 2:
            raise ValueError(
                f"A transmission curve ({self.origin}) needs as many transmissions as wavelengths, two at least; got "
                f"{transmission.shape} and {wavelengths.shape}."
            )
        if not (np.all(np.diff(wavelengths) > 0) and wavelengths[0] > 0):
            raise ValueError(
                f"The wavelengths of a transmission curve ({self.origin}) have to be positive and to rise."
            )
        if not np.all(transmission >= 0) or not 0 < transmission.max() < np.inf:
            raise ValueError(
                f"A transmission curve ({self.origin}) has to be finite, nowhere negative, and not all zero."
            )
        for name, value in (("wavelengths", wavelengths), ("transmission", transmission)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @classmethod
    def top_hat(cls, center: float, width: float, origin: str = "given") -> Passband:
        """Return a passband that lets through all light within `width` about `center` [Å]."""
        edges = np.array([center - 0.5 * width, center + 0.5 * width])
        return cls(edges, np.ones(2), origin)

    def named(self, origin: str) -> Passband:
        """Return the same curve, said to be from elsewhere."""
        return replace(self, origin=origin)

    @property
    def pivot(self) -> float:
        """Pivot wavelength, √(∫ T λ dλ / ∫ T dλ/λ) [Å]."""
        grid = np.unique(
            np.concatenate([self.wavelengths, np.geomspace(self.wavelengths[0], self.wavelengths[-1], 1001)])
        )
        transmission = np.interp(grid, self.wavelengths, self.transmission)
        return float(np.sqrt(np.trapezoid(transmission * grid, grid) / np.trapezoid(transmission / grid, grid)))
