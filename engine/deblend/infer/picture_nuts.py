"""NUTS for pictures under a prior with a density: draws of the posterior itself, of few and small pictures.

Coordinates are those in which the posterior under a Gaussian of about the same covariance is a unit normal: its mean
and its covariance are found by dense algebra, which is what bounds how many pixels there may be. The integrator is that
of scenes (`deblend.infer.nuts_kernel`): a rotation between kicks by what the prior is besides that Gaussian. Draws are
exact whatever the Gaussian is, as densities accept or refuse them; a bad one makes steps short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from deblend.infer.diffusion.guidance import Problem
from deblend.infer.metropolis import energy_of
from deblend.infer.nuts_kernel import MOST_DOUBLINGS, rotating
from deblend.infer.step_adaptation import Adaptation
from deblend.priors.gaussian_prior import GaussianPrior
from deblend.priors.interface import AbstractDensityPrior, require_density

# blackjax computes as it is imported: see `deblend.infer.nuts_kernel`
if TYPE_CHECKING:
    from blackjax.mcmc.hmc import HMCState

NAME = "NUTS"
WARMUP = 100
"""Draws that are thrown away, while the step is adapted."""
MOST_PIXELS = 4096
"""Of all pictures together."""
AT_ONCE = 64


class PictureDraws(NamedTuple):
    """Draws of the posterior of pictures, and how they were made."""

    pictures: Float[np.ndarray, "draw source y x"]
    acceptance: float
    """Mean probability of acceptance along trajectories; about 0.8, or above where steps are as long as they may be."""
    n_divergent: int
    """Trajectories that went astray: with more than a few, draws are not of the posterior."""
    angle: float
    """Of a step [rad]; much below 1 the Gaussian is a bad one."""


def picture_nuts(problem: Problem, n_draws: int, seed: int = 0, n_warmup: int = WARMUP) -> PictureDraws:
    """Return draws from the posterior of a problem, one after another.

    Parameters
    ----------
    problem
        Of a prior with a density. Its `reference`, or the prior where that is Gaussian, makes the coordinates;
        `GaussianPrior.fitted` of draws of the prior is one.

    Raises
    ------
    NoDensityError
        Where the prior has no density.
    ValueError
        Where there is no reference, where pictures are too many or too large, or where nothing is to be drawn.
    """
    prior = require_density(problem.prior, NAME)
    reference = prior if problem.reference is None else problem.reference
    if not isinstance(reference, GaussianPrior):
        raise ValueError(
            "NUTS of pictures takes its coordinates from a Gaussian; give the problem a reference, as "
            "GaussianPrior.fitted of draws of the prior."
        )
    if n_draws < 1 or n_warmup < 1:
        raise ValueError(f"Draws and those before them must be at least 1, got {n_draws} and {n_warmup}.")
    n_pixels = int(np.prod(problem.operator.shape))
    if n_pixels > MOST_PIXELS:
        raise ValueError(f"NUTS draws up to {MOST_PIXELS} pixels at once, got {n_pixels}; cut pictures, or hold some.")
    coordinates = _whitened(problem, reference)
    key, adaptation = jax.random.key(seed), Adaptation()
    at = _begun(problem, prior, coordinates, jax.random.fold_in(key, 0))
    for number in range(1, n_warmup + 1):
        at, info = _next(problem, prior, coordinates, at, jax.random.fold_in(key, number), _number(adaptation.angle))
        adaptation.learn(float(np.nan_to_num(info.acceptance_rate)))
    adaptation.settle()
    drawn, accepted, n_divergent = [], [], 0
    for number in range(n_warmup + 1, n_warmup + 1 + n_draws):
        at, info = _next(problem, prior, coordinates, at, jax.random.fold_in(key, number), _number(adaptation.angle))
        drawn.append(np.asarray(at.position))
        accepted.append(float(info.acceptance_rate))
        n_divergent += int(info.is_divergent)
    middle, root = (np.asarray(part, np.float64) for part in coordinates)
    pictures = (middle + np.array(drawn, np.float64) @ root.T).reshape(n_draws, *problem.operator.shape)
    return PictureDraws(pictures, float(np.mean(accepted)), n_divergent, adaptation.angle)


def _whitened(
    problem: Problem, reference: GaussianPrior
) -> tuple[Float[Array, " pixel"], Float[Array, "pixel coordinate"]]:
    """Return m and L such that m + L z, of standard normal z, is the posterior under a Gaussian."""
    n_sources, *shape = problem.operator.shape
    prior = cho_factor(reference.covariance(), lower=True)
    precision = np.kron(np.eye(n_sources), cho_solve(prior, np.eye(int(np.prod(shape)))))
    seen, told = (np.asarray(part, np.float64) for part in _seen(problem))
    mean = np.tile(np.asarray(reference.mean, np.float64).ravel(), n_sources)
    # Q = R Rᵀ is the precision of the posterior, so that R⁻ᵀ z has the covariance Q⁻¹
    root = np.linalg.cholesky(precision + 0.5 * (seen + seen.T))
    middle = cho_solve((root, True), precision @ mean + told)
    spread = solve_triangular(root, np.eye(len(root)), lower=True).T
    dtype = problem.data[0].dtype
    return jnp.asarray(middle, dtype), jnp.asarray(spread, dtype)


@eqx.filter_jit
def _seen(problem: Problem) -> tuple[Float[Array, "pixel pixel"], Float[Array, " pixel"]]:
    """Return Aᵀ A and Aᵀ y."""
    operator = problem.operator
    n = int(np.prod(operator.shape))

    def column(pixel: Array) -> Array:
        unit = jnp.zeros(n, problem.data[0].dtype).at[pixel].set(1.0).reshape(operator.shape)
        return operator.transposed(operator(unit)).ravel()

    return lax.map(column, jnp.arange(n), batch_size=AT_ONCE), operator.transposed(problem.data).ravel()


def _log_density(problem: Problem, prior: AbstractDensityPrior, coordinates: tuple[Array, Array]) -> Any:
    middle, root = coordinates
    energy = energy_of(problem, prior)
    return lambda z: -energy((middle + root @ z).reshape(problem.operator.shape))


@eqx.filter_jit
def _begun(
    problem: Problem, prior: AbstractDensityPrior, coordinates: tuple[Array, Array], key: PRNGKeyArray
) -> HMCState:
    from blackjax.mcmc.hmc import init

    z = jax.random.normal(key, coordinates[0].shape, coordinates[0].dtype)
    return init(z, _log_density(problem, prior, coordinates))


@eqx.filter_jit
def _next(
    problem: Problem,
    prior: AbstractDensityPrior,
    coordinates: tuple[Array, Array],
    at: HMCState,
    key: PRNGKeyArray,
    angle: Float[Array, ""],
) -> tuple[HMCState, Any]:
    from blackjax.mcmc.nuts import build_kernel

    log_density = _log_density(problem, prior, coordinates)
    mass = jnp.ones_like(at.position)
    return build_kernel(rotating)(key, at, log_density, angle, mass, MOST_DOUBLINGS)


def _number(angle: float) -> Float[Array, ""]:
    return jnp.asarray(angle, jnp.float32)
