"""Images of PSFs: on pixels of the detector or finer ones, from STPSF (Webb, Roman), SourceXtractor++ or anybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deblend.io.fits_file import FitsImage, read_image
from deblend.io.given_psf import WHOLE, GivenPsf
from deblend.sky import TangentWcs

OPTICS_NAMES = ("OVERDIST", "OVERSAMP")
"""STPSF's images on fine samples, which are points of what falls on the detector; with its distortions first."""
DETECTOR_NAMES = ("DET_DIST", "DET_SAMP")
"""STPSF's images on pixels of the detector."""
PSF_NAMES = (*OPTICS_NAMES, *DETECTOR_NAMES, "PSF")
WITHIN_NAMES = ("PSF", "PSFS")
"""What an image HDU is called that holds the PSF of the image of its file."""
SAME_SCALE = 0.02
"""Scales that differ by less are one; a WCS is not more exact than that far off the middle of a field."""
FINEST, COARSEST = 1.0 / 40.0, 4.0
"""Distances of samples that a header may tell [pix]; beyond, it speaks of something else."""


def read_psf_image(
    path: Path, wcs: TangentWcs | None, *, oversampling: int | None = None, is_integrated: bool | None = None
) -> GivenPsf:
    """Read stamps, one per plane, for an image of that WCS.

    How far apart their samples lie is said by `oversampling`, else by the header: SAMPLING or PSF_SAMP [pix of the
    image], PIXELSCL [arcsec] or a WCS of the stamp's own, DET_SAMP or OVERSAMP [samples per pixel]. Raises
    ValueError, naming file and HDU, where a stamp has no positive flux.
    """
    image = read_image(path, PSF_NAMES)
    stamps = list(image.cube())
    for i, stamp in enumerate(stamps):
        plane = f", plane {i + 1}" if len(stamps) > 1 else ""
        if not np.nansum(np.where(np.isfinite(stamp), stamp, np.nan)) > 0:
            raise ValueError(f"{image.where}{plane}: a PSF needs positive flux; give an image of a star.")
    remarks = []
    if oversampling is None:
        step, said = step_of(image, wcs)
        if abs(step - 1.0) > WHOLE:
            remarks.append(
                f"{image.path.name}: the samples of its PSF lie {step:.4g} px of the image apart ({said}); "
                "--psf-oversampling N says otherwise."
            )
    else:
        step = 1.0 / oversampling
    if is_integrated is None:
        is_integrated = not (_name(image) in OPTICS_NAMES and step < 1.0 - WHOLE)
        if not is_integrated:
            remarks.append(
                f"{image.path.name}: {_name(image)} is taken for points of the optics' image, and is integrated over "
                "the pixels of the image; --psf-integrated yes says otherwise."
            )
    return GivenPsf((stamps,), step=step, is_integrated=is_integrated, remarks=tuple(remarks))


def step_of(image: FitsImage, wcs: TangentWcs | None) -> tuple[float, str]:
    """Return the distance of a stamp's samples [pix of the image with that WCS], and what says so."""
    given = image.cards.number("SAMPLING", "PSF_SAMP")
    if given is not None and FINEST <= given[1] <= COARSEST:
        return given[1], f"{given[0]} {given[1]:g}"
    if wcs is not None:
        scale = image.cards.number("PIXELSCL")
        told = f"PIXELSCL {scale[1]:g}″" if scale is not None else "its WCS"
        size = scale[1] if scale is not None else _own_scale(image)
        ratio = np.nan if size is None else size / wcs.pixel_scale
        if FINEST <= ratio <= COARSEST:
            return (1.0 if abs(ratio - 1.0) <= SAME_SCALE else ratio), told
    count = image.cards.number("DET_SAMP", "OVERSAMP")
    if count is not None and 1.0 / COARSEST <= count[1] <= 1.0 / FINEST and _name(image) not in DETECTOR_NAMES:
        return 1.0 / count[1], f"{count[0]} {count[1]:g}"
    return 1.0, "nothing says that they are finer"


def _own_scale(image: FitsImage) -> float | None:
    """Return the scale that a stamp's own WCS tells [arcsec/pix], None without a usable one."""
    if not str(image.cards.own.get("CTYPE1", "")).startswith("RA--"):
        return None
    try:
        wcs = TangentWcs.from_header(image.cards.own, (image.data.shape[-2], image.data.shape[-1]))
    except ValueError:
        # a stamp's WCS is often a leftover; it only tells the scale, and without it the scale is the image's
        return None
    return None if wcs is None else wcs.pixel_scale


def _name(image: FitsImage) -> str:
    return str(image.cards.own.get("EXTNAME", "")).strip().upper()
