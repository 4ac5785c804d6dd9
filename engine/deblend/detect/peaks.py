"""Peaks: where sources may be, fast enough to follow a slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sep
from jaxtyping import Float

from deblend.detect.stack import FULL_WIDTH, Stack, matched, stacks
from deblend.observe import Observation
from deblend.observe.noise import noise_growth
from deblend.sky import PixelGrid

MOST_OBJECTS = 100_000


@dataclass(frozen=True, eq=False)
class Peaks:
    """Positions on the first observation's pixels, brightest first."""

    x: Float[np.ndarray, " peak"]
    """0-based [pix]."""
    y: Float[np.ndarray, " peak"]
    snr: Float[np.ndarray, " peak"]
    """Signal to noise of a point source there."""

    def __len__(self) -> int:
        return len(self.x)


def find_peaks(observations: Sequence[Observation], threshold: float = 5.0) -> Peaks:
    """Return the peaks whose signal to noise, as a point source over all bands, is above `threshold`.

    Peaks are local maxima of the stack that stand out of the light around them by the threshold, so that a source on
    the wing of a brighter one counts (`sep`, the library of SExtractor: Barbary 2016; Bertin & Arnouts 1996).
    Positions are refined to a fraction of a pixel.

    Raises
    ------
    ValueError
        Where the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"The detection threshold must be positive, got {threshold}.")
    return peaks_in(stacks(observations), observations[0].grid, threshold)


def peaks_in(seen: Sequence[Stack], grid: PixelGrid, threshold: float) -> Peaks:
    """Return what `find_peaks` does, for stacks that are known already, as pixels of a grid.

    What a coarser stack sees is a source of its own only where no finer one has any within its PSF.
    """
    found: list[Peaks] = []
    for stack in seen:
        own = peaks_of(stack, threshold)
        affine = stack.grid.affine_to(grid)
        y, x = affine(own.y, own.x)
        alone = np.ones(len(own), bool)
        for earlier in found:
            distance = np.hypot(x[:, None] - earlier.x, y[:, None] - earlier.y)
            alone &= ~np.any(distance < FULL_WIDTH * stack.psf_sigma * affine.scale, axis=1)
        found.append(Peaks(x[alone], y[alone], own.snr[alone]))
    x, y, snr = (np.concatenate([getattr(peaks, name) for peaks in found]) for name in ("x", "y", "snr"))
    order = np.argsort(-snr, kind="stable")
    return Peaks(x[order], y[order], snr[order])


def peaks_of(stack: Stack, threshold: float) -> Peaks:
    """Return what `find_peaks` does, for a stack that is known already."""
    picture, sigma = stack.signal_to_noise, stack.psf_sigma
    # noise of resampled images adds up faster than white noise does
    picture = picture / noise_growth(picture, sigma)
    snr = matched(picture, sigma)
    # a stack of the pixels' own signal to noise: a little smoothing keeps noise peaks apart from sources
    smooth = np.ascontiguousarray(matched(picture, 0.55 * sigma))
    sep.set_extract_pixstack(max(300_000, smooth.size))
    objects = sep.extract(
        smooth, max(0.6 * threshold, 1.5), err=1.0, minarea=4, filter_kernel=None, deblend_nthresh=64, deblend_cont=2e-5
    )
    x, y = objects["xpeak"].astype(float), objects["ypeak"].astype(float)
    at = snr[objects["ypeak"], objects["xpeak"]]
    keep = at >= threshold
    x, y, at = x[keep], y[keep], at[keep]
    x, y = _refined(smooth, x, y)
    order = np.argsort(-at)
    return Peaks(x[order], y[order], at[order])


def _refined(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return peaks moved to the top of the parabola through their neighbours, by at most half a pixel per axis."""
    height, width = picture.shape
    rows, columns = y.astype(int), x.astype(int)
    inside = (rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1)
    r, c = np.clip(rows, 1, height - 2), np.clip(columns, 1, width - 2)

    def offset(before: np.ndarray, middle: np.ndarray, after: np.ndarray) -> np.ndarray:
        curvature = 2.0 * middle - before - after
        step = 0.5 * (after - before) / np.where(curvature > 0, curvature, np.inf)
        return np.where(inside, np.clip(step, -0.5, 0.5), 0.0)

    dx = offset(picture[r, c - 1], picture[r, c], picture[r, c + 1])
    dy = offset(picture[r - 1, c], picture[r, c], picture[r + 1, c])
    return x + dx, y + dy
