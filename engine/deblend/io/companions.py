"""Files that go with an image, told by their names: weights, masks and PSFs, and which image they belong to.

A name is taken apart into words. Those that say what a file is (rms, wht, maskbits, psf) are its role; the others
have to be those of the image: "goods_f814w_v2.0_wht" goes with "goods_f814w_v2.0_sci".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path

from deblend.guard import AnyPath
from deblend.io.fits_file import stem
from deblend.io.weights import KIND_OF_WORD

FITS_FILE = re.compile(r"\.((fits?|fts)(\.(gz|fz|bz2))?|asdf)$", re.IGNORECASE)
_SEPARATOR = re.compile(r"[-_.\s]+")
_EUCLID = re.compile(
    r"EUC_MER_(?P<what>(BGSUB-)?MOSAIC|GRID-PSF|CATALOG-PSF)-(?P<band>.+?)(-(?P<role>RMS|FLAG|BCKG|BACK)\w*)?"
    r"_TILE(?P<tile>\d+)",
    re.IGNORECASE,
)
"""Names of Euclid's mosaics end in a digest and a date that no two files share."""


class Role(Enum):
    """What a file that is no image is to one."""

    WEIGHTS = "weights"
    MASK = "mask"
    PSF = "PSF"
    NEITHER = "neither"
    """Truth, backgrounds, counts of exposures: nothing that is read with an image."""


_NEITHER_WORDS = ("truth", "bckg", "bgmod", "nexp", "depth", "galdepth", "psfdepth", "segmap", "ctx", "catalog")
_ROLE_OF_WORD = {
    **dict.fromkeys(KIND_OF_WORD, Role.WEIGHTS),
    **dict.fromkeys(("mask", "masks", "msk", "flag", "flags", "dq", "dqm", "maskbits", "bpm"), Role.MASK),
    **dict.fromkeys(("psf", "psfs", "psfsize", "psfex"), Role.PSF),
    **dict.fromkeys(_NEITHER_WORDS, Role.NEITHER),
}
_IMAGE_WORDS = {"sci", "drz", "drc", "image", "img", "calexp", "coadd", "i2d", "bgsub", "mosaic"}
"""Words that images have and their companions need not."""
_FIRST = (Role.PSF, Role.NEITHER, Role.MASK, Role.WEIGHTS)
"""Which role holds where a name has words of several."""


@dataclass(frozen=True)
class Companions:
    """The files that go with one image; None where there is none."""

    weights: Path | None = None
    mask: Path | None = None
    psf: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.weights, self.mask, self.psf) if path is not None)


@lru_cache(maxsize=4096)
def words_of(path: Path) -> tuple[str, ...]:
    """Return the words of a file's name in small letters."""
    euclid = _EUCLID.match(path.name)
    if euclid:
        what = "psf" if "PSF" in euclid["what"].upper() else ""
        said = f"euclid-{euclid['tile']}-{euclid['band']}-{euclid['role'] or ''}-{what}"
    else:
        said = re.sub(r"\.asdf$", "", stem(path), flags=re.IGNORECASE)
    return tuple(word for word in _SEPARATOR.split(said.lower()) if word)


def role_of(path: AnyPath) -> Role | None:
    """Return what the name of a file says that it is; None where it says an image."""
    path = Path(path)
    roles = {_ROLE_OF_WORD[word] for word in words_of(path) if word in _ROLE_OF_WORD}
    return next((role for role in _FIRST if role in roles), None)


def sort_out(files: Sequence[Path], named: Collection[Path]) -> tuple[list[Path], list[Path]]:
    """Return the images among files, and what may go with them.

    The name decides; but one that a person `named` is an image, unless it goes with another of them.
    """
    files = list(dict.fromkeys(files))
    images = [path for path in files if role_of(path) is None]
    for path in files:
        if path in named and role_of(path) is not None and not any(_fits(path, image) for image in images):
            images.append(path)
    return [path for path in files if path in images], [path for path in files if path not in images]


def files_in(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that may hold an image, by their endings."""
    return tuple(sorted(p for p in folder.iterdir() if FITS_FILE.search(p.name) and p.is_file()))


def companions_of(
    image: Path,
    images: Sequence[Path],
    others: Iterable[Path],
    listing: Callable[[Path], Sequence[Path]] = files_in,
) -> Companions:
    """Return what of `others` goes with an image, else what lies beside it under the same words.

    A name with fewer words than the image's ("brick-maskbits" of "brick-image-g") is that of all images that have
    them; for weights it must be of one image only, and so must a name of its role alone ("mask.fits"). `listing` gives
    the files of a folder.
    """
    listed = list(others)
    beside = [p for p in listing(image.parent) if p not in listed]
    chosen: dict[Role, Path] = {}
    for role in (Role.WEIGHTS, Role.MASK, Role.PSF):
        fitting = [path for path in listed if role_of(path) is role]
        exact = [path for path in fitting if _is_exact(path, image)]
        partial = [path for path in fitting if _is_partial(path, image) and _may_share(role, path, images)]
        near = [path for path in beside if role_of(path) is role and _is_exact(path, image)]
        # the name that says most, and of several weights the one that needs least measuring
        best = sorted(exact or partial or near, key=lambda path: (-len(_bare(path)), _preference(path), path.name))
        if best:
            chosen[role] = best[0]
    return Companions(chosen.get(Role.WEIGHTS), chosen.get(Role.MASK), chosen.get(Role.PSF))


def _bare(path: Path) -> tuple[str, ...]:
    """Return the words that say which image a file belongs to."""
    return tuple(word for word in words_of(path) if word not in _ROLE_OF_WORD and word not in _IMAGE_WORDS)


def _is_exact(path: Path, image: Path) -> bool:
    whole = {word for word in words_of(path) if word not in _ROLE_OF_WORD}
    more = set(words_of(image)) - whole
    # where all words are such as images have, some must be shared: "psf-mosaic" of "calexp-mosaic"
    is_one_name = bool(whole) and whole <= set(words_of(image)) and more <= _IMAGE_WORDS and not _bare(image)
    return path != image and (is_one_name or (bool(_bare(path)) and _bare(path) == _bare(image)))


def _is_partial(path: Path, image: Path) -> bool:
    return set(_bare(path)) <= set(_bare(image)) and path != image


def _fits(path: Path, image: Path) -> bool:
    return _is_exact(path, image) or _is_partial(path, image)


def _may_share(role: Role, path: Path, images: Sequence[Path]) -> bool:
    if role is Role.WEIGHTS or not _bare(path):
        return sum(_is_partial(path, image) for image in images) == 1
    return True


def _preference(path: Path) -> int:
    kinds = list(dict.fromkeys(KIND_OF_WORD.values()))
    return min((kinds.index(KIND_OF_WORD[word]) for word in words_of(path) if word in KIND_OF_WORD), default=0)
