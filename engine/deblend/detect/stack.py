"""The detection image: all bands in one, weighted by their information."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.observe import Observation

RISE = 2.0
"""Of the least light that was met so far: by so much a source of its own does not rise."""
LIMIT = 1.0
"""Signal to noise per pixel at which a source's light is taken to end."""


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


def stack_sigma(observation: Observation) -> float:
    """Return the width, as a Gaussian's, of the PSF of the stack of an observation's bands [pix].

    From the noise-equivalent area, 1 / Σ P² = 4π σ², which is what detection feels.
    """
    depth = observation.weights.mean(axis=(1, 2))
    psf = np.tensordot(depth / depth.sum(), observation.psf, axes=1)
    return float(np.sqrt(1.0 / np.sum(psf**2) / (4.0 * np.pi)))


def matched(picture: Float[np.ndarray, "y x"], sigma: float) -> Float[np.ndarray, "y x"]:
    """Return the picture correlated with a Gaussian of a width [pix], scaled so that white noise keeps its sigma."""
    smooth = ndimage.gaussian_filter(picture, sigma, mode="constant", truncate=4.0)
    return smooth * np.sqrt(4.0 * np.pi) * sigma


def symmetric_part(picture: Float[np.ndarray, "y x"], x: float, y: float, reach: int) -> Float[np.ndarray, "side side"]:
    """Return the light around (x, y) that is there on both sides: min(S, S turned by 180°), to `reach` [pix].

    What a source's neighbour adds on one side is not in it. Off the image the other side counts by itself.
    """
    padded = np.pad(picture, reach + 1, constant_values=np.nan)
    row, column = int(np.floor(y + 0.5)) + 1, int(np.floor(x + 0.5)) + 1
    cut = padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
    return np.nan_to_num(np.fmin(cut, cut[::-1, ::-1]))


def rings(reach: int) -> list[np.ndarray]:
    """Return, for every whole radius up to `reach`, which pixels of a centered box lie on it."""
    index = np.arange(-reach, reach + 1)
    distance = np.floor(np.hypot(index[:, None], index) + 0.5).astype(int)
    return [distance == radius for radius in range(reach + 1)]


def box_radius(picture: Float[np.ndarray, "y x"], x: float, y: float, *, smallest: int = 7, largest: int = 60) -> int:
    """Return how far the light of a source reaches [pix], for a picture of signal to noise per pixel.

    Walks outward until a ring holds no light of its own: the median of the part that is there on both sides falls
    below `LIMIT`, or rises again, by neighbours on two sides; then 2 px more.
    """
    height, width = picture.shape
    reach = min(largest, max(height, width))
    own = symmetric_part(picture, x, y, reach)
    least = np.inf
    for radius, ring in enumerate(rings(reach)):
        light = float(np.median(own[ring]))
        if radius >= 2 and (light < LIMIT or light > RISE * least):
            return int(np.clip(radius + 2, smallest, largest))
        least = min(least, light)
    return largest
