"""Plain FITS: an image or a cube, with its weights in a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.io.calibration import calibrate
from deblend.io.fits_file import Cut, FitsImage, image_of, label, named, opened, read_image, split_hdu, stem
from deblend.io.names import bands_of, survey_of
from deblend.io.picture import (
    Picture,
    check_usable,
    noise_remarks,
    wcs_of,
    weights_from_inverse_variance,
    weights_from_noise,
    weights_from_variance,
)

IMAGE_NAMES = ("SCI", "IMAGE")
ERROR_NAMES = ("ERR",)
"""Standard deviations, in the unit of the image."""
EXPOSURE_NAMES = ("WHT",)
WEIGHT_NAMES = ("WHT", "WEIGHT", "WEIGHTS", "IVAR", "INVVAR")


def read_plain(path: Path, weights: Path | None, cut: Cut | None = None) -> Picture:
    """Read an image (y, x) or a cube (band, y, x), with inverse variances from another file where there is one.

    With `cut`, only a piece of both.

    Raises ValueError, naming file and HDU, where something does not fit.
    """
    image = read_image(path, IMAGE_NAMES, cut)
    planes = image.cube()
    unit, size, remark = calibrate(image.cards)
    wcs, remarks = wcs_of(image)
    bands, unnamed = bands_of(image.cards, len(planes), stem(path), image.where)
    remarks += [remark] if remark else []
    beside = noise_beside(image, planes.shape) if weights is None else None
    aside = [hdu for hdu in image.left_aside if beside is None or hdu != beside.hdu]
    if aside:
        remarks.append(
            f"{image.hdu} is read and {', '.join(aside)} left aside; name another as {image.path.name}[HDU]."
        )
    if weights is None:
        check_usable(planes, np.ones_like(planes), bands, image.where)
        if beside is None:
            inverse_variance, more = weights_from_noise(planes, np.isfinite(planes), bands, unit, image.where)
        else:
            inverse_variance, more = weights_beside(beside, planes, bands, unit, image.where)
            check_usable(planes, inverse_variance, bands, image.where)
    else:
        inverse_variance, more = read_weights(weights, planes.shape, image.where, image.cut)
        check_usable(planes, inverse_variance, bands, image.where)
        more += noise_remarks(planes, inverse_variance, bands)
    return Picture(
        path=path,
        images=planes,
        weights=inverse_variance,
        bands=bands,
        survey=survey_of(image.cards),
        unit=unit,
        njy_per_unit=size,
        wcs=wcs,
        remarks=(*remarks, *more),
        unnamed=unnamed,
        piece=image.piece,
    )


def noise_beside(image: FitsImage, shape: tuple[int, ...]) -> FitsImage | None:
    """Return the errors, or else the weights, that the file of an image holds of the same shape; None without any."""
    if not image.left_aside:
        return None
    path = split_hdu(image.path)[0]
    with opened(path) as hdus:
        for name in (*ERROR_NAMES, *EXPOSURE_NAMES):
            number = named(hdus, name)
            if number is not None and label(hdus, number) in image.left_aside:
                found = image_of(hdus, number, path, cut=image.cut)
                if found.cube().shape == shape:
                    return found
    return None


def weights_beside(
    noise: FitsImage, planes: Float[np.ndarray, "band y x"], bands: Sequence[str], unit: str, where: str
) -> tuple[Float[np.ndarray, "band y x"], list[str]]:
    """Return inverse variances from errors, or from weights that only tell pixels from each other; and remarks.

    The latter are exposures (drizzled images): what one of them means is measured in the image.
    """
    values = noise.cube()
    if any(f"({name})" in noise.hdu for name in ERROR_NAMES):
        weights, remarks = weights_from_variance(np.sign(values) * values**2)
        return weights, [f"its weights are 1/error² of {noise.hdu}.", *remarks]
    good = np.isfinite(values) & (values > 0)
    typical = np.array(
        [np.median(plane[seen]) if seen.any() else 1.0 for plane, seen in zip(values, good, strict=True)]
    )
    relative = np.where(good, values, 0.0) / typical[:, None, None]
    usable = good & np.isfinite(planes)
    flat, _ = weights_from_noise(planes * np.sqrt(relative), usable, bands, unit, where)
    masked = np.count_nonzero(~good)
    said = f"{noise.hdu} is taken for exposure: the noise was measured in the image, and varies as its root."
    return relative * flat, [said] + ([f"{masked} pixels without exposure are masked."] if masked else [])


def read_weights(
    path: Path, shape: tuple[int, ...], image: str, cut: Cut | None = None
) -> tuple[Float[np.ndarray, "band y x"], list[str]]:
    """Read inverse variances [1/(unit/pix)²] for an image (band, y, x) of `shape`, and remarks on bad ones."""
    found = read_image(path, WEIGHT_NAMES, cut)
    values = found.cube()
    if values.shape != shape:
        raise ValueError(
            f"{found.where}: weights of shape {_shown(values.shape)} do not fit the image of shape {_shown(shape)} "
            f"in {image}; give one --weights file of the same shape per image, in the same order."
        )
    weights, remarks = weights_from_inverse_variance(values, "weight")
    return weights, [f"{remark[:-1]} ({found.path.name})." for remark in remarks]


def _shown(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[1:] if shape[0] == 1 else shape))
