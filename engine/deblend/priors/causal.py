"""Convolutions that see only what comes before a pixel, row by row (van den Oord, Kalchbrenner & Kavukcuoglu 2016).

One is written twice: for a whole picture, to learn and to tell densities, and for one pixel of maps that are known so
far, to draw: then a draw costs each layer once per pixel, instead of the whole network once per pixel.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray


class Causal(eqx.Module):
    """A convolution with the `reach` rows above a pixel and what lies before it in its own row; the pixel itself counts
    where `sees_itself`. What lies beyond the picture is 0."""

    weight: Float[Array, "tap given made"]
    """Rows from above, and in the own row from the left."""
    bias: Float[Array, " made"]
    reach: int = eqx.field(static=True)
    sees_itself: bool = eqx.field(static=True)

    def __init__(
        self, reach: int, sees_itself: bool, given: int, made: int, key: PRNGKeyArray, scale: float = 1.0
    ) -> None:
        self.reach, self.sees_itself = reach, sees_itself
        taps = reach * (2 * reach + 1) + reach + sees_itself
        self.weight = scale * jax.random.normal(key, (taps, given, made)) / (taps * given) ** 0.5
        self.bias = jnp.zeros(made)

    def __call__(self, x: Float[Array, "y x given"]) -> Float[Array, "y x made"]:
        wide = 2 * self.reach + 1
        # what is not seen has the weight 0, so that one convolution does
        unseen = (self.reach + 1) * wide - len(self.weight)
        kernel = jnp.pad(self.weight, ((0, unseen), (0, 0), (0, 0)))
        kernel = kernel.reshape(self.reach + 1, wide, *self.weight.shape[1:])
        edges = ((self.reach, 0), (self.reach, self.reach))
        out = lax.conv_general_dilated(x[None], kernel, (1, 1), edges, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return out[0] + self.bias[None, None]

    def at(self, known: Float[Array, "wide_y wide_x given"], y: Any, x: Any) -> Float[Array, " made"]:
        """Return the result at one pixel of maps with a border (see `bordered`)."""
        wide = 2 * self.reach + 1
        start = y + BORDER - self.reach, x + BORDER - self.reach, 0
        seen = lax.dynamic_slice(known, start, (self.reach + 1, wide, known.shape[-1]))
        taps = seen.reshape(-1, known.shape[-1])[: len(self.weight)]
        return jnp.einsum("tg,tgm->m", taps, self.weight) + self.bias


BORDER = 4
"""Of maps that are known so far, to each side [pix]: the largest reach of a convolution."""


def bordered(height: int, width: int, n: int, dtype: Any) -> Float[Array, "wide_y wide_x n"]:
    """Return maps of nothing with a border of zeros."""
    return jnp.zeros((height + 2 * BORDER, width + 2 * BORDER, n), dtype)


def put(known: Float[Array, "wide_y wide_x n"], y: Any, x: Any, value: Float[Array, " n"]) -> Any:
    """Return maps with one pixel known."""
    return lax.dynamic_update_slice(known, value[None, None], (y + BORDER, x + BORDER, 0))


class GatedBlock(eqx.Module):
    """Two causal convolutions beside the identity, the second with a gate (Salimans et al. 2017)."""

    first: Causal
    second: Causal

    def __init__(self, width: int, key: PRNGKeyArray) -> None:
        one, two = jax.random.split(key)
        self.first = Causal(1, True, width, width, one)
        self.second = Causal(1, True, width, 2 * width, two, scale=0.1)

    def __call__(self, h: Float[Array, "y x width"]) -> Float[Array, "y x width"]:
        inner = self.first(jax.nn.silu(h))
        return h + gated(self.second(jax.nn.silu(inner)))


def gated(x: Float[Array, "*shape twice"]) -> Float[Array, "*shape width"]:
    """Return the first half of the channels, as far as the second half lets it through."""
    value, gate = jnp.split(x, 2, axis=-1)
    return value * jax.nn.sigmoid(gate)
