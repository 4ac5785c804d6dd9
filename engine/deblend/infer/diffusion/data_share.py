"""What the data say against what the prior does: of each pixel of a picture, 1 - posterior variance / prior variance.

It is 1 where the data decide, and 0 where the picture is the prior's own. Of a few draws it is known to about √(2 / n)
of the share that is the prior's, and may come out below 0.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.infer.conjugate_gradients import conjugate_gradients
from deblend.infer.diffusion.guidance import Problem, Solution
from deblend.infer.diffusion.linear import Data
from deblend.priors.gaussian_prior import GaussianPrior

Pictures = Float[np.ndarray, "source y x"]


def data_share(posterior_variance: Pictures, prior_variance: Float[np.ndarray, "*source y x"]) -> Pictures:
    """Return 1 - posterior variance / prior variance of every pixel, 0 where the prior has none itself."""
    prior = np.broadcast_to(prior_variance, posterior_variance.shape)
    has = prior > 0
    return np.where(has, 1.0 - posterior_variance / np.where(has, prior, 1.0), 0.0)


def variance_of(prior: GaussianPrior) -> Float[np.ndarray, "y x"]:
    """Return the variance of every pixel under a Gaussian."""
    return np.asarray(prior.variance + jnp.sum(prior.modes**2, axis=0), np.float64)


def exact_data_share(problem: Problem, solution: Solution = Solution(1e-5, 400)) -> Pictures:  # noqa: B008
    """Return the share of a problem under a Gaussian prior, by one solution per pixel: C Aᵀ (1 + A C Aᵀ)⁻¹ A C.

    Raises ValueError where the prior is no Gaussian: of others it is told by draws.
    """
    if not isinstance(problem.prior, GaussianPrior):
        raise ValueError("The exact share of the data is known for Gaussian priors alone; take that of draws.")
    told = np.asarray(_told(problem, solution), np.float64)
    prior = variance_of(problem.prior)
    return data_share(prior - told, prior)


@eqx.filter_jit
def _told(problem: Problem, solution: Solution) -> Float[Array, "source y x"]:
    """Return by how much data lower the variance of every pixel."""
    prior, operator = problem.prior, problem.operator
    assert isinstance(prior, GaussianPrior)

    def covariance(x: Float[Array, "source y x"]) -> Float[Array, "source y x"]:
        along = jnp.einsum("kyx,syx->sk", prior.modes, x)
        return prior.variance[None] * x + jnp.einsum("sk,kyx->syx", along, prior.modes)

    def product(u: Data) -> Data:
        return jax.tree.map(jnp.add, u, operator(covariance(operator.transposed(u))))

    def one(pixel: Array) -> Array:
        unit = jnp.zeros(int(np.prod(operator.shape)), prior.mean.dtype).at[pixel].set(1.0).reshape(operator.shape)
        seen = operator(covariance(unit))
        solved, _ = conjugate_gradients(product, lambda u: u, seen, solution.tolerance, solution.budget)
        return jnp.asarray(sum(jnp.vdot(a, b) for a, b in zip(seen, solved, strict=True)))

    result: Float[Array, "source y x"] = lax.map(one, jnp.arange(int(np.prod(operator.shape))), batch_size=64)
    return result.reshape(operator.shape)


class Scatter:
    """Mean and variance of pictures that arrive one after another (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Pictures | None = None
        self._squares: Pictures | None = None

    def add(self, pictures: Pictures) -> None:
        """Take one more draw."""
        new = np.asarray(pictures, np.float64)
        if self._mean is None or self._squares is None:
            self._mean, self._squares = np.zeros_like(new), np.zeros_like(new)
        self.count += 1
        off = new - self._mean
        self._mean = self._mean + off / self.count
        self._squares = self._squares + off * (new - self._mean)

    @property
    def variance(self) -> Pictures | None:
        """Of every pixel; None before the second draw."""
        return None if self._squares is None or self.count < 2 else self._squares / (self.count - 1)
