"""Learning a flow of what an encoder makes of galaxies; apart from `flow`, since it brings an optimizer along."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from deblend.priors.flow import new_flow, uncoupled
from deblend.priors.optimizer import optimizer_of
from deblend.priors.stamps import every_way
from deblend.priors.vae import VaePrior
from deblend.render.decoded import Coupling

BATCH = 512
LEARNING_RATE = 2e-3
PIECE = 500
"""Stamps that are encoded at once, before they are turned and mirrored."""


def with_flow(prior: VaePrior, stamps: Float[np.ndarray, "stamp y x"], steps: int, seed: int) -> VaePrior:
    """Return a prior with a flow learned of what its encoder makes of stamps, turned and mirrored in all ways."""
    pieces = [
        _encoded(prior, jnp.asarray(every_way(stamps[first : first + PIECE]))) for first in range(0, len(stamps), PIECE)
    ]
    latent, scatter = (np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*pieces, strict=True))
    return replace(prior, flow=learned_flow(latent, np.exp(scatter), steps, seed))


def learned_flow(
    latent: Float[np.ndarray, "galaxy latent"], scatter: Float[np.ndarray, "galaxy latent"], steps: int, seed: int
) -> tuple[Coupling, ...]:
    """Return the flow under which latent vectors of galaxies, each known with a scatter, are most likely normal."""
    flow = new_flow(jax.random.key(seed), latent.shape[1])
    optimizer = optimizer_of(LEARNING_RATE, max(steps, 1))
    state = optimizer.init(flow)
    rng = np.random.default_rng([seed, 11])
    for _ in range(steps):
        some = rng.integers(len(latent), size=BATCH)
        drawn = latent[some] + scatter[some] * rng.standard_normal((BATCH, latent.shape[1]))
        flow, state = _learn(optimizer, flow, state, jnp.asarray(drawn, jnp.float32))
    return flow


@eqx.filter_jit
def _learn(optimizer: optax.GradientTransformation, flow: Any, state: Any, batch: Float[Array, "n latent"]) -> Any:
    update, state = optimizer.update(jax.grad(surprise)(flow, batch), state, flow)
    return optax.apply_updates(flow, update), state


def surprise(flow: tuple[Coupling, ...], latent: Float[Array, "n latent"]) -> Float[Array, ""]:
    """Return the mean of -ln p of latent vectors under a flow, but for a constant [nats]."""

    def one(each: Float[Array, " latent"]) -> Array:
        normal, stretch = uncoupled(flow, each)
        return 0.5 * jnp.sum(normal**2) + stretch

    return jnp.mean(jax.vmap(one)(latent))


@eqx.filter_jit
def _encoded(prior: VaePrior, stamps: Float[Array, "stamp y x"]) -> tuple[Array, Array]:
    return jax.lax.map(prior.encode, stamps, batch_size=256)
