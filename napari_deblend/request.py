"""What a person wants opened: files, each in its role, and what piece of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deblend import Observation
from deblend.io import DataFile, Reading, find_images, is_large


@dataclass(frozen=True)
class Request:
    """Files to be read into observations."""

    paths: tuple[str, ...]
    psf: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    cutout: str | None = None
    """As of `deblend.io.cutout_from_text`; None for everything."""

    @classmethod
    def of(
        cls, paths: Sequence[str], psf: Sequence[str] = (), weights: Sequence[str] = (), mask: Sequence[str] = ()
    ) -> Request:
        return cls(tuple(map(str, paths)), tuple(map(str, psf)), tuple(map(str, weights)), tuple(map(str, mask)))

    @property
    def first(self) -> Path:
        """The first image, whose pixels and WCS say what a cut-out means."""
        return find_images(self.paths)[0][0]

    @property
    def needs_cutout(self) -> bool:
        """Whether one of the images is so large that a person has to say which piece is wanted; reads headers."""
        return self.cutout is None and any(is_large(path) for path in find_images(self.paths)[0])

    @cached_property
    def reading(self) -> Reading:
        """The same as a session keeps it, with paths that hold from anywhere."""
        return Reading.of(self.paths, self.psf, self.weights, self.mask, self.cutout)

    @cached_property
    def files(self) -> tuple[DataFile, ...]:
        """The files as they are now, with their hashes; takes as long as reading them."""
        return self.reading.files

    def read(self) -> tuple[Observation, ...]:
        """Read the observations; raises ValueError with a sentence where that cannot be done."""
        assert self.files is not None, "hashed here, where a thread has the time for it"
        return self.reading.read()
