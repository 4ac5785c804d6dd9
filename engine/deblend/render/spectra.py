"""Spectra: laws as mathematics, and their fluxes in passbands.

The flux density that a photon counting detector tells for a passband is the mean ∫ f_ν T d(ln λ) / ∫ T d(ln λ), with T
the probability that a photon is counted: the convention of AB magnitudes (Fukugita et al. 1996, section 2).

All of it is NumPy in double precision: a few hundred numbers per channel, evaluated between compiled steps, so that
neither a law nor its parameters are anything that compiled code knows of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import astropy.constants as const
import numpy as np
from jaxtyping import Float

from deblend.scene.law import PIVOT, BlackBody, Break, CustomLaw, EmissionLine, Law, PowerLaw, Template
from deblend.sky import Passband

Values = Mapping[str, Any]
Wavelengths = Float[np.ndarray, " wavelength"]

N_BINS = 192
"""Of a passband, in ln λ."""
GAUSS_POINTS, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(3)
PLANCK = float((const.h * const.c / const.k_B).to_value("AA K"))
"""h c / k [Å K]."""
LINE_REACH = np.linspace(-7.0, 7.0, 29)
"""Where a line is cut into pieces [its widths]."""


def power_law(at: Wavelengths, values: Values) -> Wavelengths:
    """Return f_ν of f_λ ∝ λ^slope."""
    return (at / PIVOT) ** (float(values["slope"]) + 2.0)


def black_body(at: Wavelengths, values: Values) -> Wavelengths:
    """Return B_ν(T) relative to its value at the pivot, without over- or underflow on the way there."""
    there, pivot = (PLANCK / (np.asarray(w) * float(values["temperature"])) for w in (at, PIVOT))

    def log_planck(x: Any) -> Any:
        return 3.0 * np.log(x) - x - np.log(-np.expm1(-x))

    return np.exp(np.clip(log_planck(there) - log_planck(pivot), -700.0, 700.0))


def broken(at: Wavelengths, values: Values) -> Wavelengths:
    """Return two power laws on both sides of a jump."""
    ratio = at / float(values["wavelength"])
    blue, red = (ratio ** (float(values[f"{side}_slope"]) + 2.0) for side in ("blue", "red"))
    return np.where(ratio < 1.0, blue, float(values["ratio"]) * red)


def emission_line(at: Wavelengths, values: Values) -> Wavelengths:
    """Return f_ν of a line that is Gaussian in f_λ and 1 at its peak."""
    center = float(values["wavelength"]) * (1.0 + float(values["redshift"]))
    return np.exp(-0.5 * ((at - center) / float(values["width"])) ** 2) * (at / center) ** 2


def template(law: Template) -> Callable[[Wavelengths, Values], Wavelengths]:
    """Return the mixture of a person's spectra, seen at a redshift; 0 beyond their ends."""

    def density(at: Wavelengths, values: Values) -> Wavelengths:
        mixed = np.asarray(values["shares"], np.float64) @ law.spectra
        return np.interp(at / (1.0 + float(values["redshift"])), law.wavelengths, mixed, left=0.0, right=0.0)

    return density


def _line_nodes(values: Values) -> np.ndarray:
    center = float(values["wavelength"]) * (1.0 + float(values["redshift"]))
    return center + LINE_REACH * float(values["width"])


def density_of(law: Law) -> Callable[[Wavelengths, Values], Wavelengths]:
    """Return f_ν of a law as a function of wavelengths [Å] and the values of its parameters."""
    if isinstance(law, Template):
        return template(law)
    if isinstance(law, CustomLaw):
        return lambda at, values: np.asarray(law.function(at, **values), np.float64)
    return DENSITIES[type(law)]


def nodes_of(law: Law, values: Values) -> Wavelengths:
    """Return the wavelengths [Å] between which a law is smooth, where it is not so everywhere."""
    if isinstance(law, Template):
        return law.wavelengths * (1.0 + float(values["redshift"]))
    if isinstance(law, EmissionLine):
        return _line_nodes(values)
    if isinstance(law, Break):
        return np.array([float(values["wavelength"])])
    return np.zeros(0)


