"""Where images came from: references with hashes, so that a session can tell whether the files are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

CHUNK = 2**22
"""[bytes]"""


@dataclass(frozen=True)
class DataFile:
    """A file as it was when it was read."""

    path: str
    """Absolute."""
    size: int
    """[bytes]"""
    sha256: str

    @classmethod
    def of(cls, path: str | PathLike[str]) -> DataFile:
        """Return what is known of a file now; raises OSError where it cannot be read."""
        path = Path(path).resolve()
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return cls(str(path), path.stat().st_size, digest.hexdigest())

    @property
    def change(self) -> str:
        """Whether it is another one by now, as a sentence; empty where it is the same."""
        path = Path(self.path)
        kept = "the session goes on with the images as they were read"
        if not path.is_file():
            return f"{path.name} is no longer at {path.parent}; {kept}."
        try:
            is_same = path.stat().st_size == self.size and DataFile.of(path).sha256 == self.sha256
        except OSError:
            return f"{path.name} at {path.parent} cannot be read now; {kept}."
        return "" if is_same else f"{path.name} has changed since it was read; {kept}: open it anew to take the change."


def files_of(paths: Iterable[str | PathLike[str]]) -> tuple[DataFile, ...]:
    """Return what is known of files, each once; what is no file, like a PSF in words, is left out."""
    distinct = dict.fromkeys(Path(path).resolve() for path in paths if Path(path).is_file())
    return tuple(DataFile.of(path) for path in distinct)


def changes_of(files: Iterable[DataFile]) -> list[str]:
    """Return a sentence for every file that is another one by now."""
    return [change for file in files if (change := file.change)]
