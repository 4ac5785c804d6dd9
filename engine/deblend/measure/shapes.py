"""Sizes and centroids of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def on_one_box(pictures: Sequence[Float[np.ndarray, "own own"]]) -> Float[np.ndarray, "side side"]:
    """Return the sum of pictures that have their middles in common, on the largest of their boxes."""
    side = max(len(picture) for picture in pictures)
    return np.sum([np.pad(picture, (side - len(picture)) // 2) for picture in pictures], axis=0)


def centroid(picture: Float[np.ndarray, "side side"]) -> tuple[float, float]:
    """Return the first moments (x, y) of a centered picture, from its middle [pix]; NaN without light."""
    total = picture.sum()
    if not total > 0:
        return np.nan, np.nan
    index = np.arange(picture.shape[0]) - picture.shape[0] // 2
    return float(picture.sum(axis=0) @ index / total), float(picture.sum(axis=1) @ index / total)


def half_light_radius(picture: Float[np.ndarray, "side side"], center: tuple[float, float], psf_sigma: float) -> float:
    """Return the radius of the circle around `center` (x, y) that holds half of the light [pix].

    The width of the model PSF is taken off in quadrature, which is exact for Gaussians.
    """
    index = np.arange(picture.shape[0]) - picture.shape[0] // 2
    distance = np.hypot(index[:, None] - center[1], index[None, :] - center[0])
    order = np.argsort(distance, axis=None)
    growth = np.cumsum(picture.ravel()[order])
    if not growth[-1] > 0:
        return np.nan
    # smooth over the steps of single pixels: the area of n pixels stands for their outer radius
    radius = np.sqrt(np.arange(1, growth.size + 1) / np.pi)
    half = float(np.interp(0.5 * growth[-1], np.maximum.accumulate(growth), radius))
    return float(np.sqrt(max(half**2 - 2.0 * np.log(2.0) * psf_sigma**2, 0.0)))
