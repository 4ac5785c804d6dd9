"""PSFs: images, one per band or a cube with a plane per band; models and grids that vary; or a few numbers in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.guard import naming
from deblend.io.companions import Companions
from deblend.io.given_psf import GivenPsf
from deblend.io.peaks import places_in
from deblend.io.picture import Picture
from deblend.io.psf_grid import is_grid, read_grid
from deblend.io.psf_image import read_psf_image
from deblend.io.psfex import is_psfex, read_psfex
from deblend.io.seeing import is_width_map, words_of_header, words_of_map
from deblend.observe import double_gaussian_psf, gaussian_psf, moffat_psf
from deblend.observe.star_psf import fit_stars

PROFILES: dict[str, tuple[Callable[..., np.ndarray], tuple[bool, ...], int]] = {
    "gaussian": (gaussian_psf, (True,), 1),
    "moffat": (moffat_psf, (True, False), 1),
    "double-gaussian": (double_gaussian_psf, (True, True, False), 3),
}
"""How a PSF is made of numbers, which of them are widths, and how many there are at least."""
_SAID = re.compile(rf"^({'|'.join(PROFILES)}):(.+)$", re.IGNORECASE)
_STARS = re.compile(r"^stars(:.+)?$", re.IGNORECASE)


def psfs_for(
    pictures: Sequence[Picture],
    paths: Sequence[Path],
    *,
    oversampling: int | None = None,
    is_integrated: bool | None = None,
) -> list[GivenPsf]:
    """Return the PSF of every picture, with a stamp for each of its planes.

    A "file" may be a profile in words, as of `profile_psf`, "stars" of each image or "stars:FILE" with their places, a
    PSFEx model or a grid of stamps, which vary over each image, or a map of widths (Legacy Surveys). Else one file a
    picture, in their order, each with a stamp for all planes or one per plane; or one file for all, with one stamp, one
    per plane of each, or one per plane of all in their order.

    Parameters
    ----------
    oversampling
        Samples of images of PSFs per pixel, and of those made of stars; without it their headers say it, or it is 1.
    is_integrated
        Whether these hold the light of whole pixels; without it the kind of the file says it.
    """

    def given(path: Path, picture: Picture) -> GivenPsf:
        with naming(path, picture.path):
            if not _is_made(path):
                return read_psf_image(path, picture.wcs, oversampling=oversampling, is_integrated=is_integrated)
            return _made(path, picture, oversampling)

    counts = [len(p.bands) for p in pictures]
    if len(paths) == 1 and len(pictures) > 1:
        first = given(paths[0], pictures[0])
        if first.n_planes == sum(counts):
            starts = np.cumsum([0, *counts])
            return [replace(first, stamps=tuple(cell[a:b] for cell in first.stamps)) for a, b in pairwise(starts)]
        each = [first, *(given(paths[0], picture) for picture in pictures[1:])]
        return [_matched(one, n, paths[0], p.path) for one, n, p in zip(each, counts, pictures, strict=True)]
    if len(paths) != len(pictures):
        raise ValueError(
            f"{len(pictures)} images need one PSF file each in the same order, or one for all, got {len(paths)}; "
            "repeat --psf FILE."
        )
    return [
        _matched(given(path, picture), count, path, picture.path)
        for path, count, picture in zip(paths, counts, pictures, strict=True)
    ]


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
    """Return the PSF of every picture that is in its file, lies beside it or is told by its header, and sentences that
    say so.

    Raises ValueError where one has none.
    """
    paths: list[Path] = []
    within: list[str] = []
    beside: list[str] = []
    notes: list[str] = []
    for picture, companions in zip(pictures, found, strict=True):
        told = words_of_header(picture) if picture.psf is None and companions.psf is None else None
        if picture.psf is not None:
            paths.append(picture.psf)
            within.append(picture.psf.name)
        elif companions.psf is not None:
            paths.append(companions.psf)
            beside.append(companions.psf.name)
        elif told is not None:
            paths.append(Path(told[0]))
            notes.append(told[1])
        else:
            raise ValueError(f"{picture.path}: its PSF is not known; give --psf FILE, one per image or one for all.")
    for names, where in ((beside, "beside the images"), (within, "of the images' own files")):
        if names:
            notes.insert(0, f"No PSF given; {', '.join(dict.fromkeys(names))} {where} are used.")
    return paths, notes


def _of_stars(words: str, picture: Picture, oversampling: int) -> GivenPsf:
    """Return the PSF that stars of a picture make: found in it, or at the places of a table, as in "stars:FILE"."""
    _, _, table = words.partition(":")
    given = places_in(table, picture.wcs, str(picture.path), "--psf stars:FILE") if table else None
    stars = None if given is None else (given.x, given.y)
    found = fit_stars(
        picture.images, picture.weights, stars, picture.bands, picture.path.name, oversampling=oversampling
    )
    return GivenPsf(
        (list(found.psf),), step=1.0 / oversampling, remarks=(*(given.notes if given else ()), *found.notes)
    )


def _is_made(path: Path) -> bool:
    """Tell whether a PSF is evaluated for each image by itself: one in words, or one that varies over the image."""
    in_words = _SAID.match(str(path)) or _STARS.match(str(path))
    if in_words is not None and not path.exists():
        return True
    return path.is_file() and (is_psfex(path) or is_grid(path) or is_width_map(path))


def _made(path: Path, picture: Picture, oversampling: int | None) -> GivenPsf:
    height, width = picture.images.shape[1:]
    if _STARS.match(str(path)) and not path.is_file():
        return _of_stars(str(path), picture, oversampling or 1)
    scale = None if picture.wcs is None else picture.wcs.pixel_scale
    if not path.is_file():
        return GivenPsf.of([profile_psf(str(path), scale)])
    if is_width_map(path):
        words, sentence = words_of_map(path, picture)
        return GivenPsf.of([profile_psf(words, scale)], [sentence])
    # places on the detector or mosaic are pixels of the whole image
    corner = (float(picture.corner[0]), float(picture.corner[1]))
    if not is_psfex(path):
        return read_grid(path, corner, (height, width), picture.wcs)
    model = read_psfex(path)
    field = model.over(corner, (height, width))
    cells = tuple([stamp] for stamp in field.stamps[:, 0])
    return GivenPsf(cells, field.positions if field.n_cells > 1 else None, step=model.step)


def _matched(given: GivenPsf, n_planes: int, path: Path, image: Path) -> GivenPsf:
    if given.n_planes == 1:
        return given.for_planes(n_planes)
    if given.n_planes != n_planes:
        raise ValueError(
            f"{path}: has {given.n_planes} PSF stamps and {image} has {n_planes} bands; "
            "give one per band, or one for all."
        )
    return given
