"""One file to a picture: its image, and what the file, its companions or a person say of noise and bad pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from deblend.io.calibration import calibrate
from deblend.io.companions import Companions
from deblend.io.fits_file import FitsImage, read_image
from deblend.io.masks import MASK_NAMES, masked_by, spoilt_integers
from deblend.io.names import bands_of, survey_of
from deblend.io.parts import Parts, parts_of
from deblend.io.picture import Picture, check_usable
from deblend.io.roman import is_roman, roman_parts
from deblend.io.weights import (
    KIND_OF_WORD,
    Kind,
    WeightFile,
    inverse_variances,
    kind_of,
    read_weights,
    weights_from_noise,
    weights_from_variance,
)

Cube = Float[np.ndarray, "band y x"]


@dataclass(frozen=True)
class Given:
    """What a person says of an image; None where nothing was said."""

    weights: WeightFile | None = None
    is_noise_measured: bool = False
    """All weights are left aside."""
    mask: Path | None = None


def read_picture(path: Path, given: Given, found: Companions) -> Picture:
    """Read an image (y, x) or a cube (band, y, x) with its noise and its mask.

    What a person gives comes before what the file says, and that before what was found beside it. Raises ValueError,
    naming file and HDU, where something does not fit.
    """
    parts = roman_parts(path) if is_roman(path) else parts_of(path)
    image, planes = parts.image, parts.image.cube()
    survey = survey_of(image.cards, image.path)
    unit, size, remark = calibrate(image.cards, survey)
    wcs, remarks = parts.place[0], [*parts.place[1]]
    bands, unnamed = bands_of(image.cards, len(planes), image.path, image.where)
    remarks += [remark] if remark else []
    if parts.left_aside:
        aside = ", ".join(parts.left_aside)
        remarks.append(f"{image.hdu} is read and {aside} left aside; name another as {image.path.name}[HDU].")
    masked, said = _masked(parts, given, found, planes, bands)
    remarks += said
    check_usable(planes, (~masked).astype(float), bands, image.where)
    weights, said, is_measured = _weights(parts, given, found, planes, masked, bands, unit)
    weights = np.where(masked, 0.0, weights)
    check_usable(planes, weights, bands, image.where)
    return Picture(
        path=path,
        images=planes,
        weights=weights,
        bands=bands,
        survey=survey,
        unit=unit,
        njy_per_unit=size,
        wcs=wcs,
        remarks=(*remarks, *said),
        unnamed=unnamed,
        is_noise_measured=is_measured,
        cards=image.cards,
    )


def _masked(
    parts: Parts, given: Given, found: Companions, planes: Cube, bands: tuple[str, ...]
) -> tuple[Bool[np.ndarray, "band y x"], list[str]]:
    masked, remarks = spoilt_integers(parts.image, planes)
    if parts.mask is not None:
        more, said = masked_by(parts.mask, parts.mask.hdu, planes.shape, bands, is_lsst=parts.is_lsst)
        masked, remarks = masked | more, remarks + said
    elif parts.is_lsst and given.mask is None and found.mask is None:
        remarks.append("has no MASK; no pixel is masked by it.")
    if given.mask is not None:
        more, said = masked_by(read_image(given.mask, MASK_NAMES), given.mask.name, planes.shape, bands)
        masked, remarks = masked | more, remarks + said
    elif found.mask is not None:
        mask = read_image(found.mask, MASK_NAMES)
        if mask.data.shape[-2:] != planes.shape[-2:]:
            remarks.append(f"{found.mask.name} is of another shape, and is not used.")
        else:
            more, said = masked_by(mask, found.mask.name, planes.shape, bands)
            masked, remarks = masked | more, remarks + said
    return masked, remarks


def _weights(
    parts: Parts,
    given: Given,
    found: Companions,
    planes: Cube,
    masked: Bool[np.ndarray, "band y x"],
    bands: tuple[str, ...],
    unit: str,
) -> tuple[Cube, list[str], bool]:
    """Return inverse variances, remarks on where they come from, and whether they were measured in the image."""
    image = parts.image
    noise: tuple[FitsImage, str, Kind] | None = None
    remarks: list[str] = []
    if given.weights is not None:
        read = read_weights(given.weights, planes.shape, image.where)
        noise = read, given.weights.path.name, kind_of(read, given.weights)
        if parts.weights is not None:
            remarks.append(f"weights from {read.path.name} stand in for {parts.weights[0].name}.")
    elif parts.weights is not None and not given.is_noise_measured:
        noise = parts.weights[0], parts.weights[0].hdu, parts.weights[1]
    elif found.weights is not None and not given.is_noise_measured:
        beside = WeightFile(found.weights, is_given=False)
        read = read_image(beside.path, tuple(word.upper() for word in KIND_OF_WORD))
        if read.data.shape == image.data.shape:
            noise = read, read.path.name, kind_of(read, beside)
        else:
            remarks.append(f"{read.path.name} is of another shape, and is not used.")
    if noise is not None:
        weights, said = inverse_variances(*noise, planes, masked, bands, unit, image.where)
        return weights, said + remarks, noise[2] is Kind.EXPOSURE
    if parts.variance is not None and not given.is_noise_measured:
        weights, said = weights_from_variance(parts.variance)
        return (
            weights,
            [*remarks, "its variance is that of its counts (gain and dark variance of its CCD).", *said],
            False,
        )
    weights, said = weights_from_noise(planes, np.isfinite(planes) & ~masked, bands, unit, image.where)
    return weights, remarks + said, True
