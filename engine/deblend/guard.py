"""The doors that files of others come in by: whatever one makes a library or a reader stumble over is a sentence that
names it, and none may unpack to more than it is worth."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

ROOM = 300_000_000
"""What a packed file may unpack to, however small it is [bytes]."""
LIKELY = 50
"""A larger one that unpacks to more than so many times its size is no image but a trap."""
CHUNK = 2**20
"""[bytes]"""

OPENERS: dict[str, Callable[[Path], AbstractContextManager[BinaryIO]]] = {".gz": gzip.open, ".bz2": bz2.open}  # type: ignore[dict-item]

FITS_BLOCK = 2880
"""FITS files come in blocks of this size [bytes]."""
COUNTS = ("NAXIS", "TFIELDS")
MOST_COUNTED = 999
"""Axes, and columns of a table, in the FITS standard (version 4.0, sections 4.4.1.1 and 7.3.1)."""

AnyPath = str | PathLike[str]


@contextmanager
def naming(path: AnyPath, *others: AnyPath) -> Iterator[None]:
    """Have what goes wrong while a file is read be said as ValueError, in one sentence that names the file.

    Sentences that name it, or one of the `others` that are read with it, stay as they are. Headers and tables are
    written by others, and libraries raise whatever their parsers do, so that everything is taken to be about the file.
    """
    try:
        yield
    except MemoryError as error:
        raise ValueError(
            f"{path}: asks for more memory than there is; it may be damaged, so fetch it again."
        ) from error
    except Exception as error:
        said = reason_of(error)
        is_ours = isinstance(error, ValueError | OSError) and "\n" not in str(error).strip()
        if is_ours and any(name and name in said for name in map(_name, (path, *others))):
            raise
        raise ValueError(
            f"{path}: cannot be read ({said}); it may be damaged, or another file than it seems."
        ) from error


def reason_of(error: BaseException) -> str:
    """Return the first line of what an error says, without its full stop; what it is where it says nothing."""
    lines = str(error).strip().splitlines()
    reason = (lines[0].strip() if lines else "").rstrip(".")
    if not reason:
        return type(error).__name__
    return f"there is no {reason}" if isinstance(error, KeyError) else reason


def parsed_json(text: str) -> Any:
    """Return what JSON says; raises ValueError (as json.JSONDecodeError) where it is none, or has no bottom."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from error


def unpacked(path: Path) -> io.BytesIO:
    """Return what a file packed by gzip or bzip2 holds, wholly: one that is cut short must not pass.

    Raises ValueError, naming the file, where it unpacks to far more than images do; what the packers raise else.
    """
    size = path.stat().st_size
    most = max(ROOM, LIKELY * size)
    result = io.BytesIO()
    with OPENERS[path.suffix.lower()](path) as file:
        while part := file.read(CHUNK):
            if result.tell() + len(part) > most:
                raise ValueError(
                    f"{path}: its {size} bytes unpack to more than {most / 1e6:.0f} MB, which those of no image do; "
                    "unpack it yourself where you trust it."
                )
            result.write(part)
    result.seek(0)
    return result


def check_headers(path: Path, content: BinaryIO) -> None:
    """Raise ValueError where a header of a FITS file tells more axes or columns than the standard allows.

    astropy counts up to what is told there, for hours and through all memory. Headers alone are read, each where the
    data before it end; what is no header at all is left to astropy.
    """
    from astropy.io import fits

    size = content.seek(0, os.SEEK_END)
    at, number = 0, 0
    while at < size:
        content.seek(at)
        try:
            header = fits.Header.fromfile(content, endcard=True, padding=False)
        except Exception:
            break
        at = content.tell()
        told = {name: header.get(name, 0) for name in COUNTS if _is_readable(header, name)}
        for name, count in told.items():
            if not isinstance(count, int) or not 0 <= count <= MOST_COUNTED:
                raise ValueError(f"{path}, HDU {number}: {name} is {str(count)[:40]}; fetch the file again.")
        try:
            sides = [int(header[f"NAXIS{axis + 1}"]) for axis in range(told.get("NAXIS", 0))]
            items = prod(sides) if sides else 0
            n_bytes = abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1))
            n_bytes *= int(header.get("PCOUNT", 0)) + items
        except Exception:
            break
        if n_bytes < 0:
            break
        at, number = -(-at // FITS_BLOCK) * FITS_BLOCK + -(-n_bytes // FITS_BLOCK) * FITS_BLOCK, number + 1
    content.seek(0)


def _is_readable(header: Any, name: str) -> bool:
    try:
        return header.get(name) is not None
    except Exception:
        # no FITS card: astropy says so
        return False


def _name(path: AnyPath) -> str:
    return Path(path).name.partition("[")[0]
