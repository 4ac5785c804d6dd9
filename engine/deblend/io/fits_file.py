"""FITS files, opened, read whole or in one piece, and closed again; what is wrong with one is said in a sentence.

A path may name one HDU of its file in brackets, by number or name: "stack.fits[2]", "drz.fits[SCI]".
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.guard import FITS_BLOCK, LIKELY, OPENERS, ROOM, check_headers, reason_of, unpacked
from deblend.sky import PixelBox, moved_header

MOST_PIXELS = 120_000_000
"""More of one image are not read at once, since a fit could not hold them; a piece can be cut out of it."""
LARGE_FILE = 50_000_000
"""A file packed whole that is larger than this is said to be slow [bytes]."""
PACKED_WELL = 10 * LIKELY
"""Tiles of constant numbers pack as well as that; what would unpack to more is a trap."""
KNOWN_HDUS = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU, fits.BinTableHDU, fits.TableHDU, fits.GroupsHDU)


@dataclass(frozen=True)
class Cards:
    """Header cards of an image: its own first, then those of the file's primary header."""

    own: fits.Header
    primary: fits.Header

    def get(self, *names: str) -> Any:
        """Return the value of the first of these cards that has one; None where none has."""
        for name in names:
            for header in (self.own, self.primary):
                value = header.get(name)
                if value is not None and not isinstance(value, fits.card.Undefined) and str(value).strip():
                    return value.strip() if isinstance(value, str) else value
        return None

    def number(self, *names: str) -> tuple[str, float] | None:
        """Return name and value of the first of these cards that holds a finite number."""
        for name in names:
            value = self.get(name)
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            if np.isfinite(number):
                return name, number
        return None


Cut = Callable[[fits.Header, tuple[int, int], str], PixelBox]
"""From header and shape (height, width) of an image, and how it is called, to the box that is wanted of it."""


class OtherShapeError(ValueError):
    """A companion of an image has not the image's shape."""


@dataclass(frozen=True)
class Piece:
    """A box that was cut out of an image."""

    box: PixelBox
    whole: tuple[int, int]
    """Shape (height, width) of the image [pix]."""

    def again(self, header: fits.Header, shape: tuple[int, int], where: str) -> PixelBox:
        """Return the same box for a companion of the image; raises OtherShapeError where it has not its shape."""
        if shape != self.whole:
            raise OtherShapeError(
                f"{where}: its {shape[1]} × {shape[0]} px are not those of the image it goes with, {self.whole[1]} × "
                f"{self.whole[0]} px, so nothing can be cut from it; give a file of the same shape."
            )
        return self.box

    def __str__(self) -> str:
        (x0, x1), (y0, y1) = self.box.x, self.box.y
        return f"x {x0} to {x1 - 1}, y {y0} to {y1 - 1} of its {self.whole[1]} × {self.whole[0]} px"


@dataclass(frozen=True)
class FitsImage:
    """The data of one image HDU, with what is needed to speak of it."""

    path: Path
    hdu: str
    """As said to a person: "HDU 1 (IMAGE)"."""
    data: np.ndarray
    """In native byte order, as stored (integers stay integers); leading axes of length 1 are gone."""
    cards: Cards
    left_aside: tuple[str, ...] = ()
    """Other images of the file, which nobody asked for."""
    piece: Piece | None = None
    """What part of the HDU's image this is; None for the whole. The cards are those of the part."""
    unreadable: tuple[str, ...] = ()
    """Cards of its header that are no FITS; they are not among its cards."""

    @property
    def cut(self) -> Cut | None:
        """What takes the same piece out of a companion of this image; None where all of it was read."""
        return None if self.piece is None else self.piece.again

    @property
    def where(self) -> str:
        return f"{self.path}, {self.hdu}"

    @property
    def name(self) -> str:
        """The EXTNAME in capitals, else the IMAGETYP; empty where the HDU has neither."""
        return part_name(self.cards.own)

    def cube(self) -> Float[np.ndarray, "band y x"]:
        """Return the data as a cube of float64; raises ValueError where it is no image or cube."""
        data = self.data
        if data.ndim == 2:
            data = data[None]
        if data.ndim != 3:
            raise ValueError(
                f"{self.where}: holds {data.ndim}-D data of shape {data.shape}; "
                "an image (y, x) or a cube (band, y, x) is needed."
            )
        return np.array(data, dtype=np.float64)


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file, compressed or not, and close it; raises ValueError where it is missing or broken."""
    if not path.exists():
        raise ValueError(f"{path}: there is no such file; check the path.")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, and a FITS file is needed here.")
    if not path.is_file():
        raise ValueError(f"{path}: is no file that can be read from its start to its end; give a FITS file.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # not mapped: of a piece, only its own rows or tiles are read either way, and pages of a map count as memory
            hdus = fits.open(_checked(path), memmap=False, lazy_load_hdus=False)
        except Exception as error:  # astropy raises whatever its parsers do
            if isinstance(error, ValueError) and str(path) in str(error):
                raise
            raise ValueError(f"{path}: cannot be read as FITS ({reason_of(error)}); give a FITS file.") from error
        with hdus:
            damage = next(filter(None, (_damage(str(w.message)) for w in caught)), None)
            if damage:
                raise ValueError(f"{path}: is cut short or damaged ({damage}); fetch the file again.")
            _check_structure(hdus, path)
            yield hdus


def data_of(hdus: fits.HDUList, number: int, path: Path, box: PixelBox | None = None) -> np.ndarray:
    """Return the data of an HDU, or a box of its last two axes, in native byte order.

    Raises ValueError where they are cut short.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = np.asarray(hdus[number].data if box is None else hdus[number].section[..., *box.slices])
        except Exception as error:  # so do those of tiles and tables
            raise ValueError(
                f"{path}, {label(hdus, number)}: its data are cut short or damaged ({reason_of(error)}); "
                "fetch the file again."
            ) from error
    return data.astype(data.dtype.newbyteorder("="), copy=True)


