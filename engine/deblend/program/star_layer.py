"""The layer of known stars in compiled code: added to the canvas, and read from it.

The model PSF is a Gaussian, so that a star at a fixed place is the product of a column and a row of pixels. A loop over
the used entries adds them; products of dense matrices, which know nothing of empty pixels, take ten times as long.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import Parameters, ProblemData, StarData
from deblend.program.layout import STAR_SIDE, Layout

Numbers = Float[Array, "star passband"]
Canvas = Float[Array, "plane y x"]


def add_stars(layout: Layout, data: StarData, stars: Numbers, scratch: Canvas) -> Canvas:
    """Return the scratch array of the canvas with stars of these fluxes added."""
    fluxes = (stars[data.owner] @ data.spectra)[:, np.array(layout.planes)]

    def body(entry: Any, carry: Canvas) -> Canvas:
        patch = (fluxes[entry][:, None] * data.along_y[entry])[:, :, None] * data.along_x[entry][:, None, :]
        corner = _corner(layout, data, entry)
        return lax.dynamic_update_slice(carry, lax.dynamic_slice(carry, corner, patch.shape) + patch, corner)

    result: Canvas = lax.fori_loop(0, data.count, body, scratch)
    return result


def stars_adjoint(layout: Layout, data: StarData, scratch: Canvas) -> Numbers:
    """Return the transpose of `add_stars`."""
    size = (len(layout.planes), STAR_SIDE, STAR_SIDE)

    def body(entry: Any, carry: Any) -> Any:
        cut = lax.dynamic_slice(scratch, _corner(layout, data, entry), size)
        rows = jnp.sum(cut * data.along_x[entry][:, None, :], axis=2)
        return carry.at[entry].set(jnp.sum(rows * data.along_y[entry], axis=1))

    empty = jnp.zeros((len(data.owner), len(layout.planes)), scratch.dtype)
    on_planes = lax.fori_loop(0, data.count, body, empty)
    # a channel is seen on several planes where its PSF varies
    on_channel = np.eye(layout.n_channels)[list(layout.planes)].astype(scratch.dtype)
    each = on_planes @ on_channel @ data.spectra.T
    return jnp.zeros(data.free.shape, scratch.dtype).at[data.owner].add(each)


def _corner(layout: Layout, data: StarData, entry: Any) -> tuple[Any, Any, Any]:
    start = layout.pad + layout.margin - STAR_SIDE // 2
    row, column = data.origin[entry, 0] + start, data.origin[entry, 1] + start
    return jnp.zeros_like(row), row, column


def star_bounds(data: ProblemData) -> tuple[Numbers | None, Numbers | None, Numbers | None]:
    """Return the lower and upper bounds of the fluxes of stars, and which of them are free."""
    if data.stars is None:
        return None, None, None
    free = data.stars.free
    return jnp.zeros_like(free), jnp.full_like(free, jnp.inf), free


def star_penalty(data: ProblemData, parameters: Parameters) -> Float[Array, ""]:
    """Return ½ Σ r² of the priors of the fluxes of stars."""
    if data.stars is None or parameters.stars is None:
        return jnp.zeros((), data.psf_variance.dtype)
    return 0.5 * jnp.sum((data.stars.precision * (parameters.stars - data.stars.mean)) ** 2)


def star_penalty_gradient(data: ProblemData, stars: Numbers | None) -> Numbers | None:
    """Return Jᵀ r of these priors."""
    return None if data.stars is None or stars is None else data.stars.precision**2 * (stars - data.stars.mean)


def star_penalty_product(data: ProblemData, change: Numbers | None) -> Numbers | None:
    """Return Jᵀ J v of these priors."""
    return None if data.stars is None or change is None else data.stars.precision**2 * change
