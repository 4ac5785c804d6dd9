"""What one FITS file holds: its image, and what goes with it in other HDUs.

The layouts differ only in which HDU is what: IMAGE, MASK and VARIANCE (LSST, HSC); SCI with ERR, WHT or DQ (Hubble,
Webb); an image by itself with the rest in files of their own (Legacy Surveys, Euclid, mosaics of Hubble).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.io.fits_file import (
    Cut,
    FitsImage,
    flat_numbers,
    image_number,
    image_of,
    label,
    opened,
    part_name,
    split_hdu,
)
from deblend.io.masks import MASK_NAMES
from deblend.io.psf_image import WITHIN_NAMES
from deblend.io.sdss import frame_variance
from deblend.io.weights import KIND_OF_WORD, Kind, as_header_says
from deblend.io.world import visit_remarks, wcs_of
from deblend.sky import TangentWcs

IMAGE_NAMES = ("SCI", "IMAGE")


@dataclass(frozen=True)
class Parts:
    """What one file holds."""

    image: FitsImage
    place: tuple[TangentWcs | None, tuple[str, ...]]
    """WCS, and remarks on it."""
    weights: tuple[FitsImage, Kind] | None = None
    mask: FitsImage | None = None
    variance: Float[np.ndarray, "band y x"] | None = None
    """Worked out from the calibration that the file holds [unit²/pix²]."""
    psf: Path | None = None
    """The HDU with the PSF of the image, as FILE[HDU]."""
    left_aside: tuple[str, ...] = ()
    """HDUs that nobody asked for."""
    is_lsst: bool = False


def parts_of(path: Path, cut: Cut | None = None) -> Parts:
    """Read what belongs together in one file, or a piece of it: the image, its weights and its mask by their names.

    Raises ValueError, naming file and HDU, where the file is missing or broken, or the cut misses the image.
    """
    path, hdu = split_hdu(path)
    with opened(path) as hdus:
        number = image_number(hdus, path, hdu, IMAGE_NAMES)
        image = image_of(hdus, number, path, cut=cut)
        names = {n: part_name(hdus[n].header) for n in flat_numbers(hdus) if n != number}
        own = next((name for name in WITHIN_NAMES if name in names.values()), None)
        psf = None if own is None else path.with_name(f"{path.name}[{own}]")
        is_whole = hdu is None or names == {} or part_name(hdus[number].header) in IMAGE_NAMES
        if not is_whole:
            # another HDU than the one that the others describe was asked for
            wcs, remarks = wcs_of(image)
            return Parts(image, (wcs, tuple(remarks)), psf=psf)
        is_lsst = part_name(hdus[number].header) == "IMAGE" and bool({"MASK", "VARIANCE"} & set(names.values()))
        weights = _best_weights(hdus, number, names, image, is_lsst)
        masks = [n for name in MASK_NAMES for n in names if names[n] == name]
        is_fitting = bool(masks) and (is_lsst or hdus[masks[0]].shape[-2:] == hdus[number].shape[-2:])
        mask = image_of(hdus, masks[0], path, cut=image.cut) if is_fitting else None
        used = {part.hdu for part in (mask, weights[0] if weights else None) if part is not None}
        used |= {label(hdus, n) for n in names if names[n] in WITHIN_NAMES}
        aside = () if hdu is not None else tuple(label(hdus, n) for n in names if label(hdus, n) not in used)
        wcs, remarks = wcs_of(image)
        place = wcs, (*remarks, *(visit_remarks(image) if is_lsst else ()))
        return Parts(image, place, weights, mask, frame_variance(hdus, image), psf, aside, is_lsst)


def _best_weights(
    hdus: fits.HDUList, number: int, names: dict[int, str], image: FitsImage, is_lsst: bool
) -> tuple[FitsImage, Kind] | None:
    """Return the weights of an image that need least measuring; those of another shape are none, but for LSST."""
    for word, kind in KIND_OF_WORD.items():
        for other in (n for n, name in names.items() if name.lower() == word):
            if hdus[other].shape == hdus[number].shape:
                part = image_of(hdus, other, image.path, cut=image.cut)
                return part, as_header_says(part, kind)
            if is_lsst:
                raise ValueError(
                    f"{image.path}, {label(hdus, other)}: its shape {hdus[other].shape} is not that of {image.hdu}, "
                    f"{hdus[number].shape}; the file is not in the LSST layout."
                )
    return None
