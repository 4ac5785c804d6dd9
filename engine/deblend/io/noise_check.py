"""Whether the weights of an image agree with its noise, as measured in blank sky; and weights made to agree."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from deblend.io.picture import Picture
from deblend.observe.noise import faint_pixels, measured_sigma, spread_between

NOISE_TOLERANCE = 0.15
"""A given noise that differs by more than this fraction from the measured one is said aloud."""
SPREAD = 3.0
"""The measured noise of n faint pixels is uncertain by about 1/√n; so many times that is no news."""


def noise_ratios(images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"]) -> dict[int, float]:
    """Return the noise measured in blank sky over that of the weights, by the number of the band.

    Bands in which there is no noise to measure are left out.
    """
    ratios = {}
    for band, (plane, weight) in enumerate(zip(images, weights, strict=True)):
        usable = (weight > 0) & np.isfinite(plane)
        try:
            ratios[band] = blank_sky_sigma(np.where(usable, plane * np.sqrt(np.where(usable, weight, 0.0)), np.nan))
        except ValueError:  # too few neighbours, or no noise at all
            continue
    return ratios


def blank_sky_sigma(image: Float[np.ndarray, "y x"]) -> float:
    """Return the standard deviation of the noise in the faint half of an image, which is nowhere else looked at.

    From pixels two or three apart, as `sky_sigma` measures it, but bright pixels have no say: a tenth of the image
    under sources moves that by 5 % (white noise, 160 × 150 px: 1.05, and this 1.01 ± 0.01), which is fit for weights
    and not for telling whether some are right. Raises ValueError where there is no noise to measure.
    """
    is_faint = faint_pixels(image)
    apart = [spread_between(image, is_faint, lag) for lag in ((0, 2), (2, 0), (0, 3), (3, 0))]
    sigma = float(np.nanmedian(apart)) if np.isfinite(apart).any() else 0.0
    return sigma if sigma > 0 else measured_sigma(image, is_faint)


def checked(picture: Picture, *, rescale: bool) -> Picture:
    """Return the picture with a remark for every band whose given noise is not the measured one.

    With `rescale` the weights of all bands are multiplied, so that both agree.
    """
    if picture.is_noise_measured:
        return picture
    ratios = noise_ratios(picture.images, picture.weights)
    if rescale:
        factors = np.array([ratios.get(band, 1.0) ** -2 for band in range(len(picture.bands))])
        said = ", ".join(f"{name} {factor:.3g}" for name, factor in zip(picture.bands, factors, strict=True))
        remark = f"its weights were multiplied so that they agree with the noise of blank sky: {said}."
        weights = picture.weights * factors[:, None, None]
        origins = tuple(
            None if origin is None else replace(origin, factor=origin.factor * float(factor))
            for origin, factor in zip(picture.weight_origins, factors, strict=False)
        )
        return replace(picture, weights=weights, weight_origins=origins, remarks=(*picture.remarks, remark))
    remarks = [
        f"the noise measured in blank sky of band {picture.bands[band]} is {ratio:.2f} times that of the weights; "
        "check them, or have them rescaled (--rescale-weights)."
        for band, ratio in ratios.items()
        if abs(ratio - 1.0) > noise_tolerance(picture.images[band], picture.weights[band])
    ]
    return replace(picture, remarks=(*picture.remarks, *remarks))


def noise_tolerance(image: Float[np.ndarray, "y x"], weights: Float[np.ndarray, "y x"]) -> float:
    """Return how far both may lie apart: more in a small image, which has less sky to measure in."""
    is_faint = faint_pixels(np.where(weights > 0, image, np.nan))
    return max(NOISE_TOLERANCE, SPREAD / math.sqrt(max(int(is_faint.sum()), 1)))
