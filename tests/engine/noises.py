"""Noise of known correlation, native (white, or white noise convolved with a kernel) and resampled.

Resampled noise is white noise between whose pixels is interpolated, as drizzling and co-adding do: on finer pixels, on
turned ones, and on coarser turned ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from deblend import Observation
from deblend.observe import gaussian_psf

KERNEL = np.outer([0.15, 0.7, 0.15], [0.15, 0.7, 0.15])
"""Neighbours go together by 0.39; the power falls from 1 to 0.026."""
SIZE = 64


def native_white(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    return rng.normal(size=(size, size))


def native_correlated(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Return white noise convolved with a Gaussian of 0.7 px; neighbours go together by 0.6."""
    edge = 10
    return gaussian_filter(rng.normal(size=(size + 2 * edge,) * 2), 0.7)[edge:-edge, edge:-edge] / 0.409


def native_kernel() -> np.ndarray:
    """Return the kernel that makes it of white noise, (21, 21)."""
    middle = np.zeros((21, 21))
    middle[10, 10] = 1.0
    return gaussian_filter(middle, 0.7) / 0.409


def finer(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Return white noise interpolated bilinearly to pixels of 0.6 of its own."""
    y, x = 0.6 * np.indices((size, size)) + np.array([2.2, 3.3])[:, None, None]
    return map_coordinates(rng.normal(size=(size, size)), [y, x], order=1, prefilter=False)


def turned(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Return white noise interpolated bilinearly to pixels of 0.8 of its own, turned by 30°."""
    angle = np.radians(30.0)
    y, x = 0.8 * (np.indices((size, size)) - size / 2)
    y, x = np.cos(angle) * y - np.sin(angle) * x + size, np.sin(angle) * y + np.cos(angle) * x + size
    return map_coordinates(rng.normal(size=(2 * size, 2 * size)), [y, x], order=1, prefilter=False)


def coarse(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Return white noise averaged over pixels of 1.7 of its own, turned by 30°, as a coarser co-add has it.

    Nine samples on each coarse pixel, each interpolated bilinearly, so that what falls between pixels is shared by two.
    """
    angle, scale = np.radians(30.0), 1.7
    sub = (np.indices((3, 3)).reshape(2, 9).T - 1) / 3
    image = rng.normal(size=(3 * size, 3 * size))
    result = np.zeros((size, size))
    for dy, dx in sub:
        y, x = scale * (np.indices((size, size)) + np.array([dy, dx])[:, None, None] - size / 2)
        y, x = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
        result += map_coordinates(image, [y + 1.5 * size, x + 1.5 * size], order=1, prefilter=False)
    return result / 9


NOISES: dict[str, Callable[..., np.ndarray]] = {
    "native white": native_white,
    "native correlated": native_correlated,
    "finer": finer,
    "turned": turned,
    "coarse and turned": coarse,
}


def masked(rng: np.random.Generator, shape: tuple[int, ...], mask: bool) -> np.ndarray:
    """Return weights of 1, masked in a tenth of the pixels and in a blob of 120 px²."""
    weights = np.ones(shape)
    if mask:
        weights[rng.random(shape) < 0.1] = 0.0
        weights[..., 20:30, 15:27] = 0.0
    return weights


def seen(images: np.ndarray, weights: np.ndarray) -> Observation:
    bands = [f"b{k}" for k in range(len(images))]
    return Observation.from_arrays(images, gaussian_psf(3.0), weights, channels=bands)


def lags(kernel: np.ndarray) -> np.ndarray:
    """Return the covariances by lag, (1, y, x), of white noise that a kernel was convolved with."""
    height, width = (2 * n - 1 for n in kernel.shape)
    padded = np.fft.fft2(kernel, s=(height, width))
    return np.fft.fftshift(np.fft.ifft2(np.abs(padded) ** 2).real)[None]
