"""What telescopes see of the sky: the canvas through their difference kernels, on the model's pixels or on others.

Where a PSF varies over an image the canvas has a plane for each of its cells, which hold the light that is seen
through that PSF; what is seen is the sum of them all, each behind its own kernel.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.observe.resampling import resample, resample_adjoint, spectrum, spectrum_adjoint
from deblend.program.arrays import ObservationData, ProblemData
from deblend.program.layout import Layout, ObservationLayout

Canvas = Float[Array, "plane y x"]


def convolve(layout: Layout, o: ObservationLayout, data: ObservationData, canvas: Canvas) -> Canvas:
    """Return what an observation sees of the sky canvas."""
    (height, width), r, (y, x) = o.shape, o.radius, (layout.pad + start for start in o.corner)
    inner = canvas[layout.planes_of(o), y : y + o.extent[0], x : x + o.extent[1]]
    if o.resampling is not None and data.tables is not None:
        waves = _mixed(o, spectrum(o.resampling, inner, jnp), data.transfer)
        return resample(o.resampling, data.tables, waves, None, jnp)
    waves = _mixed(o, jnp.fft.rfft2(inner, s=o.fft_shape), data.transfer)
    return jnp.fft.irfft2(waves, s=o.fft_shape)[:, r : r + height, r : r + width]


def convolve_adjoint(layout: Layout, o: ObservationLayout, data: ObservationData, image: Canvas) -> Canvas:
    """Return the transpose of `convolve`, on the planes of this observation."""
    (height, width), r = o.shape, o.radius
    if o.resampling is not None and data.tables is not None:
        waves = resample_adjoint(o.resampling, data.tables, image, None, jnp)
        back = spectrum_adjoint(o.resampling, _mixed_adjoint(o, waves, data.transfer), jnp)
    else:
        rows, columns = o.fft_shape
        padded = jnp.pad(image, ((0, 0), (r, rows - height - r), (r, columns - width - r)))
        waves = _mixed_adjoint(o, jnp.fft.rfft2(padded), data.transfer)
        back = jnp.fft.irfft2(waves, s=o.fft_shape)[:, : o.extent[0], : o.extent[1]]
    around = [
        (layout.pad + low, whole - layout.pad - low - size)
        for low, size, whole in zip(o.corner, o.extent, layout.canvas_shape, strict=True)
    ]
    return jnp.pad(back, ((0, 0), *around))


def _mixed(o: ObservationLayout, waves: Any, transfer: Any) -> Any:
    """Return the waves of planes behind their kernels, summed over the cells of the PSF."""
    if o.n_cells == 1:
        return waves * transfer
    return jnp.sum(waves.reshape(o.n_cells, -1, *waves.shape[1:]) * transfer, axis=0)


def _mixed_adjoint(o: ObservationLayout, waves: Any, transfer: Any) -> Any:
    """Return the transpose of `_mixed`."""
    if o.n_cells == 1:
        return waves * jnp.conj(transfer)
    planes = waves[None] * jnp.conj(transfer)
    return planes.reshape(-1, *waves.shape[1:])


def observe(layout: Layout, data: ProblemData, canvas: Canvas) -> tuple[Canvas, ...]:
    """Return what every observation sees of the sky canvas."""
    return tuple(convolve(layout, o, d, canvas) for o, d in zip(layout.observations, data.observations, strict=True))


def observe_adjoint(layout: Layout, data: ProblemData, images: tuple[Canvas, ...]) -> Canvas:
    """Return the transpose of `observe`, embedded in the scratch array that boxes are cut from."""
    canvas = jnp.concatenate(
        [
            convolve_adjoint(layout, o, d, image)
            for o, d, image in zip(layout.observations, data.observations, images, strict=True)
        ]
    )
    margin = layout.margin
    return jnp.pad(canvas, ((0, 0), (margin, margin), (margin, margin)))
