"""Difference kernels: what takes a picture blurred by the narrow model PSF to one blurred by the telescope's.

K = F⁻¹[F(P) / F(P0)], with P the telescope's PSF and P0 the model's Gaussian. Where P0 has lost all power the
quotient is damped (Wiener), since P has none there either and what is left is noise of the stamp.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

DAMPING = 5e-3
"""Amplitude of P0 below which the quotient is damped."""
LOST_LIGHT = 3e-4
"""Fraction of a kernel's absolute sum that may fall outside of its support."""


def difference_kernel(psf: Float[np.ndarray, "side side"], model_sigma: float) -> Float[np.ndarray, "big big"]:
    """Return the kernel of one band in pixels, centered, odd, of sum 1; larger than the stamp, to be trimmed."""
    side = psf.shape[0]
    big = side + 2 * 8
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
    """Return the kernels on a box of a radius [pix], each of sum 1 again."""
    middle = kernels.shape[-1] // 2
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
