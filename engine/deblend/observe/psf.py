"""PSF stamps, mended: odd, centered, of sum 1, all of one size; what was mended is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import ndimage

CENTROID_TOLERANCE = 0.02
"""A stamp whose centroid is closer than this to its middle pixel is left alone [pix]."""
HALF_A_PIXEL = 0.52
"""So far off the middle pixel an image of a star in its place may have it, measured [pix]."""
ENCLOSED = 0.999
"""Share of the light within which wings are never cut."""
NOISE_SHARE, NOISE_LEVEL = 0.25, 1e-5
"""Negative pixels among those of wings that are noise, and the size of such noise [peak]."""


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


def native_psf(
    stamps: Float[np.ndarray, "*stack fine fine"], oversampling: int
) -> Float[np.ndarray, "*stack side side"]:
    """Return finer stamps on the pixels of the detector: their values where its middles lie, of sum 1.

    Nothing is averaged: each sample stands for the light that a pixel of the detector has there.
    """
    if oversampling == 1:
        return stamps
    middle = stamps.shape[-1] // 2
    places = np.arange(middle % oversampling, stamps.shape[-1], oversampling)
    native = stamps[..., places[:, None], places]
    return native / native.sum(axis=(-2, -1), keepdims=True)


def integrated_over_pixels(stamp: Float[np.ndarray, "y x"], oversampling: float = 1) -> Float[np.ndarray, "y x"]:
    """Return what pixels of the detector would hold at the samples of the optics' image: convolved with their box.

    The box is `oversampling` samples wide. Its transform is a product of sinc, so this is exact for what the samples
    stand for; the stamp gets half a pixel and more on every side.
    """
    pad = int(oversampling) // 2 + 1
    wide = np.pad(stamp, pad)
    shape = tuple(2 * n for n in wide.shape)
    along_y, along_x = (np.sinc(oversampling * np.fft.fftfreq(n)) for n in shape)
    waves = np.fft.fft2(wide, s=shape) * along_y[:, None] * along_x
    result: Float[np.ndarray, "y x"] = np.fft.ifft2(waves).real[: wide.shape[0], : wide.shape[1]]
    return result


def mend_psf(
    stamps: Sequence[Float[np.ndarray, "y x"]],
    names: Sequence[str],
    *,
    oversampling: int = 1,
    is_integrated: bool = True,
) -> tuple[Float[np.ndarray, "band side side"], tuple[str, ...]]:
    """Return the stamps as one cube, odd, centered and of sum 1, and a sentence for everything that was mended.

    Parameters
    ----------
    oversampling
        Samples per pixel of the detector, along each axis.
    is_integrated
        Whether the samples hold the light of whole pixels of the detector; else they are points of the optics'
        image, and become what such pixels would hold.

    Raises
    ------
    ValueError
        Naming the band, where a stamp is no picture of a star.
    """
    if oversampling != int(oversampling) or oversampling < 1:
        raise ValueError(f"A PSF has a whole number of samples per pixel, 1 or more, got {oversampling}.")
    notes: list[str] = []
    mended = []
    for stamp, name in zip(stamps, names, strict=True):
        one, said = _mended(np.asarray(stamp, dtype=np.float64), name, oversampling, is_integrated)
        mended.append(one)
        notes += [f"PSF of {name}: {sentence}" for sentence in said]
    side = max(max(s.shape) for s in mended)
    side += 1 - side % 2
    if len({np.shape(s) for s in stamps}) > 1:
        notes.append(f"PSF stamps of different sizes were padded to {side}×{side} px.")
    cube = np.stack([padded(s, side) for s in mended])
    return cube / cube.sum(axis=(1, 2), keepdims=True), tuple(notes)


def _mended(
    stamp: np.ndarray, name: str, oversampling: int, is_integrated: bool
) -> tuple[Float[np.ndarray, "y x"], list[str]]:
    """Return one stamp, odd, centered and of sum 1, and what was mended of it."""
    notes = []
    if stamp.ndim != 2:
        raise ValueError(f"The PSF of {name} must be an image, got an array of shape {stamp.shape}.")
    if not np.all(np.isfinite(stamp)):
        notes.append(f"{np.count_nonzero(~np.isfinite(stamp))} undefined pixels set to 0.")
        stamp = np.nan_to_num(stamp, nan=0.0, posinf=0.0, neginf=0.0)
    total = stamp.sum()
    if not total > 0:
        raise ValueError(f"The PSF of {name} has no positive flux; give an image of a star.")
    if abs(total - 1) > 1e-3:
        notes.append(f"summed to {total:.4g}, now to 1.")
    stamp = stamp / total
    offset = centroid(stamp)
    is_even = stamp.shape[0] % 2 == 0 or stamp.shape[1] % 2 == 0
    off_by = max(map(abs, offset)) / oversampling
    if off_by > CENTROID_TOLERANCE:
        said = f"({offset[1] / oversampling:+.2f}, {offset[0] / oversampling:+.2f}) px in (x, y)"
        if not is_even and oversampling == 1 and off_by <= HALF_A_PIXEL:
            notes.append(
                f"was off the middle of its stamp by {said}, half a pixel at most: looks like computeImage(...) of the "
                "LSST stack, shifted to kernel form; computeKernelImage at the position is what to convolve with."
            )
        else:
            notes.append(f"was off the middle of its stamp by {said}, now centered.")
    if is_even:
        notes.append(f"its stamp of {stamp.shape[1]}×{stamp.shape[0]} px (x by y) has no middle pixel, and got one.")
    if is_even or off_by > CENTROID_TOLERANCE:
        stamp = centered(stamp, offset)
    radius = noisy_from(stamp)
    if radius is not None:
        middle = stamp.shape[0] // 2
        inner = slice(middle - radius, middle + radius + 1)
        notes.append(
            f"its wings are noise beyond {radius} px of its {stamp.shape[0]}×{stamp.shape[0]}: cut there, where "
            f"{ENCLOSED:.1%} of its light lie inside."
        )
        stamp = stamp[inner, inner] / stamp[inner, inner].sum()
    if not is_integrated:
        stamp = integrated_over_pixels(stamp, oversampling)
    return stamp, notes


def noisy_from(stamp: Float[np.ndarray, "side side"]) -> int | None:
    """Return the radius of the box beyond which a centered stamp holds noise alone [pix]; None where it holds light.

    Light is positive: where a quarter of the pixels outside of 99.9 % of the light is negative, it is noise.
    """
    middle = stamp.shape[0] // 2
    if stamp.shape[0] != stamp.shape[1] or middle < 3:
        return None
    y, x = np.abs(np.indices(stamp.shape) - middle)
    rings = np.bincount(np.maximum(y, x).ravel(), weights=stamp.ravel())
    radius = int(np.flatnonzero(np.cumsum(rings) >= ENCLOSED * stamp.sum())[0])
    outside = stamp[np.maximum(y, x) > radius]
    negative = outside[outside < 0]
    if radius < 2 or not negative.size or negative.size < NOISE_SHARE * outside.size:
        return None
    # a trace of ringing in a Fourier transform is no noise
    return radius if np.sqrt(np.mean(negative**2)) > NOISE_LEVEL * stamp.max() else None


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


def padded(stamps: Float[np.ndarray, "*stack y x"], side: int) -> Float[np.ndarray, "*stack side side"]:
    """Return stamps in the middle of larger ones."""
    pads = [(side - n) // 2 for n in stamps.shape[-2:]]
    whole = [(0, 0)] * (stamps.ndim - 2)
    return np.pad(stamps, [*whole, *((pad, side - n - pad) for pad, n in zip(pads, stamps.shape[-2:], strict=True))])
