"""Draws of the data and of the prior in turn, which pull at each other over a distance ρ.

The pair (x, z) of density p(x) exp(-½ |y - A z|² - |x - z|² / 2ρ²) is drawn by halves (split Gibbs; Vono, Dobigeon &
Chainais 2019; with diffusion for the prior Xu & Chi 2024, Wu et al. 2024): z given x is Gaussian, one solution of
normal equations with noise on their right side (Papandreou & Yuille 2010); x given z is the reverse of diffusion from
the noise level ρ on, beginning at z. ρ falls over the rounds, and with it what is left between x and the posterior.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.infer.conjugate_gradients import conjugate_gradients
from deblend.infer.diffusion.guidance import Problem, Solution
from deblend.priors.integrators import noise_levels, stochastic_step
from deblend.priors.interface import stacked

INNER_STEPS = 16
"""Of diffusion, in every round."""
FIRST_SHARE, LAST_SHARE = 0.1, 0.002
"""ρ in the first round, and in the last ones, of the largest noise level."""
SETTLED = 0.5
"""Share of the rounds in which ρ falls."""


def couplings(largest: float, rounds: int) -> Float[np.ndarray, " round"]:
    """Return ρ of every round."""
    falling = max(round(SETTLED * rounds), 1)
    return largest * np.geomspace(FIRST_SHARE, LAST_SHARE, falling)[np.minimum(np.arange(rounds), falling - 1)]


def given_pictures(
    problem: Problem, x: Float[Array, "source y x"], rho: Float[Array, ""], key: PRNGKeyArray, solution: Solution
) -> Float[Array, "source y x"]:
    """Return a draw of what is seen given the pictures of the prior: (Aᵀ A + ρ⁻²) z = Aᵀ (y + n) + ρ⁻² (x + ρ m)."""
    operator, keys = problem.operator, jax.random.split(key, 1 + len(problem.data))
    noisy = tuple(d + jax.random.normal(k, d.shape, d.dtype) for d, k in zip(problem.data, keys[1:], strict=True))
    right = rho**2 * operator.transposed(noisy) + x + rho * jax.random.normal(keys[0], x.shape, x.dtype)

    def product(z: Float[Array, "source y x"]) -> Float[Array, "source y x"]:
        return z + rho**2 * operator.transposed(operator(z))

    return conjugate_gradients(product, lambda z: z, right, solution.tolerance, solution.budget)[0]


def given_data(
    problem: Problem, z: Float[Array, "source y x"], rho: Float[Array, ""], key: PRNGKeyArray
) -> Float[Array, "source y x"]:
    """Return a draw of the prior given pictures that are off by noise of ρ."""
    denoise = stacked(problem.prior)
    # the same shape of levels for any ρ, so that nothing compiles anew
    levels = rho * jnp.asarray(noise_levels(0.02, 1.0, INNER_STEPS), z.dtype)
    pairs = jnp.stack([levels[:-1], levels[1:]], axis=1)

    def step(x: Float[Array, "source y x"], item: tuple[Array, Array]) -> tuple[Float[Array, "source y x"], None]:
        pair, own = item
        return stochastic_step(denoise, x, pair[0], pair[1], own)[0], None

    return lax.scan(step, z, (pairs, jax.random.split(key, len(pairs))))[0]


def gibbs_round(
    problem: Problem, x: Float[Array, "source y x"], rho: Float[Array, ""], key: PRNGKeyArray, solution: Solution
) -> tuple[Float[Array, "source y x"], Float[Array, "source y x"]]:
    """Return pictures of the prior after one round, and what the data made of them on the way."""
    own, other = jax.random.split(key)
    seen = given_pictures(problem, x, rho, own, solution)
    return given_data(problem, seen, rho, other), seen
