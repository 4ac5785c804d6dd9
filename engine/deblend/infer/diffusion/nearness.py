"""What telescopes see of the modes of a Gaussian: a preconditioner of few numbers for the equations of a step.

A learned prior is about a Gaussian of covariance Σ lₖ lₖᵀ with orthogonal modes lₖ, |lₖ|² = λₖ. At noise σ the clean
picture then has the covariance Σ lₖ lₖᵀ σ² / (λₖ + σ²), and with U = A L

    (1 + A V Aᵀ)⁻¹ ≈ 1 - U S^½ (1 + S^½ Uᵀ U S^½)⁻¹ S^½ Uᵀ,   S = σ² / (λ + σ²)

(Woodbury 1950). What the network differs from its Gaussian by is left to the iterations.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.infer.diffusion.linear import AbstractLinearMap, Data

RIDGE = 1e-5
"""Relative to the largest eigenvalue there may be: single precision tells no less."""

Seen = tuple[Float[Array, "source mode band y x"], ...]
"""What every observation sees of each picture of a stack (source, mode, y, x), one at a time."""


class Nearness(eqx.Module):
    """Modes of a Gaussian prior, of all sources together, as data see them."""

    seen: Data
    """U: (mode, band, y, x) of every observation, in units of the noise."""
    gram: Float[Array, "mode mode"]
    """Uᵀ U."""
    share: Float[Array, " mode"]
    """λ: variance along each mode [unit of pictures, squared]."""

    @classmethod
    def of(cls, seen: Seen, share: Float[Array, " mode"], amplitudes: Float[Array, "source channel"]) -> Nearness:
        """Return it from what is seen of modes of unit amplitude, and the amplitude of each source in each channel."""
        own, first = [], 0
        for part in seen:
            bands = part.shape[2]
            lit = part * amplitudes[:, None, first : first + bands, None, None]
            own.append(lit.reshape(-1, *part.shape[2:]))
            first += bands
        flat = [part.reshape(len(part), -1) for part in own]
        gram = sum((part @ part.T for part in flat), jnp.zeros((len(flat[0]),) * 2, flat[0].dtype))
        return cls(tuple(own), gram, jnp.tile(share, len(amplitudes)))

    def inverse(self, sigma: Float[Array, ""]) -> Callable[[Data], Data]:
        """Return the preconditioner of 1 + A V Aᵀ at a noise level."""
        root = sigma / jnp.sqrt(self.share + sigma**2)
        inner = root[:, None] * self.gram * root[None, :]
        size = len(inner)
        ridge = 1.0 + RIDGE * jnp.max(jnp.diagonal(inner))
        factor = jax.scipy.linalg.cho_factor(inner + ridge * jnp.eye(size, dtype=inner.dtype))

        def solved(v: Data) -> Data:
            along = sum(
                (jnp.tensordot(u, part, axes=3) for u, part in zip(self.seen, v, strict=True)),
                jnp.zeros(size, inner.dtype),
            )
            weights = root * jax.scipy.linalg.cho_solve(factor, root * along)
            return tuple(part - jnp.tensordot(weights, u, axes=1) for u, part in zip(self.seen, v, strict=True))

        return solved


def seen_one_by_one(operator: AbstractLinearMap, pictures: Float[Array, "source mode y x"]) -> Seen:
    """Return what is seen of every picture by itself, in the place of its source."""
    n_sources, n_modes = pictures.shape[:2]

    def one(number: Array) -> Data:
        source, mode = number // n_modes, number % n_modes
        only = jnp.zeros(operator.shape, pictures.dtype).at[source].set(pictures[source, mode])
        return operator(only)

    columns = lax.map(one, jnp.arange(n_sources * n_modes))
    return tuple(part.reshape(n_sources, n_modes, *part.shape[1:]) for part in columns)


def orthogonal_modes(
    modes: Float[np.ndarray, "mode y x"], rank: int
) -> tuple[Float[np.ndarray, "rank y x"], Float[np.ndarray, " rank"]]:
    """Return the `rank` largest orthogonal modes of the same Σ l lᵀ, and their λ; zeros where there are fewer."""
    n, *shape = modes.shape
    _, values, axes = np.linalg.svd(np.reshape(modes, (n, -1)).astype(np.float64), full_matrices=False)
    own = np.zeros((rank, *shape), np.float32)
    share = np.ones(rank, np.float32)
    kept = min(rank, len(values))
    own[:kept] = (values[:kept, None] * axes[:kept]).reshape(-1, *shape)
    share[:kept] = values[:kept] ** 2
    return own, share
