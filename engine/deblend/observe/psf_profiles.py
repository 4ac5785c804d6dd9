"""PSFs that are known by a few numbers only: Gaussian, double Gaussian, Moffat, as stamps integrated over pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import erf

FULL_WIDTH_OF_GAUSSIAN = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian [σ]."""
LEFT_OUT = 1e-3
"""Light that may lie outside of a stamp, relative to the whole."""
LARGEST_RADIUS = 60
"""Of a stamp [pix]: wide wings of a Moffat are cut there."""
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(7)
"""Places within a pixel, from -1 to 1, and their weights."""


def gaussian_psf(fwhm: float) -> Float[np.ndarray, "side side"]:
    """Return a Gaussian PSF of that full width at half maximum [pix], integrated over pixels, sum 1."""
    sigma = _positive(fwhm) / FULL_WIDTH_OF_GAUSSIAN
    radius = max(int(np.ceil(4.5 * sigma)), 5)
    stamp = _gaussian(sigma, radius)
    return stamp / stamp.sum()


def double_gaussian_psf(fwhm: float, outer_fwhm: float, share: float) -> Float[np.ndarray, "side side"]:
    """Return the sum of two Gaussians [FWHM in pix]; the outer one has `share` of the light. Sum 1.

    Raises ValueError where a width is not positive, or the share not between 0 and 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"The outer Gaussian's share of the light must lie between 0 and 1, got {share:g}.")
    sigmas = [_positive(width) / FULL_WIDTH_OF_GAUSSIAN for width in (fwhm, outer_fwhm)]
    radius = max(int(np.ceil(4.5 * max(sigmas))), 5)
    inner, outer = (_gaussian(sigma, radius) for sigma in sigmas)
    stamp = (1.0 - share) * inner + share * outer
    return stamp / stamp.sum()


def moffat_psf(fwhm: float, beta: float = 3.0) -> Float[np.ndarray, "side side"]:
    """Return a Moffat (1969) PSF, (1 + r²/α²)^-β, of that full width at half maximum [pix]; sum 1.

    Raises ValueError where the width is not positive, or β not above 1: such a PSF has infinite light.
    """
    if not beta > 1.0:
        raise ValueError(f"A Moffat PSF needs a beta above 1, got {beta:g}.")
    alpha = _positive(fwhm) / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
    # beyond r lies (1 + r²/α²)^(1 - β) of the light
    radius = int(np.ceil(alpha * np.sqrt(LEFT_OUT ** (1.0 / (1.0 - beta)) - 1.0)))
    stamp = _over_pixels(lambda squared: (1.0 + squared / alpha**2) ** -beta, min(max(radius, 5), LARGEST_RADIUS))
    return stamp / stamp.sum()


def _gaussian(sigma: float, radius: int) -> Float[np.ndarray, "side side"]:
    edges = np.arange(-radius - 0.5, radius + 1.0)
    line = np.diff(erf(edges / (np.sqrt(2.0) * sigma)))
    return 0.25 * np.outer(line, line)


def _over_pixels(profile: Callable[[np.ndarray], np.ndarray], radius: int) -> Float[np.ndarray, "side side"]:
    """Return a function of r² [pix²], integrated over the pixels of a stamp."""
    places = np.arange(-radius, radius + 1)[:, None] + 0.5 * NODES
    squared = places.ravel()[:, None] ** 2 + places.ravel() ** 2
    side = 2 * radius + 1
    values = profile(squared).reshape(side, len(NODES), side, len(NODES))
    result: Float[np.ndarray, "side side"] = np.einsum("yixj,i,j->yx", values, NODE_WEIGHTS, NODE_WEIGHTS) / 4.0
    return result


def _positive(width: float) -> float:
    if not (width > 0 and np.isfinite(width)):
        raise ValueError(f"A PSF needs a width above 0, got {width:g}.")
    return width