def label(hdus: fits.HDUList, number: int) -> str:
    """Return how to call an HDU: its number, and its name where it has one."""
    name = hdus[number].name
    return f"HDU {number} ({name})" if name else f"HDU {number}"


def part_name(header: fits.Header) -> str:
    """Return what the header of an HDU calls it, in capitals; empty where it says nothing."""
    return str(header.get("EXTNAME") or header.get("IMAGETYP") or "").strip().upper()


def image_numbers(hdus: fits.HDUList) -> list[int]:
    """Return the numbers of the HDUs that hold an array of any dimension."""
    return [n for n, hdu in enumerate(hdus) if hdu.is_image and int(hdu.header.get("NAXIS", 0)) > 0]


def named(hdus: fits.HDUList, name: str) -> int | None:
    """Return the number of the image HDU of that EXTNAME, None where there is none."""
    return next((n for n in image_numbers(hdus) if hdus[n].name.upper() == name.upper()), None)


def image_of(
    hdus: fits.HDUList, number: int, path: Path, left_aside: Sequence[str] = (), cut: Cut | None = None
) -> FitsImage:
    """Return one image of an open file, or the piece of it that is cut out.

    Raises ValueError where its data are damaged, where the cut misses it, and where it is too large to be read whole.
    """
    # before the data are read: astropy then takes BITPIX, BZERO and BSCALE of integers away
    header, unreadable = readable(hdus[number].header)
    primary, _ = readable(hdus[0].header)
    name = label(hdus, number)
    shape = tuple(int(n) for n in hdus[number].shape)
    piece = None
    if cut is not None and len(shape) >= 2:
        whole = (shape[-2], shape[-1])
        piece = Piece(cut(header, whole, f"{path}, {name}"), whole)
        header = moved_header(header, piece.box.x[0], piece.box.y[0])
    elif len(shape) >= 2 and shape[-2] * shape[-1] > MOST_PIXELS:
        raise ValueError(
            f"{path}, {name}: its {shape[-1]} × {shape[-2]} px are too many to be read at once; cut a piece out of it "
            '(--cutout "RA DEC SIZE" or X0:X1,Y0:Y1).'
        )
    data = data_of(hdus, number, path, None if piece is None else piece.box)
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    return FitsImage(path, name, data, Cards(header, primary), tuple(left_aside), piece, unreadable)


def readable(header: fits.Header) -> tuple[fits.Header, tuple[str, ...]]:
    """Return a header without the cards that are no FITS, and their names."""
    header, names = header.copy(), []
    for place in reversed(range(len(header))):
        try:
            header.cards[place].value  # noqa: B018 - a card is parsed when its value is first asked for
        except (fits.VerifyError, ValueError, TypeError):
            names.append(str(header.cards[place].image[:8]).strip())
            del header[place]
    return header, tuple(reversed(names))


def read_image(path: Path, prefer: Sequence[str] = (), cut: Cut | None = None) -> FitsImage:
    """Read the image of a FITS file: the HDU in brackets, else one of the preferred EXTNAMEs, else the first.

    With `cut` only the piece is read that it asks for. Raises ValueError where the file is missing or broken, or
    holds no image or cube.
    """
    path, hdu = split_hdu(path)
    with opened(path) as hdus:
        chosen = image_number(hdus, path, hdu, prefer)
        aside = [] if hdu is not None else [label(hdus, n) for n in flat_numbers(hdus) if n != chosen]
        return image_of(hdus, chosen, path, aside, cut)


