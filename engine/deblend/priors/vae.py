"""Galaxies as a variational autoencoder draws them (Kingma & Welling 2014): a few normal numbers in, a picture out.

A decoder has no density of pictures that could be written down, but one of its latent numbers, which are standard
normal: a source that is drawn by it is fitted, and sampled, in these (Doux et al., Arcelin et al. 2021; Biswas et al.
2025 do so in their latent spaces). PSF and noise are the renderer's, and no part of what is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.flow import uncoupled
from deblend.priors.integrators import DEFAULT_STEPS, Scheme
from deblend.priors.interface import AbstractPrior
from deblend.render.decoded import Coupling, drawn_by, flown, through_layers

LEVELS = (0.004, 3.0)
"""Noise levels that it is good for [peak]."""
SOFTENING = 0.02
"""Brightness at which what the encoder is told turns from linear to logarithmic [peak]."""
LEAST_SCATTER, MOST_SCATTER = -8.0, 1.0
"""Of the logarithm of what the encoder may say of how well it knows a number."""
SIDES = (8, 96)
"""Of stamps [pix]."""
WIDEST, MOST_LATENT = 1024, 128
MODE_STEPS = 30
DAMPING, EASIER, HARDER = 1e-2, 0.3, 5.0
"""Of the search for a mode, relative to the curvature, and what becomes of it after a good and a bad step."""


class Layers(eqx.Module):
    """Dense layers that learn."""

    weights: tuple[Float[Array, "given made"], ...]
    biases: tuple[Float[Array, " made"], ...]

    def __init__(self, sizes: Sequence[int], key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, len(sizes) - 1)
        self.weights = tuple(
            jax.random.normal(k, (given, made)) / given**0.5
            for k, given, made in zip(keys, sizes[:-1], sizes[1:], strict=True)
        )
        self.biases = tuple(jnp.zeros(made) for made in sizes[1:])

    def __call__(self, x: Float[Array, " given"]) -> Float[Array, " made"]:
        return through_layers(self.weights, self.biases, x)


class VaePrior(AbstractPrior):
    """Galaxies with their brightest pixel at about 1, as pictures of a latent vector."""

    encoder: Layers
    decoder: Layers
    flow: tuple[Coupling, ...]
    """What leads from normal vectors to those of galaxies; () for nothing."""
    turn: Float[Array, "latent latent"]
    """A rotation in front of the flow, under which nothing changes but what each number stands for."""
    shape: tuple[int, int] = eqx.field(static=True)
    sizes: tuple[float, float] = eqx.field(static=True, default=(0.0, 0.0))
    """Logarithm of half-light radii [pix], PSF included, where the first number is 0, and by how much it changes with
    that number; (0, 0) where that is not known."""
    levels: tuple[float, float] = eqx.field(static=True, default=LEVELS)

    @property
    def n_latent(self) -> int:
        return len(self.turn)

    def encode(self, x: Float[Array, "y x"]) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """Return which vector behind the flow a picture is likely of, and the logarithm of its scatter per number."""
        told = self.encoder(jnp.arcsinh(x.ravel() / SOFTENING))
        middle, scatter = jnp.split(told, 2)
        return middle, jnp.clip(scatter, LEAST_SCATTER, MOST_SCATTER)

    def latent_of(self, x: Float[Array, "y x"]) -> Float[Array, " latent"]:
        """Return the latent vector that a picture without noise is likely of."""
        return self.turn @ uncoupled(self.flow, self.encode(x)[0])[0]

    def decode(self, latent: Float[Array, " latent"]) -> Float[Array, "y x"]:
        """Return the picture of a latent vector."""
        return self.drawn(flown(self.flow, latent @ self.turn))

    def drawn(self, vector: Float[Array, " latent"]) -> Float[Array, "y x"]:
        """Return the picture of a vector behind the flow."""
        return drawn_by(self.decoder.weights, self.decoder.biases, vector).reshape(self.shape)

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return the picture of the most likely latent vector given a noisy picture: a mode, for the mean.

        Steps are those of Levenberg and Marquardt, from what the encoder makes of it.
        """
        return self.decode(self.most_likely(x, sigma))

    def most_likely(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, " latent"]:
        """Return the latent vector at which |decode(z) - x|² / 2σ² + |z|² / 2 is least, as far as steps lead."""

        def energy(z: Any) -> Any:
            return 0.5 * (jnp.sum((self.decode(z) - x) ** 2) / sigma**2 + jnp.sum(z**2))

        def step(_: int, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            z, merit, damping = carry
            slopes = jax.jacfwd(self.decode)(z).reshape(-1, self.n_latent) / sigma
            curvature = slopes.T @ slopes + jnp.eye(self.n_latent)
            downhill = slopes.T @ ((self.decode(z) - x).ravel() / sigma) + z
            there = z - jnp.linalg.solve(curvature + damping * jnp.diag(jnp.diag(curvature)), downhill)
            found = energy(there)
            is_better = found < merit
            eased = damping * jnp.where(is_better, EASIER, HARDER)
            return jnp.where(is_better, there, z), jnp.where(is_better, found, merit), eased

        start = self.latent_of(jnp.maximum(x, 0.0))
        # behind much noise the encoder knows nothing, and the middle of all galaxies is nearer
        start = jnp.where(energy(start) < energy(jnp.zeros_like(start)), start, 0.0)
        best, _, _ = jax.lax.fori_loop(0, MODE_STEPS, step, (start, energy(start), jnp.asarray(DAMPING, x.dtype)))
        result: Float[Array, " latent"] = best
        return result

    def sample(
        self, key: PRNGKeyArray, n: int, steps: int = DEFAULT_STEPS, scheme: Scheme = Scheme.HEUN
    ) -> Float[Array, "n y x"]:
        """Return pictures of normal latent vectors; `steps` and `scheme` are those of diffusion, and count for
        nothing."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}.")
        return jax.vmap(self.decode)(jax.random.normal(key, (n, self.n_latent)))


def new_vae(key: PRNGKeyArray, side: int, n_latent: int, width: int) -> VaePrior:
    """Return a prior that has learned nothing yet; raises ValueError where one of that size is not to be had."""
    if not SIDES[0] <= side <= SIDES[1]:
        raise ValueError(f"The side of stamps must lie from {SIDES[0]} to {SIDES[1]} for a VAE, got {side}.")
    if not (2 <= n_latent <= MOST_LATENT and 8 <= width <= WIDEST):
        raise ValueError(
            f"A VAE has 2 to {MOST_LATENT} latent numbers and layers of 8 to {WIDEST}, got {n_latent} and {width}."
        )
    own, other = jax.random.split(key)
    n = side * side
    # it only has to say about where to look; what it draws is what counts
    encoder = Layers((n, width // 2, width // 2, 2 * n_latent), own)
    decoder = Layers((n_latent, width // 2, width, width, n), other)
    return VaePrior(encoder, decoder, (), jnp.eye(n_latent), (side, side))


def aligned(prior: VaePrior, stamps: Float[np.ndarray, "stamp y x"]) -> VaePrior:
    """Return the same prior with latent numbers turned: the first says how large a galaxy is, the others change its
    picture, the first of them most.

    The first is the direction of least squares of the logarithm of half-light radii; the others are the main axes of
    what a small change of a latent vector does to pictures, averaged over `stamps`, at right angles to it.
    """
    latent, bends = (np.asarray(part, float) for part in _bent(prior, jnp.asarray(stamps)))
    radii = np.log(half_light_radii(stamps))
    design = np.column_stack([np.ones(len(latent)), latent])
    at_zero, *slope = np.linalg.lstsq(design, radii, rcond=None)[0]
    length = float(np.linalg.norm(slope))
    first = np.asarray(slope) / length
    # what is left of the space, in any basis, and in that of the main axes
    rest = np.linalg.svd(np.eye(len(first)) - np.outer(first, first))[0][:, : len(first) - 1]
    _, axes = np.linalg.eigh(rest.T @ bends @ rest)
    turn = np.vstack([first, (rest @ axes[:, ::-1]).T])
    turned = jnp.asarray(turn @ np.asarray(prior.turn), prior.turn.dtype)
    return replace(prior, turn=turned, sizes=(float(at_zero), length))


def half_light_radii(stamps: Float[np.ndarray, "stamp y x"]) -> Float[np.ndarray, " stamp"]:
    """Return the radii around the middle pixel, n // 2, within which half of the light of stamps lies [pix]."""
    side = stamps.shape[-1]
    away = np.hypot(*(np.indices((side, side)) - side // 2)).ravel()
    order = np.argsort(away)
    light = np.cumsum(stamps.reshape(len(stamps), -1)[:, order], axis=1, dtype=float)
    return np.array([np.interp(0.5, each / each[-1], away[order]) for each in light])


@eqx.filter_jit
def _bent(prior: VaePrior, stamps: Float[Array, "stamp y x"]) -> tuple[Array, Array]:
    """Return the latent vectors of stamps, and the mean of Jᵀ J there."""

    def one(stamp: Any) -> tuple[Any, Any]:
        z = prior.latent_of(stamp)
        slopes = jax.jacfwd(prior.decode)(z).reshape(-1, prior.n_latent)
        return z, slopes.T @ slopes

    latent, bends = jax.lax.map(one, stamps, batch_size=16)
    return latent, jnp.mean(bends, axis=0)
