"""Files to observations: those of one shape and one place on the sky belong together."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from deblend.guard import AnyPath, naming
from deblend.io.companions import Companions, companions_of, files_in, role_of, sort_out
from deblend.io.cutout import Cutout, Scissors, as_cutout
from deblend.io.epochs import with_epochs
from deblend.io.fits_file import packed_remark, split_hdu, stem
from deblend.io.given_psf import GivenPsf, together
from deblend.io.image_file import Given, read_picture
from deblend.io.masks import MaskFile
from deblend.io.noise_check import checked
from deblend.io.picture import Picture
from deblend.io.psf import found_psfs, psfs_for
from deblend.io.weights import MEASURED, WeightFile
from deblend.observe import Observation
from deblend.sky import Channel


def read_observations(
    paths: AnyPath | Iterable[AnyPath],
    *,
    psf: AnyPath | Sequence[AnyPath] | None = None,
    weights: AnyPath | Sequence[AnyPath] | None = None,
    mask: AnyPath | Sequence[AnyPath] | None = None,
    rescale_weights: bool = False,
    bands: str | Sequence[str] | None = None,
    survey: str | None = None,
    epochs: str | Sequence[str] | None = None,
    cutout: str | Cutout | None = None,
    psf_oversampling: int | None = None,
    psf_is_integrated: bool | None = None,
) -> tuple[Observation, ...]:
    """Read images; those of one shape, WCS and survey form one observation, named by its survey or its first file.

    Parameters
    ----------
    paths
        Files (a plane or a cube each), folders, or patterns like "hsc/*.fits"; "file.fits[SCI]" names an HDU. What goes
        with an image by its name (weights, mask, PSF) is found in the same folder.
    psf
        A file per image, in their order, or one for all; may be left out where the files tell.
    weights
        A file per image, in their order, of the image's shape: inverse variances [1/(image unit)²], or what the name of
        the file or its HDU says; "rms:FILE" says it (ivar, rms, variance, weight, exposure). "measured" leaves all
        weights aside and measures the noise.
    mask
        A file per image, in their order, or one for all: bad pixels are not zero, or of bits that are known.
    rescale_weights
        Multiply the weights of every band so that they agree with the noise of blank sky.
    bands
        A name per plane, in the order of the images; a text is split at commas.
    survey
        The survey, where the headers do not say it.
    epochs
        When each image was taken, a date or MJD per image, in their order; a text is split at commas. Where one band
        of a survey comes several times, the headers may tell it, too; its channels then have epochs.
    cutout
        The only part of the images that is read: "RA DEC SIZE" or "X0:X1,Y0:Y1", as of `cutout_from_text`, or a
        `SkyCutout` or `PixelCutout`.
    psf_oversampling
        Samples of images of PSFs per pixel, where their headers do not say it.
    psf_is_integrated
        Whether images of PSFs hold the light of whole pixels, and not points of what falls on them.

    Returns
    -------
    Observations in the order of their first images; their notes hold a sentence for all that was assumed.

    Raises
    ------
    ValueError
        One sentence that names file and HDU and says what to do, wherever something is missing or does not fit.
    """
    files, others = find_images(_listed(paths))
    notes: list[str] = []
    # a folder is looked into once, however many images it has
    listing = cache(files_in)
    found = [companions_of(file, files, others, listing) for file in files]
    given = _given(len(files), weights, mask)
    scissors = None if cutout is None else Scissors(as_cutout(cutout))
    pictures = []
    for file, what, beside in zip(files, given, found, strict=True):
        told = (part.path for part in (what.weights, what.mask) if part is not None)
        with naming(file, *told, *beside.paths):
            pictures.append(read_picture(file, what, beside, scissors))
    if bands is not None:
        pictures = _renamed(pictures, bands.split(",") if isinstance(bands, str) else bands)
    if survey is not None:
        pictures = [picture.with_survey(survey) for picture in pictures]
    pictures = with_epochs(pictures, epochs)
    pictures = [checked(picture, rescale=rescale_weights) for picture in pictures]
    psf_files = _files(psf)
    if not psf_files:
        psf_files, said = found_psfs(pictures, found)
        notes += said
    notes += _unused(others, given, found, psf_files)
    psfs = psfs_for(pictures, psf_files, oversampling=psf_oversampling, is_integrated=psf_is_integrated)
    with naming(files[0], *files, *psf_files):
        return _observations(list(zip(pictures, psfs, strict=True)), notes)


def find_images(paths: Sequence[AnyPath]) -> tuple[list[Path], list[Path]]:
    """Return the images that paths, folders and patterns stand for, and the files that may go with them.

    Raises ValueError where a path stands for nothing.
    """
    files: list[Path] = []
    named: list[Path] = []
    for given in paths:
        path = Path(given)
        if split_hdu(path)[1] is not None or path.is_file():
            inside = [path]
            named.append(path)
        elif path.is_dir():
            inside = [*files_in(path)]
            if all(role_of(p) is not None for p in inside):
                raise ValueError(f"{path}: the folder holds no FITS image; give the files themselves.")
        elif glob.has_magic(fspath(given)):
            inside = sorted(Path(p) for p in glob.glob(fspath(given), recursive=True) if Path(p).is_file())
            if all(role_of(p) is not None for p in inside):
                raise ValueError(f"{given}: no image fits this pattern; check it, or give the files themselves.")
        else:
            raise ValueError(f"{path}: there is no such file; check the path.")
        files += inside
    if not files:
        raise ValueError("No image was given; give at least one FITS file.")
    return sort_out(files, named)


def _given(n_images: int, weights: Any, mask: Any) -> list[Given]:
    """Return what a person says of each image."""
    weight_files, masks = _files(weights), _files(mask)
    is_measured = [str(path) for path in weight_files] == [MEASURED]
    if weight_files and not is_measured and len(weight_files) != n_images:
        raise ValueError(
            f"{n_images} images need as many weight files in the same order, got {len(weight_files)}; "
            "repeat --weights FILE."
        )
    if len(masks) == 1:
        masks = masks * n_images
    if masks and len(masks) != n_images:
        raise ValueError(
            f"{n_images} images need one mask each in the same order, or one for all, got {len(masks)}; "
            "repeat --mask FILE."
        )
    return [
        Given(
            WeightFile.said(weight_files[i]) if weight_files and not is_measured else None,
            is_measured,
            MaskFile.said(masks[i]) if masks else None,
        )
        for i in range(n_images)
    ]


def _unused(
    others: Sequence[Path], given: Sequence[Given], found: Sequence[Companions], psf_files: Sequence[Path]
) -> list[str]:
    """Return a sentence on the listed files that no image has use for."""
    used = {path for companions in found for path in companions.paths} | set(psf_files)
    used |= {what.mask.path for what in given if what.mask} | {what.weights.path for what in given if what.weights}
    unused = [path.name for path in others if path not in used]
    return [f"{', '.join(unused)} left aside, since by their names they are no images."] if unused else []


def _observations(pairs: list[tuple[Picture, GivenPsf]], notes: list[str]) -> tuple[Observation, ...]:
    groups: list[list[tuple[Picture, GivenPsf]]] = []
    for pair in pairs:
        group = next((g for g in groups if _belong_together(g[0][0], pair[0])), None)
        if group is None:
            groups.append([pair])
        else:
            group.append(pair)
    observations: list[Observation] = []
    for i, group in enumerate(groups):
        pictures = [picture for picture, _ in group]
        name = _unique(_name(pictures[0]), [o.name for o in observations])
        elsewhere = {channel for o in observations for channel in o.channels}
        channels = [channel for p in pictures for channel in _channels(p, name, elsewhere)]
        twice = next((c for c in channels if channels.count(c) > 1), None)
        if twice is not None:
            files = ", ".join(str(p.path) for p in pictures if twice.band in p.bands)
            raise ValueError(
                f"{files}: band {twice.band} comes more than once; name the bands apart with --bands, or "
                "say with --epochs when each was taken."
            )
        psf, said = together([psf for _, psf in group], [str(channel) for channel in channels])
        observations.append(
            replace(
                Observation.from_arrays(
                    np.concatenate([p.images for p in pictures]),
                    psf,
                    np.concatenate([p.weights for p in pictures]),
                    channels=channels,
                    name=name,
                    wcs=pictures[0].wcs,
                    unit=", ".join(dict.fromkeys(p.unit for p in pictures)),
                    njy_per_unit=np.concatenate([np.full(len(p.bands), p.njy_per_unit) for p in pictures]),
                    notes=[*(notes if i == 0 else ()), *_gathered(pictures), *said],
                ),
                weight_origins=tuple(origin for p in pictures for origin in p.weight_origins),
            )
        )
    return tuple(observations)


def _belong_together(first: Picture, other: Picture) -> bool:
    """Tell whether two images are of one grid and, as far as they say it, one survey."""
    is_one_survey = first.survey is None or other.survey is None or first.survey == other.survey
    return is_one_survey and first.grid.is_same_as(other.grid)


def _channels(picture: Picture, name: str, elsewhere: set[Channel]) -> list[Channel]:
    """Return a channel per band; where another observation has one of them, its survey takes a number."""
    survey = picture.survey or name
    number, unique = 1, survey
    while any(Channel(unique, band, picture.epoch) in elsewhere for band in picture.bands):
        number += 1
        unique = f"{survey}_{number}"
    return [Channel(unique, band, picture.epoch) for band in picture.bands]


def _gathered(pictures: Sequence[Picture]) -> list[str]:
    """Return the remarks as sentences; a remark that several files share is said once."""
    said: dict[str, list[str]] = {}
    for picture in pictures:
        for remark in (*_about_piece(picture), *picture.remarks, *((picture.unnamed,) if picture.unnamed else ())):
            said.setdefault(remark, []).append(picture.path.name)
    everywhere = f"all {len(pictures)} images from {pictures[0].path.name} on" if len(pictures) > 1 else ""
    return [
        f"{everywhere if 1 < len(files) == len(pictures) else ', '.join(files)}: {remark}"
        for remark, files in said.items()
    ]


def _about_piece(picture: Picture) -> list[str]:
    if picture.piece is None:
        return []
    packed = packed_remark(picture.path)
    return [f"only a piece is read: {picture.piece}.", *([packed] if packed else [])]


def _renamed(pictures: list[Picture], bands: Sequence[str]) -> list[Picture]:
    names = [str(band).strip() for band in bands]
    counts = [len(p.bands) for p in pictures]
    if len(names) != sum(counts) or not all(names):
        raise ValueError(
            f"The images have {sum(counts)} planes in all, and --bands names {len(names)} ({', '.join(names)}); "
            "give one name per plane, in the order of the images."
        )
    remaining = iter(names)
    return [p.with_bands([next(remaining) for _ in range(count)]) for p, count in zip(pictures, counts, strict=True)]


def _name(picture: Picture) -> str:
    """Return how to call an observation: its survey, else its first file without what that says of the band."""
    if picture.survey:
        return picture.survey
    bands = {band.lower() for band in picture.bands}
    words = re.split(r"([-_. ])", stem(picture.path))
    kept = "".join(word for word in words if word.lower() not in bands).strip("-_. ")
    return re.sub(r"([-_. ])[-_. ]+", r"\1", kept) or "image"


def _unique(name: str, taken: Sequence[str]) -> str:
    """Return the name, with a number where it is taken; FITS does not tell capitals from small letters."""
    lowered = {t.lower() for t in taken}
    number, unique = 1, name
    while unique.lower() in lowered:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _listed(paths: AnyPath | Iterable[AnyPath]) -> list[AnyPath]:
    return [paths] if isinstance(paths, str | PathLike) else list(paths)


def _files(paths: AnyPath | Sequence[AnyPath] | None) -> list[Path]:
    return [] if paths is None else [Path(p) for p in _listed(paths)]
