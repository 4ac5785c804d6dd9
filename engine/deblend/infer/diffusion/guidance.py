"""Denoisers of posteriors: E[x₀ | x_σ, y] for data y = A x₀ + n, from E[x₀ | x_σ] and a covariance.

Given x_σ, the clean picture is taken for Gaussian: mean D(x_σ, σ), covariance V. The posterior mean is then

    D_y = D + V Aᵀ (Σ + A V Aᵀ)⁻¹ (y - A D),

solved by conjugate gradients in the space of the data. What differs is V: its own, V = σ² ∂D/∂x by Tweedie's formula
(moment matching, MMPS; Rozet et al. 2024, eq. 13-15, EM for diffusion priors), or that of a Gaussian with the
covariance C of the prior, V = (C⁻¹ + σ⁻²)⁻¹ (Jacobian-free: only forward passes of the network). All maps are in units
of the noise, so that Σ = 1.

A is a PSF, and V has eigenvalues from 10⁻⁶ to 1: the one to three iterations that do for inpainting leave a bias of
0.3 to 0.4 σ here (tests/engine/test_diffusion.py shows that one fails), so iterations go on to a tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from deblend.infer.conjugate_gradients import conjugate_gradients, dot
from deblend.infer.diffusion.linear import AbstractLinearMap, Data
from deblend.infer.diffusion.nearness import Nearness
from deblend.priors.gaussian_prior import GaussianPrior
from deblend.priors.integrators import Denoiser, Step, ddpm_step
from deblend.priors.interface import AbstractPrior, stacked

DPS_STRENGTH = 1.0
"""ζ of Chung et al. (2023): the length of the step against the data."""


class Rule(Enum):
    """How data act on draws; the value is what a person calls it."""

    MMPS = "mmps"
    """Moment matching: the covariance is that of the denoiser itself."""
    JFPS = "jfps"
    """Jacobian-free: the covariance is that of a Gaussian; cheap, for previews."""
    SPLIT_GIBBS = "split-gibbs"
    """Draws of data and of prior in turn (`deblend.infer.diffusion.split_gibbs`)."""
    DPS = "dps"
    """Diffusion posterior sampling (Chung et al. 2023). A baseline only: no posterior comes of it."""


class Solution(NamedTuple):
    """How well the equations of a step are solved; data to what is compiled."""

    tolerance: float | Float[Array, ""] = 1e-3
    """Of the residual, relative to where it began."""
    budget: int | Int[Array, ""] = 60
    """Iterations at most."""


class Problem(eqx.Module):
    """Pictures of a prior, and data in which they are seen."""

    prior: AbstractPrior
    """Of every picture alike."""
    operator: AbstractLinearMap
    data: Data
    """In units of the noise."""
    reference: GaussianPrior | None = None
    """A Gaussian with about the covariance of the prior, for `Rule.JFPS`."""
    nearness: Nearness | None = None
    """What is seen of the modes of such a Gaussian: fewer iterations with the same result."""

    def __check_init__(self) -> None:
        if self.operator.shape[1:] != self.prior.shape:
            raise ValueError(
                f"The prior is of pictures of shape {self.prior.shape}, the data are seen of pictures of shape "
                f"{self.operator.shape[1:]}; bring the prior to that shape by `deblend.priors.on_box`."
            )


def guided(problem: Problem, rule: Rule, solution: Solution) -> Denoiser:
    """Return the denoiser of the posterior, by moment matching or Jacobian-free."""

    def denoise(x: Float[Array, "source y x"], sigma: Float[Array, ""]) -> Float[Array, "source y x"]:
        clean, covariance = _moments(problem, rule, x, sigma)
        operator = problem.operator
        off = jax.tree.map(jnp.subtract, problem.data, operator(clean))

        def product(u: Data) -> Data:
            return jax.tree.map(jnp.add, u, operator(covariance(operator.transposed(u))))

        inverse = (lambda u: u) if problem.nearness is None else problem.nearness.inverse(sigma)
        solved, _ = conjugate_gradients(product, inverse, off, solution.tolerance, solution.budget)
        return clean + covariance(operator.transposed(solved))

    return denoise


def _moments(
    problem: Problem, rule: Rule, x: Float[Array, "source y x"], sigma: Float[Array, ""]
) -> tuple[Float[Array, "source y x"], Callable[[Array], Array]]:
    """Return mean and covariance, as a product, of the clean pictures given noisy ones."""
    denoise = stacked(problem.prior)
    if rule is Rule.MMPS:
        clean, pulled = jax.vjp(lambda x: denoise(x, sigma), x)
        return clean, lambda v: sigma**2 * pulled(v)[0]
    if rule is Rule.JFPS and problem.reference is not None:
        reference = problem.reference
        return denoise(x, sigma), lambda v: sigma**2 * jax.vmap(reference.shrunk, (0, None))(v, sigma)
    if rule is Rule.JFPS:
        raise ValueError("Jacobian-free sampling takes its covariance from a Gaussian; give the problem a reference.")
    raise ValueError(f"{rule.value} has no denoiser of the posterior.")


def dps_step(
    problem: Problem,
    x: Float[Array, "source y x"],
    sigma: Float[Array, ""],
    lower: Float[Array, ""],
    key: PRNGKeyArray,
) -> Step:
    """Take an ancestral step, and go from there along -∇ |y - A D(x)| (Chung et al. 2023, algorithm 1). A baseline."""
    denoise, operator = stacked(problem.prior), problem.operator
    seen, pulled = jax.vjp(lambda x: denoise(x, sigma), x)
    off = jax.tree.map(jnp.subtract, operator(seen), problem.data)
    slope = pulled(operator.transposed(off))[0] / jnp.sqrt(dot(off, off))
    moved, clean = ddpm_step(denoise, x, sigma, lower, key)
    return moved - DPS_STRENGTH * slope, clean
