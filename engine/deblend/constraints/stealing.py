"""Flux stealing: where the data cannot say whose light it is, neighbours of one color should not share a pixel."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def likeness(
    first: Float[Array, " band"], second: Float[Array, " band"], noise: Float[Array, " band"]
) -> Float[Array, ""]:
    """Return how alike two spectra look in the data: the squared cosine between A_c/σ_c and B_c/σ_c, from 0 to 1.

    1 − that is the share of one flux's information that is left when the other is unknown, where pictures overlap.
    """
    a, b = first / noise, second / noise
    lengths = jnp.sum(a**2) * jnp.sum(b**2)
    return jnp.where(lengths > 0, jnp.sum(a * b) ** 2 / jnp.where(lengths > 0, lengths, 1.0), 0.0)


def sharing_residual(
    first: Float[Array, "side side"],
    second: Float[Array, "side side"],
    alike: Float[Array, ""],
    strength: Float[Array, ""],
) -> Float[Array, "side side"]:
    """Return r_i = λ √q f_i g_i / √(1 + f_i² + g_i²), for two pictures on the same pixels [noise units].

    q is the `likeness` of the spectra and λ the strength. Where one source is much brighter, r is λ √q times the light
    of the other, so that the fainter of both gives way; where either is dark it is 0; below the noise it is quadratic
    and asks next to nothing. Smooth in both pictures everywhere. (The idea is that of orthogonal factors, Ding et al.
    2006, KDD '06, 126: for f, g ≥ 0 Σ f g = 0 only where they share no pixel; here as a sum of squares, in units of
    the noise, between sources of one color only.)
    """
    shared = first * second / jnp.sqrt(1.0 + first**2 + second**2)
    return strength * jnp.sqrt(alike) * shared
