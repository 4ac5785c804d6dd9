"""Files to observations: those of one shape and one place on the sky belong together."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from deblend.io.cutout import Cutout, Scissors, as_cutout
from deblend.io.fits_file import packed_remark, split_hdu, stem
from deblend.io.given_psf import GivenPsf, together
from deblend.io.lsst import is_lsst, read_lsst
from deblend.io.picture import Picture
from deblend.io.plain import read_plain
from deblend.io.psf import psfs_for, sibling_psfs
from deblend.observe import Observation
from deblend.sky import Channel

AnyPath = str | PathLike[str]
_FITS_FILE = re.compile(r"\.(fits?|fts)(\.(gz|fz|bz2))?$", re.IGNORECASE)
_NOT_AN_IMAGE = re.compile(r"(^|[-_.])(psfs?|weights?|wht|ivar|invvar|truth)([-_.]|$)", re.IGNORECASE)
"""Files of a folder that go with images and are none: psf-HSC-G.fits, hst_psf.fits, weight.fits."""


def read_observations(
    paths: AnyPath | Iterable[AnyPath],
    *,
    psf: AnyPath | Sequence[AnyPath] | None = None,
    weights: AnyPath | Sequence[AnyPath] | None = None,
    bands: str | Sequence[str] | None = None,
    survey: str | None = None,
    psf_oversampling: int | None = None,
    psf_is_integrated: bool | None = None,
    cutout: str | Cutout | None = None,
) -> tuple[Observation, ...]:
    """Read FITS images; those of one shape and WCS form one observation, named by its survey or its first file.

    Parameters
    ----------
    paths
        Files (a plane or a cube each), folders, or patterns like "hsc/*.fits"; "file.fits[SCI]" names an HDU.
    psf
        A file per image, in their order, or one for all; may be left out where every calexp-*.fits has its
        psf-*.fits beside it.
    weights
        A file per image, in their order: inverse variances [1/(image unit)²] of the image's shape.
    bands
        A name per plane, in the order of the images; a text is split at commas.
    survey
        The survey, where the headers do not say it.
    psf_oversampling
        Samples of images of PSFs per pixel, where their headers do not say it.
    psf_is_integrated
        Whether images of PSFs hold the light of whole pixels, and not points of what falls on them.
    cutout
        The only part of the images that is read: "RA DEC SIZE" or "X0:X1,Y0:Y1", as of `cutout_from_text`, or a
        `SkyCutout` or `PixelCutout`.

    Returns
    -------
    Observations in the order of their first images; their notes hold a sentence for all that was assumed.

    Raises
    ------
    ValueError
        One sentence that names file and HDU and says what to do, wherever something is missing or does not fit.
    """
    files, notes = find_images(_listed(paths))
    weight_files: list[Path | None] = [*_files(weights)]
    if weight_files and len(weight_files) != len(files):
        raise ValueError(
            f"{len(files)} images need as many weight files in the same order, got {len(weight_files)}; "
            "repeat --weights FILE."
        )
    scissors = None if cutout is None else Scissors(as_cutout(cutout))
    pictures = [
        (read_lsst if is_lsst(file) else read_plain)(file, weight, scissors)
        for file, weight in zip(files, weight_files or [None for _ in files], strict=True)
    ]
    if bands is not None:
        pictures = _renamed(pictures, bands.split(",") if isinstance(bands, str) else bands)
    if survey is not None:
        pictures = [picture.with_survey(survey) for picture in pictures]
    psf_files = _files(psf)
    if not psf_files:
        psf_files = sibling_psfs(files)
        notes.append(f"No PSF given; {', '.join(p.name for p in psf_files)} beside the images are used.")
    psfs = psfs_for(pictures, psf_files, oversampling=psf_oversampling, is_integrated=psf_is_integrated)
    return _observations(list(zip(pictures, psfs, strict=True)), notes)


def find_images(paths: Sequence[AnyPath]) -> tuple[list[Path], list[str]]:
    """Return the image files that paths, folders and patterns stand for, and a sentence on what was left aside.

    Raises ValueError where a path stands for nothing.
    """
    files: list[Path] = []
    notes: list[str] = []
    for given in paths:
        path = Path(given)
        if split_hdu(path)[1] is not None or path.is_file():
            files.append(path)
        elif path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and _FITS_FILE.search(p.name))
            images, aside = _without_companions(inside)
            if not images:
                raise ValueError(f"{path}: the folder holds no FITS image; give the files themselves.")
            files += images
            notes += [f"{path}: {aside}"] if aside else []
        elif glob.has_magic(fspath(given)):
            found = sorted(Path(p) for p in glob.glob(fspath(given), recursive=True) if Path(p).is_file())
            images, aside = _without_companions(found)
            if not images:
                raise ValueError(f"{given}: no image fits this pattern; check it, or give the files themselves.")
            files += images
            notes += [f"{given}: {aside}"] if aside else []
        else:
            raise ValueError(f"{path}: there is no such file; check the path.")
    if not files:
        raise ValueError("No image was given; give at least one FITS file.")
    return files, notes


def _without_companions(files: Sequence[Path]) -> tuple[list[Path], str | None]:
    """Return the files that are images, and what to say of those that only go with some."""
    aside = [p for p in files if _NOT_AN_IMAGE.search(stem(p))]
    said = f"{', '.join(p.name for p in aside)} left aside, since by their names they are no images." if aside else None
    return [p for p in files if p not in aside], said


def _observations(pairs: list[tuple[Picture, GivenPsf]], notes: list[str]) -> tuple[Observation, ...]:
    groups: list[list[tuple[Picture, GivenPsf]]] = []
    for pair in pairs:
        group = next((g for g in groups if g[0][0].grid.is_same_as(pair[0].grid)), None)
        if group is None:
            groups.append([pair])
        else:
            group.append(pair)
    observations: list[Observation] = []
    for i, group in enumerate(groups):
        pictures = [picture for picture, _ in group]
        name = _unique(pictures[0].survey or stem(pictures[0].path), [o.name for o in observations])
        elsewhere = {channel for o in observations for channel in o.channels}
        channels = [channel for p in pictures for channel in _channels(p, name, elsewhere)]
        twice = next((c for c in channels if channels.count(c) > 1), None)
        if twice is not None:
            files = ", ".join(str(p.path) for p in pictures if twice.band in p.bands)
            raise ValueError(f"{files}: band {twice.band} comes more than once; name the bands apart with --bands.")
        psf, said = together([psf for _, psf in group], [str(channel) for channel in channels])
        observations.append(
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
            )
        )
    return tuple(observations)


def _channels(picture: Picture, name: str, elsewhere: set[Channel]) -> list[Channel]:
    """Return a channel per band; where another observation has one of them, its survey takes a number."""
    survey = picture.survey or name
    number, unique = 1, survey
    while any(Channel(unique, band) in elsewhere for band in picture.bands):
        number += 1
        unique = f"{survey}_{number}"
    return [Channel(unique, band) for band in picture.bands]


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
