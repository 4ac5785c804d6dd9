"""Plain FITS: an image or a cube, with its weights in a file of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.io.calibration import calibrate
from deblend.io.fits_file import read_image, stem
from deblend.io.names import bands_of, survey_of
from deblend.io.picture import (
    Picture,
    check_usable,
    noise_remarks,
    wcs_of,
    weights_from_inverse_variance,
    weights_from_noise,
)

IMAGE_NAMES = ("SCI", "IMAGE")
WEIGHT_NAMES = ("WHT", "WEIGHT", "WEIGHTS", "IVAR", "INVVAR")


def read_plain(path: Path, weights: Path | None) -> Picture:
    """Read an image (y, x) or a cube (band, y, x), with inverse variances from another file where there is one.

    Raises ValueError, naming file and HDU, where something does not fit.
    """
    image = read_image(path, IMAGE_NAMES)
    planes = image.cube()
    unit, size, remark = calibrate(image.cards)
    wcs, remarks = wcs_of(image)
    bands, unnamed = bands_of(image.cards, len(planes), stem(path), image.where)
    remarks += [remark] if remark else []
    if image.left_aside:
        remarks.append(
            f"{image.hdu} is read and {', '.join(image.left_aside)} left aside; name another as {image.path.name}[HDU]."
        )
    if weights is None:
        check_usable(planes, np.ones_like(planes), bands, image.where)
        inverse_variance, more = weights_from_noise(planes, np.isfinite(planes), bands, unit, image.where)
    else:
        inverse_variance, more = read_weights(weights, planes.shape, image.where)
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
    )


def read_weights(path: Path, shape: tuple[int, ...], image: str) -> tuple[Float[np.ndarray, "band y x"], list[str]]:
    """Read inverse variances [1/(unit/pix)²] for an image (band, y, x) of `shape`, and remarks on bad ones."""
    found = read_image(path, WEIGHT_NAMES)
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
