"""Files that are either the old ones or the new ones, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there in the end moves to `path`, and nothing is left where writing failed.

    The content is on the disk before the name is: a machine that loses its power has the old file or the new one. The
    folder of `path` is made where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        _put_on_disk(part)
        os.replace(part, path)
        if os.name == "posix":
            # where a file system does not take this of folders, the name is there a little later
            with contextlib.suppress(OSError):
                _put_on_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _put_on_disk(path: Path) -> None:
    # Windows wants to write what it syncs, and folders cannot be written
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
