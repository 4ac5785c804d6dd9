"""Where boxes stand: on the pixel nearest to where a source was placed, as long as its center can be reached from it.

Corrections of a profile are pixels of the box, so a box must not move while its source is fitted: it would take them
along. A fit keeps centers within reach of their boxes, and so every state of it stands in the boxes that it was fitted
in. What was never placed near its center, or moves over the sky without a bound, has a box that follows its center, and
corrections stay where they are on the sky.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from deblend.program.layout import CENTER_SLACK
from deblend.scene import Source

MAX_OFFSET = 4.0
"""How far a fit may move a center from the middle of its box, per axis [pix]."""
ROUNDING = 1e-3
"""A center that a fit has left at its bound is within reach [pix]."""


def origins(
    anchors: Float[np.ndarray, "source 2"], centers: Float[np.ndarray, "source 2"], shape: tuple[int, int]
) -> Int[np.ndarray, "source 2"]:
    """Return the pixel (y, x) under the middle of the boxes of sources that were placed and are centered at (x, y)."""
    most = np.array([shape[1], shape[0]]) - 1 + CENTER_SLACK

    def nearest(places: Float[np.ndarray, "source 2"]) -> Float[np.ndarray, "source 2"]:
        return np.clip(np.floor(places + 0.5), -CENTER_SLACK, most)

    placed = nearest(anchors)
    within = np.all(np.abs(centers - placed) <= MAX_OFFSET + ROUNDING, axis=1, keepdims=True)
    return np.where(within, placed, nearest(centers))[:, ::-1].astype(int)


def box_origin(source: Source, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the pixel (y, x) under the middle of a source's boxes on a grid of this shape (y, x)."""
    y, x = origins(np.array([source.anchor], float), np.array([source.center.value], float), shape)[0]
    return int(y), int(x)


def stay_on_sky(
    pixels: Float[np.ndarray, "side side"], before: tuple[int, int], after: tuple[int, int]
) -> Float[np.ndarray, "side side"]:
    """Return pixels of a box as they are in the box around another origin (y, x), 0 where they were in none."""
    if before == after:
        return pixels
    result = np.zeros_like(pixels)
    here, there = [], []
    for old, new, n in zip(before, after, pixels.shape, strict=True):
        by = int(np.clip(old - new, -n, n))
        here.append(slice(max(by, 0), n + min(by, 0)))
        there.append(slice(max(-by, 0), n - max(by, 0)))
    result[tuple(here)] = pixels[tuple(there)]
    return result
