"""How images may be off what their files say, inside of the program: moved, brighter, blurred by a wider PSF, turned,
above a sky that is not zero.

A channel sees (1 + a) S G K x + b₀ + b₁ v + b₂ u: K its kernel, S a shift, G a Gaussian blur of second moments m (which
sharpens where they are negative), u and v the place on the image, -1 and 1 at its edges. All but the background act on
the waves of the sky like the kernel itself, so the kernels take them in, and products cost what they cost without; the
derivatives are six images per channel.

A rotation is no factor on waves. The program's geometry holds the one that the scene says, exactly; what a fit adds to
it in a few steps is small, and is seen as a displacement of every source across the line to the middle of the image.
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
from deblend.program.layout import Layout, ObservationLayout
from deblend.program.noise import gram

SHIFT, SCALE, TURN, BACKGROUND = slice(0, 2), 2, 6, slice(7, 10)
"""Of the ten terms: shift along y and x [pix of the model], a, the moments yy, xx, yx [pix² of the model], the turn
since the geometry was made [pix of the model, at the corner of the image], b₀, b₁, b₂ [noise]."""
N_KERNEL = 6
"""How many of them the kernels take in."""

Tangents = tuple[Float[Array, "7 band y x"], ...]
"""How every observation changes with what acts on the light of the sources."""


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
    """Return what the terms (band, 10) multiply every wave by: (band, y, f)."""
    fy, fx = (f.astype(terms.dtype) for f in frequencies(fft_shape, resampling))
    along_y, along_x, scale, yy, xx, yx = (terms[:, k, None, None] for k in range(N_KERNEL))
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


def turned(data: ProblemData, parameters: Parameters) -> Parameters:
    """Return parameters whose sources are seen where the turn of each channel puts them."""
    if parameters.calibration is None or data.calibration is None:
        return parameters
    turn, pivot = parameters.calibration[:, TURN], data.calibration.pivot
    groups = []
    for d, p in zip(data.groups, parameters.groups, strict=True):
        center = d.origin + p.theta[:, :2]
        from_pivot = (center[:, None] - pivot[None, :, :2]) * pivot[None, :, 2:]
        across = jnp.stack([from_pivot[:, :, 1], -from_pivot[:, :, 0]], axis=2)
        groups.append(p._replace(aspect=p.aspect.at[:, :, :2].add(turn[None, :, None] * across)))
    return parameters._replace(groups=tuple(groups))


def _turn_tangent(
    layout: ObservationLayout, data: ObservationData, pivot: Any, moved_y: Canvas, moved_x: Canvas
) -> Canvas:
    """Return how an observation changes with its turn, from how it changes when it is moved along y and x."""
    (a, b), (c, d) = data.place[:, :2]
    y, x = jnp.indices(layout.shape)
    own_y, own_x = y - data.place[0, 2], x - data.place[1, 2]
    determinant = a * d - b * c
    up, along = (d * own_y - b * own_x) / determinant, (a * own_x - c * own_y) / determinant
    up, along = up[None] - pivot[:, 0, None, None], along[None] - pivot[:, 1, None, None]
    return (along * moved_y - up * moved_x) * pivot[:, 2, None, None]


def plane(ramps: tuple[Any, Any], terms: Any) -> Any:
    """Return the background (band, y, x) of terms b₀, b₁, b₂ (band, 3); ramps go from -1 to 1 along y, and along x."""
    up, along = ramps
    levels, rises, runs = (terms[:, k, None, None] for k in range(3))
    return levels + rises * up[None, :, None] + runs * along[None, None]


def with_background(
    layout: Layout, data: ProblemData, parameters: Parameters, models: tuple[Canvas, ...]
) -> tuple[Canvas, ...]:
    """Return models above the background of their channels."""
    terms = parameters.calibration
    if terms is None:
        return models
    return tuple(
        model + plane(d.ramps, terms[o.start : o.stop, BACKGROUND])
        for o, d, model in zip(layout.observations, data.observations, models, strict=True)
    )


def calibration_tangents(layout: Layout, data: ProblemData, parameters: Parameters, sky: Canvas) -> Tangents | None:
    """Return how the models change with what acts on the light of the sources, for calibrated `data` and the canvas of
    all sources."""
    if parameters.calibration is None or data.calibration is None:
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
        turning = _turn_tangent(o, d, data.calibration.pivot[o.start : o.stop], moved_y, moved_x)
        result.append(jnp.stack([moved_y, moved_x, convolve(layout, o, d, sky) / scale, *blurred, turning]))
    return tuple(result)


def calibration_change(
    layout: Layout, data: ProblemData, tangents: Tangents | None, change: Any
) -> tuple[Canvas, ...] | None:
    """Return how the models change with the terms (channel, 10), but for the turn, which moves sources (`turned`)."""
    if tangents is None or change is None:
        return None
    result = []
    for o, d, tangent in zip(layout.observations, data.observations, tangents, strict=True):
        own = change[o.start : o.stop]
        light = jnp.einsum("bk,kbyx->byx", own[:, :N_KERNEL], tangent[:N_KERNEL])
        result.append(light + plane(d.ramps, own[:, BACKGROUND]))
    return tuple(result)


def calibration_adjoint(data: ProblemData, tangents: Tangents | None, images: tuple[Canvas, ...]) -> Any:
    """Return the transpose of `calibration_change`."""
    if tangents is None:
        return None
    result = []
    for d, tangent, image in zip(data.observations, tangents, images, strict=True):
        up, along = d.ramps
        rows = jnp.sum(image, axis=2)
        of_plane = jnp.stack([jnp.sum(rows, axis=1), rows @ up, jnp.sum(image, axis=1) @ along], axis=1)
        light = jnp.einsum("kbyx,byx->bk", tangent[:N_KERNEL], image)
        result.append(jnp.concatenate([light, jnp.zeros_like(light[:, :1]), of_plane], axis=1))
    return jnp.concatenate(result)


def calibration_gram(data: ProblemData, tangents: Tangents) -> Float[Array, "channel 10 10"]:
    """Return Jᵀ W J of every channel's own terms."""
    result = []
    for d, tangent in zip(data.observations, tangents, strict=True):
        up, along = d.ramps
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
