"""Floods: what of a picture hangs together with its center.

Light spreads from the central pixel to its four neighbours, step by step, as long as a rule lets it; the steps are a
loop of the device, whose number depends on the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from deblend.constraints.bounds import is_center
from deblend.constraints.strength import leaned

BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Where the four neighbours are, as (dy, dx)."""


def connected(
    picture: Float[Array, "side side"], center: Float[Array, "2"], strength: Float[Array, ""]
) -> Float[Array, "side side"]:
    """Return S where a path of positive pixels, side by side, leads to the center, else 0.

    `center` is the offset (y, x) from the middle pixel [pix]. A dark central pixel is connected to nothing: keep light
    in it by `bright_at_center`. A strength below 1 takes that share of the rest away. (Melchior et al. 2018;
    connected components as in Rosenfeld & Pfaltz 1966.)
    """
    is_lit = picture > 0

    def spread(reached: Bool[Array, "side side"]) -> Bool[Array, "side side"]:
        padded = jnp.pad(reached, 1)
        beside = [padded[_window(picture.shape[0], dy, dx)] for dy, dx in BESIDE]
        return is_lit & (beside[0] | beside[1] | beside[2] | beside[3])

    reached = _flood(is_center(picture.shape[0], center) & is_lit, spread)
    return leaned(picture, jnp.where(reached, picture, 0.0), strength)


def monotonic_mask(
    picture: Float[Array, "side side"], center: Float[Array, "2"], tolerance: Float[Array, ""]
) -> Bool[Array, "side side"]:
    """Tell which pixels are reached from the center by paths, side by side, on which light never rises.

    It may rise by up to the `tolerance` [unit of the picture] at every step. The center is always reached.
    """
    side = picture.shape[0]
    beside_value = jnp.pad(picture, 1, constant_values=-jnp.inf)

    def spread(reached: Bool[Array, "side side"]) -> Bool[Array, "side side"]:
        padded = jnp.pad(reached, 1)
        result = jnp.zeros_like(reached)
        for dy, dx in BESIDE:
            window = _window(side, dy, dx)
            result |= padded[window] & (picture <= beside_value[window] + tolerance)
        return result

    return _flood(is_center(side, center), spread)


def monotonic_part(
    picture: Float[Array, "side side"],
    center: Float[Array, "2"],
    tolerance: Float[Array, ""],
    strength: Float[Array, ""],
) -> Float[Array, "side side"]:
    """Return S where `monotonic_mask` reaches, else 0; a strength below 1 takes that share of the rest away.

    Unlike a bound on every pixel this leaves alone what it keeps. (The monotonic mask of scarlet v1 and of Rubin's
    scarlet_lite.)
    """
    reached = monotonic_mask(picture, center, tolerance)
    return leaned(picture, jnp.where(reached, picture, 0.0), strength)


def _window(side: int, dy: int, dx: int) -> tuple[slice, slice]:
    """Return where in a picture padded by 1 the neighbours (dy, dx) of all pixels are."""
    return slice(1 + dy, 1 + dy + side), slice(1 + dx, 1 + dx + side)


def _flood(
    start: Bool[Array, "side side"], spread: Callable[[Bool[Array, "side side"]], Bool[Array, "side side"]]
) -> Bool[Array, "side side"]:
    """Return what is reached when nothing more is."""

    def step(carry):  # type: ignore[no-untyped-def]
        reached, _ = carry
        further = reached | spread(reached)
        return further, jnp.any(further != reached)

    return lax.while_loop(lambda carry: carry[1], step, (start, jnp.asarray(True)))[0]
