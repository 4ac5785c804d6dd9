"""How errors of a source go together: those of colors, and covariances of its fluxes and its place.

Neighbours that trade light, a center that all channels share, a size that all fluxes follow: errors of one source are
not independent of each other, and a color is often known better than either flux.
"""

from __future__ import annotations

import itertools

import astropy.units as u
import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.infer.errors import Draws
from deblend.measure.motion import on_image
from deblend.measure.naming import column_key
from deblend.scene import Scene
from deblend.sky import PixelAffine

MAGNITUDES = 2.5 / np.log(10.0)
"""Per unit of ln of a flux."""


def add_covariances(
    table: QTable, scene: Scene, draws: Draws, to_image: PixelAffine, shares: Float[np.ndarray, " source"]
) -> None:
    """Add `color_…_…` [mag] of each channel less the next one with `color_err_…_…`, to first order in the errors of
    the fluxes and NaN where one is not positive; and `covariance`, (source, number, number) of the fluxes [nJy] and of
    x, y [pix of the first image], in this order, with the `shares` by which fluxes may be off besides their noise."""
    keys = [column_key(channel) for channel in scene.channels]
    fluxes = scene.fluxes
    known = np.where(fluxes > 0, fluxes, np.nan)
    relative = draws.fluxes / known
    for k, (bluer, redder) in enumerate(itertools.pairwise(keys)):
        table[f"color_{bluer}_{redder}"] = -2.5 * np.log10(known[:, k] / known[:, k + 1]) * u.mag
        off = MAGNITUDES * (relative[:, :, k] - relative[:, :, k + 1])
        table[f"color_err_{bluer}_{redder}"] = np.sqrt(np.mean(off**2, axis=0)) * u.mag
    shared = shares[:, None] * fluxes
    covariances = covariances_of(draws, to_image)
    covariances[:, : len(keys), : len(keys)] += shared[:, :, None] * shared[:, None, :]
    table["covariance"] = covariances
    table["covariance"].info.description = "of " + ", ".join([*(f"flux_{key}" for key in keys), "x", "y"])


def covariances_of(draws: Draws, to_image: PixelAffine) -> Float[np.ndarray, "source number number"]:
    """Return the covariance of the fluxes [nJy] and of x, y [pix of the first image] of every source."""
    off = np.concatenate([draws.fluxes, on_image(draws.centers, to_image)], axis=2)
    result: np.ndarray = np.einsum("dsi,dsj->sij", off, off) / len(off)
    return result
