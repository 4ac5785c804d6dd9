"""Metropolis-adjusted Langevin steps for pictures under a prior with a density: a referee for small problems.

Proposals follow the slope of the log posterior; densities accept or refuse them (Roberts & Tweedie 1996), so that what
is drawn is exact whatever the step. It takes no prior whose density is not known: see `deblend.priors.interface`. NUTS
for such problems, which goes further with each draw, is `deblend.infer.picture_nuts`.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.infer.conjugate_gradients import dot
from deblend.infer.diffusion.guidance import Problem
from deblend.priors.interface import AbstractDensityPrior, require_density

NAME = "A Metropolis sampler"


def metropolis(
    problem: Problem, n_draws: int, step: float, seed: int = 0, n_burn: int = 200, thin: int = 1
) -> tuple[Float[np.ndarray, "draw source y x"], float]:
    """Return draws from the posterior, one after `thin` steps each, and the share of proposals that was accepted.

    Parameters
    ----------
    step
        Standard deviation of the noise of a proposal [unit of pictures]; about that of the narrowest direction.

    Raises
    ------
    NoDensityError
        Where the prior has no density.
    """
    prior = require_density(problem.prior, NAME)
    if n_draws < 1 or thin < 1 or n_burn < 0 or not step > 0:
        raise ValueError(f"Draws, steps between them and their size must be positive, got {n_draws}, {thin}, {step}.")
    keys = jax.random.split(jax.random.key(seed), n_burn + n_draws * thin)
    chain, accepted = _run(problem, prior, jnp.asarray(step, problem.data[0].dtype), keys)
    return np.asarray(chain)[n_burn + thin - 1 :: thin], float(jnp.mean(accepted[n_burn:]))


def energy_of(
    problem: Problem, prior: AbstractDensityPrior
) -> Callable[[Float[Array, "source y x"]], Float[Array, ""]]:
    """Return minus the logarithm of the posterior density of pictures, but for a constant [nats]."""

    def energy(x: Float[Array, "source y x"]) -> Float[Array, ""]:
        off = jax.tree.map(jnp.subtract, problem.operator(x), problem.data)
        return 0.5 * dot(off, off) - jnp.sum(jax.vmap(prior.log_prob)(x))

    return energy


@eqx.filter_jit
def _run(
    problem: Problem, prior: AbstractDensityPrior, step: Float[Array, ""], keys: PRNGKeyArray
) -> tuple[Float[Array, "draw source y x"], Float[Array, " draw"]]:
    value_and_slope = jax.value_and_grad(energy_of(problem, prior))

    def move(carry: tuple[Array, Array, Array], key: PRNGKeyArray) -> tuple[tuple[Array, Array, Array], Array]:
        x, value, slope = carry
        own, other = jax.random.split(key)
        there = x - 0.5 * step**2 * slope + step * jax.random.normal(own, x.shape, x.dtype)
        new_value, new_slope = value_and_slope(there)
        onward = jnp.sum((there - x + 0.5 * step**2 * slope) ** 2)
        back = jnp.sum((x - there + 0.5 * step**2 * new_slope) ** 2)
        gain = value - new_value + (onward - back) / (2.0 * step**2)
        takes = jnp.log(jax.random.uniform(other, dtype=x.dtype)) < gain
        carry = jax.tree.map(lambda a, b: jnp.where(takes, a, b), (there, new_value, new_slope), carry)
        return carry, takes

    start = jnp.zeros(problem.operator.shape, problem.data[0].dtype)

    def kept(
        carry: tuple[Array, Array, Array], key: PRNGKeyArray
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        carry, takes = move(carry, key)
        return carry, (carry[0], takes.astype(start.dtype))

    return lax.scan(kept, (start, *value_and_slope(start)), keys)[1]
