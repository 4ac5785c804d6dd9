"""One file to a picture: its image, and what the file, its companions or a person say of noise and bad pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from deblend.io.calibration import calibrate
from deblend.io.companions import Companions
from deblend.io.fits_file import Cut, FitsImage, OtherShapeError, read_image
from deblend.io.masks import MASK_NAMES, MaskFile, masked_by, spoilt_integers
from deblend.io.names import bands_of, survey_of
from deblend.io.parts import Parts, parts_of
from deblend.io.picture import Picture, check_usable
from deblend.io.regions import covered_by, is_regions
from deblend.io.roman import is_roman, roman_parts
from deblend.io.weights import (
    WEIGHT_NAMES,
    Kind,
    WeightFile,
    inverse_variances,
    kind_of,
    origins_of,
    read_weights,
    weights_from_noise,
    weights_from_variance,
)
from deblend.observe import NoiseForm, WeightOrigin

Cube = Float[np.ndarray, "band y x"]


@dataclass(frozen=True)
class Given:
    """What a person says of an image; None where nothing was said."""

    weights: WeightFile | None = None
    is_noise_measured: bool = False
    """All weights are left aside."""
    mask: MaskFile | None = None


def read_picture(path: Path, given: Given, found: Companions, cut: Cut | None = None) -> Picture:
    """Read an image (y, x) or a cube (band, y, x) with its noise and its mask, or the piece that `cut` takes of each.

    What a person gives comes before what the file says, and that before what was found beside it. Raises ValueError,
    naming file and HDU, where something does not fit.
    """
    parts = roman_parts(path, cut) if is_roman(path) else parts_of(path, cut)
    image, planes = parts.image, parts.image.cube()
    survey = survey_of(image.cards, image.path)
    unit, size, remark = calibrate(image.cards, survey)
    wcs, remarks = parts.place[0], [*parts.place[1]]
    bands, unnamed = bands_of(image.cards, len(planes), image.path, image.where)
    remarks += [remark] if remark else []
    if image.unreadable:
        remarks.append(f"{', '.join(image.unreadable)} of its header are no FITS cards and are left aside.")
    if parts.left_aside:
        aside = ", ".join(parts.left_aside)
        remarks.append(f"{image.hdu} is read and {aside} left aside; name another as {image.path.name}[HDU].")
    masked, said = _masked(parts, given, found, planes, bands)
    remarks += said
    check_usable(planes, (~masked).astype(float), bands, image.where)
    weights, said, is_measured, origins = _weights(parts, given, found, planes, masked, bands, unit)
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
        weight_origins=origins,
        cards=image.cards,
        psf=parts.psf,
        piece=image.piece,
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
    if given.mask is not None and is_regions(given.mask.path):
        corner = (0, 0) if parts.image.piece is None else (parts.image.piece.box.x[0], parts.image.piece.box.y[0])
        covered = covered_by(given.mask.path, planes.shape[1:], parts.place[0], corner, parts.image.where)
        masked = masked | covered
        remarks.append(f"{np.count_nonzero(covered)} pixels are masked by the regions of {given.mask.path.name}.")
    elif given.mask is not None:
        path, bits = given.mask.path, given.mask.bits
        read = read_image(path, MASK_NAMES, parts.image.cut)
        more, said = masked_by(read, path.name, planes.shape, bands, bits=bits)
        masked, remarks = masked | more, remarks + said
    elif found.mask is not None:
        mask = _beside(found.mask, MASK_NAMES, parts.image)
        if mask is None:
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
) -> tuple[Cube, list[str], bool, tuple[WeightOrigin | None, ...]]:
    """Return inverse variances, remarks on where they come from, whether they were measured in the image, and what
    they were made of."""
    image = parts.image
    noise: tuple[FitsImage, str, Kind] | None = None
    remarks: list[str] = []
    if given.weights is not None:
        read = read_weights(given.weights, planes.shape, image)
        noise = read, given.weights.path.name, kind_of(read, given.weights)
        if parts.weights is not None:
            remarks.append(f"weights from {read.path.name} stand in for {parts.weights[0].name}.")
    elif parts.weights is not None and not given.is_noise_measured:
        noise = parts.weights[0], parts.weights[0].hdu, parts.weights[1]
    elif found.weights is not None and not given.is_noise_measured:
        beside = WeightFile(found.weights, is_given=False)
        part = _beside(beside.path, WEIGHT_NAMES, image)
        if part is not None and part.data.shape == image.data.shape:
            noise = part, part.path.name, kind_of(part, beside)
        else:
            remarks.append(f"{beside.path.name} is of another shape, and is not used.")
    if noise is not None:
        weights, said = inverse_variances(*noise, planes, masked, bands, unit, image.where)
        origins = origins_of(noise[2], noise[0].cube(), weights)
        return weights, said + remarks, noise[2] is Kind.EXPOSURE, origins
    if parts.variance is not None and not given.is_noise_measured:
        weights, said = weights_from_variance(parts.variance)
        remarks.append("its variance is that of its counts (gain and dark variance of its CCD).")
        return weights, [*remarks, *said], False, (WeightOrigin(NoiseForm.VARIANCE),) * len(planes)
    weights, said = weights_from_noise(planes, np.isfinite(planes) & ~masked, bands, unit, image.where)
    return weights, remarks + said, True, (None,) * len(planes)


def _beside(path: Path, prefer: Sequence[str], image: FitsImage) -> FitsImage | None:
    """Return the same piece of a file found beside an image; None where it has another height or width."""
    try:
        found = read_image(path, prefer, image.cut)
    except OtherShapeError:
        return None
    return found if found.data.shape[-2:] == image.data.shape[-2:] else None
