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
from deblend.observe import Observation
from deblend.sky import PixelBox


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
        given = [self.options.get(name) or () for name in ("psf", "weights", "mask")]
        files = files_of((*self.images, *(file for each in given for file in each)))
        return [self.name, *([Path(file.path).name, file.sha256] for file in files)]

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
