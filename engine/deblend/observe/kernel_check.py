"""Whether difference kernels can be trusted: what the model's pixels, or the PSF's, are too coarse to tell.

A star's peak is the sum of the waves of its PSF. Those beyond the band of the pixels are lost, or come back as others
(Moffat 1.0-2.5 px wide, in 1 px pixels: a star between pixels errs by 0.7-1.5 times their share of the peak). A PSF
that is known on coarse pixels alone does not show them; there the waves at the end of its band tell how many follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from jaxtyping import Float

from deblend.observe.kernel import difference_kernel
from deblend.observe.observation import Observation
from deblend.sky import PixelAffine, PixelGrid

END_OF_BAND = 0.45
"""Waves above belong to the end of a PSF's own band [1/sample]."""
SHARE = 0.015
"""Of the peak: with more of it in waves that are not told, a person is told."""
RINGS = 0.05
"""Depth of a kernel's deepest lobe from which on a person is told [peak of the kernel]."""


def waves_beyond(psf: Float[np.ndarray, "side side"], affine: PixelAffine, oversampling: float = 1) -> float:
    """Return the share of a PSF's peak in waves that the model's pixels cannot carry.

    `affine` leads from the observation's pixels, of `oversampling` samples each along an axis, to the model's.
    """
    modulus, frequencies = _waves(psf)
    # a wave of so many turns per sample has the inverse transpose of the map's turns per pixel of the model
    turns = np.linalg.inv(affine.finer(oversampling).array).T
    along_y = np.abs(turns[0, 0] * frequencies[:, None] + turns[0, 1] * frequencies)
    along_x = np.abs(turns[1, 0] * frequencies[:, None] + turns[1, 1] * frequencies)
    return float(modulus[np.maximum(along_y, along_x) > 0.5].sum() / modulus.sum())


def waves_at_the_end(psf: Float[np.ndarray, "side side"]) -> float:
    """Return the share of a PSF's peak in waves at the end of the band of its own samples."""
    modulus, frequencies = _waves(psf)
    is_end = np.maximum(np.abs(frequencies)[:, None], np.abs(frequencies)) > END_OF_BAND
    return float(modulus[is_end].sum() / modulus.sum())


def ringing(kernel: Float[np.ndarray, "side side"]) -> float:
    """Return the depth of a kernel's deepest negative lobe [its peak]; 0 without any."""
    return float(max(-kernel.min(), 0.0) / kernel.max())


def kernel_notes(observations: Sequence[Observation], grid: PixelGrid, model_sigma: float) -> tuple[str, ...]:
    """Return a sentence per observation some kernel of which cannot be trusted, with what to do about it.

    `grid` is the scene's, `model_sigma` the width of its PSF [pix of `grid`].
    """
    notes = []
    for observation in observations:
        affine, finely = observation.grid.affine_to(grid), observation.psf_oversampling
        stamps = observation.psf_samples
        bands = [channel.band for channel in observation.channels]
        beyond = [waves_beyond(stamp, affine, finely) for stamp in stamps]
        at_end = [waves_at_the_end(stamp) for stamp in stamps]
        rings = [ringing(difference_kernel(stamp, model_sigma, affine, finely)) for stamp in stamps]
        worst = int(np.argmax(np.maximum(np.maximum(beyond, at_end) / SHARE, np.array(rings) / RINGS)))
        if max(beyond[worst], at_end[worst]) <= SHARE and rings[worst] <= RINGS:
            continue
        if beyond[worst] > at_end[worst]:
            why = f"{beyond[worst]:.1%} of its peak are waves too short for the pixels that sources live on"
            remedy = "let them live on finer ones (oversampling; an image without WCS keeps its own)"
        else:
            why = f"{at_end[worst]:.1%} of its peak are waves at the limit of its own pixels"
            remedy = "give an oversampled PSF (--psf-oversampling N)"
        lobes = f", and its kernel rings by {rings[worst]:.1%}" if rings[worst] > RINGS else ""
        notes.append(
            f"{observation.name}: the PSF of band {bands[worst]} is narrow: {why}{lobes}; stars between pixels may err "
            f"by as much. To mend it, {remedy}."
        )
    return tuple(notes)


def _waves(psf: Float[np.ndarray, "side side"]) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, " n"]]:
    """Return the moduli of a PSF's waves, and their frequencies along each axis [1/sample]."""
    n = scipy.fft.next_fast_len(2 * psf.shape[-1])
    return np.abs(scipy.fft.fft2(psf, s=(n, n))), scipy.fft.fftfreq(n)
