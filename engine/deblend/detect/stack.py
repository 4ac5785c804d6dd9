"""The detection image: all bands in one, weighted by their information."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.observe import Observation


def signal_to_noise(observations: Sequence[Observation]) -> Float[np.ndarray, "y x"]:
    """Return the inverse-variance stack of all bands divided by its noise, on the pixels of the first observation.

    Only observations on the same pixels take part. Masked pixels have weight 0; where all bands are masked it is 0.
    """
    first = observations[0]
    weighted, weight = np.zeros(first.shape), np.zeros(first.shape)
    for observation in observations:
        if observation.grid.is_same_as(first.grid):
            weighted += (observation.weights * observation.images).sum(axis=0)
            weight += observation.weights.sum(axis=0)
    return np.where(weight > 0, weighted / np.sqrt(np.where(weight > 0, weight, 1.0)), 0.0)


def reference_sigma(observation: Observation) -> float:
    """Return the width of the PSF of an observation as a Gaussian's [pix], for the band of the best depth.

    From the noise-equivalent area, 1 / Σ P² = 4π σ², which is what detection feels.
    """
    areas = 1.0 / (observation.psf**2).sum(axis=(1, 2))
    return float(np.sqrt(np.median(areas) / (4.0 * np.pi)))


def matched(picture: Float[np.ndarray, "y x"], sigma: float) -> Float[np.ndarray, "y x"]:
    """Return the picture correlated with a Gaussian of a width [pix], scaled so that white noise keeps its sigma."""
    smooth = ndimage.gaussian_filter(picture, sigma, mode="constant", truncate=4.0)
    return smooth * np.sqrt(4.0 * np.pi) * sigma


def box_radius(
    picture: Float[np.ndarray, "y x"], x: float, y: float, *, smallest: int = 7, largest: int = 60
) -> int:
    """Return how far the light of a source reaches [pix].

    Walks outward until a ring holds no light: its 40th percentile of the signal to noise per pixel falls below 1, so
    that a neighbour on part of the ring does not count; then 2 px more.
    """
    height, width = picture.shape
    yy, xx = np.mgrid[:height, :width]
    distance = np.hypot(yy - y, xx - x)
    ring = np.floor(distance + 0.5).astype(int)
    order = np.argsort(ring, axis=None)
    rings, values = ring.ravel()[order], picture.ravel()[order]
    last = min(largest, int(rings[-1]))
    starts = np.searchsorted(rings, np.arange(last + 2))
    for radius in range(2, last + 1):
        part = values[starts[radius] : starts[radius + 1]]
        if part.size == 0 or np.percentile(part, 40) < 1.0:
            return int(np.clip(radius + 2, smallest, largest))
    return largest
