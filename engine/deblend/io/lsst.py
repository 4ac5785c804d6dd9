"""The LSST and HSC layout: IMAGE, MASK and VARIANCE in HDUs of those names, FLUXMAG0 in the primary header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from jaxtyping import Bool

from deblend.io.calibration import calibrate
from deblend.io.fits_file import Cut, FitsImage, image_of, named, opened, split_hdu, stem
from deblend.io.names import bands_of, survey_of
from deblend.io.picture import (
    Picture,
    check_usable,
    noise_remarks,
    wcs_of,
    weights_from_noise,
    weights_from_variance,
)
from deblend.io.plain import read_weights

HSC_PLANES = {
    "BAD": 0,
    "SAT": 1,
    "INTRP": 2,
    "CR": 3,
    "EDGE": 4,
    "DETECTED": 5,
    "DETECTED_NEGATIVE": 6,
    "SUSPECT": 7,
    "NO_DATA": 8,
}
"""Bits of the mask as the HSC pipeline lays them by default; used where the header has no MP_ cards."""
MASKED_PLANES = ("BAD", "SAT", "NO_DATA")
"""Planes whose pixels do not count."""


def is_lsst(path: Path) -> bool:
    """Tell whether a file has the layout: an image IMAGE with a MASK or a VARIANCE."""
    path, hdu = split_hdu(path)
    if hdu is not None:
        return False
    with opened(path) as hdus:
        return named(hdus, "IMAGE") is not None and any(named(hdus, name) is not None for name in ("MASK", "VARIANCE"))


def read_lsst(path: Path, weights: Path | None, cut: Cut | None = None) -> Picture:
    """Read a file of this layout, or a piece of it; `weights`, where given, stand in for 1/VARIANCE.

    Raises ValueError, naming file and HDU, where something does not fit.
    """
    with opened(path) as hdus:
        image = _part(hdus, "IMAGE", path, cut)
        assert image is not None, "is_lsst has looked"
        mask, variance = (_part(hdus, name, path, image.cut) for name in ("MASK", "VARIANCE"))
    planes = image.cube()
    unit, size, remark = calibrate(image.cards)
    wcs, remarks = wcs_of(image)
    bands, unnamed = bands_of(image.cards, len(planes), stem(path), image.where)
    remarks += [remark] if remark else []
    masked = np.zeros(planes.shape, dtype=bool)
    if mask is None:
        remarks.append("has no MASK; no pixel is masked by it.")
    else:
        _check_shape(mask, image)
        masked, said = masked_pixels(mask)
        remarks += said
    usable = np.isfinite(planes) & ~masked
    if weights is not None:
        inverse_variance, more = read_weights(weights, planes.shape, image.where, image.cut)
        more.append(f"weights from {weights.name} stand in for VARIANCE.")
    elif variance is not None:
        _check_shape(variance, image)
        inverse_variance, more = weights_from_variance(variance.cube())
    else:
        check_usable(planes, usable.astype(float), bands, image.where)
        inverse_variance, more = weights_from_noise(planes, usable, bands, unit, image.where)
    inverse_variance = np.where(masked, 0.0, inverse_variance)
    check_usable(planes, inverse_variance, bands, image.where)
    if weights is not None or variance is not None:
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


def masked_pixels(mask: FitsImage) -> tuple[Bool[np.ndarray, "band y x"], list[str]]:
    """Return where a plane of `MASKED_PLANES` is set, and remarks on the planes assumed and the pixels masked."""
    if mask.data.dtype.kind not in "iu":
        raise ValueError(f"{mask.where}: bit planes must be integers, got {mask.data.dtype}.")
    remarks = []
    planes = {name[3:]: int(bit) for name, bit in mask.cards.own.items() if name.startswith("MP_")}
    if not planes:
        planes = HSC_PLANES
        assumed = ", ".join(f"{name} {HSC_PLANES[name]}" for name in MASKED_PLANES)
        remarks.append(f"its MASK names no planes (MP_ cards); the HSC default is assumed: {assumed}.")
    bits = [planes[name] for name in MASKED_PLANES if name in planes]
    data = mask.data.astype(np.int64)
    masked = (data & sum(1 << bit for bit in bits)) != 0
    masked = masked[None] if masked.ndim == 2 else masked
    if masked.any():
        remarks.append(f"{np.count_nonzero(masked)} pixels are masked by {', '.join(MASKED_PLANES)}.")
    return masked, remarks


def _part(hdus: fits.HDUList, name: str, path: Path, cut: Cut | None) -> FitsImage | None:
    number = named(hdus, name)
    return None if number is None else image_of(hdus, number, path, cut=cut)


def _check_shape(part: FitsImage, image: FitsImage) -> None:
    if part.data.shape != image.data.shape:
        raise ValueError(
            f"{part.where}: its shape {part.data.shape} is not that of {image.hdu}, {image.data.shape}; "
            "the file is not in the LSST layout."
        )
