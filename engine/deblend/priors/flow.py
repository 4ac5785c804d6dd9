"""Coordinates in which latent vectors are standard normal: a flow of affine couplings (RealNVP; Dinh et al. 2017).

What an encoder makes of galaxies fills the normal ball of its decoder unevenly, with holes that no galaxy is in. The
flow leads from a normal vector to where galaxies are (as the second stage of Dai & Wipf 2019 does), so that what is
believed of a source is what galaxies are like.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.render.decoded import Coupling, coupled

N_COUPLINGS = 8
WIDTH = 64


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
