"""Learned galaxies, drawn from tables: μ + L v, and the scatter of single pixels, of one size class.

Tables are coefficients of cubic splines, so that a picture may lie anywhere between pixels and has derivatives there.
They were learned behind a Gaussian PSF of `LEARNED_SIGMA` pixels. Behind another one they are drawn smaller or larger
by the ratio of the two: it is taken that galaxies look alike when lengths are measured in units of the PSF, which is
exact for the PSF itself and for a population without a size of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from deblend.scene import LEARNED_SIGMA

SIZE_CLASS, FIRST_MODE = 2, 3
"""Places in theta, behind the offset: the number of the size class, and the modes."""
LEAST_SPREAD = 2e-6
"""Of a pixel, of the flux: where no light is expected."""


class LearnedTables(NamedTuple):
    """What is known of galaxies; data to whatever is compiled."""

    mean: Float[Array, "class wide wide"]
    """μ, continued beyond what was learned."""
    spread: Float[Array, "class wide wide"]
    """√D, continued likewise."""
    modes: Float[Array, "class mode side side"]
    """L"""
    weight: Float[Array, "class mode"]
    """The diagonal of Lᵀ D⁻¹ L, which has nothing beside it."""


class Drawn(NamedTuple):
    """One class on a box."""

    mean: Float[Array, "side side"]
    spread: Float[Array, "side side"]
    rows: Float[Array, "side table"]
    columns: Float[Array, "side table"]
    """They lead from a mode's table to its picture."""


def spline_matrix(side: int, n: int, offset: Any, stretch: Any) -> Float[Array, "side table"]:
    """Return the matrix that draws one axis of a table of n coefficients on a box, `stretch` times as large.

    The middle of the table lies `offset` from the middle of the box [pix]. Sums are kept.
    """
    place = (jnp.arange(side, dtype=jnp.result_type(offset)) - side // 2 - offset) / stretch
    return spline_at(place, n) / stretch


def spline_at(place: Float[Array, " place"], n: int) -> Float[Array, "place table"]:
    """Return the matrix from n coefficients of a cubic spline, whose middle is at 0, to what it is at places."""
    away = jnp.abs(place[:, None] - (jnp.arange(n, dtype=place.dtype) - n // 2)[None, :])
    near = 2.0 / 3.0 - away**2 + 0.5 * away**3
    far = jnp.maximum(2.0 - away, 0.0) ** 3 / 6.0
    return jnp.where(away < 1.0, near, far)


def stretch_of(scale: Any, psf_variance: Any) -> Float[Array, ""]:
    """Return how much larger a source is than its class was learned."""
    return scale * jnp.sqrt(psf_variance) / LEARNED_SIGMA


def class_of(theta: Float[Array, " theta"], tables: LearnedTables) -> Int[Array, ""]:
    return jnp.clip(jnp.round(theta[SIZE_CLASS]), 0, len(tables.mean) - 1).astype(int)


def drawn(tables: LearnedTables, number: Any, offset: Any, stretch: Any, side: int) -> Drawn:
    """Return a class on a box, its center `offset` (y, x) from the middle [pix]."""
    wide, n = tables.mean.shape[-1], tables.modes.shape[-1]
    rows, columns = (spline_matrix(side, wide, offset[axis], stretch) for axis in (0, 1))
    mean = rows @ tables.mean[number] @ columns.T
    spread = jnp.maximum(rows @ tables.spread[number] @ columns.T, LEAST_SPREAD)
    inner = slice(wide // 2 - n // 2, wide // 2 + n // 2 + 1)
    return Drawn(mean, spread, rows[:, inner], columns[:, inner])


def of_modes(tables: LearnedTables, number: Any, at: Drawn, modes: Float[Array, " mode"]) -> Float[Array, "side side"]:
    """Return L v."""
    return at.rows @ jnp.tensordot(modes, tables.modes[number], axes=1) @ at.columns.T


def onto_modes(
    tables: LearnedTables, number: Any, at: Drawn, light: Float[Array, "side side"]
) -> Float[Array, " mode"]:
    """Return Lᵀ of a picture."""
    return jnp.tensordot(tables.modes[number], at.rows.T @ light @ at.columns, axes=2)


def learned_light(
    theta: Float[Array, " theta"], scale: Any, psf_variance: Any, side: int, tables: LearnedTables
) -> tuple[Float[Array, "side side"], Float[Array, "side side"]]:
    """Return μ + L v on a box [1/pix], and the scatter of its pixels."""
    number = class_of(theta, tables)
    at = drawn(tables, number, theta[:2], stretch_of(scale, psf_variance), side)
    return at.mean + of_modes(tables, number, at, theta[FIRST_MODE:]), at.spread


def learned_derivatives(
    theta: Float[Array, " theta"], scale: Any, psf_variance: Any, side: int, tables: LearnedTables
) -> tuple[Float[Array, "theta side side"], Float[Array, "2 side side"]]:
    """Return the derivatives of the light by theta, and those of the scatter by the offset."""

    def moved(offset: Any) -> Any:
        return learned_light(jnp.concatenate([offset, theta[2:]]), scale, psf_variance, side, tables)

    along = [jax.jvp(moved, (theta[:2],), (direction,))[1] for direction in jnp.eye(2, dtype=theta.dtype)]
    light, spread = (jnp.stack(parts) for parts in zip(*along, strict=True))
    number = class_of(theta, tables)
    at = drawn(tables, number, theta[:2], stretch_of(scale, psf_variance), side)
    modes = jnp.einsum("yi,kij,xj->kyx", at.rows, tables.modes[number], at.columns)
    return jnp.concatenate([light, jnp.zeros_like(light[:1]), modes]), spread
