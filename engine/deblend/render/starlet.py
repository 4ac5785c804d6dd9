"""Starlets: a picture as the sum of its structures of 1, 2, 4, … pixels.

The isotropic undecimated wavelets of Starck, Fadili & Murtagh (2007, IEEE Trans. Image Process. 16, 297): with h the
cubic B-spline [1, 4, 6, 4, 1] / 16 along both axes, its taps 2^j pixels apart (à trous),

    c_0 = picture,   c_{j+1} = h_j ∗ c_j,   w_{j+1} = c_j − c_{j+1},   picture = Σ_j w_j + c_J.

The picture goes on beyond its edges as its own mirror image, edge pixel included. Smoothing then keeps the flux, and
it is its own adjoint, for with a symmetric filter pixel j reaches pixel i as often as i reaches j. Along each axis it
is a matrix, which for boxes of sources is quicker, and much quicker to compile, than sums of shifted pictures.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse import csr_array

SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Cubic B-spline at integers; its transfer function cos⁴(ω/2) is in [0, 1]."""


def default_scales(side: int) -> int:
    """Return how many scales of structure a picture of `side` pixels has: the last filter is no wider than it."""
    return max(int(side).bit_length() - 2, 1)


@lru_cache(maxsize=64)
def sparse_smoothing(length: int, scale: int) -> csr_array:
    """Return h_j along a line of pixels that is mirrored at its ends, for `scale` j; symmetric, rows sum to 1."""
    pixel = np.arange(length)
    # a line and its mirror image, over and over
    place = (pixel + (np.arange(len(SPLINE)) - 2)[:, None] * 2**scale) % (2 * length)
    columns = np.where(place < length, place, 2 * length - 1 - place)
    values = np.broadcast_to(np.array(SPLINE)[:, None], columns.shape)
    rows = np.broadcast_to(pixel, columns.shape)
    return csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(length, length))


@lru_cache(maxsize=64)
def smoothing_matrix(length: int, scale: int) -> Float[np.ndarray, "length length"]:
    """Return `sparse_smoothing` as a dense matrix."""
    result: Float[np.ndarray, "length length"] = sparse_smoothing(length, scale).toarray()
    return result


def smoothed(picture: Float[Array, "height width"], scale: int) -> Float[Array, "height width"]:
    """Return h_j ∗ picture for `scale` j, with taps 2^j pixels apart."""
    rows, columns = (jnp.asarray(smoothing_matrix(n, scale), picture.dtype) for n in picture.shape)
    return rows @ picture @ columns


def starlets(picture: Float[Array, "height width"], n_scales: int) -> Float[Array, "scale height width"]:
    """Return the structures w_1 … w_J of a picture, the finest first, and as the last what is smoother, c_J.

    `n_scales` is J, so that J + 1 pictures come back, in the unit of the picture.
    """
    structures = []
    for scale in range(n_scales):
        smoother = smoothed(picture, scale)
        structures.append(picture - smoother)
        picture = smoother
    return jnp.stack([*structures, picture])


@lru_cache(maxsize=16)
def structure_noise(n_scales: int) -> Float[np.ndarray, " scale"]:
    """Return the standard deviation that white noise of 1 per pixel has in the structures w_1 … w_J: 0.89, 0.20, 0.09 …

    (Starck & Murtagh 2006, Astronomical Image and Data Analysis, section 2.3.) Away from edges: the response to one
    pixel in the middle of a picture that is wider than all filters.
    """
    side = 2 ** (n_scales + 3)
    picture = np.zeros((side, side))
    picture[side // 2, side // 2] = 1.0
    result = []
    for scale in range(n_scales):
        smoother = sparse_smoothing(side, scale) @ picture @ sparse_smoothing(side, scale)
        result.append(float(np.linalg.norm(picture - smoother)))
        picture = smoother
    return np.array(result)


def scale_weights(side: int, dtype: Any) -> Float[Array, " scale"]:
    """Return how dear structures of each scale are in a picture of `side` pixels, the finest 1: as their noise, so that
    what is coarse, and better known, costs less."""
    noise = structure_noise(default_scales(side))
    return jnp.asarray(noise / noise[0], dtype)


def from_starlets(coefficients: Float[Array, "scale height width"]) -> Float[Array, "height width"]:
    """Return the picture of its starlets: their sum."""
    return jnp.sum(coefficients, axis=0)


def starlets_adjoint(coefficients: Float[Array, "scale height width"]) -> Float[Array, "height width"]:
    """Return Wᵀ u, where W is `starlets`: ⟨W p, u⟩ = ⟨p, Wᵀ u⟩ for every picture p.

    With W_j = (1 − h_j) h_{j-1} … h_0 and smoothings that are their own adjoints, Horner's rule from the coarsest.
    """
    *structures, picture = coefficients
    for scale in reversed(range(len(structures))):
        picture = structures[scale] + smoothed(picture - structures[scale], scale)
    return picture
