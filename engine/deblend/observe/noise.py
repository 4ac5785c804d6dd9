"""The noise of an image, measured where nothing gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

SMOOTHING = 2.0
"""Before pixels are called faint [pix]."""
SELECTED = 0.98
"""Spread of white noise among pixels that were chosen for being faint (measured on pure noise)."""
LEAST_PAIRS = 30
"""From fewer the noise is not known to a fifth."""
BEYOND_NOISE = tuple((0, n) for n in (3, 4, 5)) + tuple((n, 0) for n in (3, 4, 5))
"""Lags (y, x) at which the noise of resampled images is no longer alike [pix]."""
FEIGNED = 1.4
"""Crowded images of white noise look as correlated as that."""


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


def sky_sigma(image: Float[np.ndarray, "y x"]) -> float:
    """Return the standard deviation of the pixel noise where there is little light, correlated noise included.

    From pixels of the faint half that lie two or three apart, further than resampling ties them together, and so
    near that what faint light there is cancels. Raises ValueError where there is no noise to measure.
    """
    image = np.where(np.isfinite(image), image, np.nan)
    is_faint = faint_pixels(image)
    apart = [spread_between(image, is_faint, lag) for lag in ((0, 2), (2, 0), (0, 3), (3, 0))]
    # neighbours alone, where an image is too small for more
    sigma = max([np.nanmedian(apart) if np.isfinite(apart).any() else 0.0, measured_sigma(image)])
    return float(sigma)


def faint_pixels(image: Float[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return the faint half of an image, after some smoothing."""
    smooth = ndimage.gaussian_filter(np.nan_to_num(image), SMOOTHING)
    defined = np.isfinite(image)
    result: Bool[np.ndarray, "y x"] = defined & (smooth <= np.median(smooth[defined]) if defined.any() else defined)
    return result


def spread_between(image: Float[np.ndarray, "y x"], where: Bool[np.ndarray, "y x"], lag: tuple[int, int]) -> float:
    """Return the noise of a pixel from marked pixels that lie `lag` (y, x) apart, NaN where there are few."""
    (dy, dx), (height, width) = lag, image.shape
    if dy >= height or abs(dx) >= width:
        return np.nan
    here = slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0))
    there = slice(dy, height), slice(max(dx, 0), width - max(-dx, 0))
    difference = (image[there] - image[here])[where[there] & where[here]]
    if difference.size < LEAST_PAIRS:
        return np.nan
    return float(1.4826 * np.median(np.abs(difference)) / np.sqrt(2.0) / SELECTED)


def noise_growth(image: Float[np.ndarray, "y x"], sigma: float) -> float:
    """Return how much larger correlated noise is than white noise, after smoothing by a Gaussian of `sigma` [pix].

    1 where `growth_behind` is.
    """
    return growth_behind(noise_likeness(image), lambda dy, dx: np.exp(-(dy**2 + dx**2) / (4.0 * sigma**2)))


def noise_likeness(image: Float[np.ndarray, "y x"]) -> dict[tuple[int, int], float]:
    """Return the correlation of noise between pixels a lag (y, x) apart, of each pair once; empty where it is unknown.

    Light makes pixels differ the more the further they lie apart, by about the square of the distance while that is
    short; what is left at no distance at all is noise.
    """
    is_faint = faint_pixels(image)
    apart = np.array([np.hypot(*lag) for lag in BEYOND_NOISE])
    squares = np.array([spread_between(image, is_faint, lag) for lag in BEYOND_NOISE]) ** 2
    known = np.isfinite(squares)
    if np.count_nonzero(known) < 2 or not np.any(squares[known] > 0):
        return {}
    rise, alone = np.polyfit(apart[known] ** 2, squares[known], 1)
    rise, alone = (rise, alone) if rise > 0 and alone > 0 else (0.0, float(squares[known].mean()))

    def likeness(dy: int, dx: int) -> float:
        of_noise = spread_between(image, is_faint, (dy, dx)) ** 2 - rise * (dy**2 + dx**2)
        return max(np.nan_to_num(1.0 - of_noise / alone), 0.0)

    # the other half of the plane is the same
    lags = [(dy, dx) for dy in range(3) for dx in range(-2, 3) if (dy, dx) > (0, 0)]
    return {lag: likeness(*lag) for lag in lags}


def growth_behind(likeness: Mapping[tuple[int, int], float], likeness_of: Callable[[int, int], float]) -> float:
    """Return how much larger noise of this likeness is than white noise, behind a filter.

    `likeness_of` gives the correlation that the filter brings about between pixels a lag (y, x) apart. The result is
    1 where neighbours are no more alike than the light of a crowded image makes them.
    """
    total = 1.0 + 2.0 * sum(likeness_of(*lag) * value for lag, value in likeness.items())
    growth = float(np.sqrt(max(total, 1.0)))
    return growth if growth > FEIGNED else 1.0


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
    sigmas = [_named(sky_sigma, image, band) for image, band in zip(images, bands, strict=True)]
    said = ", ".join(f"{band} {sigma:.3g}" for band, sigma in zip(bands, sigmas, strict=True))
    weights = np.where(usable, 1.0 / np.square(sigmas)[:, None, None], 0.0)
    return weights, f"the noise was measured in the image: {said} {unit}/pix."


def _named(measure: Callable[[np.ndarray], Any], image: np.ndarray, band: str) -> Any:
    try:
        return measure(image)
    except ValueError as error:
        raise ValueError(f"band {band}: {error}") from error
