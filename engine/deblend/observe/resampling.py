"""Resampling: from the pixels of the model to those of an observation, however they are turned, scaled or sheared.

An image is taken for what its samples stand for, a sum of waves, and that sum is evaluated at the other pixels'
middles. An affine map of pixels is a shear and stretch along one axis after a shear and stretch along the other
(Paeth 1986 for rotations; here with exact waves instead of interpolation). A shear is a phase, a stretch a small
product of matrices, so there is no kernel and no error but that of rounding, and the transpose is as cheap.

    middles of pixels:   y = yy p + yx q + t_y,   x = xy p + xx q + t_x
    first along y:       G(p, x) = I(α p + β x + γ, x)   with β = yx / xx, α = yy - β xy, γ = t_y - β t_x
    then along x:        out(p, q) = G(p, xy p + xx q + t_x)

Where the map turns by more than 45° p and q change places, so that |β| ≤ 1. Light that wraps around the period is
sheared off its place; a period is therefore longer than the image by more than light reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

from deblend.sky import PixelAffine

Array = Any
"""A NumPy array outside, a JAX array inside of compiled code: `xp` is the module that works on it."""


@dataclass(frozen=True)
class ResamplingLayout:
    """The sizes of a resampling: what it is compiled for."""

    shape: tuple[int, int]
    """(height, width) of what comes out [pix]."""
    extent: tuple[int, int]
    """(height, width) of the image [pix]."""
    period: tuple[int, int]
    """Length of the waves in y and in x: the image and dark sky behind it [pix]; odd."""
    waves: tuple[int, int]
    """Highest wave number that is kept, along y and x."""
    columns: int
    """Samples along x after the first shear; odd."""
    is_transposed: bool = False
    """Whether rows come out as columns."""

    @property
    def inner_shape(self) -> tuple[int, int]:
        """Rows and columns of the two stretches."""
        height, width = self.shape
        return (width, height) if self.is_transposed else (height, width)


class ResamplingTables(NamedTuple):
    """The numbers of a resampling."""

    rows: Float[Array, "2 p ky"]
    """Cosines and sines that turn waves along y into rows."""
    shear: Complex[Array, "ky column"]
    """Phases of the first shear."""
    skew: Complex[Array, "p kx"]
    """Phases of the second shear."""
    lines: Float[Array, "2 kx q"]
    """Cosines and sines that turn waves along x into columns."""
    slope: Float[Array, ""]
    """β: how far rows of the first shear rise per column."""


def odd_period(length: int) -> int:
    """Return the next odd length whose transform is fast [pix]; odd, so that every wave has its conjugate."""
    length |= 1
    while scipy.fft.next_fast_len(length) != length:
        length += 2
    return length


def plan(
    affine: PixelAffine,
    shape: tuple[int, int],
    extent: tuple[int, int],
    guard: int,
    highest: tuple[float, float] = (0.5, 0.5),
) -> ResamplingLayout:
    """Return the sizes of a resampling.

    Parameters
    ----------
    affine
        From the pixels that come out to those of the image.
    shape
        (height, width) of what comes out.
    extent
        (height, width) of the image.
    guard
        Dark sky behind it, further than its light reaches across its edge [pix].
    highest
        Highest frequency with any power along y and x [1/pix].
    """
    is_transposed = bool(abs(affine.array[1, 1]) < abs(affine.array[1, 0]))
    period = odd_period(extent[0] + guard), odd_period(extent[1] + guard)
    most = tuple((n - 1) // 2 for n in period)
    waves = tuple(min(int(np.ceil(f * n)), m) for f, n, m in zip(highest, period, most, strict=True))
    _, beta, *_ = _steps(affine, is_transposed)
    # a shear makes waves along x of those along y
    sheared = waves[0] * abs(beta) * period[1] / period[0]
    columns = odd_period(2 * int(np.ceil(waves[1] + sheared)) + 1)
    return ResamplingLayout(shape, extent, period, (waves[0], waves[1]), columns, is_transposed)


def _steps(affine: PixelAffine, is_transposed: bool) -> tuple[float, float, float, float]:
    """Return α, β and the entries xy and xx of the map."""
    (yy, yx), (xy, xx) = affine.array[:, ::-1] if is_transposed else affine.array
    beta = yx / xx
    return yy - beta * xy, beta, xy, xx


def tables(layout: ResamplingLayout, affine: PixelAffine, dtype: Any = np.float32) -> ResamplingTables:
    """Return the numbers of a resampling."""
    alpha, beta, xy, xx = _steps(affine, layout.is_transposed)
    start_y, start_x = affine.offset[0] - beta * affine.offset[1], affine.offset[1]
    height, width = layout.inner_shape
    p, q = np.arange(height), np.arange(width)
    ky, kx = _frequencies(layout)
    period, width_in = layout.period[1], layout.extent[1]
    columns = np.arange(layout.columns) * (period / layout.columns)
    # the middle of the dark sky is where light that reached out to the left comes in on the right
    columns = np.where(columns > 0.5 * (width_in + period), columns - period, columns)
    along_y = 2 * np.pi * np.outer(alpha * p + start_y, ky)
    along_x = 2 * np.pi * np.outer(kx, xx * q + start_x)
    complex_type = np.result_type(dtype, np.complex64)
    return ResamplingTables(
        np.stack([np.cos(along_y), np.sin(along_y)]).astype(dtype),
        np.exp(2j * np.pi * beta * np.outer(ky, columns)).astype(complex_type),
        np.exp(2j * np.pi * xy * np.outer(p, kx)).astype(complex_type),
        np.stack([np.cos(along_x), np.sin(along_x)]).astype(dtype),
        np.asarray(beta, dtype),
    )


def _frequencies(layout: ResamplingLayout) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies along y, and along x behind the first shear [1/pix]."""
    return np.arange(layout.waves[0] + 1) / layout.period[0], np.arange(layout.columns // 2 + 1) / layout.period[1]


def _phases(layout: ResamplingLayout, table: ResamplingTables, move: Any, xp: Any) -> tuple[Any, Any]:
    """Return the tables of phases for pixels that all lie further by `move` (y, x) [pix]."""
    if move is None:
        return table.shear, table.skew
    frequencies = _frequencies(layout)
    dtype = table.rows.dtype
    along_y, along_x = (
        xp.exp(1j * (2 * np.pi * wave).astype(dtype) * by)
        for wave, by in zip(frequencies, (move[0] - table.slope * move[1], move[1]), strict=True)
    )
    return table.shear * along_y[:, None], table.skew * along_x[None]


def _counts(frequencies: int, n: int, dtype: Any) -> np.ndarray:
    """Return how many waves of a real transform of odd length n each one stands for, over n."""
    return (np.where(np.arange(frequencies) > 0, 2.0, 1.0) / n).astype(dtype)


def spectrum(layout: ResamplingLayout, image: Any, xp: Any) -> Complex[Array, "band ky kx"]:
    """Return the waves of an image that are kept: those along x from the lowest negative one on."""
    (ky, kx), (height, width) = layout.waves, layout.period
    along_y = xp.fft.rfft(image, n=height, axis=-2)[..., : ky + 1, :]
    return _gathered(xp.fft.fft(along_y, n=width, axis=-1), kx, xp)


def resample(
    layout: ResamplingLayout, table: ResamplingTables, waves: Complex[Array, "band ky kx"], move: Any, xp: Any
) -> Float[Array, "band y x"]:
    """Return the image that waves make at the pixels of the map, when all of them lie further by `move` (y, x)."""
    (ky, kx), n = layout.waves, layout.columns
    shear, skew = _phases(layout, table, move, xp)
    dtype = table.rows.dtype
    # one division for both transforms: by the period along x, not by the number of samples
    shear = shear * _counts(ky + 1, layout.period[0], dtype)[:, None] * dtype.type(n / layout.period[1])
    sheared = xp.fft.ifft(_spread(waves, n, kx, xp), axis=-1) * shear[None]
    rows = table.rows[0] @ sheared.real - table.rows[1] @ sheared.imag
    along_x = xp.fft.rfft(rows, axis=-1) * (skew * _counts(n // 2 + 1, n, dtype)[None])[None]
    result = along_x.real @ table.lines[0] - along_x.imag @ table.lines[1]
    return xp.swapaxes(result, -1, -2) if layout.is_transposed else result


def resample_adjoint(
    layout: ResamplingLayout, table: ResamplingTables, image: Float[Array, "band y x"], move: Any, xp: Any
) -> Complex[Array, "band ky kx"]:
    """Return the waves from which `spectrum_adjoint` makes the transpose of `resample` after `spectrum`."""
    n = layout.columns
    shear, skew = _phases(layout, table, move, xp)
    image = xp.swapaxes(image, -1, -2) if layout.is_transposed else image
    along_x = image @ table.lines[0].T - 1j * (image @ table.lines[1].T)
    # weights that count waves cancel: a transform back counts them, too
    rows = xp.fft.irfft(along_x * xp.conj(skew)[None], n=n, axis=-1)
    sheared = table.rows[0].T @ rows - 1j * (table.rows[1].T @ rows)
    return _gathered(xp.fft.fft(sheared * xp.conj(shear)[None], axis=-1), layout.waves[1], xp)


def spectrum_adjoint(
    layout: ResamplingLayout, waves: Complex[Array, "band ky kx"], xp: Any
) -> Float[Array, "band y x"]:
    """Return the image that belongs to waves of `resample_adjoint`."""
    (height, width), extent = layout.period, layout.extent
    along_y = xp.fft.ifft(_spread(waves, width, layout.waves[1], xp), axis=-1)[..., : extent[1]]
    return xp.fft.irfft(along_y, n=height, axis=-2)[..., : extent[0], :]


def _gathered(both: Any, kx: int, xp: Any) -> Any:
    """Return the waves from -kx to kx of a transform along x."""
    return xp.concatenate([both[..., both.shape[-1] - kx :], both[..., : kx + 1]], axis=-1)


def _spread(waves: Any, n: int, kx: int, xp: Any) -> Any:
    """Return a transform along x of length n that has these waves and no others."""
    dark = xp.zeros((*waves.shape[:-1], n - 2 * kx - 1), waves.dtype)
    return xp.concatenate([waves[..., kx:], dark, waves[..., :kx]], axis=-1)
