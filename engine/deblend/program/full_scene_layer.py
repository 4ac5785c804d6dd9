"""Light that covers the whole scene, in compiled code: added to the canvas, and what its prior asks.

A component is a spectrum times B-splines with coefficients. Of the spectrum only the direction counts, so that no scale
can move between the two, and coefficients are light in units of the noise: the prior on their roughness is the same
whatever the color, and does not let light fade.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.program.arrays import FullSceneData, FullSceneParameters
from deblend.program.layout import Layout

Canvas = Float[Array, "plane y x"]
Numbers = FullSceneParameters

ROUGH = 4
"""How many residuals each coefficient has (see `roughness`)."""
LEAST_PULL = 0.03
"""Inverse standard deviation of coefficients around zero: nothing beside data, and enough that those without any, under
masks and beyond images, are not left to chance."""


def direction(spectrum: Float[Array, "component passband"]) -> Float[Array, "component passband"]:
    """Return spectra of length 1."""
    return spectrum / jnp.sqrt(jnp.sum(spectrum**2, axis=1, keepdims=True) + 1e-12)


def pictures_on(layout: Layout, data: FullSceneData, coefficients: Any) -> Float[Array, "component y x"]:
    """Return the light of every component on the canvas."""
    along = []
    for values, n in zip((data.along_y, data.along_x), layout.canvas_shape, strict=True):
        # a canvas with less sky around it is the middle of the other one
        start = (values.shape[1] - n) // 2
        along.append(values[:, start : start + n])
    return jnp.einsum("kyr,krc,kxc->kyx", along[0], coefficients, along[1])


def _light(layout: Layout, data: FullSceneData, numbers: Numbers) -> Canvas:
    colors = (direction(numbers.spectrum) @ data.spectra)[:, np.array(layout.planes)] * data.share[None]
    return jnp.tensordot(colors.T, pictures_on(layout, data, numbers.coefficients), axes=1)


def full_scene_light(layout: Layout, data: FullSceneData | None, numbers: Numbers | None) -> Canvas | None:
    """Return the light of all components on the canvas."""
    return None if data is None or numbers is None else _light(layout, data, numbers)


def full_scene_change(
    layout: Layout, data: FullSceneData | None, numbers: Numbers | None, change: Numbers | None
) -> Canvas | None:
    """Return how that light changes with its parameters."""
    if data is None or numbers is None or change is None:
        return None
    changed: Canvas = jax.jvp(lambda n: _light(layout, data, n), (numbers,), (change,))[1]
    return changed


def full_scene_adjoint(
    layout: Layout, data: FullSceneData | None, numbers: Numbers | None, scratch: Canvas
) -> Numbers | None:
    """Return the transpose of `full_scene_change`, from the array that boxes are cut from."""
    if data is None or numbers is None:
        return None
    margin, (height, width) = layout.margin, layout.canvas_shape
    canvas = scratch[:, margin : margin + height, margin : margin + width]
    back: Numbers = jax.vjp(lambda n: _light(layout, data, n), numbers)[1](canvas)[0]
    return back


def full_scene_bounds(data: FullSceneData | None) -> tuple[Numbers | None, Numbers | None, Numbers | None]:
    """Return lower and upper bounds of the parameters, and which of them are free."""
    if data is None:
        return None, None, None
    free = FullSceneParameters(data.spectrum_free, data.coefficients_free)
    lower: Numbers = jax.tree.map(jnp.zeros_like, free)
    upper: Numbers = jax.tree.map(lambda part: jnp.full_like(part, jnp.inf), free)
    return lower, upper, free


def roughness(coefficients: Any, used: Any, precision: Any, xp: Any = jnp) -> tuple[Any, ...]:
    """Return the residuals of the prior: second differences of coefficients (component, row, column) along y, along x
    and, times √2, along both, which is the energy of a bent plate; and the weak pull of each to zero.

    `precision` is one over the standard deviation of a difference, per component.
    """
    c, inside = coefficients, used
    weight = precision[:, None, None]
    along_y = (c[:, :-2] - 2.0 * c[:, 1:-1] + c[:, 2:]) * inside[:, :-2] * inside[:, 1:-1] * inside[:, 2:]
    along_x = (c[:, :, :-2] - 2.0 * c[:, :, 1:-1] + c[:, :, 2:]) * inside[:, :, :-2] * inside[:, :, 1:-1]
    along_x = along_x * inside[:, :, 2:]
    both = c[:, 1:, 1:] - c[:, 1:, :-1] - c[:, :-1, 1:] + c[:, :-1, :-1]
    # where the last of the four is used, the others are
    both = both * inside[:, 1:, 1:] * np.sqrt(2.0).astype(np.float32)
    padded = (
        xp.pad(along_y, ((0, 0), (1, 1), (0, 0))),
        xp.pad(along_x, ((0, 0), (0, 0), (1, 1))),
        xp.pad(both, ((0, 0), (1, 0), (1, 0))),
    )
    return (*(weight * part for part in padded), LEAST_PULL * c * inside)


def full_scene_penalty(data: FullSceneData | None, numbers: Numbers | None) -> Any:
    """Return ½ Σ r² of the prior."""
    if data is None or numbers is None:
        return 0.0
    return 0.5 * sum(jnp.sum(r**2) for r in roughness(numbers.coefficients, data.used, data.precision))


def full_scene_penalty_gradient(data: FullSceneData | None, numbers: Numbers | None) -> Numbers | None:
    """Return Jᵀ r of the prior; as its residuals are linear this is Jᵀ J v of a change, too."""
    if data is None or numbers is None:
        return None
    residuals, back = jax.vjp(lambda c: roughness(c, data.used, data.precision), numbers.coefficients)
    return FullSceneParameters(jnp.zeros_like(numbers.spectrum), back(residuals)[0])


full_scene_penalty_product = full_scene_penalty_gradient


def full_scene_noise(data: FullSceneData | None, noise: tuple[Any, ...] | None) -> Numbers | None:
    """Return Jᵀ of the prior times unit noise for each of its residuals."""
    if data is None or noise is None:
        return None
    zeros = jnp.zeros_like(data.used)
    _, back = jax.vjp(lambda c: roughness(c, data.used, data.precision), zeros)
    return FullSceneParameters(jnp.zeros_like(data.spectrum_free), back(noise)[0])
