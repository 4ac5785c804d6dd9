"""PSF stamps, mended: odd, centered, of sum 1, all of one size; what was mended is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import ndimage

CENTROID_TOLERANCE = 0.02
"""A stamp whose centroid is closer than this to its middle pixel is left alone [pix]."""


def centroid(stamp: Float[np.ndarray, "y x"]) -> tuple[float, float]:
    """Return the centroid (y, x) relative to the middle of the stamp [pix], weighted by its bright part.

    An adaptive Gaussian window keeps truncated or noisy wings from deciding it (Bernstein & Jarvis 2002, sec. 3).
    """
    height, width = stamp.shape
    y, x = np.mgrid[:height, :width].astype(float)
    middle = np.array([(height - 1) / 2.0, (width - 1) / 2.0])
    peak = np.unravel_index(np.argmax(ndimage.uniform_filter(stamp, 3)), stamp.shape)
    center = np.asarray(peak, float)
    variance = 4.0
    for _ in range(100):
        window = np.exp(-0.5 * ((y - center[0]) ** 2 + (x - center[1]) ** 2) / variance) * stamp
        total = window.sum()
        if total <= 0:
            break
        mean = np.array([(window * y).sum(), (window * x).sum()]) / total
        spread = (window * ((y - mean[0]) ** 2 + (x - mean[1]) ** 2)).sum() / total / 2.0
        # a Gaussian seen through a window of its own width has half its variance
        variance = float(np.clip(2.0 * spread, 0.5, (min(height, width) / 3.0) ** 2))
        step = 2.0 * (mean - center)
        center = center + step
        if np.abs(step).max() < 1e-5:
            break
    return float(center[0] - middle[0]), float(center[1] - middle[1])


def full_width_half_maximum(stamp: Float[np.ndarray, "y x"]) -> float:
    """Return the diameter of the circle of the area above half of the maximum [pix]."""
    stamp = np.asarray(stamp, float)
    rows, columns = (np.flatnonzero(np.any(stamp > 0.4 * stamp.max(), axis=axis)) for axis in (1, 0))
    stamp = stamp[max(rows[0] - 3, 0) : rows[-1] + 4, max(columns[0] - 3, 0) : columns[-1] + 4]
    # grid_mode keeps pixel edges on pixel edges, so that a fine pixel is exactly a fifth of one
    fine = ndimage.zoom(stamp, 5, order=3, mode="nearest", grid_mode=True)
    return float(2.0 * np.sqrt(np.count_nonzero(fine > 0.5 * fine.max()) / np.pi) / 5.0)


def mend_psf(
    stamps: Sequence[Float[np.ndarray, "y x"]], names: Sequence[str]
) -> tuple[Float[np.ndarray, "band side side"], tuple[str, ...]]:
    """Return the stamps as one cube, odd, centered and of sum 1, and a sentence for everything that was mended.

    Raises ValueError, naming the band, where a stamp is no picture of a star.
    """
    notes: list[str] = []
    mended = []
    for stamp, name in zip(stamps, names, strict=True):
        stamp = np.asarray(stamp, dtype=np.float64)
        if stamp.ndim != 2:
            raise ValueError(f"The PSF of {name} must be an image, got an array of shape {stamp.shape}.")
        if not np.all(np.isfinite(stamp)):
            notes.append(f"PSF of {name}: {np.count_nonzero(~np.isfinite(stamp))} undefined pixels set to 0.")
            stamp = np.nan_to_num(stamp, nan=0.0, posinf=0.0, neginf=0.0)
        total = stamp.sum()
        if not total > 0:
            raise ValueError(f"The PSF of {name} has no positive flux; give an image of a star.")
        if abs(total - 1) > 1e-3:
            notes.append(f"PSF of {name}: summed to {total:.4g}, now to 1.")
        stamp = stamp / total
        offset = centroid(stamp)
        if max(map(abs, offset)) > CENTROID_TOLERANCE:
            notes.append(
                f"PSF of {name}: was off the middle of its stamp by ({offset[1]:+.2f}, {offset[0]:+.2f}) px in (x, y), "
                "now centered."
            )
            stamp = centered(stamp, offset)
        elif stamp.shape[0] % 2 == 0 or stamp.shape[1] % 2 == 0:
            stamp = centered(stamp, offset)
        mended.append(stamp)
    side = max(max(s.shape) for s in mended)
    side += 1 - side % 2
    if len({s.shape for s in stamps}) > 1:
        notes.append(f"PSF stamps of different sizes were padded to {side}×{side} px.")
    cube = np.stack([_padded(s, side) for s in mended])
    return cube / cube.sum(axis=(1, 2), keepdims=True), tuple(notes)


def centered(stamp: Float[np.ndarray, "y x"], offset: tuple[float, float]) -> Float[np.ndarray, "side side"]:
    """Return the stamp moved by minus `offset` (y, x) [pix] from its middle onto the middle of an odd one.

    The shift is done in Fourier space on a zero-padded stamp, so that nothing wraps around.
    """
    height, width = stamp.shape
    side = max(height, width) + 1 - max(height, width) % 2
    pad = side + 16
    canvas = np.zeros((pad, pad))
    canvas[:height, :width] = stamp
    target = side // 2
    shift_y = target - ((height - 1) / 2.0 + offset[0])
    shift_x = target - ((width - 1) / 2.0 + offset[1])
    phase = ndimage.fourier_shift(np.fft.fft2(np.roll(canvas, (8, 8), (0, 1))), (shift_y, shift_x))
    moved = np.roll(np.fft.ifft2(phase).real, (-8, -8), (0, 1))[:side, :side]
    return moved / moved.sum()


def _padded(stamp: np.ndarray, side: int) -> np.ndarray:
    pads = [(side - n) // 2 for n in stamp.shape]
    return np.pad(stamp, [(pad, side - n - pad) for pad, n in zip(pads, stamp.shape, strict=True)])
