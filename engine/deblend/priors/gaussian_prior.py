"""Priors about which everything is known: a Gaussian, and a mixture of some. What is learned is tested against them.

The covariance is C = D + Lᵀ L, a diagonal and a few modes, and every solution with C + σ² is one of as many unknowns as
there are modes (Woodbury 1950). For a Gaussian E[x₀ | x₀ + σ z = x] = μ + C (C + σ²)⁻¹ (x - μ) (Wiener 1949), and its
derivative times σ² is the covariance of x₀ given x (Tweedie's second formula; Efron 2011).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from deblend.priors.classes import SizeClass
from deblend.priors.interface import AbstractNormalizedPrior, AbstractPrior

LEVELS = (1e-3, 10.0)
"""Noise levels of a Gaussian, times the largest standard deviation along any direction."""


class GaussianPrior(AbstractNormalizedPrior):
    """A Gaussian of pictures."""

    mean: Float[Array, "y x"]
    modes: Float[Array, "mode y x"]
    """L."""
    variance: Float[Array, "y x"]
    """D."""
    levels: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        mean: Float[np.ndarray, "y x"],
        modes: Float[np.ndarray, "mode y x"],
        spread: Float[np.ndarray, "y x"],
        levels: tuple[float, float] | None = None,
    ) -> None:
        """Take a mean, modes and √D; noise levels are chosen by the largest scatter unless they are given.

        Raises
        ------
        ValueError
            Where shapes do not agree, or where a pixel does not scatter.
        """
        if np.shape(modes)[1:] != np.shape(mean) or np.shape(spread) != np.shape(mean):
            raise ValueError(
                f"Mean, modes and spread must be of one shape, got {np.shape(mean)}, {np.shape(modes)} and "
                f"{np.shape(spread)}."
            )
        if not np.all(np.asarray(spread) > 0):
            raise ValueError("The spread of a Gaussian must be positive in every pixel; put a floor below it.")
        self.mean, self.modes, self.variance = jnp.asarray(mean), jnp.asarray(modes), jnp.asarray(spread) ** 2
        if levels is None:
            flat = np.reshape(modes, (len(modes), -1))
            largest = np.sqrt(np.linalg.norm(flat @ flat.T, 2) + np.max(np.square(spread))) if len(modes) else None
            scale = float(np.max(spread) if largest is None else largest)
            levels = (LEVELS[0] * scale, LEVELS[1] * scale)
        self.levels = levels

    @classmethod
    def of_class(cls, size_class: SizeClass, scale: float = 1.0) -> GaussianPrior:
        """Return the learned Gaussian of a size class, of pictures `scale` times as bright as those of flux 1."""
        return cls(scale * size_class.mean, scale * size_class.modes, scale * size_class.spread)

    @classmethod
    def fitted(
        cls, stamps: Float[np.ndarray, "stamp y x"], rank: int = 64, floor: float = 1e-3, inflate: float = 1.0
    ) -> GaussianPrior:
        """Return the Gaussian of stamps: their mean, their first principal components, and what these leave.

        Parameters
        ----------
        floor
            Standard deviation that every pixel has at least [unit of stamps].
        inflate
            Factor on all variances.
        """
        n, *shape = stamps.shape
        mean = stamps.mean(axis=0, dtype=np.float64)
        off = (stamps - mean).reshape(n, -1) / n**0.5
        _, values, axes = np.linalg.svd(off, full_matrices=False)
        modes = (values[:rank, None] * axes[:rank]).reshape(-1, *shape)
        left = np.maximum(np.sum(off**2, axis=0).reshape(shape) - np.sum(modes**2, axis=0), 0.0)
        root = inflate**0.5
        arrays = mean, root * modes, root * np.sqrt(left + floor**2)
        return cls(*(a.astype(np.float32) for a in arrays))

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.mean.shape
        return height, width

    def shrunk(self, v: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return C (C + σ²)⁻¹ v."""
        return v - sigma**2 * self._solved(v, sigma**2)

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        return self.mean + self.shrunk(x - self.mean, sigma)

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        return self.log_prob_behind(x, jnp.zeros((), x.dtype))

    def log_prob_behind(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Return the logarithm of the density of a picture with noise [nats]."""
        off, total = x - self.mean, self.variance + sigma**2
        scaled = (self.modes / jnp.sqrt(total)[None]).reshape(len(self.modes), -1)
        volume = jnp.linalg.slogdet(jnp.eye(len(scaled), dtype=x.dtype) + scaled @ scaled.T)[1]
        square = jnp.sum(off * self._solved(off, sigma**2))
        return -0.5 * (square + volume + jnp.sum(jnp.log(total)) + x.size * jnp.log(2.0 * jnp.pi))

    def _solved(self, v: Float[Array, "y x"], added: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return (C + `added`)⁻¹ v."""
        total = self.variance + added
        modes = self.modes.reshape(len(self.modes), -1)
        over = modes / total.reshape(1, -1)
        gram = jnp.eye(len(modes), dtype=v.dtype) + over @ modes.T
        along = jax.scipy.linalg.solve(gram, over @ v.ravel(), assume_a="pos")
        return (v - (along @ modes).reshape(v.shape)) / total

    def covariance(self) -> Float[np.ndarray, "pixel pixel"]:
        """Return C; large."""
        flat = np.asarray(self.modes, np.float64).reshape(len(self.modes), -1)
        return flat.T @ flat + np.diag(np.asarray(self.variance, np.float64).ravel())


class MixturePrior(AbstractNormalizedPrior):
    """One of several Gaussians, each with its share: the simplest prior that is none."""

    parts: tuple[GaussianPrior, ...]
    log_share: Float[Array, " part"]

    def __init__(self, parts: tuple[GaussianPrior, ...], shares: tuple[float, ...]) -> None:
        """Take Gaussians of one shape; raises ValueError where shares are not positive, one for each."""
        if len(parts) != len(shares) or not parts or min(shares) <= 0:
            raise ValueError(f"Every part needs a positive share, got {len(parts)} parts and the shares {shares}.")
        if any(part.shape != parts[0].shape for part in parts):
            raise ValueError(f"Parts must be of one shape, got {[part.shape for part in parts]}.")
        self.parts = parts
        self.log_share = jnp.log(jnp.asarray(shares, parts[0].mean.dtype) / sum(shares))

    @property
    def shape(self) -> tuple[int, int]:
        return self.parts[0].shape

    @property
    def levels(self) -> tuple[float, float]:
        return min(p.levels[0] for p in self.parts), max(p.levels[1] for p in self.parts)

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        scores = self.log_share + jnp.stack([part.log_prob_behind(x, sigma) for part in self.parts])
        own = jnp.stack([part.denoise(x, sigma) for part in self.parts])
        return jnp.tensordot(jax.nn.softmax(scores), own, axes=1)

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        return logsumexp(self.log_share + jnp.stack([part.log_prob(x) for part in self.parts]))


def tweedie_covariance(
    prior: AbstractPrior, x: Float[Array, "y x"], sigma: Float[Array, ""]
) -> Float[Array, "pixel pixel"]:
    """Return the covariance of the clean picture given a noisy one, σ² times the derivative of the denoiser; large."""

    def flat(x: Float[Array, " pixel"]) -> Float[Array, " pixel"]:
        return prior.denoise(x.reshape(prior.shape), sigma).ravel()

    return sigma**2 * jax.jacfwd(flat)(x.ravel())
