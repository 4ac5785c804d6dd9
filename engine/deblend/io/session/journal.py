"""A journal of the work, written while it goes on: a process that is killed loses what came after the last entry.

Entries are appended, so that keeping a scene of which one source was moved costs one source. Once most of a journal is
past, the work is written into a fresh one and the old one goes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from deblend.guard import AnyPath, reason_of
from deblend.io.session.ledger import Ledger, last_session
from deblend.io.session.session import Session

LONG = 64 * 2**20
"""Length from which on a journal that has grown to several times its first entry is begun anew [bytes]."""
GROWTH = 3
_NAME = re.compile(r"journal-(\d+)\.jsonl")


class Journal:
    """Keeps sessions in a folder of its own."""

    def __init__(self, folder: AnyPath) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._volume = max(_volumes(folder), default=-1)
        self._files: tuple[BinaryIO, BinaryIO] | None = None
        self._n_bytes = self._first = 0
        self._is_broken = False
        """Whether an entry was begun that did not reach the disk."""
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def keep(self, session: Session) -> None:
        """Append what is new of a session; it is on the disk when this returns.

        Raises TypeError where something of it cannot be written, OSError where the disk refuses.
        """
        is_new = self._is_broken or self._n_bytes > max(LONG, GROWTH * self._first)
        if is_new:
            self._begin()
        # until all of it is there: numbers were given to what was not written, and a line may be half there
        self._is_broken = True
        self._ledger.write(session)
        for file in self._open:
            file.flush()
            os.fsync(file.fileno())
        self._is_broken = False
        self._first = self._first or self._n_bytes
        if is_new:
            _remove(self._folder, range(self._volume))

    def close(self) -> None:
        """End writing; the journal stays."""
        files, self._files = self._files, None
        for file in files or ():
            try:
                file.close()
            except OSError:
                # what a full disk did not take is not taken now either; the entry was refused already
                if not self._is_broken:
                    raise

    @property
    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        assert self._files is not None, "a journal that was closed keeps nothing"
        return self._files

    def _begin(self) -> None:
        self.close()
        if self._is_broken and not self._first:
            # nothing of it is whole, and where the disk is full its place is needed
            _remove(self._folder, range(self._volume, self._volume + 1))
        self._volume += 1
        lines, arrays = _paths(self._folder, self._volume)
        # arrays first: a line that is whole names what is there
        self._files = arrays.open("wb"), lines.open("wb")
        self._n_bytes = self._first = 0
        self._ledger = Ledger(lambda line: self._write(1, line.encode()), lambda content: self._write(0, content))

    def _write(self, index: int, content: bytes) -> None:
        self._open[index].write(content)
        self._n_bytes += len(content)


def read_journal(folder: AnyPath) -> Session | None:
    """Return the last session that a journal has kept whole; None where there is none.

    Raises ValueError with a sentence, naming the folder, where what it holds is of another version.
    """
    folder = Path(folder)
    for volume in sorted(_volumes(folder), reverse=True):
        lines, arrays = _paths(folder, volume)
        if not arrays.is_file():
            continue
        try:
            text = lines.read_text(encoding="utf-8", errors="replace").splitlines()
            session = last_session(text, arrays.read_bytes())
        except (ValueError, MemoryError) as error:
            reason = reason_of(error)
            raise ValueError(f"{folder}: the work that was kept there cannot be read ({reason}).") from error
        if session is not None:
            return session
    return None


def _volumes(folder: Path) -> list[int]:
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return [int(match[1]) for match in matches if match]


def _paths(folder: Path, volume: int) -> tuple[Path, Path]:
    return folder / f"journal-{volume}.jsonl", folder / f"arrays-{volume}.bin"


def _remove(folder: Path, volumes: range) -> None:
    for volume in volumes:
        for path in _paths(folder, volume):
            path.unlink(missing_ok=True)
