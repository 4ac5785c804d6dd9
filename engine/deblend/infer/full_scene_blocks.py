"""About the inverse of the normal matrix of light that covers the whole scene.

That light is smooth on the scale of any PSF, so a telescope sees it as it is: the matrix of a component's coefficients
is that of its B-splines under the weights of all channels, and small enough to be inverted whole. Spectra are held
by what is left; to first order the two do not stand in for each other, as only the direction of a spectrum counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.infer.block_inverse import free_inverse
from deblend.program.arrays import FullSceneData, FullSceneParameters
from deblend.program.full_scene_layer import Numbers, direction
from deblend.program.layout import Layout

TRUST = 0.3
"""How far the direction of a spectrum can be trusted to turn in a step."""


class FullSceneBlocks(NamedTuple):
    """About the inverse of the damped normal matrix."""

    coefficients: Float[Array, "component n n"]
    spectrum: Float[Array, "component passband"]
    diagonal: FullSceneParameters
    """Of the undamped normal matrix."""


def make_full_scene_blocks(
    layout: Layout,
    data: FullSceneData | None,
    numbers: Numbers | None,
    free: Numbers | None,
    damping: Any,
    caution: Any,
) -> FullSceneBlocks | None:
    """Return about the inverse; `damping` is relative to the diagonal, `caution` as in `newton_blocks`."""
    if data is None or numbers is None or free is None:
        return None
    colors = direction(numbers.spectrum) @ data.spectra
    weights = jnp.tensordot(colors**2, data.weights, axes=1)
    rows = jnp.einsum("kya,kyb,kyx->kabx", data.along_y, data.along_y, weights)
    gram = jnp.einsum("kabx,kxc,kxd->kacbd", rows, data.along_x, data.along_x)
    gram = gram.reshape(data.stiffness.shape) + data.stiffness
    diagonal = jnp.diagonal(gram, axis1=1, axis2=2)
    inverse = jax.vmap(free_inverse)(gram, damping * diagonal, free.coefficients.reshape(diagonal.shape))
    light = jnp.einsum("kyr,krc,kxc->kyx", data.along_y, numbers.coefficients, data.along_x)
    seen = jnp.einsum("cyx,kyx->kc", data.weights, light**2)
    of_spectrum = seen @ (data.spectra**2).T
    held = (1.0 + damping) * of_spectrum + caution * TRUST**-2 + 1e-6
    on_pixels = diagonal.reshape(free.coefficients.shape)
    return FullSceneBlocks(inverse, free.spectrum / held, FullSceneParameters(of_spectrum, on_pixels))


def apply_full_scene_blocks(blocks: FullSceneBlocks | None, residual: Numbers | None) -> Numbers | None:
    """Return about the solution of the damped normal equations for a right side."""
    if blocks is None or residual is None:
        return None
    flat = residual.coefficients.reshape(blocks.coefficients.shape[:2])
    solved = jnp.einsum("kij,kj->ki", blocks.coefficients, flat)
    return FullSceneParameters(blocks.spectrum * residual.spectrum, solved.reshape(residual.coefficients.shape))


def full_scene_damping(blocks: FullSceneBlocks | None, damping: Any, caution: Any, v: Numbers | None) -> Numbers | None:
    """Return what damping adds to the product of the normal matrix and v."""
    if blocks is None or v is None:
        return None
    of_spectrum = damping * blocks.diagonal.spectrum + caution * TRUST**-2
    return FullSceneParameters(of_spectrum * v.spectrum, damping * blocks.diagonal.coefficients * v.coefficients)
