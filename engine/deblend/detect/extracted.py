"""Peaks by `sep`, the library of SExtractor: fast enough to follow a slider."""

from __future__ import annotations

import numpy as np
import sep
from jaxtyping import Float
from scipy import ndimage

from deblend.detect.peaks import Peaks, refined
from deblend.detect.stack import Stack, matched
from deblend.observe.noise import noise_growth

LEVEL = 0.6
"""How low, of the threshold, the light of one object is followed."""
PROMINENCE = 1.0
"""By how much, of the threshold, a peak has to be higher than the light around it."""
VALLEY = 0.8
"""How deep, of the threshold, a valley has to be that parts a peak from a higher one."""
RING = (3.0, 4.5)
"""Where the light around a peak is looked at [widths of the PSF]: of a star, a twentieth is left there."""


def peaks_of(stack: Stack, threshold: float) -> Peaks:
    """Return what `find_peaks` does, for a stack that is known already; raises ValueError as it does."""
    if not threshold > 0:
        raise ValueError(f"The detection threshold must be positive, got {threshold}.")
    picture, sigma = stack.signal_to_noise, stack.psf_sigma
    # noise of resampled images adds up faster than white noise does
    picture = picture / noise_growth(picture, sigma)
    snr = matched(picture, sigma)
    # a stack of the pixels' own signal to noise: a little smoothing keeps noise peaks apart from sources
    smooth = np.ascontiguousarray(matched(picture, 0.55 * sigma))
    sep.set_extract_pixstack(max(300_000, smooth.size))
    objects = sep.extract(
        smooth,
        max(LEVEL * threshold, 1.5),
        err=1.0,
        minarea=4,
        filter_kernel=None,
        deblend_nthresh=64,
        deblend_cont=2e-5,
    )
    x, y = objects["xpeak"].astype(float), objects["ypeak"].astype(float)
    at = snr[objects["ypeak"], objects["xpeak"]]
    keep = (at >= threshold) & _stand_out(smooth, x.astype(int), y.astype(int), sigma, threshold)
    x, y, at = x[keep], y[keep], at[keep]
    x, y = refined(smooth, x, y)
    order = np.argsort(-at)
    return Peaks(x[order], y[order], at[order])


def _stand_out(
    smooth: Float[np.ndarray, "y x"], columns: np.ndarray, rows: np.ndarray, sigma: float, threshold: float
) -> np.ndarray:
    """Tell which peaks of a slightly smoothed picture are more than noise on the light of something larger.

    Where light is bright and wide, noise makes peaks all over it. So of the peaks that hang together only the highest
    counts by itself. The others have to be higher than the light around them, the median on a ring that their own
    light does not reach, or else lie behind a valley: a companion of a bright galaxy is fainter than what is around
    it, and yet a hill of its own.
    """
    islands, _ = ndimage.label(smooth > LEVEL * threshold)
    island, heights = islands[rows, columns], smooth[rows, columns]
    reach = int(np.ceil(RING[1] * sigma))
    index = np.arange(-reach, reach + 1)
    distance = np.hypot(index[:, None], index)
    on_ring = np.stack(np.nonzero((distance >= RING[0] * sigma) & (distance <= RING[1] * sigma)))
    padded = np.pad(smooth, reach, constant_values=np.nan)
    result = np.zeros(len(heights), bool)
    for k, (row, column, height) in enumerate(zip(rows, columns, heights, strict=True)):
        higher = np.flatnonzero((island == island[k]) & (heights > height))
        around = padded[row + on_ring[0], column + on_ring[1]]
        result[k] = (
            not higher.size
            or height - np.nanmedian(around) >= PROMINENCE * threshold
            or height - _saddle(smooth, (row, column), rows[higher], columns[higher]) >= VALLEY * threshold
        )
    return result


def _saddle(picture: Float[np.ndarray, "y x"], place: tuple[int, int], rows: np.ndarray, columns: np.ndarray) -> float:
    """Return how high the way from a place to the nearest of others stays, straight on."""
    nearest = int(np.argmin(np.hypot(rows - place[0], columns - place[1])))
    steps = max(abs(int(rows[nearest]) - place[0]), abs(int(columns[nearest]) - place[1]))
    way = np.linspace(place, (rows[nearest], columns[nearest]), steps + 1)
    return float(picture[tuple(np.round(way).astype(int).T)].min())
