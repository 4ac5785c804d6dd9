"""What is done, on disk: one record per finished blend, appended, so that a run that is killed goes on where it was.

A record is a line of JSON, with its length and a checksum before it, and the arrays that this line names behind it. A
record that was cut short by a kill is the last one, and is cut off; all before it are whole.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from deblend.batch.task import Result
from deblend.guard import AnyPath, naming

NAME = "blends.journal"
PATIENCE = 2.0
"""How often what was written is put onto the disk for good [s]."""
_HEAD = struct.Struct("<4sIQI")
"""Mark, length of the line and of the arrays [bytes], and CRC-32 of both."""
_MARK = b"BLND"
_MAPPINGS = ("columns", "guests")


class Journal:
    """Takes results, one after another."""

    def __init__(self, folder: AnyPath) -> None:
        """Go on behind the last whole record in the folder's journal, or begin one."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / NAME
        whole = 0
        if path.is_file():
            with path.open("rb") as file:
                for _ in _records(file, path.stat().st_size):
                    whole = file.tell()
        self._file = path.open("r+b" if path.is_file() else "w+b")
        self._file.truncate(whole)
        self._file.seek(whole)
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def keep(self, result: Result) -> None:
        """Append a result; it outlives this process when this returns, and the machine soon after."""
        self._file.write(_packed(result))
        self._file.flush()
        if time.monotonic() - self._synced > PATIENCE:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """End writing; the journal stays."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def results_in(folder: AnyPath, with_models: bool = True) -> Iterator[Result]:
    """Yield the results that a folder's journal holds, in the order in which blends were done."""
    folder = Path(folder)
    path = folder / NAME
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line, arrays in _records(file, path.stat().st_size):
            with naming(path):
                result = _unpacked(json.loads(line), arrays, with_models)
            yield result


def _packed(result: Result) -> bytes:
    arrays: list[bytes] = []
    said: dict[str, Any] = {}

    def put(array: np.ndarray) -> dict[str, Any]:
        array = np.ascontiguousarray(array)
        arrays.append(array.tobytes())
        return {"dtype": array.dtype.str, "shape": array.shape}

    for name, value in vars(result).items():
        if isinstance(value, Mapping):
            said[name] = {key: put(np.asarray(each)) for key, each in value.items()}
        elif isinstance(value, np.ndarray):
            said[name] = put(value)
        else:
            said[name] = value if value is None or not isinstance(value, float) or np.isfinite(value) else None
    line, content = json.dumps(said).encode(), b"".join(arrays)
    return _HEAD.pack(_MARK, len(line), len(content), zlib.crc32(content, zlib.crc32(line))) + line + content


def _records(file: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the lines and arrays of the whole records from here on, of a file of so many bytes."""
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        mark, n_line, n_content, checksum = _HEAD.unpack(head)
        if mark != _MARK or n_line + n_content > size - file.tell():
            return
        line, content = file.read(n_line), file.read(n_content)
        if len(content) != n_content or zlib.crc32(content, zlib.crc32(line)) != checksum:
            return
        yield line, content


def _unpacked(said: dict[str, Any], content: bytes, with_models: bool) -> Result:
    place = 0

    def take(about: dict[str, Any]) -> np.ndarray:
        nonlocal place
        dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
        count = int(np.prod(shape, dtype=int))
        array = np.frombuffer(content, dtype, count, place).reshape(shape)
        place += array.nbytes
        return array

    fields: dict[str, Any] = {}
    for name, value in said.items():
        if name in _MAPPINGS:
            fields[name] = {key: take(about) for key, about in value.items()}
        elif name == "model":
            fields[name] = take(value) if value is not None and with_models else None
        elif isinstance(value, list):
            fields[name] = tuple(value)
        else:
            fields[name] = np.nan if value is None else value
    return Result(**fields)
