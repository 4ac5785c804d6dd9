"""What noise makes of residuals: weights, and where it is correlated the whitening of neighbouring pixels.

Everything that compares models with images goes through here. White noise has W = diag(w), correlated noise
W = Lᵀ L with the L of `deblend.observe.whitening`; which one an observation has is settled before anything is
compiled, so white ones cost what they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.observe import NoiseCorrelation
from deblend.observe.whitening import REACH, whiten, whiten_adjoint
from deblend.program.arrays import ObservationData, ProblemData
from deblend.sky import PixelAffine

if TYPE_CHECKING:
    from deblend.program.columns import Column
    from deblend.program.convolution import Canvas


def weighted(data: ProblemData, images: Sequence[Canvas]) -> tuple[Canvas, ...]:
    """Return W u for an image u of every observation."""
    return tuple(_weighted(o, image) for o, image in zip(data.observations, images, strict=True))


def chi2(data: ObservationData, residual: Canvas) -> Float[Array, ""]:
    """Return rᵀ W r for the residual of one observation."""
    if data.whitening is None:
        return jnp.sum(data.weights * residual**2)
    return jnp.sum(whiten(data.whitening, residual, jnp) ** 2)


def gram(data: ObservationData, terms: Float[Array, "term band y x"]) -> Float[Array, "band term term"]:
    """Return tᵀ W t of pictures t of one observation, per band."""
    if data.whitening is None:
        return jnp.einsum("kbyx,byx,lbyx->bkl", terms, data.weights, terms)
    white = jax.vmap(lambda term: whiten(data.whitening, term, jnp))(terms)
    return jnp.einsum("kbyx,lbyx->bkl", white, white)


def weighted_noise(data: ProblemData, images: Sequence[Canvas]) -> tuple[Canvas, ...]:
    """Return W n for noise n of covariance W⁻¹, made of images of independent unit noise."""
    return tuple(
        jnp.sqrt(o.weights) * image if o.whitening is None else whiten_adjoint(o.whitening, image, jnp)
        for o, image in zip(data.observations, images, strict=True)
    )


def _weighted(data: ObservationData, image: Canvas) -> Canvas:
    if data.whitening is None:
        return data.weights * image
    return whiten_adjoint(data.whitening, whiten(data.whitening, image, jnp), jnp)


def weighted_column(
    column: Column, weights: Float[np.ndarray, "band y x"], whitening: Float[np.ndarray, "neighbour band y x"] | None
) -> Column:
    """Return W g for the picture g of a source; correlations carry it a little further than the source reaches."""
    rows, columns = column.window
    if whitening is None:
        return replace(column, patch=column.patch * weights[:, rows, columns])
    height, width = weights.shape[1:]
    # down and to both sides by L, and back up by its transpose
    y0, y1 = max(rows.start - REACH, 0), min(rows.stop + REACH, height)
    x0, x1 = max(columns.start - 2 * REACH, 0), min(columns.stop + 2 * REACH, width)
    around = ((0, 0), (rows.start - y0, y1 - rows.stop), (columns.start - x0, x1 - columns.stop))
    near = whitening[:, :, y0:y1, x0:x1]
    wide = np.pad(column.patch, around)
    return replace(column, patch=whiten_adjoint(near, whiten(near, wide, np), np), y=y0, x=x0)


def inverse_noise_power(
    correlation: NoiseCorrelation | None, affine: PixelAffine, y: np.ndarray, x: np.ndarray
) -> Float[np.ndarray, "band *frequency"] | float:
    """Return how much less, or more, each wave of the model is worth under correlated noise; 1 for white noise.

    `affine` leads from the pixels of the observation to those of the model, in which frequencies (y, x) are given.
    """
    if correlation is None:
        return 1.0
    (yy, yx), (xy, xx) = affine.array
    return correlation.inverse_power(yy * y + xy * x, yx * y + xx * x)