DENSITIES: dict[type[Law], Callable[[Wavelengths, Values], Wavelengths]] = {
    PowerLaw: power_law,
    BlackBody: black_body,
    Break: broken,
    EmissionLine: emission_line,
}


class Passbands:
    """The passbands of all channels, ready for means of flux densities.

    Each is cut into bins of equal width in ln λ, in which its transmission is linear, with the light that falls into
    them and its middle. Means over a bin are taken by Gauss and Legendre's rule, in pieces where a law has nodes of its
    own there. So they are exact for what is smooth over a bin, or piecewise so, and continuous in where pieces meet.
    """

    def __init__(self, passbands: Sequence[Passband]) -> None:
        self.passbands = tuple(passbands)
        self._bins = [_binned(passband) for passband in self.passbands]

    @cached_property
    def reaches(self) -> Float[np.ndarray, "channel 2"]:
        """Between which wavelengths each has all but 2 % of its light [Å]."""
        result = np.zeros((len(self.passbands), 2))
        for k, (edges, heights, _) in enumerate(self._bins):
            light = np.concatenate([[0.0], np.cumsum(heights * np.diff(edges))])
            result[k] = np.exp(np.interp((0.01, 0.99), light, edges))
        return result

    def means(self, law: Law, values: Values) -> Float[np.ndarray, " channel"]:
        """Return the mean f_ν of a law in every passband, in the unit of the law."""
        nodes = nodes_of(law, values)
        nodes = np.log(nodes[nodes > 0])
        places, weights, ends = [], [], []
        for edges, heights, slopes in self._bins:
            cuts, which = edges, np.arange(N_BINS)
            inside = nodes[(nodes > edges[0]) & (nodes < edges[-1])]
            if len(inside):
                cuts = np.unique(np.concatenate([edges, inside]))
                which = np.clip(np.searchsorted(edges, cuts[:-1], side="right") - 1, 0, N_BINS - 1)
            half = 0.5 * np.diff(cuts)
            place = (cuts[:-1] + half)[:, None] + half[:, None] * GAUSS_POINTS
            middle = 0.5 * (edges[1:] + edges[:-1])[which]
            seen = heights[which][:, None] + slopes[which][:, None] * (place - middle[:, None])
            places.append(place.ravel())
            weights.append((seen * half[:, None] * GAUSS_WEIGHTS).ravel())
            ends.append(place.size)
        light = density_of(law)(np.exp(np.concatenate(places)), values)
        starts = np.concatenate([[0], np.cumsum(ends)[:-1]])
        result: Float[np.ndarray, " channel"] = np.add.reduceat(light * np.concatenate(weights), starts)
        return result


def _binned(passband: Passband) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of bins in ln λ, and the transmission in the middle of each and its slope there, which have its
    light and its first moment; the light of all together is 1."""
    points = np.log(passband.wavelengths)
    edges = np.linspace(points[0], points[-1], N_BINS + 1)
    cuts = np.unique(np.concatenate([points, edges, np.linspace(points[0], points[-1], 8 * N_BINS + 1)]))
    half = 0.5 * np.diff(cuts)
    place = (cuts[:-1] + half)[:, None] + half[:, None] * GAUSS_POINTS
    light = np.interp(np.exp(place), passband.wavelengths, passband.transmission) * half[:, None] * GAUSS_WEIGHTS
    which = np.clip(np.searchsorted(edges, cuts[:-1] + half) - 1, 0, N_BINS - 1)
    width, middle = edges[1] - edges[0], 0.5 * (edges[1:] + edges[:-1])
    heights, slopes = np.zeros(N_BINS), np.zeros(N_BINS)
    np.add.at(heights, which, light.sum(axis=1) / width)
    np.add.at(slopes, which, 12.0 / width**3 * (light * (place - middle[which][:, None])).sum(axis=1))
    total = light.sum()
    return edges, heights / total, slopes / total
