"""What a model leaves over, as a list: where the residual stands out most, of either sign, and in which band.

The residual of each band, and of all bands of a telescope together, is matched with its PSF, so that a significance
is that of a star there (as the detection images of SExtractor and SDSS are made). Unlike `find_missed` nothing is
judged: what lies on a source, and what is too dark, is listed, too; a person looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.detect.peaks import refined
from deblend.detect.stack import FULL_WIDTH, Stack, matched, of_band, stacked
from deblend.observe import Observation
from deblend.sky import Channel, PixelGrid

LEFT_OVER = 4.0
"""Significance from which on something is left over [sigma of a star's flux]."""
MOST = 100
"""More blobs than these are not listed."""
TO_SIGMA = 1.4826
"""From the median absolute deviation to the standard deviation of normal numbers."""

Models = Sequence[Float[np.ndarray, "band y x"]]


@dataclass(frozen=True)
class Blob:
    """A place where images and model differ."""

    x: float
    """0-based, on the grid that was asked for [pix]."""
    y: float
    significance: float
    """Flux of a star there in units of its error; negative where the model is too bright."""
    observation: int
    """Which of the observations shows it most clearly."""
    band: int | None
    """Which of its bands; None for all of them together."""
    channel: Channel | None
    """The same as a channel."""
    reach: float
    """Full width at half maximum of the PSF there [pix of the grid]."""


def residual_blobs(
    observations: Sequence[Observation],
    models: Models,
    grid: PixelGrid,
    threshold: float = LEFT_OVER,
    most: int = MOST,
) -> list[Blob]:
    """Return where images and models differ most, on a grid, by falling significance.

    Of blobs closer than the PSF is wide, in whatever bands, the most significant is listed. Where noise is known to be
    correlated its scatter is measured.

    Raises
    ------
    ValueError
        Where the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"The significance threshold must be positive, got {threshold}.")
    found: list[Blob] = []
    for k, (observation, model) in enumerate(zip(observations, models, strict=True)):
        left = replace(observation, images=np.where(observation.weights > 0, observation.images - model, 0.0))
        bands: list[tuple[int | None, Stack]] = [(b, of_band(left, b)) for b in range(len(left.channels))]
        if len(bands) > 1:
            bands.append((None, stacked([left])))
        for band, stack in bands:
            channel = None if band is None else observation.channels[band]
            is_white = observation.noise_correlation is None
            affine = stack.grid.affine_to(grid)
            for row, column, value in _peaks(stack, threshold, is_white):
                y, x = affine(np.array(row), np.array(column))
                reach = FULL_WIDTH * stack.psf_sigma * affine.scale
                found.append(Blob(float(x), float(y), value, k, band, channel, reach))
    found.sort(key=lambda blob: -abs(blob.significance))
    listed: list[Blob] = []
    for blob in found:
        if len(listed) == most:
            break
        if all(np.hypot(blob.x - b.x, blob.y - b.y) > max(blob.reach, b.reach) for b in listed):
            listed.append(blob)
    return listed


def _peaks(stack: Stack, threshold: float, is_white: bool) -> list[tuple[float, float, float]]:
    """Return row, column [pix] and signed significance of every peak of either sign."""
    significance = matched(stack.signal_to_noise, stack.psf_sigma)
    seen = stack.weight > 0
    if not is_white and seen.any():
        values = significance[seen]
        significance /= max(TO_SIGMA * float(np.median(np.abs(values - np.median(values)))), 1e-6)
    height = np.abs(significance)
    side = 2 * int(np.ceil(FULL_WIDTH * stack.psf_sigma / 2.0)) + 1
    is_peak = (height == ndimage.maximum_filter(height, side)) & (height > threshold) & seen
    rows, columns = np.nonzero(is_peak)
    x, y = refined(height, columns.astype(float), rows.astype(float))
    return [(float(a), float(b), float(v)) for a, b, v in zip(y, x, significance[rows, columns], strict=True)]