def image_number(hdus: fits.HDUList, path: Path, hdu: str | None, prefer: Sequence[str]) -> int:
    """Return the number of the HDU that is asked for, else of one of the preferred EXTNAMEs, else of the first image.

    Raises ValueError where the file holds no image or cube.
    """
    if hdu is not None:
        return _asked_for(hdus, hdu, path)
    numbers, flat = image_numbers(hdus), flat_numbers(hdus)
    if not numbers:
        raise ValueError(
            f"{path}: none of its {len(hdus)} HDUs holds an image; give a file with an image (y, x) "
            "or a cube (band, y, x)."
        )
    if not flat:
        raise ValueError(
            f"{path}, {label(hdus, numbers[0])}: holds 1-D data of shape {hdus[numbers[0]].shape}; "
            "an image (y, x) or a cube (band, y, x) is needed."
        )
    wanted = [n for name in prefer for n in flat if part_name(hdus[n].header) == name]
    return wanted[0] if wanted else flat[0]


def flat_numbers(hdus: fits.HDUList) -> list[int]:
    """Return the numbers of the HDUs that hold images or cubes, and no mere rows of numbers."""
    return [n for n in image_numbers(hdus) if int(hdus[n].header["NAXIS"]) >= 2]


def split_hdu(path: Path) -> tuple[Path, str | None]:
    """Split "file.fits[HDU]" into the path and the HDU; None where no HDU is named."""
    match = re.fullmatch(r"(.+)\[([^\[\]]+)\]", str(path))
    if match and not path.exists() and Path(match[1]).is_file():
        return Path(match[1]), match[2].strip()
    return path, None


def stem(path: Path) -> str:
    """Return the name of a file without folder, brackets and FITS suffixes."""
    return re.sub(r"\.(fits?|fts)(\.(gz|fz|bz2))?$", "", split_hdu(path)[0].name, flags=re.IGNORECASE)


def packed_remark(path: Path) -> str | None:
    """Return what to say of a large file that is packed whole, of which no piece can be read; else None."""
    size = split_hdu(path)[0].stat().st_size
    if path.suffix.lower() not in OPENERS or size < LARGE_FILE:
        return None
    return (
        f"is packed whole ({size / 1e6:.0f} MB), so that all of it was unpacked for a piece; unpack it once, or keep "
        "it as .fits.fz, to open it at once."
    )


def _asked_for(hdus: fits.HDUList, hdu: str, path: Path) -> int:
    if hdu.isdigit():
        number: int | None = int(hdu)
        exists = number is not None and number < len(hdus)
    else:
        number = next((n for n in range(len(hdus)) if hdus[n].name.upper() == hdu.upper()), None)
        exists = number is not None
    if not exists or number is None:
        names = ", ".join(label(hdus, n) for n in range(len(hdus)))
        raise ValueError(f"{path}: has no HDU {hdu}; it has {names}.")
    if number not in image_numbers(hdus):
        names = ", ".join(label(hdus, n) for n in image_numbers(hdus)) or "none"
        raise ValueError(f"{path}, {label(hdus, number)}: holds no image; those that do are: {names}.")
    return number


def _checked(path: Path) -> Path | io.BytesIO:
    """Return the file, or its content where it is packed whole, once its headers are such that it can be opened."""
    if path.suffix.lower() in OPENERS:
        content = unpacked(path)
        check_headers(path, content)
        return content
    with path.open("rb") as file:
        check_headers(path, file)
    return path


def _check_structure(hdus: fits.HDUList, path: Path) -> None:
    """Raise ValueError where headers do not tell what kind and size of data follows, or where it cannot be true."""
    size = path.stat().st_size
    for number, hdu in enumerate(hdus):
        where = f"{path}, HDU {number}"
        try:
            if not isinstance(hdu, KNOWN_HDUS):
                raise ValueError(f"it is a {type(hdu).__name__.strip('_')}")
            is_image, shape = hdu.is_image, tuple(int(n) for n in hdu.shape) if hdu.is_image else ()
            n_axes = int(hdu.header.get("NAXIS", 0))
            if min(shape, default=1) < 0 or (is_image and len(shape) != n_axes):
                raise ValueError(f"{n_axes} axes of {shape}")
            if not is_image:
                # columns are made of cards when they are first asked for
                list(hdu.columns.names)
        except Exception as error:  # astropy raises whatever its parsers do
            raise ValueError(
                f"{where}: its header does not tell what it holds ({reason_of(error)}); fetch the file again."
            ) from error
        n_bytes = 4 * prod(shape)
        if isinstance(hdu, fits.CompImageHDU) and n_bytes > max(ROOM, PACKED_WELL * size):
            raise ValueError(
                f"{where}: {size} bytes cannot hold an image of {' × '.join(map(str, shape[::-1]))} px; fetch it again."
            )


def _damage(warning: str) -> str | None:
    """Return what a warning of astropy says of a damaged file; None where it says nothing of the kind.

    Files without the padding of their last block are common and whole.
    """
    sizes = re.search(r"actual file length \((\d+)\) is smaller than the expected size \((\d+)\)", warning)
    if sizes:
        actual, expected = int(sizes[1]), int(sizes[2])
        return f"{actual} of {expected} bytes" if expected - actual >= FITS_BLOCK else None
    if "Error validating header" in warning:
        return warning.split("(note")[0].strip().rstrip(".")
    return None
