"""Overviews: a small picture of a large image, read a few rows at a time and finer as it goes.

One row in so many is read; where a compressed file holds its pixels in tiles, all rows of a tile come at once, since a
tile costs the same for one row as for all. Strips that lie far apart come first: there is soon something to see.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.guard import naming
from deblend.io.fits_file import Cards, data_of, image_number, label, opened, readable, split_hdu
from deblend.io.parts import IMAGE_NAMES
from deblend.io.roman import is_roman
from deblend.sky import PixelBox, PixelGrid, TangentWcs

SIDE = 640
"""Pixels of the longer side of an overview."""
LARGE = 4096
"""An image with a longer side than this is better opened in pieces [pix]."""
PATIENCE = 0.7
"""Time between two pictures [s]."""


@dataclass(frozen=True, eq=False)
class Overview:
    """A small picture of an image."""

    path: Path
    where: str
    pixels: Float[np.ndarray, "y x"]
    """In the unit of the file; NaN where nothing is known. Each is the mean of `step` pixels of one row."""
    step: int
    """How many pixels of the image one of these spans along both axes."""
    grid: PixelGrid
    """Of the whole image."""
    is_whole: bool
    """Whether all strips have been read; until then rows are repeated."""


def is_large(path: str | PathLike[str]) -> bool:
    """Tell by its header whether the image that would be read of a file has a side of more than `LARGE` pixels.

    Raises ValueError where the file is missing or broken, or holds no image.
    """
    file, hdu = split_hdu(Path(path))
    if is_roman(file):
        # none of its detectors or tiles is
        return False
    with opened(file) as hdus:
        shape = hdus[image_number(hdus, file, hdu, IMAGE_NAMES)].shape
    return max(shape[-2:]) > LARGE


def image_shape(path: str | PathLike[str]) -> tuple[int, int]:
    """Return (height, width) [pix] of the image that would be read of a file, by its header.

    Raises ValueError where the file is missing or broken, or holds no image; so it does for images of the Roman
    telescope, whose headers are no FITS.
    """
    file, hdu = split_hdu(Path(path))
    if is_roman(file):
        raise ValueError(f"{file}: is no FITS image; pieces of it cannot be read by its header.")
    with opened(file) as hdus:
        shape = hdus[image_number(hdus, file, hdu, IMAGE_NAMES)].shape
    return int(shape[-2]), int(shape[-1])


def overviews(path: str | PathLike[str], side: int = SIDE, patience: float = PATIENCE) -> Iterator[Overview]:
    """Yield small pictures of the image of a file, the last one whole; of a cube its first plane.

    Raises ValueError as `read_image` does.
    """
    file, hdu = split_hdu(Path(path))
    with naming(file), opened(file) as hdus:
        number = image_number(hdus, file, hdu, IMAGE_NAMES)
        where, header = f"{file}, {label(hdus, number)}", readable(hdus[number].header)[0]
        height, width = (int(n) for n in hdus[number].shape[-2:])
        step = max(-(-max(height, width) // side), 1)
        small = np.full((-(-height // step), -(-width // step)), np.nan)
        read = np.zeros(len(small), dtype=bool)
        grid = PixelGrid((height, width), _sky(header, (height, width)))
        strips = _strips(hdus[number], height, step)
        last = time.monotonic()
        for k in _far_apart_first(len(strips)):
            first, end, rows = strips[k]
            lines = data_of(hdus, number, file, PixelBox((0, width), (first, end)))
            lines = lines.reshape(-1, *lines.shape[-2:])[0]
            small[rows] = _binned(lines[np.minimum(rows * step + step // 2, height - 1) - first], step)
            read[rows] = True
            # the first picture only once every part of the image is known about
            if time.monotonic() - last > patience and read.mean() > 1 / 64 and not read.all():
                yield Overview(file, where, _filled(small, read), step, grid, False)
                last = time.monotonic()
        yield Overview(file, where, _filled(small, read), step, grid, True)


def _sky(header: fits.Header, shape: tuple[int, int]) -> TangentWcs | None:
    axis = str(Cards(header, header).get("CTYPE1") or "")
    return TangentWcs.from_header(header, shape) if axis.startswith(("RA", "DEC")) else None


def _strips(hdu: fits.ImageHDU | fits.CompImageHDU, height: int, step: int) -> list[tuple[int, int, np.ndarray]]:
    """Return the strips to read: first row and end in the image, and the rows of the overview that they give."""
    tile = int(hdu.tile_shape[-2]) if isinstance(hdu, fits.CompImageHDU) else 1
    middles = np.minimum(np.arange(-(-height // step)) * step + step // 2, height - 1)
    strips = []
    for band in np.unique(middles // tile):
        rows = np.flatnonzero(middles // tile == band)
        strips.append((int(middles[rows[0]]), int(middles[rows[-1]]) + 1, rows))
    return strips


def _far_apart_first(n: int) -> list[int]:
    """Return 0 to n - 1 so that the gaps halve: each number by its bits read backwards."""
    bits = max(n - 1, 1).bit_length()
    return [k for k in (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits)) if k < n]


def _binned(rows: Float[np.ndarray, "row x"], step: int) -> Float[np.ndarray, "row small"]:
    """Return means over `step` pixels along the rows; NaN where none is defined."""
    padding = -rows.shape[1] % step
    padded = np.pad(rows.astype(np.float64), ((0, 0), (0, padding)), constant_values=np.nan)
    with warnings.catch_warnings():
        # parts of a mosaic that no exposure has seen have no mean
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(padded.reshape(len(rows), -1, step), axis=2))


def _filled(small: Float[np.ndarray, "y x"], read: np.ndarray) -> Float[np.ndarray, "y x"]:
    """Return the picture with each row that is not yet read as the nearest one that is."""
    known = np.flatnonzero(read)
    nearest = known[np.abs(np.arange(len(small))[:, None] - known[None]).argmin(axis=1)]
    return small[nearest]
