"""Galaxies that a network draws: a few numbers in, a picture out, moved and stretched to where a source is.

A network of dense layers leads from a latent vector, believed to be standard normal, to the pixels of a picture: the
decoder of a variational autoencoder (Kingma & Welling 2014). Pixels are the square of a softplus, so that light is
positive and faint wings are as easy to draw as bright cores. Between pixels a picture is a cubic spline. It was learned
behind a Gaussian PSF of `LEARNED_SIGMA` pixels; behind another one it is drawn smaller or larger by the ratio of the
two, as classes of learned galaxies are (`deblend.render.learned`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.render.learned import spline_matrix, stretch_of

LATENT = slice(2, None)
"""Place in theta, behind the offset."""
MOST_STRETCH = 2.0
"""Of the logarithm of what a coupling stretches by."""
SINK = 3.0
"""How far below zero the last layer is pulled: a network that has learned nothing draws little light."""


class Coupling(NamedTuple):
    """Layers that tell, from one half of a vector, by how much the other is stretched and moved."""

    weights: tuple[Float[Array, "given made"], ...]
    biases: tuple[Float[Array, " made"], ...]


class Decoder(NamedTuple):
    """The layers of a network that draws galaxies; data to whatever is compiled."""

    weights: tuple[Float[Array, "given made"], ...]
    biases: tuple[Float[Array, " made"], ...]
    flow: tuple[Coupling, ...]
    """What leads from a normal vector to where galaxies are in front of the first layer."""
    turn: Float[Array, "latent latent"]
    """A rotation in front of the flow, by which the first numbers say most."""
    spline: Float[Array, "side side"]
    """What makes coefficients of cubic splines from pixels, along one axis."""


def through_layers(
    weights: Sequence[Float[Array, "given made"]],
    biases: Sequence[Float[Array, " made"]],
    vector: Float[Array, " first"],
) -> Float[Array, " last"]:
    """Return what dense layers make of a vector, with a smooth step (SiLU) between them."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        vector = jax.nn.silu(vector @ weight + bias)
    return vector @ weights[-1] + biases[-1]


def coupled(coupling: Coupling, number: int, vector: Float[Array, " latent"]) -> tuple[Array, Array, Array, Array]:
    """Return the half of a vector that tells, the other half, the logarithm of its stretch, and its shift."""
    middle = vector.size // 2
    told, moved = (vector[:middle], vector[middle:]) if number % 2 == 0 else (vector[middle:], vector[:middle])
    logarithm, shift = jnp.split(through_layers(coupling.weights, coupling.biases, told), 2)
    return told, moved, MOST_STRETCH * jnp.tanh(logarithm / MOST_STRETCH), shift


def flown(flow: Sequence[Coupling], vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    """Return where a flow leads a vector."""
    for number, coupling in enumerate(flow):
        told, moved, logarithm, shift = coupled(coupling, number, vector)
        moved = moved * jnp.exp(logarithm) + shift
        vector = jnp.concatenate([told, moved] if number % 2 == 0 else [moved, told])
    return vector


def drawn_by(
    weights: Sequence[Float[Array, "given made"]],
    biases: Sequence[Float[Array, " made"]],
    latent: Float[Array, " latent"],
) -> Float[Array, " pixel"]:
    """Return the pixels that layers make of a latent vector."""
    result: Float[Array, " pixel"] = jax.nn.softplus(through_layers(weights, biases, latent) - SINK) ** 2
    return result


def spline_coefficients(side: int) -> Float[np.ndarray, "side side"]:
    """Return the matrix from pixels along an axis to coefficients of the cubic spline through them, 0 beyond."""
    away = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    through = np.where(away == 0, 2.0 / 3.0, np.where(away == 1, 1.0 / 6.0, 0.0))
    result: Float[np.ndarray, "side side"] = np.linalg.inv(through)
    return result


def decoded_light(
    theta: Float[Array, " theta"], scale: Any, psf_variance: Any, side: int, decoder: Decoder
) -> Float[Array, "side side"]:
    """Return the picture of a latent vector on a box [1/pix], of any total."""
    n = len(decoder.spline)
    latent = flown(decoder.flow, theta[LATENT] @ decoder.turn)
    table = drawn_by(decoder.weights, decoder.biases, latent).reshape(n, n)
    stretch = stretch_of(scale, psf_variance)
    rows, columns = (spline_matrix(side, n, theta[axis], stretch) @ decoder.spline for axis in (0, 1))
    return rows @ table @ columns.T


def decoded_derivatives(
    theta: Float[Array, " theta"], scale: Any, psf_variance: Any, side: int, decoder: Decoder
) -> Float[Array, "theta side side"]:
    """Return the derivatives of the light by theta."""
    tangents = jax.jacfwd(lambda t: decoded_light(t, scale, psf_variance, side, decoder))(theta)
    return jnp.moveaxis(tangents, -1, 0)
