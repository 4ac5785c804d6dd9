"""Round Gaussians in noise, drawn without the engine."""

from __future__ import annotations

import numpy as np

from deblend import Observation
from deblend.observe import gaussian_psf

SHAPE = (72, 80)
FWHM = 3.0


def seen(
    *blobs: tuple[float, float, float, float],
    seed: int = 1,
    weights: np.ndarray | None = None,
    shape: tuple[int, int] = SHAPE,
) -> Observation:
    """Return Gaussians (x, y, flux, width before the PSF) in two bands with noise of the weights, 1 without."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    weights = np.ones((2, *shape)) if weights is None else weights
    images = np.random.default_rng(seed).normal(size=weights.shape) / np.sqrt(np.where(weights > 0, weights, 1.0))
    for x0, y0, flux, width in blobs:
        variance = (FWHM / 2.3548) ** 2 + width**2
        images += flux / (2 * np.pi * variance) * np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / variance)
    return Observation.from_arrays(images, [gaussian_psf(FWHM)] * 2, weights, channels=["g", "i"])
