"""ASDF files of strangers: one that points to other files, or that unpacks to more than it is worth, is not opened.

The standard lets an array lie in another file, or on a server, and any node be a reference to one. A session or an
image needs neither: what it says is in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deblend.guard import LIKELY, ROOM

MOST_REPEATED = 10
"""How many times the nodes of a tree may be its file's bytes, which they can be by naming one another only."""
CORE = "tag:stsci.edu:asdf/core/"
_BLOCK = b"\xd3BLK"
_HEAD = struct.Struct(">HI4sQQQ16s")
"""Size of what follows, flags, compression, sizes that are allocated, used and unpacked [bytes], checksum."""


@contextmanager
def opened_asdf(path: Path, *, core_only: bool = False) -> Iterator[Any]:
    """Open an ASDF file whose arrays are in it, with `core_only` one of plain trees and arrays.

    Raises ValueError with half a sentence where it is not such a file, and whatever asdf's parsers raise.
    """
    import asdf

    with path.open("rb") as file:
        start = file.read(len(b"#ASDF"))
    if start != b"#ASDF":
        raise ValueError("it does not begin as ASDF does")
    _check_blocks(path)
    nodes = _Nodes(core_only)
    if nodes.count(asdf.util.load_yaml(path, tagged=True)) > MOST_REPEATED * path.stat().st_size:
        raise ValueError("its parts name one another without end")
    with asdf.open(path, memmap=False, lazy_load=False) as opened:
        yield opened


class _Nodes:
    """Counts the nodes of a tree as it would be written out, and refuses those that lead out of the file."""

    def __init__(self, core_only: bool) -> None:
        self._core_only = core_only
        self._counts: dict[int, int] = {}

    def count(self, node: Any) -> int:
        if isinstance(node, Mapping):
            children = list(node.values())
        elif isinstance(node, list | tuple):
            children = list(node)
        else:
            return 1
        known = self._counts.get(id(node))
        if known is not None:
            if not known:
                raise ValueError("a part of it is within itself")
            return known
        self._counts[id(node)] = 0
        self._check(node)
        total = 1 + sum(map(self.count, children))
        self._counts[id(node)] = total
        return total

    def _check(self, node: Any) -> None:
        tag = str(getattr(node, "_tag", "") or "")
        is_array = tag.startswith(f"{CORE}ndarray") or tag.startswith("!core/ndarray")
        if self._core_only and tag and not tag.startswith((CORE, "!core/")):
            raise ValueError(f"it holds a {tag.rpartition('/')[2]}, which belongs in no session")
        leads_out = isinstance(node, Mapping) and (
            "$ref" in node or "externalarray" in tag or (is_array and isinstance(node.get("source"), str))
        )
        if leads_out:
            raise ValueError("it points to another file; only what is in it is read")


def _check_blocks(path: Path) -> None:
    """Raise ValueError where the blocks behind the text unpack to far more than the file is large."""
    size = path.stat().st_size
    most, total = max(ROOM, LIKELY * size), 0
    with path.open("rb") as file:
        at = _first_block(path)
        while at is not None and at + len(_BLOCK) + _HEAD.size <= size:
            file.seek(at)
            if file.read(len(_BLOCK)) != _BLOCK:
                break
            n_head, _, compression, allocated, used, unpacked, _ = _HEAD.unpack(file.read(_HEAD.size))
            if used > size or allocated > size:
                raise ValueError("it is cut short")
            total += unpacked if compression.strip(b"\0") else 0
            if total > most:
                raise ValueError(f"its {size} bytes unpack to more than {most / 1e6:.0f} MB")
            at += len(_BLOCK) + 2 + n_head + allocated


def _first_block(path: Path) -> int | None:
    """Return where the first block begins; None where there is none."""
    chunk, kept, at = 2**20, b"", 0
    with path.open("rb") as file:
        while part := file.read(chunk):
            found = (kept + part).find(_BLOCK)
            if found >= 0:
                return at - len(kept) + found
            at += len(part)
            kept = part[-len(_BLOCK) + 1 :]
    return None
