"""Coordinates in which latent vectors are standard normal: a flow of affine couplings (RealNVP; Dinh et al. 2017).

What an encoder makes of galaxies fills the normal ball of its decoder unevenly, with holes that no galaxy is in. The
flow leads from a normal vector to where galaxies are (as the second stage of Dai & Wipf 2019 does), so that what is
believed of a source is what galaxies are like.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.render.decoded import Coupling, coupled

N_COUPLINGS = 8
WIDTH = 64
BATCH = 512
LEARNING_RATE = 2e-3
WARM_UP = 100
LONGEST_STEP = 1.0


def new_flow(
    key: PRNGKeyArray, n_latent: int, n_couplings: int = N_COUPLINGS, width: int = WIDTH
) -> tuple[Coupling, ...]:
    """Return a flow that changes nothing yet."""
    return tuple(
        _new_coupling(k, n_latent, width, number) for number, k in enumerate(jax.random.split(key, n_couplings))
    )


def _new_coupling(key: PRNGKeyArray, n_latent: int, width: int, number: int) -> Coupling:
    told = n_latent // 2 if number % 2 == 0 else n_latent - n_latent // 2
    sizes = told, width, width, 2 * (n_latent - told)
    keys = jax.random.split(key, 3)
    scales = 1.0, 1.0, 0.0
    return Coupling(
        tuple(
            scale * jax.random.normal(k, (given, made)) / given**0.5
            for k, given, made, scale in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
        ),
        tuple(jnp.zeros(made) for made in sizes[1:]),
    )


def uncoupled(flow: tuple[Coupling, ...], latent: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Array]:
    """Return the normal vector that a flow leads to this one, and the logarithm of how much it stretches there."""
    stretch = jnp.zeros((), latent.dtype)
    for number in reversed(range(len(flow))):
        told, moved, logarithm, shift = coupled(flow[number], number, latent)
        moved = (moved - shift) * jnp.exp(-logarithm)
        latent = jnp.concatenate([told, moved] if number % 2 == 0 else [moved, told])
        stretch = stretch + jnp.sum(logarithm)
    return latent, stretch


def learned_flow(
    latent: Float[np.ndarray, "galaxy latent"], scatter: Float[np.ndarray, "galaxy latent"], steps: int, seed: int
) -> tuple[Coupling, ...]:
    """Return the flow under which latent vectors of galaxies, each known with a scatter, are most likely normal."""
    flow = new_flow(jax.random.key(seed), latent.shape[1])
    optimizer = _optimizer(steps)
    state = optimizer.init(flow)
    rng = np.random.default_rng([seed, 11])
    for _ in range(steps):
        some = rng.integers(len(latent), size=BATCH)
        drawn = latent[some] + scatter[some] * rng.standard_normal((BATCH, latent.shape[1]))
        flow, state = _learn(optimizer, flow, state, jnp.asarray(drawn, jnp.float32))
    return flow


@lru_cache(maxsize=4)
def _optimizer(steps: int) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE, min(WARM_UP, steps // 2 + 1), max(steps, 2))
    return optax.chain(optax.clip_by_global_norm(LONGEST_STEP), optax.adam(rate))


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
