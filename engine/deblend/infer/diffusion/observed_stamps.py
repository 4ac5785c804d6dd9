"""Observed stamps, with what leads to them from the pictures of a prior: the telescope's PSF over the model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.infer.diffusion.expectation import Observed
from deblend.observe.kernel import difference_kernel, kernel_radius, trimmed
from deblend.priors.stamps import read_image, read_observed
from deblend.scene.learned import LEARNED_SIGMA

WIDEST_KERNEL = 0.5
"""Share of a stamp's side that the kernel between pictures and images may have."""


def observed_behind(
    images: Float[np.ndarray, "stamp y x"],
    psf: Float[np.ndarray, "side side"],
    noise: float,
    model_sigma: float = LEARNED_SIGMA,
) -> Observed:
    """Return stamps seen with a PSF, those too faint to tell anything left out.

    `noise` is the standard deviation of a pixel [unit of images], `model_sigma` that of the Gaussian behind which the
    prior is to know galaxies [pix]. Raises ValueError where fewer than two stamps are bright enough.
    """
    kernel = difference_kernel(psf / psf.sum(), model_sigma)[None]
    most = int(WIDEST_KERNEL * images.shape[1]) // 2
    return Observed.of(images, trimmed(kernel, min(kernel_radius(kernel), most))[0], noise)


def read_observed_stamps(
    stamps: Path, psf: Path
) -> tuple[Float[np.ndarray, "stamp y x"], Float[np.ndarray, "side side"]]:
    """Return a cube of stamps and their PSF; raises ValueError, which names the file, where one is none."""
    images, kernel = read_observed(stamps), read_image(psf)
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0 or not kernel.sum() > 0:
        raise ValueError(f"{psf}: a PSF is a square of odd side with light in it, got the shape {kernel.shape}.")
    return images, kernel
