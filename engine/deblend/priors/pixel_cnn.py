"""A prior with a density: every pixel given all before it, row by row (PixelCNN; van den Oord et al. 2016).

Pictures have noise of σ₀, since without it those without any light far out would have no density. A Gaussian is a
product of such conditional densities, too: with C + σ₀² = L Lᵀ the numbers u = L⁻¹ (x - μ) are standard normal, and
each depends on its pixel and those before it alone. The network says how u is distributed other than that, given what
is before it,

    ln p(x) = Σ ln q(uᵢ | x before i) - Σ ln Lᵢᵢ,

so that a network that has learned nothing is about the Gaussian of all stamps, and what it has learned is what is
better than that one.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.causal import BORDER, Causal, GatedBlock, bordered, gated, put
from deblend.priors.gaussian_prior import GaussianPrior
from deblend.priors.heads import Head
from deblend.priors.integrators import DEFAULT_STEPS, Scheme
from deblend.priors.interface import AbstractNormalizedPrior

UNIT = 0.1
"""Of pictures, to the network [peak]."""
FIRST_REACH = 3
PROXIMAL_STEPS = 25
PROXIMAL_SHARE = 0.5
"""Of a step to the minimum, as the Gaussian sees it."""
BITS_BIN = 1.0 / 256.0
"""Width of the bins that bits per pixel are told for [peak]."""


class PixelNetwork(eqx.Module):
    """From pictures to what is said of each pixel: by those before it, and by where it is."""

    enter: Causal
    blocks: tuple[GatedBlock, ...]
    leave: Causal
    head: Head = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, width: int, depth: int, head: Head) -> None:
        keys = jax.random.split(key, depth + 2)
        self.enter = Causal(FIRST_REACH, False, N_TOLD, width, keys[0])
        self.blocks = tuple(GatedBlock(width, k) for k in keys[1:-1])
        # 1 × 1: what leaves has seen no more than what is before it
        self.leave = Causal(0, True, width, head.size, keys[-1], scale=0.0)
        self.head = head

    def __call__(self, given: Float[Array, "y x told"]) -> Float[Array, "y x size"]:
        h = self.enter(given)
        for block in self.blocks:
            h = block(h)
        return self.leave(jax.nn.silu(h))


N_TOLD = 5
"""What the network is told of a pixel: its light, its u, and where it is."""


class PixelCNN(AbstractNormalizedPrior):
    """Galaxies with their brightest pixel at 1, behind noise of σ₀."""

    network: PixelNetwork
    gaussian: GaussianPrior
    """Of the same pictures; its modes and variances have the noise in them."""
    root: Float[Array, "pixel pixel"]
    """L."""
    noise: float = eqx.field(static=True)
    """σ₀ [peak]"""

    def __init__(self, network: PixelNetwork, gaussian: GaussianPrior, noise: float) -> None:
        self.network, self.gaussian, self.noise = network, gaussian, noise
        modes = np.asarray(gaussian.modes, np.float64).reshape(len(gaussian.modes), -1)
        covariance = modes.T @ modes + np.diag(np.asarray(gaussian.variance, np.float64).ravel())
        self.root = jnp.asarray(np.linalg.cholesky(covariance), gaussian.mean.dtype)

    @property
    def shape(self) -> tuple[int, int]:
        return self.gaussian.shape

    @property
    def levels(self) -> tuple[float, float]:
        return self.noise, self.gaussian.levels[1]

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        volume = jnp.sum(jnp.log(jnp.diagonal(self.root)))
        return jnp.sum(self.network.head.log_prob(self.whitened(x), self.told(x))) - volume

    def told(self, x: Float[Array, "y x"]) -> Float[Array, "y x size"]:
        """Return the numbers that say how u of each pixel is distributed, given the pixels before it."""
        return self.network(_told(x, self.whitened(x)))

    def whitened(self, x: Float[Array, "y x"]) -> Float[Array, "y x"]:
        """Return u, of which every number depends on its pixel and those before it."""
        off = (x - self.gaussian.mean).ravel()
        return solve_triangular(self.root, off, lower=True).reshape(x.shape)

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return the proximal operator, argmin -ln p(u) + |u - x|² / 2σ², which stands for the mean: the mode of
        clean pictures (clean but for σ₀) given x. For a Gaussian the two are one.

        Steps are those of Newton for the Gaussian of the same pictures.
        """
        slope = jax.grad(self.log_prob)
        reference = self.gaussian

        def step(_: int, u: Float[Array, "y x"]) -> Float[Array, "y x"]:
            uphill = slope(u) + (x - u) / sigma**2
            return u + PROXIMAL_SHARE * sigma**2 * reference.shrunk(uphill, sigma)

        return lax.fori_loop(0, PROXIMAL_STEPS, step, reference.denoise(x, sigma))

    def sample(
        self, key: PRNGKeyArray, n: int, steps: int = DEFAULT_STEPS, scheme: Scheme = Scheme.HEUN
    ) -> Float[Array, "n y x"]:
        """Return pictures, pixel after pixel; `steps` and `scheme` are those of diffusion, and count for nothing."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}.")
        return jax.vmap(self._drawn)(jax.random.split(key, n))

    def _drawn(self, key: PRNGKeyArray) -> Float[Array, "y x"]:
        """Return one picture; every layer is taken once per pixel, from what is known of the layer below."""
        height, width = self.shape
        network, dtype = self.network, self.root.dtype
        n_width = network.enter.bias.shape[0]
        places = _places(height, width, dtype)
        maps = [bordered(height, width, N_TOLD, dtype)]
        maps += [bordered(height, width, n_width, dtype) for _ in range(2 * len(network.blocks))]

        def pixel(number: Any, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            u, *known = carry
            y, x = number // width, number % width
            h = network.enter.at(known[0], y, x)
            for k, block in enumerate(network.blocks):
                known[1 + 2 * k] = put(known[1 + 2 * k], y, x, jax.nn.silu(h))
                inner = block.first.at(known[1 + 2 * k], y, x)
                known[2 + 2 * k] = put(known[2 + 2 * k], y, x, jax.nn.silu(inner))
                h = h + gated(block.second.at(known[2 + 2 * k], y, x))
            told = jax.nn.silu(h) @ network.leave.weight[0] + network.leave.bias
            own = network.head.draw(told, jax.random.fold_in(key, number))
            u = u.at[number].set(own)
            light = self.gaussian.mean[y, x] + self.root[number] @ u
            seen = jnp.concatenate([jnp.stack([light / UNIT, own]), places[y, x]])
            known[0] = put(known[0], y, x, seen)
            return u, *known

        end = lax.fori_loop(0, height * width, pixel, (jnp.zeros(height * width, dtype), *maps))
        inner = slice(BORDER, BORDER + height), slice(BORDER, BORDER + width), 0
        return UNIT * end[1][inner]


def new_pixel_cnn(
    key: PRNGKeyArray,
    stamps: Float[np.ndarray, "stamp y x"],
    noise: float,
    head: Head = Head.LOGISTICS,
    width: int = 32,
    depth: int = 5,
    rank: int = 200,
) -> PixelCNN:
    """Return a prior that knows the Gaussian of stamps, and nothing more yet."""
    gaussian = GaussianPrior.fitted(stamps, rank, noise)
    return PixelCNN(PixelNetwork(key, width, depth, head), gaussian, noise)


def bits_per_pixel(log_prob: Float[np.ndarray, " stamp"], n_pixels: int) -> float:
    """Return the mean of -log₂ p of pictures, per pixel, in bins of 1/256 of the peak."""
    return float(-np.mean(log_prob) / n_pixels / np.log(2.0) - np.log2(BITS_BIN))


def _told(x: Float[Array, "y x"], u: Float[Array, "y x"]) -> Float[Array, "y x told"]:
    height, width = x.shape
    places = _places(height, width, x.dtype)
    return jnp.concatenate([jnp.stack([x / UNIT, u], axis=-1), places], axis=-1)


def _places(height: int, width: int, dtype: Any) -> Float[Array, "y x 3"]:
    """Return where pixels are from the middle: y, x and the distance, in halves of the side."""
    y, x = ((jnp.arange(n, dtype=dtype) - n // 2) / (n // 2) for n in (height, width))
    rows, columns = jnp.meshgrid(y, x, indexing="ij")
    return jnp.stack([rows, columns, jnp.hypot(rows, columns)], axis=-1)
