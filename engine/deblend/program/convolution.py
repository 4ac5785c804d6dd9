"""From the sky to what every telescope sees of it: convolution with its difference kernels, on its own pixels."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.observe.resampling import resample, resample_adjoint, spectrum, spectrum_adjoint
from deblend.program.arrays import ObservationData, ProblemData
from deblend.program.layout import Layout, ObservationLayout

Canvas = Float[Array, "channel y x"]


def convolve(layout: ObservationLayout, pad: int, data: ObservationData, canvas: Canvas) -> Canvas:
    """Return what an observation sees of the sky canvas."""
    (height, width), r, (y, x) = layout.shape, layout.radius, (pad + start for start in layout.corner)
    inner = canvas[layout.start : layout.stop, y : y + layout.extent[0], x : x + layout.extent[1]]
    if layout.resampling is not None and data.tables is not None:
        waves = spectrum(layout.resampling, inner, jnp) * data.transfer
        return resample(layout.resampling, data.tables, waves, None, jnp)
    waves = jnp.fft.rfft2(inner, s=layout.fft_shape) * data.transfer
    return jnp.fft.irfft2(waves, s=layout.fft_shape)[:, r : r + height, r : r + width]


def convolve_adjoint(
    layout: ObservationLayout, pad: int, data: ObservationData, image: Canvas, canvas_shape: tuple[int, int]
) -> Canvas:
    """Return the transpose of `convolve`, on the channels of this observation."""
    (height, width), r = layout.shape, layout.radius
    if layout.resampling is not None and data.tables is not None:
        waves = resample_adjoint(layout.resampling, data.tables, image, None, jnp) * jnp.conj(data.transfer)
        back = spectrum_adjoint(layout.resampling, waves, jnp)
    else:
        rows, columns = layout.fft_shape
        padded = jnp.pad(image, ((0, 0), (r, rows - height - r), (r, columns - width - r)))
        waves = jnp.fft.rfft2(padded) * jnp.conj(data.transfer)
        back = jnp.fft.irfft2(waves, s=layout.fft_shape)[:, : layout.extent[0], : layout.extent[1]]
    around = [
        (pad + low, whole - pad - low - size)
        for low, size, whole in zip(layout.corner, layout.extent, canvas_shape, strict=True)
    ]
    return jnp.pad(back, ((0, 0), *around))


def observe(layout: Layout, data: ProblemData, canvas: Canvas) -> tuple[Canvas, ...]:
    """Return what every observation sees of the sky canvas."""
    return tuple(
        convolve(o, layout.pad, d, canvas) for o, d in zip(layout.observations, data.observations, strict=True)
    )


def observe_adjoint(layout: Layout, data: ProblemData, images: tuple[Canvas, ...]) -> Canvas:
    """Return the transpose of `observe`, embedded in the scratch array that boxes are cut from."""
    canvas = jnp.concatenate(
        [
            convolve_adjoint(o, layout.pad, d, image, layout.canvas_shape)
            for o, d, image in zip(layout.observations, data.observations, images, strict=True)
        ]
    )
    margin = layout.margin
    return jnp.pad(canvas, ((0, 0), (margin, margin), (margin, margin)))
