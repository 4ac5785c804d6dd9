"""Whitening: correlated noise made independent, pixel after pixel, by what the pixels before it foretell.

A pixel is compared with its best prediction from its neighbours that come before it in raster order, divided by the
error of that prediction (Vecchia 1988, "Estimation and model identification for continuous spatial processes"). That
is a sparse triangular factor L of the inverse covariance, Lᵀ L ≈ C⁻¹, made of shifted sums, so its transpose is exact
and as cheap; no period and no window comes in, and a masked neighbour is simply no neighbour.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

Array = Any
"""A NumPy array outside, a JAX array inside of compiled code: `xp` is the module that works on it."""
RADII = (2, 5, 13)
"""Squared radii of the nested neighbourhoods that a prediction may use [pix²]: 4, 10 or 22 neighbours."""
REACH = 3
"""Of the widest of them, along y and x [pix]."""


def preceding(radius: int) -> list[tuple[int, int]]:
    """Return offsets (y, x) of the neighbours to a squared radius that come before a pixel, the nearest first."""
    box = [(y, x) for y in range(-REACH, 1) for x in range(-REACH, REACH + 1) if (y, x) < (0, 0)]
    return sorted((o for o in box if o[0] ** 2 + o[1] ** 2 <= radius), key=lambda o: o[0] ** 2 + o[1] ** 2)


SIZES = tuple(len(preceding(radius)) for radius in RADII)
"""How many neighbours each of the neighbourhoods has; the first ones of the widest."""
STENCIL = ((0, 0), *preceding(RADII[-1]))
"""Offsets (y, x) of a pixel itself and of its neighbours."""


def shifted(image: Float[Array, "*stack y x"], offset: tuple[int, int], xp: Any) -> Float[Array, "*stack y x"]:
    """Return the image whose pixel (y, x) is the given one's at (y, x) + offset; 0 beyond its edges."""
    height, width = image.shape[-2:]
    dy, dx = offset
    around = [(0, 0)] * (image.ndim - 2) + [(max(-dy, 0), max(dy, 0)), (max(-dx, 0), max(dx, 0))]
    y, x = max(dy, 0), max(dx, 0)
    return xp.pad(image, around)[..., y : y + height, x : x + width]


def whiten(
    whitening: Float[Array, "neighbour band y x"], image: Float[Array, "band y x"], xp: Any
) -> Float[Array, "band y x"]:
    """Return L times an image."""
    return sum(part * shifted(image, offset, xp) for part, offset in zip(whitening, STENCIL, strict=True))


def whiten_adjoint(
    whitening: Float[Array, "neighbour band y x"], image: Float[Array, "band y x"], xp: Any
) -> Float[Array, "band y x"]:
    """Return the transpose of L times an image."""
    return sum(
        shifted(part * image, (-offset[0], -offset[1]), xp) for part, offset in zip(whitening, STENCIL, strict=True)
    )


def neighbours_there(usable: Any) -> np.ndarray:
    """Return, (neighbour, y, x), whether each pixel of the stencil is a usable one."""
    return np.stack([shifted(usable, offset, np) for offset in STENCIL])
