"""How likely the picture of a fitted source is as one galaxy, under the learned density of the package.

It is for looking at the least likely sources of a field first, and is no flag. Of sources fitted as the default galaxy
at S/N 20 to 200 in five bands, the limit that 2 % of single galaxies of the sky are beyond is passed by 2 to 7 % of
pairs, 2 to 8 px apart, that were fitted as one (`benchmarks/one_galaxy.py`): a fit makes of a pair what one galaxy
could be, and galaxies of the sky are lumpier than those that the density has learned from.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.infer.solvers import compiled_linearized
from deblend.priors import PixelCNN, packaged_path, read_model
from deblend.priors.fitting import Convention
from deblend.priors.stamps import RADII_OF_SIDE
from deblend.program import Program
from deblend.scene import Point
from deblend.scene.learned import LEARNED_SIGMA

N_NOISES = 4
"""The density is of pictures with noise: what is told is the mean over as many, the same for all."""
AT_ONCE = 16
"""Pictures in one call, of which the last may be none."""
OTHER_PSF = 0.15
"""By how much the model PSF may be wider or narrower than that of the density."""
SIZE_SLACK = 1.1
"""How much larger than what was learned a galaxy may be."""


def log_prob_as_one(program: Program) -> Float[np.ndarray, " source"]:
    """Return the log density of every source's picture as one galaxy [nats], less where it is less likely.

    NaN where it cannot be told: of stars, of sources with several components or without light, of those with a
    half-light radius above a fifth of the density's stamps (6.7 pix), and of all where the model PSF is another one.
    """
    scene, prior = program.scene, _density()
    result = np.full(len(scene), np.nan)
    if scene.is_empty or abs(scene.model_psf_sigma / LEARNED_SIGMA - 1.0) > OTHER_PSF:
        return result
    judged, stamps = [], []
    lines = compiled_linearized(program.layout, program.data, program.parameters).lines
    for members, rows, line in zip(program.members, program.rows, lines, strict=True):
        pictures = np.asarray(line.picture)
        for slot, ((source, index), row) in enumerate(zip(members, rows, strict=True)):
            morphology = source.components[index].morphology
            if len(source.components) > 1 or isinstance(morphology, Point) or not pictures[slot].max() > 0:
                continue
            if morphology.half_light_radius_guess <= SIZE_SLACK * RADII_OF_SIDE[1] * prior.shape[0]:
                judged.append(row)
                stamps.append(_on_stamp(pictures[slot], prior.shape[0]))
    for first in range(0, len(judged), AT_ONCE):
        rows = judged[first : first + AT_ONCE]
        some = np.zeros((AT_ONCE, *prior.shape), np.float32)
        some[: len(rows)] = stamps[first : first + AT_ONCE]
        result[rows] = np.asarray(_mean_log_prob(prior, jnp.asarray(some)), float)[: len(rows)]
    return result


@lru_cache(maxsize=1)
def _density() -> PixelCNN:
    prior, _ = read_model(packaged_path("pixelcnn"))
    assert isinstance(prior, PixelCNN)
    return prior


def _on_stamp(picture: Float[np.ndarray, "own own"], side: int) -> Float[np.ndarray, "side side"]:
    """Return a picture on a stamp, middle on middle, with its brightest pixel at 1; what lies beyond is left out."""
    wide = np.pad(picture, side)
    corner = len(wide) // 2 - side // 2
    return wide[corner : corner + side, corner : corner + side] / Convention.PEAK.scale_of(picture)


@eqx.filter_jit
def _mean_log_prob(prior: PixelCNN, stamps: Float[Array, "stamp y x"]) -> Float[Array, " stamp"]:
    noises = prior.noise * jax.random.normal(jax.random.key(0), (N_NOISES, *prior.shape))

    def behind(noise: Any) -> Any:
        return jax.vmap(lambda stamp: prior.log_prob(stamp + noise))(stamps)

    return jnp.mean(jax.lax.map(behind, noises), axis=0)
