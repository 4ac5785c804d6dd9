"""From noise to pictures: steps of the reverse of diffusion, for any denoiser.

Noise grows with time as x_σ = x₀ + σ z (variance exploding), and a denoiser D(x, σ) = E[x₀ | x_σ = x] is all that a
step needs. A posterior is drawn by the same steps: its denoiser is E[x₀ | x_σ, y] (`deblend.infer.diffusion`).

Sources: noise levels and Heun's step, Karras et al. 2022 (EDM, eq. 5 and algorithm 1); the ancestral step, Ho, Jain &
Abbeel 2020 (DDPM) in the form for exploding variance of Song et al. 2021 (appendix F); the corrector, Song et al. 2021
(algorithm 4), with its step in units of σ².
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

Denoiser = Callable[[Float[Array, "*shape"], Float[Array, ""]], Float[Array, "*shape"]]
Step = tuple[Float[Array, "*shape"], Float[Array, "*shape"]]
"""Where a step leads, and what the clean picture was taken for where it began."""

DEFAULT_STEPS = 32
CURVE = 7.0
"""ρ of Karras et al. (2022): how much closer noise levels are where noise is small."""
CORRECTOR_STEP = 0.3
"""Of a Langevin step at noise σ [σ²]; the largest stable one is 2."""
CORRECTORS = 3
"""Langevin steps behind each predictor."""


class Scheme(Enum):
    """How one goes from a noise level to the next; the value is what a person calls it."""

    HEUN = "heun"
    """The probability-flow equation, second order: no noise but that at the start; two denoisings a step."""
    DDPM = "ddpm"
    """Ancestral: first order, scatters too little unless steps are many."""
    PREDICTOR_CORRECTOR = "predictor-corrector"
    """Ancestral, and some Langevin steps at every level."""


def noise_levels(least: float, largest: float, steps: int) -> Float[np.ndarray, " level"]:
    """Return `steps` noise levels that fall from the largest to the least, and 0.

    Raises
    ------
    ValueError
        Where there are less than two steps, or where levels are not positive and in order.
    """
    if steps < 2:
        raise ValueError(f"Sampling takes at least 2 steps, got {steps}.")
    if not 0 < least < largest:
        raise ValueError(f"Noise levels must be positive and in order, got {least} and {largest}.")
    root = np.linspace(largest ** (1 / CURVE), least ** (1 / CURVE), steps)
    return np.append(root**CURVE, 0.0)


def heun_step(denoise: Denoiser, x: Float[Array, "*shape"], sigma: Float[Array, ""], lower: Float[Array, ""]) -> Step:
    """Go to a lower noise level along dx/dσ = (x - D(x, σ)) / σ; by Euler's step where that is 0."""
    clean = denoise(x, sigma)
    slope = (x - clean) / sigma
    guess = x + (lower - sigma) * slope

    def corrected() -> Float[Array, "*shape"]:
        there = (guess - denoise(guess, lower)) / lower
        return x + 0.5 * (lower - sigma) * (slope + there)

    return lax.cond(lower > 0, corrected, lambda: guess), clean


def ddpm_step(
    denoise: Denoiser,
    x: Float[Array, "*shape"],
    sigma: Float[Array, ""],
    lower: Float[Array, ""],
    key: PRNGKeyArray,
) -> Step:
    """Draw at a lower noise level as if the clean picture were D(x, σ) for certain."""
    clean = denoise(x, sigma)
    share = (lower / sigma) ** 2
    spread = lower * jnp.sqrt(1.0 - share)
    return clean + share * (x - clean) + spread * jax.random.normal(key, x.shape, x.dtype), clean


def stochastic_step(
    denoise: Denoiser,
    x: Float[Array, "*shape"],
    sigma: Float[Array, ""],
    lower: Float[Array, ""],
    key: PRNGKeyArray,
) -> Step:
    """Draw at a lower noise level: by Heun's step to lower²/σ, and noise from there.

    The mean of an ancestral step is that of a way straight to lower²/σ as well; followed to second order it leaves the
    scatter at every level what it should be, which the ancestral step does not.
    """
    down, spread = lower**2 / sigma, lower * jnp.sqrt(1.0 - (lower / sigma) ** 2)
    x, clean = heun_step(denoise, x, sigma, down)
    return x + spread * jax.random.normal(key, x.shape, x.dtype), clean


def langevin_step(
    denoise: Denoiser, x: Float[Array, "*shape"], sigma: Float[Array, ""], key: PRNGKeyArray
) -> Float[Array, "*shape"]:
    """Return a picture at the same noise level, moved by the score and by noise."""
    noise = jax.random.normal(key, x.shape, x.dtype)
    return x + CORRECTOR_STEP * (denoise(x, sigma) - x) + (2.0 * CORRECTOR_STEP) ** 0.5 * sigma * noise


def step_of(
    scheme: Scheme,
    denoise: Denoiser,
    x: Float[Array, "*shape"],
    sigma: Float[Array, ""],
    lower: Float[Array, ""],
    key: PRNGKeyArray,
) -> Step:
    """Take one step of a scheme."""
    if scheme is Scheme.HEUN:
        return heun_step(denoise, x, sigma, lower)
    if scheme is Scheme.DDPM:
        return ddpm_step(denoise, x, sigma, lower, key)
    own, *others = jax.random.split(key, 1 + CORRECTORS)
    x, clean = ddpm_step(denoise, x, sigma, lower, own)

    def corrected() -> Float[Array, "*shape"]:
        moved = x
        for each in others:
            moved = langevin_step(denoise, moved, lower, each)
        return moved

    return lax.cond(lower > 0, corrected, lambda: x), clean


def first_noise(
    denoise: Denoiser, key: PRNGKeyArray, shape: tuple[int, ...], sigma: Float[Array, ""]
) -> Float[Array, "*shape"]:
    """Return what sampling begins with: noise around what is believed where nothing is seen."""
    noise = jax.random.normal(key, shape, jnp.result_type(sigma))
    return denoise(jnp.zeros_like(noise), sigma) + sigma * noise


def unconditional(
    denoise: Denoiser,
    key: PRNGKeyArray,
    shape: tuple[int, ...],
    levels: Float[np.ndarray, " level"],
    scheme: Scheme = Scheme.HEUN,
) -> Float[Array, "*shape"]:
    """Return a draw of what a denoiser believes, in one compiled loop from the first noise level to the last."""
    first, key = jax.random.split(key)
    pairs = jnp.asarray(np.column_stack([levels[:-1], levels[1:]]), jnp.result_type(float))
    x = first_noise(denoise, first, shape, pairs[0, 0])

    def step(x: Float[Array, "*shape"], item: tuple[Array, Array]) -> tuple[Float[Array, "*shape"], None]:
        pair, own = item
        return step_of(scheme, denoise, x, pair[0], pair[1], own)[0], None

    return lax.scan(step, x, (pairs, jax.random.split(key, len(pairs))))[0]
