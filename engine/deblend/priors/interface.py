"""What every prior of pictures can do, and what only some can.

A prior that is learned as a denoiser knows the posterior mean of a noisy picture and, by Tweedie's formula (Robbins
1956; Efron 2011), the slope of its log density behind noise. The density itself it does not know. Samplers that accept
or refuse by densities must not be given one: with a constant in its place they draw, without any sign of trouble, from
something else. So a density is a class of its own here, and `require_density` refuses whatever is not of it. They need
it but for a factor; where densities of two priors are compared, as in bits per pixel, both have to be normalized, which
is a class again.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING

import equinox as eqx
import jax
from equinox import AbstractVar
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.integrators import DEFAULT_STEPS, Denoiser, Scheme, noise_levels, unconditional


class NoDensityError(ValueError):
    """A sampler that compares densities was given a prior that has none."""


class AbstractPrior(eqx.Module):
    """Pictures as they are likely, of one shape; everything is said for one picture, and mapped by who has more."""

    if TYPE_CHECKING:
        # to a type checker they are read and no more, so that a property may stand for them

        @property
        def shape(self) -> tuple[int, int]:
            """(y, x) of pictures [pix]."""
            raise NotImplementedError

        @property
        def levels(self) -> tuple[float, float]:
            """Least and largest standard deviation of noise that it is good for [unit of pictures]: below the least a
            picture is as good as clean, above the largest nothing of it is left."""
            raise NotImplementedError

    else:
        shape: AbstractVar[tuple[int, int]]
        levels: AbstractVar[tuple[float, float]]

    @abstractmethod
    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return E[x₀ | x₀ + σ z = x] for standard normal z and x₀ of this prior."""

    def score(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return the gradient of the log density of noisy pictures, (denoise(x, σ) - x) / σ² [1/unit of pictures]."""
        return (self.denoise(x, sigma) - x) / sigma**2

    def sample(
        self, key: PRNGKeyArray, n: int, steps: int = DEFAULT_STEPS, scheme: Scheme = Scheme.HEUN
    ) -> Float[Array, "n y x"]:
        """Return pictures of the prior, by the reverse of diffusion.

        Raises
        ------
        ValueError
            Where there is nothing to draw, or less than two steps.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}.")
        return unconditional(stacked(self), key, (n, *self.shape), noise_levels(*self.levels, steps), scheme)


class AbstractDensityPrior(AbstractPrior):
    """A prior whose density is known, but for a factor: enough for whoever compares two pictures under it."""

    @abstractmethod
    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        """Return the logarithm of the density of a picture but for a constant of the prior [nats]."""


class AbstractNormalizedPrior(AbstractDensityPrior):
    """A prior whose density integrates to 1: `log_prob` lacks no constant, and may be compared between such priors."""


def stacked(prior: AbstractPrior) -> Denoiser:
    """Return the denoiser of a stack (picture, y, x) of pictures of one prior."""

    def denoise(x: Float[Array, "picture y x"], sigma: Float[Array, ""]) -> Float[Array, "picture y x"]:
        return jax.vmap(prior.denoise, (0, None))(x, sigma)

    return denoise


def require_density(prior: AbstractPrior, sampler: str) -> AbstractDensityPrior:
    """Return the prior, known to have a density; raises NoDensityError, with the reason, where it has none."""
    if not isinstance(prior, AbstractDensityPrior):
        raise NoDensityError(
            f"{sampler} accepts or refuses a step by the density of the prior, and {type(prior).__name__} only knows "
            "the slope of its logarithm: it would draw from another distribution without a sign of it; use diffusion "
            "sampling, or a prior with a density."
        )
    return prior
