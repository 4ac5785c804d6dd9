"""A small U-Net that tells a galaxy from noise: written for one stamp; whoever has many maps it over them.

Stamps are folded 2 × 2 into channels first, so that no convolution runs at full resolution: three quarters of the time
of a U-Net would go there. Blocks are residual, their last convolutions start at zero (Ho, Jain & Abbeel 2020), and the
noise level scales and shifts their channels (Dhariwal & Nichol 2021, eq. 6).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

FOLD = 2
"""Pixels along an axis that become channels."""
CHANNELS_PER_GROUP = 8
NORM_EPSILON = 1e-5


class Convolution(eqx.Module):
    """A convolution that keeps the shape; what lies beyond the stamp is 0."""

    weight: Float[Array, "ky kx given made"]
    bias: Float[Array, " made"]

    def __init__(self, side: int, given: int, made: int, key: PRNGKeyArray, scale: float = 1.0) -> None:
        width = scale * (1.0 / (side * side * given)) ** 0.5
        self.weight = width * jax.random.normal(key, (side, side, given, made))
        self.bias = jnp.zeros(made)

    def __call__(self, x: Float[Array, "y x given"]) -> Float[Array, "y x made"]:
        out = lax.conv_general_dilated(x[None], self.weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return out[0] + self.bias[None, None]


class Dense(eqx.Module):
    """A matrix and a shift."""

    weight: Float[Array, "given made"]
    bias: Float[Array, " made"]

    def __init__(self, given: int, made: int, key: PRNGKeyArray, scale: float = 1.0) -> None:
        self.weight = scale * jax.random.normal(key, (given, made)) / given**0.5
        self.bias = jnp.zeros(made)

    def __call__(self, x: Float[Array, " given"]) -> Float[Array, " made"]:
        return x @ self.weight + self.bias


class Block(eqx.Module):
    """Two convolutions beside the identity; the noise level acts between them."""

    first: Convolution
    second: Convolution
    level: Dense
    through: Convolution | None

    def __init__(self, given: int, made: int, n_level: int, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 4)
        self.first = Convolution(3, given, made, keys[0])
        self.second = Convolution(3, made, made, keys[1], scale=0.0)
        self.level = Dense(n_level, 2 * made, keys[2], scale=0.1)
        self.through = None if given == made else Convolution(1, given, made, keys[3])

    def __call__(self, x: Float[Array, "y x given"], level: Float[Array, " level"]) -> Float[Array, "y x made"]:
        h = self.first(jax.nn.silu(normalized(x)))
        scale, shift = jnp.split(self.level(level), 2)
        h = self.second(jax.nn.silu(normalized(h) * (1.0 + scale)[None, None] + shift[None, None]))
        return h + (x if self.through is None else self.through(x))


class UNet(eqx.Module):
    """Two resolutions, with blocks going down, in the middle and going up."""

    frequencies: tuple[float, ...] = eqx.field(static=True)
    embed: Dense
    enter: Convolution
    down: tuple[Block, ...]
    narrow: Convolution
    middle: tuple[Block, ...]
    widen: Convolution
    up: tuple[Block, ...]
    leave: Convolution

    def __init__(self, key: PRNGKeyArray, width: int = 48, deep_width: int = 80, n_level: int = 64) -> None:
        keys = jax.random.split(key, 9)
        self.frequencies = tuple(0.25 * 2.0**k for k in range(8))
        self.embed = Dense(2 * len(self.frequencies), n_level, keys[0])
        self.enter = Convolution(3, FOLD**2, width, keys[1])
        self.down = (Block(width, width, n_level, keys[2]),)
        self.narrow = Convolution(1, FOLD**2 * width, deep_width, keys[3])
        self.middle = tuple(Block(deep_width, deep_width, n_level, key) for key in jax.random.split(keys[4]))
        self.widen = Convolution(1, deep_width, FOLD**2 * width, keys[5])
        self.up = (Block(2 * width, width, n_level, keys[6]),)
        self.leave = Convolution(3, width, FOLD**2, keys[7], scale=0.0)

    def __call__(self, x: Float[Array, "y x"], level: Float[Array, ""]) -> Float[Array, "y x"]:
        """Return what it makes of a stamp whose sides are multiples of 4, at a noise level (about -3 to 1)."""
        waves = level * jnp.array(self.frequencies)
        told = jax.nn.silu(self.embed(jnp.concatenate([jnp.sin(waves), jnp.cos(waves)])))
        h = self.enter(folded(x[..., None]))
        for block in self.down:
            h = block(h, told)
        deep = self.narrow(folded(h))
        for block in self.middle:
            deep = block(deep, told)
        h = jnp.concatenate([h, unfolded(self.widen(deep))], axis=-1)
        for block in self.up:
            h = block(h, told)
        return unfolded(self.leave(jax.nn.silu(normalized(h))))[..., 0]


def n_parameters(module: Any) -> int:
    """Return how many numbers a module has learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_array)))


def folded(x: Float[Array, "y x channel"]) -> Float[Array, "half_y half_x more"]:
    """Return a picture of half the size, with what lay in each 2 × 2 pixels as channels."""
    height, width, n = x.shape
    parts = x.reshape(height // FOLD, FOLD, width // FOLD, FOLD, n)
    return parts.transpose(0, 2, 1, 3, 4).reshape(height // FOLD, width // FOLD, FOLD**2 * n)


def unfolded(x: Float[Array, "half_y half_x more"]) -> Float[Array, "y x channel"]:
    """Undo `folded`."""
    height, width, n = x.shape
    parts = x.reshape(height, width, FOLD, FOLD, n // FOLD**2)
    return parts.transpose(0, 2, 1, 3, 4).reshape(height * FOLD, width * FOLD, n // FOLD**2)


def normalized(x: Float[Array, "y x channel"]) -> Float[Array, "y x channel"]:
    """Return channels of mean 0 and variance 1, by groups (Wu & He 2018)."""
    height, width, n = x.shape
    groups = x.reshape(height, width, n // CHANNELS_PER_GROUP, CHANNELS_PER_GROUP)
    mean = jnp.mean(groups, axis=(0, 1, 3), keepdims=True)
    variance = jnp.mean((groups - mean) ** 2, axis=(0, 1, 3), keepdims=True)
    return ((groups - mean) * lax.rsqrt(variance + NORM_EPSILON)).reshape(height, width, n)
