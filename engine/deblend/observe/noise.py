"""The noise of an image, measured where nothing gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage


def measured_sigma(image: Float[np.ndarray, "y x"], where: Bool[np.ndarray, "y x"] | None = None) -> float:
    """Return the standard deviation of the pixel noise, in the unit of the image.

    Differences between neighbours, in both directions and twice over, cancel smooth light; their median absolute
    value is not moved by the few that cross a source. Correlated noise is underestimated by it. With `where`, only
    pixels that are marked, with both of their neighbours, count.
    """
    image = np.where(np.isfinite(image), image, np.nan)
    if where is not None:
        image = np.where(where, image, np.nan)
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


def is_counted(image: Float[np.ndarray, "y x"]) -> bool:
    """Tell whether an image holds whole numbers only, as counted photons are."""
    finite = image[np.isfinite(image)]
    return bool(finite.size and np.all(finite == np.rint(finite)) and np.unique(finite[:4096]).size > 8)


def counted_variance(image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Return the variance of every pixel of an image of counted photons whose sky was taken off.

    The faint half of the image tells the noise of the sky; what is brighter adds its own count, smoothed so that the
    variance does not follow the noise (weights that do would pull fluxes down).
    """
    smooth = ndimage.gaussian_filter(np.nan_to_num(image), 1.0)
    faint = smooth <= np.median(smooth)
    level = float(np.median(smooth[faint]))
    sky = measured_sigma(image, faint) ** 2
    return sky + np.maximum(smooth - max(level, 0.0), 0.0)


def measured_weights(
    images: Float[np.ndarray, "band y x"], bands: Sequence[str], unit: str
) -> tuple[Float[np.ndarray, "band y x"], str]:
    """Return inverse variances measured in the images, 0 where they are undefined, and the sentence that says how.

    Raises ValueError, naming the band, where there is no noise to measure.
    """
    usable = np.isfinite(images)
    if all(is_counted(image) for image in images):
        sentence = "the images hold whole numbers and are taken for photon counts, above a noise measured in the sky."
        variances = [_named(counted_variance, image, band) for image, band in zip(images, bands, strict=True)]
        return np.where(usable, 1.0 / np.stack(variances), 0.0), f"the noise was measured: {sentence}"
    sigmas = [_named(measured_sigma, image, band) for image, band in zip(images, bands, strict=True)]
    said = ", ".join(f"{band} {sigma:.3g}" for band, sigma in zip(bands, sigmas, strict=True))
    weights = np.where(usable, 1.0 / np.square(sigmas)[:, None, None], 0.0)
    return weights, f"the noise was measured in the image: {said} {unit}/pix."


def _named(measure: Callable[[np.ndarray], Any], image: np.ndarray, band: str) -> Any:
    try:
        return measure(image)
    except ValueError as error:
        raise ValueError(f"band {band}: {error}") from error
