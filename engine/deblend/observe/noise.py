"""The noise of an image, measured where nothing gives it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def measured_sigma(image: Float[np.ndarray, "y x"]) -> float:
    """Return the standard deviation of the pixel noise, in the unit of the image.

    Differences between neighbours, in both directions and twice over, cancel smooth light; their median absolute
    value is not moved by the few that cross a source. Correlated noise is underestimated by it.
    """
    image = np.where(np.isfinite(image), image, np.nan)
    differences = []
    for axis in (0, 1):
        if image.shape[axis] >= 3:
            middle = np.take(image, range(1, image.shape[axis] - 1), axis)
            before = np.take(image, range(image.shape[axis] - 2), axis)
            after = np.take(image, range(2, image.shape[axis]), axis)
            differences.append((middle - 0.5 * (before + after)).ravel() / np.sqrt(1.5))
    values = np.abs(np.concatenate(differences)) if differences else np.array([])
    values = values[np.isfinite(values)]
    sigma = 1.4826 * float(np.median(values)) if values.size else 0.0
    if not sigma > 0:
        raise ValueError("The noise cannot be measured: the image is constant or undefined; give weights.")
    return sigma
