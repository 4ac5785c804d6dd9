"""Ways to take a blend of two galaxies apart that know what galaxies look like, or do not: each returns their light.

Most probable pictures under a learned prior are found by splitting (Venkatakrishnan et al. 2013): the prior says which
picture z is meant by the present one, x, behind noise of σ, and the data which x near z they may have come from,

    z = D(x, σ),    x = argmin |√W (y - A x)|² + |x - z|² / σ²,

while σ falls. D is the proximal operator of a density, so that a fixed point is the most probable picture, or the
denoiser of a score prior: that is MAP with an annealed σ. Fluxes are solved for in turn. Both begin at the default fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import one_pass
from blends import Blend
from jaxtyping import Array, Float
from rows import ROWS, found
from scipy.optimize import nnls

from deblend import FitState, Program, sample
from deblend.infer.conjugate_gradients import conjugate_gradients
from deblend.infer.diffusion.linear import AbstractLinearMap, Data
from deblend.infer.diffusion.nearness import seen_one_by_one
from deblend.infer.diffusion.scene_map import seen_pictures
from deblend.priors import AbstractPrior, packaged_path, read_model

N_DRAWS = 8
"""Of scenes, that a posterior mean is made of."""
DENSITY_LEVELS = 0.06, 0.03, 0.015
SCORE_LEVELS = tuple(np.geomspace(0.3, 0.01, 12))
"""σ of the rounds [peak]."""
TOLERANCE, BUDGET = 1e-3, 60
"""Of the solution for x."""


class Light(NamedTuple):
    """What a way finds."""

    galaxies: Float[np.ndarray, "source band y x"]
    """As seen, without noise."""
    seconds: float
    """CPU time."""


def by_fit(blend: Blend, row: str) -> tuple[Light, FitState, Program]:
    """Return the light by a row of the table of quality, and where its fit ended."""
    started = time.process_time()
    _, best, program = found(blend, ROWS[row], np.zeros((len(blend.x), 2)), {})
    seconds = time.process_time() - started
    return Light(np.stack([best.component(k) for k in range(len(blend.x))]), seconds), best, program


def most_probable(blend: Blend, kind: str, levels: tuple[float, ...]) -> Light:
    """Return the light under a prior of the package; the time of the default fit is in."""
    fitted, best, program = by_fit(blend, "default")
    started = time.process_time()
    prior = packaged(kind)
    seen = seen_pictures(best.scene, [blend.observation], prior.shape, program=program)
    unit = seen.operator.lit(jnp.ones(seen.amplitudes.shape, jnp.float32))
    x, amplitudes = jnp.asarray(seen.fitted, jnp.float32), seen.amplitudes / program.noise
    for sigma in levels:
        x = _round(prior, unit.lit(jnp.asarray(amplitudes, jnp.float32)), seen.data, x, jnp.float32(sigma))
        (columns,) = _seen(unit, x[:, None])
        amplitudes = solved_fluxes(np.asarray(columns[:, 0], float), np.asarray(seen.data[0], float))
        # the prior is of pictures with their brightest pixel at 1
        peak = np.maximum(np.asarray(x).max(axis=(1, 2)), 1e-3)
        x, amplitudes = x / peak[:, None, None], amplitudes * peak[:, None]
    (columns,) = _seen(unit, x[:, None])
    # the program's frame is wider than the image
    height, width = blend.images.shape[1:]
    light = np.asarray(columns[:, 0, :, :height, :width]) * (amplitudes * program.noise)[:, :, None, None]
    return Light(light, fitted.seconds + time.process_time() - started)


@eqx.filter_jit
def _round(
    prior: AbstractPrior, operator: AbstractLinearMap, data: Data, x: Float[Array, "source y x"], sigma: Array
) -> Float[Array, "source y x"]:
    """Ask the prior, and then the data."""
    meant = jax.vmap(prior.denoise, (0, None))(x, sigma)
    off = jax.tree.map(jnp.subtract, data, operator(meant))

    def product(v: Array) -> Array:
        return operator.transposed(operator(v)) + v / sigma**2

    moved, _ = conjugate_gradients(product, lambda v: v, operator.transposed(off), TOLERANCE, BUDGET)
    return meant + moved


_seen = eqx.filter_jit(seen_one_by_one)


def solved_fluxes(
    columns: Float[np.ndarray, "source band y x"], data: Float[np.ndarray, "band y x"]
) -> Float[np.ndarray, "source band"]:
    """Return the amplitudes that are not negative and meet the data best."""
    bands = range(columns.shape[1])
    return np.stack([nnls(columns[:, b].reshape(len(columns), -1).T, data[b].ravel())[0] for b in bands], axis=1)


def posterior_mean(blend: Blend) -> Light:
    """Return the mean of the light of scenes drawn under the prior of the package, around the default fit."""
    fitted, best, _ = by_fit(blend, "default")
    started = time.process_time()
    program, light = None, []
    for draw in sample(best.scene, [blend.observation], "diffusion", N_DRAWS, seed=1):
        if program is None:
            program = Program([blend.observation], draw.scene)
        else:
            program.take(draw.scene)
        light.append(np.stack([program.component(k) for k in range(len(blend.x))]))
    return Light(np.mean(light, axis=0), fitted.seconds + time.process_time() - started)


def in_one_pass(blend: Blend) -> Light:
    """Return the light as the network without a PSF sees it."""
    parting = trained()
    started = time.process_time()
    return Light(one_pass.parted(parting, blend.images), time.process_time() - started)


@lru_cache(maxsize=1)
def trained() -> one_pass.Parting:
    """Return the network, learned now where that was not done before."""
    if not one_pass.WEIGHTS.exists():
        one_pass.keep(*one_pass.learned())
    return one_pass.kept()


@lru_cache(maxsize=3)
def packaged(kind: str) -> AbstractPrior:
    return read_model(packaged_path(kind))[0]


WAYS: dict[str, Callable[[Blend], Light]] = {
    "constraints alone": lambda blend: by_fit(blend, "free-form, symmetric and monotonic")[0],
    "default": lambda blend: by_fit(blend, "default")[0],
    "density (PixelCNN), MAP": lambda blend: most_probable(blend, "pixelcnn", DENSITY_LEVELS),
    "score, MAP": lambda blend: most_probable(blend, "score", SCORE_LEVELS),
    "decoder (VAE)": lambda blend: by_fit(blend, "vae")[0],
    "score, posterior mean": posterior_mean,
    "one pass (GAN)": in_one_pass,
}
