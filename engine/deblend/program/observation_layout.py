"""Where the pixels of an observation lie on the model's canvas, and with which waves it is drawn."""

from __future__ import annotations

import numpy as np
import scipy.fft
from jaxtyping import Float

from deblend.observe.resampling import plan
from deblend.program.layout import ObservationLayout
from deblend.sky import PixelAffine

DROPPED = 1e-6
"""Fraction of what a kernel can bring through that may be lost with the highest waves."""


def framed(image: Float[np.ndarray, "band y x"], shape: tuple[int, int]) -> Float[np.ndarray, "band height width"]:
    """Return an image with zeros behind its last row and column, as large as `shape`."""
    return np.pad(image, ((0, 0), *((0, n - m) for n, m in zip(shape, image.shape[1:], strict=True))))


def is_inside(first: tuple[int, int], shape: tuple[int, int], whole: tuple[int, int]) -> bool:
    """Tell whether an image of a shape, from its first pixel on, lies on the whole grid."""
    return all(f >= 0 and f + n <= w for f, n, w in zip(first, shape, whole, strict=True))


def resampled_layout(
    start: int,
    stop: int,
    shape: tuple[int, int],
    affine: PixelAffine,
    radius: int,
    whole: tuple[int, int],
    highest: tuple[float, float],
    slack: int = 0,
) -> ObservationLayout:
    """Return the layout of an observation of other pixels than the model's, that may turn by `slack` pixels."""
    (height, width) = shape
    corners = affine(*np.meshgrid([0.0, height - 1.0], [0.0, width - 1.0], indexing="ij"))
    low = [max(int(np.floor(c.min())) - slack, 0) - radius for c in corners]
    high = [min(int(np.ceil(c.max())) + slack, n - 1) + radius for c, n in zip(corners, whole, strict=True)]
    extent = (high[0] - low[0] + 1, high[1] - low[1] + 1)
    if slack:
        angle = 2.0 * slack / np.hypot(height, width) / affine.scale * np.sign(affine.array[0, 1] or 1.0)
        affine = PixelAffine.of(affine.array + angle * np.array([[0.0, 1.0], [-1.0, 0.0]]) @ affine.array, np.zeros(2))
    is_turned = np.abs(affine.array * (1.0 - np.eye(2))).max() > 1e-9 < np.abs(np.diag(affine.array)).max()
    # light that wraps around only spoils what it meets where a shear has moved it
    resampling = plan(affine, shape, extent, radius if is_turned else 0, highest)
    return ObservationLayout(start, stop, shape, radius, (low[0], low[1]), extent, resampling=resampling)


def affine_covers(affine: PixelAffine, shape: tuple[int, int], whole: tuple[int, int]) -> np.ndarray:
    """Tell which pixels of an observation have their middle on the model's grid."""
    y, x = affine(*np.indices(shape))
    return (y > -0.5 - 1e-3) & (y < whole[0] - 0.5 + 1e-3) & (x > -0.5 - 1e-3) & (x < whole[1] - 0.5 + 1e-3)


def highest_frequencies(kernels: Float[np.ndarray, "band side side"], model_sigma: float) -> tuple[float, float]:
    """Return the frequency along y and x above which kernels let next to nothing of a star through [1/pix]."""
    n = scipy.fft.next_fast_len(2 * kernels.shape[-1])
    frequency = np.abs(scipy.fft.fftfreq(n))
    star = np.exp(-2.0 * np.pi**2 * model_sigma**2 * (frequency[:, None] ** 2 + frequency**2))
    through = np.abs(scipy.fft.fft2(kernels, s=(n, n))).max(axis=0) * star
    result = []
    for axis in (1, 0):
        along = through.sum(axis=axis)
        order = np.argsort(frequency)
        beyond = along.sum() - np.cumsum(along[order])
        result.append(float(frequency[order][np.flatnonzero(beyond <= DROPPED * along.sum())[0]]))
    return result[0], result[1]


def carried_frequencies(affine: PixelAffine, oversampling: int) -> tuple[float, float]:
    """Return the frequency along y and x above which samples of a PSF say nothing [1/pix of the model].

    What a kernel has beyond comes from its edge, where it was cut.
    """
    reach = 0.5 * oversampling * np.abs(affine.inverse.array).sum(axis=0)
    return float(reach[0]), float(reach[1])
