"""Which neighbours of a pixel are inward of it, and how much each counts.

Of the eight neighbours of pixel i those strictly nearer to the center count, with weights that sum to 1:

- nearest: the one that lies best in the direction of the center;
- flat: all of them alike;
- angle: by the cosine of the angle between the way to the center and the way to the neighbour.

A pixel without such neighbours is a center; around a center between pixels there may be several.
(Melchior et al. 2018, Astronomy & Computing 24, 129, section 3.3.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from deblend.scene import INWARD_WEIGHTS

NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


@lru_cache(maxsize=16)
def inward_weights(side: int) -> Float[np.ndarray, "8 side side"]:
    """Return w_ij by angle about the middle pixel, as an array for the host; see `inward_weights_about`."""
    result: np.ndarray = _weights(np, side, np.zeros(2), np.asarray(INWARD_WEIGHTS.index("angle")))
    return result


def inward_weights_about(side: int, center: Float[Array, "2"], choice: Int[Array, ""]) -> Float[Array, "8 side side"]:
    """Return w_ij for the eight neighbours of every pixel, in the order of `NEIGHBOURS`; all 0 for a center.

    `center` is the offset (y, x) from the middle pixel [pix], `choice` a place in `INWARD_WEIGHTS`; both are data.
    """
    result: Float[Array, "8 side side"] = _weights(jnp, side, center, choice)
    return result


def inner_mean(weights: Float[Array, "8 side side"], picture: Float[Array, "side side"]) -> Float[Array, "side side"]:
    """Return Σ_j w_ij f_j over the neighbours j of every pixel i; those outside of the picture have weight 0."""
    side = picture.shape[0]
    padded = jnp.pad(picture, 1)
    total = jnp.zeros_like(picture)
    for weight, (dy, dx) in zip(weights, NEIGHBOURS, strict=True):
        total += weight * padded[1 + dy : 1 + dy + side, 1 + dx : 1 + dx + side]
    return total


def transposed(weights: Float[Array, "8 side side"]) -> Float[Array, "8 side side"]:
    """Return weights w' that make `inner_mean` its adjoint: pixel j gets w_ij from every i that looks at it."""
    side = weights.shape[1]
    padded = jnp.pad(weights, ((0, 0), (1, 1), (1, 1)))
    # the neighbour in one direction looks back in the opposite one, which is as far from the end of the list
    return jnp.stack(
        [
            padded[len(NEIGHBOURS) - 1 - k, 1 + dy : 1 + dy + side, 1 + dx : 1 + dx + side]
            for k, (dy, dx) in enumerate(NEIGHBOURS)
        ]
    )


def _weights(xp: Any, side: int, center: Any, choice: Any) -> Any:
    """Return the weights, in NumPy or JAX."""
    index = xp.arange(side) - side // 2
    y, x = (index - center[0])[None, :, None], (index - center[1])[None, None, :]
    dy, dx = np.array(NEIGHBOURS).T[:, :, None, None]
    inward = -(dy * y + dx * x)
    is_nearer = 2 * inward > dy**2 + dx**2
    row, column = np.arange(side)[None, :, None] + dy, np.arange(side)[None, None, :] + dx
    is_there = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    length = xp.maximum(xp.hypot(y, x), 1e-9) * np.hypot(dy, dx)
    angle = xp.where(is_nearer & is_there, inward / length, 0.0)
    flat = xp.where(angle > 0, 1.0, 0.0)
    is_best = xp.arange(8)[:, None, None] == xp.argmax(angle, axis=0)[None]
    nearest = xp.where(is_best, flat, 0.0)
    stack = xp.where(
        choice == INWARD_WEIGHTS.index("nearest"),
        nearest,
        xp.where(choice == INWARD_WEIGHTS.index("flat"), flat, angle),
    )
    total = xp.sum(stack, axis=0)[None]
    return stack / xp.where(total > 0, total, 1.0)
