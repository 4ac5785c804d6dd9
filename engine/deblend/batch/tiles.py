"""Tiles: image sets of one patch of sky each, of which pieces are read when they are needed.

A whole field is never in memory: what is read of a tile is a box of it, at a time.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np

from deblend.io import PixelCutout, files_of, find_images, image_shape, read_observations
from deblend.io.fits_file import split_hdu
from deblend.observe import Observation
from deblend.sky import PixelBox

FILES = ("psf", "weights", "mask")
"""Options of `read_observations` that name files."""


class AbstractTile(ABC):
    """Images of one patch of sky, all on one grid of pixels."""

    name: str

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(height, width) [pix]."""

    @property
    @abstractmethod
    def identity(self) -> list[Any]:
        """What tells this tile from others, as plain lists and texts: digests of what it is made of."""

    @property
    def said(self) -> dict[str, Any] | None:
        """What opens it again, as plain lists and texts; None for what is in memory alone."""
        return None

    @abstractmethod
    def piece(self, box: PixelBox) -> tuple[Observation, ...]:
        """Return what the images show in a box of pixels, which must be within the tile.

        Raises ValueError with a sentence where files cannot be read, or are not all on one grid of pixels.
        """


@dataclass(frozen=True, eq=False)
class OpenTile(AbstractTile):
    """Observations that are in memory."""

    observations: Sequence[Observation]
    name: str = "field"

    @property
    def shape(self) -> tuple[int, int]:
        return self.observations[0].shape

    @property
    def identity(self) -> list[Any]:
        arrays = (array for o in self.observations for array in (o.images, o.weights, o.psf))
        return [self.name, *(hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for array in arrays)]

    def piece(self, box: PixelBox) -> tuple[Observation, ...]:
        return on_one_grid(self.name, tuple(observation.piece(box) for observation in self.observations))


@dataclass(frozen=True, eq=False)
class FileTile(AbstractTile):
    """Files, read as by `deblend.read_observations`."""

    paths: Sequence[str | Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `read_observations`."""
    name: str = "field"

    @cached_property
    def shape(self) -> tuple[int, int]:
        return image_shape(self.images[0])

    @cached_property
    def images(self) -> Sequence[Path]:
        """The files that hold its images."""
        return find_images(list(self.paths))[0]

    @property
    def identity(self) -> list[Any]:
        given = (str(file) for name in FILES for file in self.options.get(name) or ())
        # "rms:FILE" is a file with a word before it
        named = (file if Path(file).exists() else file.rpartition(":")[2] for file in given)
        files = files_of((*self.images, *named))
        return [self.name, *([Path(file.path).name, file.sha256] for file in files)]

    @property
    def said(self) -> dict[str, Any]:
        paths = [_absolute(path) for path in self.paths]
        options = {name: _absolute_files(value) if name in FILES else value for name, value in self.options.items()}
        return {"name": self.name, "paths": paths, "options": options}

    def piece(self, box: PixelBox) -> tuple[Observation, ...]:
        paths = [fspath(path) for path in self.paths]
        return on_one_grid(self.name, read_observations(paths, **self.options, cutout=PixelCutout(box)))


def on_one_grid(name: str, observations: tuple[Observation, ...]) -> tuple[Observation, ...]:
    """Return observations that lie on one grid of pixels; raises ValueError where they do not."""
    first = observations[0]
    for other in observations[1:]:
        if not other.grid.is_same_as(first.grid):
            raise ValueError(
                f"{name}: {first.name} and {other.name} are not on one grid of pixels; a batch takes images that are "
                "laid on one another, as coadds of one survey. Resample them, or fit patches with `deblend fit`."
            )
    return observations


def tiles_of(fields: Sequence[str | Path], options: Mapping[str, Any]) -> tuple[FileTile, ...]:
    """Return the tiles that paths stand for: a folder is one by itself, and all files together are one.

    Raises ValueError where a path stands for nothing.
    """
    folders = [path for path in fields if Path(path).is_dir()]
    files = [path for path in fields if not Path(path).is_dir()]
    groups = [([folder], Path(folder).resolve().name) for folder in folders]
    if files:
        groups.insert(0, (files, Path(files[0]).name.split(".")[0]))
    names: list[str] = []
    tiles = []
    for paths, name in groups:
        number = 1 + sum(other == name for other in names)
        names.append(name)
        tile = FileTile(tuple(paths), dict(options), name if number == 1 else f"{name}_{number}")
        # a path that stands for nothing is said before anything is done
        _ = tile.images
        tiles.append(tile)
    return tuple(tiles)


def _absolute(path: str | Path) -> str:
    """Return a path that means the same from any folder; words that are no file, as "gaussian:0.7", stay."""
    file, hdu = split_hdu(Path(path))
    return str(path) if not file.exists() else f"{file.resolve()}{'' if hdu is None else f'[{hdu}]'}"


def _absolute_files(given: Sequence[str | Path]) -> list[str]:
    """Return what names files, with absolute paths; "rms:FILE" keeps its first word."""
    result = []
    for each in given:
        words, colon, file = str(each).rpartition(":")
        result.append(_absolute(each) if not colon or Path(each).exists() else f"{words}:{_absolute(file)}")
    return result
