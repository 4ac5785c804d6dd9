"""PSF stamps from FITS: an image per band, or a cube with a plane per band."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.io.fits_file import read_image
from deblend.io.picture import Picture

PSF_NAMES = ("PSF",)

Stamps = list[Float[np.ndarray, "y x"]]


def read_stamps(path: Path) -> Stamps:
    """Read the stamps of a file; raises ValueError, naming file and HDU, where one has no positive flux."""
    image = read_image(path, PSF_NAMES)
    stamps = list(image.cube())
    for i, stamp in enumerate(stamps):
        plane = f", plane {i + 1}" if len(stamps) > 1 else ""
        if not np.nansum(np.where(np.isfinite(stamp), stamp, np.nan)) > 0:
            raise ValueError(f"{image.where}{plane}: a PSF needs positive flux; give an image of a star.")
    return stamps


def stamps_for(pictures: Sequence[Picture], paths: Sequence[Path]) -> list[Stamps]:
    """Return a stamp per plane of every picture.

    One file a picture, in their order, each with a stamp for all planes or one per plane; or one file for all,
    with one stamp, one per plane of each, or one per plane of all in their order.
    """
    counts = [len(p.bands) for p in pictures]
    if len(paths) == 1 and len(pictures) > 1:
        stamps = read_stamps(paths[0])
        if len(stamps) == sum(counts):
            starts = np.cumsum([0, *counts])
            return [stamps[a:b] for a, b in pairwise(starts)]
        return [_matched(stamps, count, paths[0], p.path) for count, p in zip(counts, pictures, strict=True)]
    if len(paths) != len(pictures):
        raise ValueError(
            f"{len(pictures)} images need one PSF file each in the same order, or one for all, got {len(paths)}; "
            "repeat --psf FILE."
        )
    return [
        _matched(read_stamps(path), count, path, p.path) for path, count, p in zip(paths, counts, pictures, strict=True)
    ]


def sibling_psfs(paths: Sequence[Path]) -> list[Path]:
    """Return the psf-*.fits that lie beside calexp-*.fits of the same ending; raises ValueError where one has none."""
    found = []
    for path in paths:
        name = re.sub("^calexp", "psf", path.name, flags=re.IGNORECASE)
        sibling = path.with_name(name)
        if name == path.name or not sibling.is_file():
            raise ValueError(f"{path}: its PSF is not known; give --psf FILE, one per image or one for all.")
        found.append(sibling)
    return found


def _matched(stamps: Stamps, n_planes: int, path: Path, image: Path) -> Stamps:
    if len(stamps) == 1:
        return stamps * n_planes
    if len(stamps) != n_planes:
        raise ValueError(
            f"{path}: has {len(stamps)} PSF stamps and {image} has {n_planes} bands; give one per band, or one for all."
        )
    return stamps
