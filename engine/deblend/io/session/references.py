"""Images that a session refers to: how they were read from files, and where these files are now.

An array is referred to only where reading the files anew gives it bit for bit; whatever a person has changed since is
kept in the session itself. So a session that refers to its images is restored as exactly as one that holds them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deblend.io.group import find_images, read_observations
from deblend.io.session.files import DataFile, files_of
from deblend.observe import Observation

WHERE = "where"
"""Names the place of an array among what the files hold, in a tree."""
LEAST = 4096
"""Arrays of fewer bytes are not worth a reference."""

Place = tuple[str | int, ...]
"""From the observations to one of their arrays: indices and names of fields."""


class DataNotFoundError(ValueError):
    """The files that a session refers to are not where they were, or are other ones by now."""


@dataclass(frozen=True)
class Reading:
    """How images were read: what `deblend.io.read_observations` was given."""

    paths: tuple[str, ...]
    """Files or folders, absolute; a file may name its HDU."""
    psf: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    cutout: str | None = None

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        psf: Sequence[str] = (),
        weights: Sequence[str] = (),
        mask: Sequence[str] = (),
        cutout: str | None = None,
    ) -> Reading:
        """Return it with paths that hold wherever the program is started; what is no file is left as it is."""

        def absolute(given: Sequence[str]) -> tuple[str, ...]:
            return tuple(os.path.abspath(path) if Path(_bare(path)).exists() else path for path in given)

        return cls(absolute(paths), absolute(psf), absolute(weights), absolute(mask), cutout)

    def read(self) -> tuple[Observation, ...]:
        """Read the images; raises ValueError with a sentence where that cannot be done.

        Only what `of` gives is read: files by their whole path, no patterns that a stranger has search through disks.
        """
        for path in self.paths:
            if not (os.path.isabs(path) and Path(_bare(path)).exists()):
                raise ValueError(
                    f"{path}: a session names its images by their whole paths, and this is none of a file."
                )
        return read_observations(
            self.paths,
            psf=self.psf or None,
            weights=self.weights or None,
            mask=self.mask or None,
            cutout=self.cutout,
        )

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files as they are now, with their hashes; takes as long as reading them."""
        images, _ = find_images(self.paths)
        return files_of((*images, *self.psf, *self.weights, *self.mask))

    def moved(self, places: Mapping[str, str]) -> Reading:
        """Return the same of files that are elsewhere by now."""

        def now(given: Sequence[str]) -> tuple[str, ...]:
            return tuple(places.get(path, path) for path in given)

        return Reading(now(self.paths), now(self.psf), now(self.weights), now(self.mask), self.cutout)

    @property
    def named(self) -> tuple[str, ...]:
        """Every file or folder that was named, each once; what is said in words, as of a PSF, is left out."""
        every = (*self.paths, *self.psf, *self.weights, *self.mask)
        return tuple(dict.fromkeys(path for path in every if os.path.isabs(_bare(path))))


def arrays_of(said: Any, place: Place = ()) -> Iterator[tuple[Place, np.ndarray]]:
    """Give every array of some size in observations, with its place."""
    if isinstance(said, np.ndarray):
        if said.nbytes >= LEAST:
            yield place, said
    elif isinstance(said, tuple):
        for index, item in enumerate(said):
            yield from arrays_of(item, (*place, index))
    elif is_dataclass(said):
        for field in fields(said):
            yield from arrays_of(getattr(said, field.name), (*place, field.name))


def digest_of(array: np.ndarray) -> str:
    """Return the hash of an array's numbers, type and shape."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class References:
    """What stands for arrays that are in files, while a session is written."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.found: set[int] = set()
        """Identities of the arrays that were referred to."""

    @cached_property
    def _places(self) -> dict[str, Place]:
        return {digest_of(array): place for place, array in arrays_of(self._reading.read())}

    def keep(self, array: np.ndarray) -> Any:
        """Return what stands for an array: its place in the files, or where they do not hold it the array itself."""
        digest = digest_of(array) if array.nbytes >= LEAST else ""
        if digest not in self._places:
            return np.ascontiguousarray(array)
        self.found.add(id(array))
        return {WHERE: list(self._places[digest]), "sha256": digest}


def fetched(reading: Reading, wanted: Mapping[str, Place]) -> dict[str, np.ndarray]:
    """Return the arrays of these hashes from files; raises DataNotFoundError where they do not hold them."""
    try:
        arrays = {digest_of(array): array for _, array in arrays_of(reading.read())}
    except ValueError as error:
        raise DataNotFoundError(str(error)) from error
    missing = next((place for digest, place in wanted.items() if digest not in arrays), None)
    if missing is not None:
        images, _ = find_images(reading.paths)
        folders = ", ".join(dict.fromkeys(str(image.parent) for image in images))
        raise DataNotFoundError(
            f"the files in {folders} give other {missing[-1]} than when the session was saved; "
            "put the former files back, or say in which folder they are"
        )
    return {digest: arrays[digest] for digest in wanted}


def elsewhere(reading: Reading, before: Path, now: Path, data: Path | None) -> list[Reading]:
    """Return where the files may be, the likeliest first: in a folder that a person names, where they were, and as they
    lay beside the session, which was in the folder `before` and is in `now`.

    Raises DataNotFoundError, naming the first file that is nowhere, where there is no such place.
    """
    found = []
    for place in ([] if data is None else [_in(data)]) + [Path, _beside(before, now)]:
        places = {path: str(place(_bare(path))) + path[len(_bare(path)) :] for path in reading.named}
        if all(Path(_bare(path)).exists() for path in places.values()):
            found.append(reading.moved(places))
    if not found:
        lost = next(path for path in reading.named if not Path(_bare(path)).exists())
        where = "" if data is None else f", nor in {data}"
        raise DataNotFoundError(
            f"it refers to {Path(_bare(lost)).name}, which is no longer in {Path(_bare(lost)).parent}{where}; "
            "say in which folder the images are now"
        )
    return list(dict.fromkeys(found))


def _in(folder: Path) -> Any:
    """Return a function from a former path to that in another folder: below it by its name, or the folder itself."""

    def place(path: str) -> Path:
        beneath = folder / Path(path).name
        is_folder = not Path(path).suffix
        return folder if is_folder and not beneath.exists() else beneath

    return place


def _beside(before: Path, now: Path) -> Any:
    """Return a function from a former path to that which lies beside a session as the former one did."""
    return lambda path: Path(os.path.normpath(now / os.path.relpath(path, before)))


def _bare(path: str) -> str:
    """Return a path without the name of an HDU."""
    return re.sub(r"\[[^\]]*\]$", "", path)
