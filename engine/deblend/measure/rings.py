"""Light in rings around a place: the radial profile and the growth curve, of data with errors or of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Rings:
    """Mean light of rings one step wide, and the light inside of each one's outer edge."""

    radius: Float[np.ndarray, " ring"]
    """Mean distance of the pixels of a ring [pix]."""
    edge: Float[np.ndarray, " ring"]
    """Outer edge of a ring [pix]."""
    mean: Float[np.ndarray, "band ring"]
    """[nJy/pix]; NaN where all of a ring is masked."""
    error: Float[np.ndarray, "band ring"]
    growth: Float[np.ndarray, "band ring"]
    """[nJy]; a masked pixel counts as the mean of its ring."""
    growth_error: Float[np.ndarray, "band ring"]


def rings(
    images: Float[np.ndarray, "band y x"],
    weights: Float[np.ndarray, "band y x"],
    center: tuple[float, float],
    step: float = 1.0,
) -> Rings:
    """Return the light of images [nJy/pix] in rings `step` [pix] wide around `center` = (y, x) [pix].

    Rings go as far as the nearest edge of the images, two at least. Errors are those of white noise of the weights.
    """
    height, width = images.shape[1:]
    y, x = center
    reach = max(min(y, x, height - 1 - y, width - 1 - x), 2.0 * step)
    distance = np.hypot(*np.meshgrid(np.arange(height) - y, np.arange(width) - x, indexing="ij"))
    n_rings = int(np.ceil(reach / step))
    # the first ring is a disk that always holds the middle pixel
    ring = np.minimum((distance / step).astype(int), n_rings).ravel()

    def summed(values: Float[np.ndarray, "y x"]) -> Float[np.ndarray, " ring"]:
        return np.bincount(ring, weights=values.ravel(), minlength=n_rings + 1)[:n_rings]

    count = summed(np.ones_like(distance))
    radius = summed(distance) / np.maximum(count, 1.0)
    mean, variance = np.empty((2, len(images), n_rings))
    for band, (image, weight) in enumerate(zip(images, weights, strict=True)):
        good = weight > 0
        seen = summed(good.astype(float))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean[band] = summed(np.where(good, image, 0.0)) / seen
            variance[band] = summed(np.where(good, 1.0 / weight, 0.0)) / seen**2
    growth = np.cumsum(np.nan_to_num(mean) * count, axis=1)
    growth_error = np.sqrt(np.cumsum(np.nan_to_num(variance) * count**2, axis=1))
    edge = step * np.arange(1, n_rings + 1)
    return Rings(radius, edge, mean, np.sqrt(variance), growth, growth_error)
