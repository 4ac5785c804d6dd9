"""Difference kernels: what takes a picture blurred by the narrow model PSF to one blurred by the telescope's.

K = F⁻¹[F(P) / F(P0)], with P the telescope's PSF and P0 the model's Gaussian. Where P0 has lost all power the
quotient is damped (Wiener), since P has none there either and what is left is noise of the stamp. A telescope of
other pixels gives its PSF on those; it is taken to the model's by the waves that its samples stand for.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from jaxtyping import Bool, Complex, Float

from deblend.observe.resampling import ResamplingLayout, plan, resample, spectrum, tables
from deblend.sky import PixelAffine

DAMPING = 5e-3
"""Amplitude of P0 below which the quotient is damped."""
LOST_LIGHT = 3e-4
"""Fraction of a kernel's absolute sum that may fall outside of its support."""
EXTRA = 8
"""How far a kernel may reach beyond the stamp of its PSF [pix]."""
SAME_PIXELS = PixelAffine()


def difference_kernel(
    psf: Float[np.ndarray, "side side"], model_sigma: float, affine: PixelAffine = SAME_PIXELS, oversampling: int = 1
) -> Float[np.ndarray, "big big"]:
    """Return the kernel of one band in pixels of the model, centered, odd, of sum 1; to be trimmed.

    `affine` leads from the observation's pixels to the model's; the PSF has `oversampling` samples per pixel of the
    observation along each axis.
    """
    psf = on_model_pixels(psf, affine.finer(oversampling))
    side = psf.shape[0]
    big = side + 2 * EXTRA
    n = scipy.fft.next_fast_len(2 * big)
    canvas = np.zeros((n, n))
    canvas[:side, :side] = psf
    canvas = np.roll(canvas, (-(side // 2), -(side // 2)), (0, 1))
    frequency = scipy.fft.fftfreq(n)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    model = np.exp(-2.0 * np.pi**2 * model_sigma**2 * squared)
    quotient = scipy.fft.fft2(canvas) * model / (model**2 + DAMPING**2) * (1.0 + DAMPING**2)
    kernel = np.roll(scipy.fft.ifft2(quotient).real, (big // 2, big // 2), (0, 1))[:big, :big]
    return kernel / kernel.sum()


def on_model_pixels(psf: Float[np.ndarray, "side side"], affine: PixelAffine) -> Float[np.ndarray, "wide wide"]:
    """Return a PSF on the model's pixels, centered and odd."""
    if affine.matrix == SAME_PIXELS.matrix:
        return psf
    side = psf.shape[0]
    half = int(np.ceil(0.5 * side * affine.reach)) + EXTRA
    wide = 2 * half + 1
    back = affine.linear.inverse
    corner = side // 2 - back.array @ np.array([half, half])
    back = PixelAffine.of(back.array, corner)
    layout = plan(back, (wide, wide), psf.shape, guard=side)
    waves = spectrum(layout, psf[None].astype(float), np) * _carried(layout, affine)
    result: Float[np.ndarray, "wide wide"] = resample(layout, tables(layout, back, np.float64), waves, None, np)[0]
    return result


def _carried(layout: ResamplingLayout, affine: PixelAffine) -> Bool[np.ndarray, "ky kx"]:
    """Tell which waves of a PSF the model's pixels carry; the others would come back as longer ones."""
    along_y = np.arange(layout.waves[0] + 1)[:, None] / layout.period[0]
    along_x = np.arange(-layout.waves[1], layout.waves[1] + 1) / layout.period[1]
    turns = np.linalg.inv(affine.array).T
    seen = [np.abs(row[0] * along_y + row[1] * along_x) for row in turns]
    result: Bool[np.ndarray, "ky kx"] = np.maximum(*seen) <= 0.5 + 1e-9
    return result


def kernel_radius(kernels: Float[np.ndarray, "band big big"]) -> int:
    """Return the radius of the box [pix] outside of which no band's kernel has more than a trace."""
    middle = kernels.shape[-1] // 2
    for radius in range(3, middle):
        inner = slice(middle - radius, middle + radius + 1)
        inside = np.abs(kernels[:, inner, inner]).sum(axis=(1, 2))
        if np.all(inside >= (1.0 - LOST_LIGHT) * np.abs(kernels).sum(axis=(1, 2))):
            return radius
    return middle


def trimmed(kernels: Float[np.ndarray, "band big big"], radius: int) -> Float[np.ndarray, "band side side"]:
    """Return the kernels on a box of a radius [pix], each of sum 1 again; 0 beyond where they are known."""
    middle = kernels.shape[-1] // 2
    if radius > middle:
        kernels = np.pad(kernels, ((0, 0), *[(radius - middle,) * 2] * 2))
        middle = radius
    inner = slice(middle - radius, middle + radius + 1)
    cut = kernels[:, inner, inner]
    return cut / cut.sum(axis=(1, 2), keepdims=True)


def transfer(kernels: Float[np.ndarray, "band side side"], shape: tuple[int, int]) -> Complex[np.ndarray, "band y f"]:
    """Return the real-FFT of centered kernels on a periodic canvas of `shape`, as complex64.

    Kernels larger than the canvas are folded.
    """
    side = kernels.shape[-1]
    pixel = np.arange(side)
    rows, columns = (np.zeros((side, n)) for n in shape)
    for onto, n in ((rows, shape[0]), (columns, shape[1])):
        onto[pixel, (pixel - side // 2) % n] = 1.0
    canvas = rows.T @ kernels @ columns
    return scipy.fft.rfft2(canvas).astype(np.complex64)
