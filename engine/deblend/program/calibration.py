"""How images may be off what their files say, inside of the program: moved, brighter, blurred by a wider PSF, above a
sky that is not zero.

A channel sees (1 + a) S G K x + b₀ + b₁ v + b₂ u: K its kernel, S a shift, G a Gaussian blur of second moments m (which
sharpens where they are negative), u and v the place on the image, -1 and 1 at its edges. All but the background act on
the waves of the sky like the kernel itself, so the kernels take them in, and products cost what they cost without; the
derivatives are six images per channel.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float

from deblend.observe.resampling import ResamplingLayout
from deblend.program.arrays import ObservationData, Parameters, ProblemData
from deblend.program.convolution import Canvas, convolve
from deblend.program.layout import Layout
from deblend.program.noise import gram

SHIFT, SCALE, BACKGROUND = slice(0, 2), 2, slice(6, 9)
"""Of the nine terms: shift along y and x [pix of the model], a, the moments yy, xx, yx [pix² of the model], b₀, b₁, b₂
[noise]."""
N_SEEN = 6
"""How many of them the kernels take in."""

Tangents = tuple[Float[Array, "6 band y x"], ...]
"""How every observation changes with what the kernels of its channels take in."""


def frequencies(
    fft_shape: tuple[int, int], resampling: ResamplingLayout | None
) -> tuple[Float[np.ndarray, "1 y 1"], Float[np.ndarray, "1 1 f"]]:
    """Return the frequencies along y and x of the waves that are kept of a piece of sky [1/pix]."""
    if resampling is None:
        along_y, along_x = scipy.fft.fftfreq(fft_shape[0]), scipy.fft.rfftfreq(fft_shape[1])
    else:
        (ky, kx), (height, width) = resampling.waves, resampling.period
        along_y, along_x = np.arange(ky + 1) / height, np.arange(-kx, kx + 1) / width
    return along_y[None, :, None], along_x[None, None]


def response(fft_shape: tuple[int, int], resampling: ResamplingLayout | None, terms: Any, xp: Any) -> Any:
    """Return what the terms (band, 9) multiply every wave by: (band, y, f)."""
    fy, fx = (f.astype(terms.dtype) for f in frequencies(fft_shape, resampling))
    along_y, along_x, scale, yy, xx, yx = (terms[:, k, None, None] for k in range(N_SEEN))
    blur = -2.0 * np.pi**2 * (yy * fy**2 + xx * fx**2 + 2.0 * yx * fy * fx)
    wave = xp.exp(blur - 2j * np.pi * (along_y * fy + along_x * fx))
    return (1.0 + scale) * wave.astype(xp.result_type(terms.dtype, np.complex64))


def calibrated(layout: Layout, data: ProblemData, parameters: Parameters) -> ProblemData:
    """Return the problem with kernels that take in how the images are off; the same one where nothing is."""
    if parameters.calibration is None:
        return data
    observations = tuple(
        _through(d, response(o.fft_shape, o.resampling, parameters.calibration[o.start : o.stop], jnp))
        for o, d in zip(layout.observations, data.observations, strict=True)
    )
    return data._replace(observations=observations)


def _through(data: ObservationData, response: Any) -> ObservationData:
    """Return an observation whose kernels all have a further response (band, y, f)."""
    each = response if data.transfer.ndim == 3 else response[None]
    return data._replace(transfer=data.transfer * each)


def _ramps(shape: tuple[int, int], dtype: Any, xp: Any) -> tuple[Any, Any]:
    """Return v and u: -1 to 1 along y, and along x."""
    up, along = (xp.linspace(-1.0, 1.0, n).astype(dtype) for n in shape)
    return up, along


def plane(shape: tuple[int, int], terms: Any, xp: Any) -> Any:
    """Return the background (band, y, x) of terms b₀, b₁, b₂ (band, 3)."""
    up, along = _ramps(shape, terms.dtype, xp)
    levels, rises, runs = (terms[:, k, None, None] for k in range(3))
    return levels + rises * up[None, :, None] + runs * along[None, None]


def with_background(layout: Layout, parameters: Parameters, models: tuple[Canvas, ...]) -> tuple[Canvas, ...]:
    """Return models above the background of their channels."""
    terms = parameters.calibration
    if terms is None:
        return models
    return tuple(
        model + plane(o.shape, terms[o.start : o.stop, BACKGROUND], jnp)
        for o, model in zip(layout.observations, models, strict=True)
    )


def calibration_tangents(layout: Layout, data: ProblemData, parameters: Parameters, sky: Canvas) -> Tangents | None:
    """Return how the models change with what kernels take in, for calibrated `data` and the canvas of all sources."""
    if parameters.calibration is None:
        return None
    result = []
    for o, d in zip(layout.observations, data.observations, strict=True):
        scale = 1.0 + parameters.calibration[o.start : o.stop, SCALE, None, None]
        fy, fx = frequencies(o.fft_shape, o.resampling)
        factors: list[np.ndarray] = [-2j * np.pi * fy, -2j * np.pi * fx]
        factors += [-2.0 * np.pi**2 * fy**2, -2.0 * np.pi**2 * fx**2, -4.0 * np.pi**2 * fy * fx]
        moved_y, moved_x, *blurred = (
            convolve(layout, o, _through(d, factor.astype(d.transfer.dtype)), sky) for factor in factors
        )
        result.append(jnp.stack([moved_y, moved_x, convolve(layout, o, d, sky) / scale, *blurred]))
    return tuple(result)


def calibration_change(layout: Layout, tangents: Tangents | None, change: Any) -> tuple[Canvas, ...] | None:
    """Return how the models change with the terms (channel, 9)."""
    if tangents is None or change is None:
        return None
    result = []
    for o, tangent in zip(layout.observations, tangents, strict=True):
        own = change[o.start : o.stop]
        result.append(jnp.einsum("bk,kbyx->byx", own[:, :N_SEEN], tangent) + plane(o.shape, own[:, BACKGROUND], jnp))
    return tuple(result)


def calibration_adjoint(layout: Layout, tangents: Tangents | None, images: tuple[Canvas, ...]) -> Any:
    """Return the transpose of `calibration_change`."""
    if tangents is None:
        return None
    result = []
    for o, tangent, image in zip(layout.observations, tangents, images, strict=True):
        up, along = _ramps(o.shape, image.dtype, jnp)
        rows = jnp.sum(image, axis=2)
        of_plane = jnp.stack([jnp.sum(rows, axis=1), rows @ up, jnp.sum(image, axis=1) @ along], axis=1)
        result.append(jnp.concatenate([jnp.einsum("kbyx,byx->bk", tangent, image), of_plane], axis=1))
    return jnp.concatenate(result)


def calibration_gram(layout: Layout, data: ProblemData, tangents: Tangents) -> Float[Array, "channel 9 9"]:
    """Return Jᵀ W J of every channel's own terms."""
    result = []
    for o, d, tangent in zip(layout.observations, data.observations, tangents, strict=True):
        up, along = _ramps(o.shape, tangent.dtype, jnp)
        shape = tangent.shape[1:]
        ramps = [jnp.ones(shape, tangent.dtype), jnp.broadcast_to(up[:, None], shape), jnp.broadcast_to(along, shape)]
        terms = jnp.concatenate([tangent, jnp.stack(ramps)])
        result.append(gram(d, terms))
    return jnp.concatenate(result)


def calibration_penalty(data: ProblemData, parameters: Parameters) -> Any:
    """Return ½ Σ r² of the priors of the terms."""
    c = data.calibration
    if c is None or parameters.calibration is None:
        return 0.0
    return 0.5 * jnp.sum((c.precision * (parameters.calibration - c.mean)) ** 2)
