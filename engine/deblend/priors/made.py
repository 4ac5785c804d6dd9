"""The small prior with an exact density: a masked network with two layers that are hidden (MADE; Germain et al. 2015).

Every hidden unit has a number m, and sees only pixels before m; a pixel is told by units of a smaller number than its
own. For stamps of some tens of pixels it is all that is needed, and it is what larger ones are tested by.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.heads import Head
from deblend.priors.integrators import DEFAULT_STEPS, Scheme
from deblend.priors.interface import AbstractNormalizedPrior

MOST_PIXELS = 256
NEWTON_STEPS = 8


class Made(AbstractNormalizedPrior):
    """Small pictures, each pixel given all before it."""

    weights: tuple[Float[Array, "given made"], ...]
    biases: tuple[Float[Array, " made"], ...]
    shape: tuple[int, int] = eqx.field(static=True)
    levels: tuple[float, float] = eqx.field(static=True)
    head: Head = eqx.field(static=True)

    def __init__(
        self,
        key: PRNGKeyArray,
        shape: tuple[int, int],
        hidden: int = 128,
        head: Head = Head.GAUSSIAN,
        levels: tuple[float, float] = (1e-3, 10.0),
    ) -> None:
        """Take the shape (y, x) of pictures; raises ValueError where that is too large for a dense network."""
        n = shape[0] * shape[1]
        if not 2 <= n <= MOST_PIXELS:
            raise ValueError(f"MADE is for stamps of 2 to {MOST_PIXELS} pixels, got {shape}; take a PixelCNN instead.")
        self.shape, self.levels, self.head = shape, levels, head
        sizes = n, hidden, hidden, n * head.size
        keys = jax.random.split(key, 3)
        scales = 1.0, 1.0, 0.1
        self.weights = tuple(
            scale * jax.random.normal(k, (given, made)) * (2.0 / given) ** 0.5
            for k, given, made, scale in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
        )
        self.biases = tuple(jnp.zeros(made) for made in sizes[1:])

    def told(self, x: Float[Array, " pixel"]) -> Float[Array, "pixel size"]:
        """Return the numbers that say what each pixel may be, given those before it."""
        h = x
        for k, (weight, bias, mask) in enumerate(zip(self.weights, self.biases, self._masks(), strict=True)):
            h = h @ (weight * mask) + bias
            h = h if k == len(self.weights) - 1 else jax.nn.silu(h)
        return h.reshape(x.size, self.head.size)

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        flat = x.ravel()
        return jnp.sum(self.head.log_prob(flat, self.told(flat)))

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return the mode of clean pictures given a noisy one, for their mean: of a Gaussian they are one.

        Steps are Newton's; where the density bends the wrong way it is taken to bend as much the right way.
        """

        def energy(u: Float[Array, " pixel"]) -> Float[Array, ""]:
            return 0.5 * jnp.sum((u - x.ravel()) ** 2) / sigma**2 - self.log_prob(u.reshape(self.shape))

        def step(_: int, u: Float[Array, " pixel"]) -> Float[Array, " pixel"]:
            bends, axes = jnp.linalg.eigh(jax.hessian(energy)(u))
            return u - axes @ ((axes.T @ jax.grad(energy)(u)) / jnp.maximum(jnp.abs(bends), 0.5 / sigma**2))

        return lax.fori_loop(0, NEWTON_STEPS, step, x.ravel()).reshape(self.shape)

    def sample(
        self, key: PRNGKeyArray, n: int, steps: int = DEFAULT_STEPS, scheme: Scheme = Scheme.HEUN
    ) -> Float[Array, "n y x"]:
        """Return pictures, pixel after pixel; `steps` and `scheme` are those of diffusion, and count for nothing."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}.")

        def drawn(key: PRNGKeyArray) -> Float[Array, "y x"]:
            def pixel(k: Array, x: Float[Array, " pixel"]) -> Float[Array, " pixel"]:
                return x.at[k].set(self.head.draw(self.told(x)[k], jax.random.fold_in(key, k)))

            count = self.shape[0] * self.shape[1]
            return lax.fori_loop(0, count, pixel, jnp.zeros(count)).reshape(self.shape)

        return jax.vmap(drawn)(jax.random.split(key, n))

    def _masks(self) -> tuple[Float[np.ndarray, "given made"], ...]:
        """Return 1 where a number may come from another one."""
        n = self.shape[0] * self.shape[1]
        pixels, hidden = np.arange(n), np.arange(len(self.biases[0])) % max(n - 1, 1)
        outs = np.repeat(pixels, self.head.size)
        first, second = pixels[:, None] <= hidden[None], hidden[:, None] <= hidden[None]
        last = hidden[:, None] < outs[None]
        return tuple(mask.astype(np.float32) for mask in (first, second, last))
