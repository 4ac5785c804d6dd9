"""Where a model does not explain the images: χ² per pixel, smoothed as far as the PSF reaches."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.observe import Observation

LEAST_SEEN = 0.05
"""Places of which less than this share is unmasked have no χ²."""


def chi2_map(observation: Observation, model: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "y x"]:
    """Return the mean χ² of the unmasked pixels of all bands around each place, weighted by a Gaussian as wide as the
    PSF: 1 on average where a model [nJy/pix] explains everything but the noise; NaN where too much is masked.
    """
    good = observation.weights > 0
    chi2 = np.where(good, (observation.images - model) ** 2 * observation.weights, 0.0).sum(axis=0)
    # a Gaussian with the noise-equivalent area of the mean PSF, 1 / Σ P² = 4π σ²
    psf = observation.psf.mean(axis=0)
    sigma = float(np.sqrt(1.0 / np.sum(psf**2) / (4.0 * np.pi)))
    smooth = ndimage.gaussian_filter(chi2, sigma, mode="constant")
    seen = ndimage.gaussian_filter(good.sum(axis=0).astype(float), sigma, mode="constant")
    result = np.full(chi2.shape, np.nan, np.float32)
    is_seen = seen > LEAST_SEEN * len(observation.channels)
    result[is_seen] = smooth[is_seen] / seen[is_seen]
    return result
