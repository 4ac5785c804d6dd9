"""PSF stamps: from FITS, an image per band or a cube with a plane per band; from PSFEx; or from a few numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.io.companions import Companions
from deblend.io.euclid_psf import is_psf_grid, read_nearest_stamp
from deblend.io.fits_file import read_image
from deblend.io.picture import Picture
from deblend.io.psfex import is_psfex, read_psfex
from deblend.io.seeing import is_width_map, words_of_header, words_of_map
from deblend.observe import double_gaussian_psf, gaussian_psf, moffat_psf

PSF_NAMES = ("PSF",)

Stamps = list[Float[np.ndarray, "y x"]]
PROFILES: dict[str, tuple[Callable[..., np.ndarray], tuple[bool, ...], int]] = {
    "gaussian": (gaussian_psf, (True,), 1),
    "moffat": (moffat_psf, (True, False), 1),
    "double-gaussian": (double_gaussian_psf, (True, True, False), 3),
}
"""How a PSF is made of numbers, which of them are widths, and how many there are at least."""
_SAID = re.compile(rf"^({'|'.join(PROFILES)}):(.+)$", re.IGNORECASE)


def read_stamps(path: Path) -> Stamps:
    """Read the stamps of a file; raises ValueError, naming file and HDU, where one has no positive flux."""
    image = read_image(path, PSF_NAMES)
    stamps = list(image.cube())
    for i, stamp in enumerate(stamps):
        plane = f", plane {i + 1}" if len(stamps) > 1 else ""
        if not np.nansum(np.where(np.isfinite(stamp), stamp, np.nan)) > 0:
            raise ValueError(f"{image.where}{plane}: a PSF needs positive flux; give an image of a star.")
    return stamps


def stamps_for(pictures: Sequence[Picture], paths: Sequence[Path]) -> tuple[list[Stamps], list[str]]:
    """Return a stamp per plane of every picture, and sentences on what was assumed.

    A "file" may be a profile in words, as of `profile_psf`, a PSFEx model, taken at the middle of each image, a grid of
    stamps (Euclid) or a map of widths (Legacy Surveys). Else one file a picture, in their order, each with a stamp for
    all planes or one per plane; or one file for all, with one stamp, one per plane of each, or one per plane of all in
    their order.
    """
    counts = [len(p.bands) for p in pictures]
    if len(paths) == 1 and _is_made(paths[0]):
        paths = [paths[0]] * len(pictures)
    if len(paths) == 1 and len(pictures) > 1:
        stamps = read_stamps(paths[0])
        if len(stamps) == sum(counts):
            starts = np.cumsum([0, *counts])
            return [stamps[a:b] for a, b in pairwise(starts)], []
        return [_matched(stamps, count, paths[0], p.path) for count, p in zip(counts, pictures, strict=True)], []
    if len(paths) != len(pictures):
        raise ValueError(
            f"{len(pictures)} images need one PSF file each in the same order, or one for all, got {len(paths)}; "
            "repeat --psf FILE."
        )
    made = [_stamps_of(path, picture) for path, picture in zip(paths, pictures, strict=True)]
    matched = [
        _matched(stamps, count, path, picture.path)
        for (stamps, _), count, path, picture in zip(made, counts, paths, pictures, strict=True)
    ]
    return matched, [sentence for _, said in made for sentence in said]


def profile_psf(said: str, pixel_scale: float | None) -> Float[np.ndarray, "side side"]:
    """Return the PSF that is said in words: "gaussian:0.7", "moffat:0.7,2.5" or "double-gaussian:0.6,1.4,0.3".

    The numbers are full widths at half maximum [arcsec, or pixels as in "gaussian:3.5px"]; for a Moffat also beta, for
    two Gaussians the share of the outer one. Raises ValueError where that makes no PSF.
    """
    found = _SAID.match(said)
    if found is None:
        raise ValueError(f"--psf {said}: say gaussian:FWHM, moffat:FWHM,BETA or double-gaussian:FWHM,FWHM,SHARE.")
    make, widths, least = PROFILES[found[1].lower()]
    words = [word.strip() for word in found[2].split(",")]
    if not least <= len(words) <= len(widths):
        raise ValueError(f"--psf {said}: {found[1].lower()} takes {len(widths)} numbers, got {len(words)}.")
    values = []
    for word, is_width in zip(words, widths, strict=False):
        in_pixels = word.lower().endswith("px")
        try:
            value = float(word[:-2] if in_pixels else word)
        except ValueError:
            raise ValueError(f"--psf {said}: {word!r} is no number.") from None
        if is_width and not in_pixels:
            if pixel_scale is None:
                raise ValueError(f"--psf {said}: the image has no WCS; say the width in pixels, as in gaussian:3.5px.")
            value /= pixel_scale
        values.append(value)
    try:
        return make(*values)
    except ValueError as error:
        raise ValueError(f"--psf {said}: {error}") from None


def found_psfs(pictures: Sequence[Picture], found: Sequence[Companions]) -> tuple[list[Path], list[str]]:
    """Return the PSF of every picture that lies beside it or that its header tells, and sentences that say so.

    Raises ValueError where one has none.
    """
    paths, files, notes = [], [], []
    for picture, companions in zip(pictures, found, strict=True):
        told = words_of_header(picture) if companions.psf is None else None
        if companions.psf is not None:
            paths.append(companions.psf)
            files.append(companions.psf.name)
        elif told is not None:
            paths.append(Path(told[0]))
            notes.append(told[1])
        else:
            raise ValueError(f"{picture.path}: its PSF is not known; give --psf FILE, one per image or one for all.")
    if files:
        notes.insert(0, f"No PSF given; {', '.join(dict.fromkeys(files))} beside the images are used.")
    return paths, notes


def _is_made(path: Path) -> bool:
    """Tell whether a PSF is evaluated for each image by itself."""
    if _SAID.match(str(path)) is not None and not path.exists():
        return True
    return path.is_file() and (is_psfex(path) or is_psf_grid(path) or is_width_map(path))


def _stamps_of(path: Path, picture: Picture) -> tuple[Stamps, list[str]]:
    if not _is_made(path):
        return read_stamps(path), []
    scale = None if picture.wcs is None else picture.wcs.pixel_scale
    if is_width_map(path):
        words, sentence = words_of_map(path)
        return [profile_psf(words, scale)], [sentence]
    if is_psf_grid(path):
        stamp, sentence = read_nearest_stamp(path, picture)
        return [stamp], [sentence]
    if path.is_file():
        height, width = picture.images.shape[1:]
        return [read_psfex(path, (width - 1) / 2.0, (height - 1) / 2.0)], []
    return [profile_psf(str(path), scale)], []


def _matched(stamps: Stamps, n_planes: int, path: Path, image: Path) -> Stamps:
    if len(stamps) == 1:
        return stamps * n_planes
    if len(stamps) != n_planes:
        raise ValueError(
            f"{path}: has {len(stamps)} PSF stamps and {image} has {n_planes} bands; give one per band, or one for all."
        )
    return stamps
