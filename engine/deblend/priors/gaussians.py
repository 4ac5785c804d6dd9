"""Pictures made of elliptical Gaussians: drawn at any size, anywhere between pixels, behind any Gaussian PSF, exactly.

A galaxy is described without pixels, so that one description gives noise-free truth on every grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq, nnls
from scipy.special import gammaincinv

INDEX_STEP = 0.25
"""Sérsic indices are rounded to that: a mixture is fitted for each."""
N_SIGMAS = 14
SETTLED = 1e-4


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A sum of elliptical Gaussians; lengths have no unit until it is drawn."""

    flux: Float[np.ndarray, " gaussian"]
    center: Float[np.ndarray, "gaussian 2"]
    """(y, x)"""
    covariance: Float[np.ndarray, "gaussian 2 2"]
    """Of (y, x)."""
    part: Int[np.ndarray, " gaussian"]
    """Which part of a galaxy each one belongs to, for colors of their own (`population.PARTS`)."""

    @staticmethod
    def joined(*parts: Gaussians) -> Gaussians:
        """Return the sum of several."""
        columns = ((p.flux, p.center, p.covariance, p.part) for p in parts)
        return Gaussians(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    @property
    def total(self) -> float:
        return float(self.flux.sum())

    def scaled_to(self, flux: float) -> Gaussians:
        """Return it with this total flux."""
        return replace(self, flux=self.flux * flux / self.total)

    def shifted(self, y: float, x: float) -> Gaussians:
        return replace(self, center=self.center + np.array([y, x]))

    def mapped(self, matrix: Float[np.ndarray, "2 2"]) -> Gaussians:
        """Return what a linear map of the plane, of (y, x), makes of it; fluxes stay."""
        return replace(self, center=self.center @ matrix.T, covariance=matrix @ self.covariance @ matrix.T)

    def mode(self, blur: float, start: tuple[float, float] = (0.0, 0.0)) -> Float[np.ndarray, "2"]:
        """Return the (y, x) of the brightest place near `start` of the picture behind a blur of this width.

        By the mean shift of a mixture (Carreira-Perpiñán 2000): no picture is needed.
        """
        wide = self.covariance + blur**2 * np.eye(2)
        inverse = np.linalg.inv(wide)
        height = self.flux / np.sqrt(np.linalg.det(wide))
        place = np.array(start, float)
        for _ in range(200):
            off = self.center - place
            pull = np.einsum("gij,gj->gi", inverse, off)
            weight = height * np.exp(-0.5 * np.einsum("gi,gi->g", off, pull))
            step = np.linalg.solve(np.einsum("g,gij->ij", weight, inverse), weight @ pull)
            place = place + step
            if np.hypot(*step) < SETTLED * blur:
                break
        return place

    def size_for(self, half_light_radius: float, psf_sigma: float) -> float:
        """Return the size at which it has about this half-light radius behind a PSF [pix]; 0 where it is narrower.

        About, since every Gaussian counts as round around the origin.
        """
        variance = 0.5 * (np.trace(self.covariance, axis1=1, axis2=2) + np.sum(self.center**2, axis=1))

        def outside(size: float) -> float:
            wide = size**2 * variance + psf_sigma**2
            return float(self.flux @ np.exp(-0.5 * half_light_radius**2 / wide) / self.total - 0.5)

        most = 2.0 * half_light_radius
        while outside(most) < 0:
            most *= 2.0
        return 0.0 if outside(0.0) >= 0 else float(brentq(outside, 0.0, most, rtol=1e-3))

    def drawn(
        self, side: int, size: float = 1.0, psf_sigma: float = 0.0, center: tuple[float, float] = (0.0, 0.0)
    ) -> Float[np.ndarray, "side side"]:
        """Return the surface brightness [flux/pix] at the middles of the pixels of a box of odd side.

        Parameters
        ----------
        size
            What a length of 1 is [pix].
        psf_sigma
            Width of the Gaussian PSF, pixels included [pix].
        center
            (y, x) of the origin, from the middle of the box [pix].
        """
        variance = size**2 * self.covariance + psf_sigma**2 * np.eye(2)
        a, b, c = variance[:, 0, 0], variance[:, 0, 1], variance[:, 1, 1]
        determinant = a * c - b**2
        index = np.arange(side) - side // 2
        y = (index - center[0]) - size * self.center[:, :1]
        x = (index - center[1]) - size * self.center[:, 1:]
        # the axes of a Gaussian are taken apart as far as they go: only the cross term needs a picture
        along_y = (c / determinant)[:, None] * y**2
        along_x = (a / determinant)[:, None] * x**2
        cross = (b / determinant)[:, None] * y
        peak = self.flux / (2.0 * np.pi * np.sqrt(determinant))
        is_even = np.abs(b) < 1e-9 * np.sqrt(a * c)
        picture = (peak[is_even, None] * np.exp(-0.5 * along_y[is_even])).T @ np.exp(-0.5 * along_x[is_even])
        odd = ~is_even
        if np.any(odd):
            exponent = (-0.5 * (along_y[odd, :, None] + along_x[odd, None, :])).astype(np.float32)
            exponent += (cross[odd, :, None] * x[odd, None, :]).astype(np.float32)
            picture = picture + np.tensordot(peak[odd].astype(np.float32), np.exp(exponent), axes=1)
        result: Float[np.ndarray, "side side"] = picture
        return result


def round_blobs(
    flux: Float[np.ndarray, " gaussian"],
    center: Float[np.ndarray, "gaussian 2"],
    sigma: Float[np.ndarray, " gaussian"],
    part: int,
) -> Gaussians:
    """Return round Gaussians of these widths."""
    covariance = np.asarray(sigma)[:, None, None] ** 2 * np.eye(2)
    return Gaussians(np.asarray(flux), np.asarray(center), covariance, np.full(len(flux), part))


def sersic(index: float, half_light_radius: float, part: int) -> Gaussians:
    """Return a round Sérsic (1963) profile of flux 1."""
    flux, sigma = _sersic_mixture(round(index / INDEX_STEP))
    return round_blobs(flux, np.zeros((len(flux), 2)), sigma * half_light_radius, part)


@lru_cache(maxsize=64)
def _sersic_mixture(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return fluxes and widths of the Gaussians that come closest to a profile of half-light radius 1."""
    index = steps * INDEX_STEP
    radius = np.geomspace(0.01, 12.0, 160)
    brightness = np.exp(-gammaincinv(2.0 * index, 0.5) * (radius ** (1.0 / index) - 1.0))
    sigma = np.geomspace(0.02, 5.0, N_SIGMAS)
    # light in a ring counts, not brightness
    columns = radius[:, None] ** 2 * np.exp(-0.5 * (radius[:, None] / sigma) ** 2) / sigma**2
    flux, _ = nnls(columns, radius**2 * brightness)
    used = flux > 1e-4 * flux.sum()
    return flux[used] / flux[used].sum(), sigma[used]
