"""Sources, scenes and steps written one after the other, each once: what a history shares, its file shares.

A line of JSON for each, which names the others by number; large arrays lie in a stream of bytes beside the lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from deblend.io.session.plain import Reader, Writer
from deblend.io.session.session import Run, Session, Step
from deblend.measure.kept_draws import KeptDraws
from deblend.observe import Observation
from deblend.scene.scene import Scene
from deblend.scene.source import Source

SHARED = (Session, Step, Run, Scene, Source, Observation, KeptDraws)


class Ledger:
    """Writes objects to two streams; what was written once is named by its number from then on."""

    def __init__(
        self, write_line: Callable[[str], object], write_bytes: Callable[[bytes], object], known: Sequence[Any] = ()
    ) -> None:
        self._write_line, self._write_bytes = write_line, write_bytes
        self._n_bytes = 0
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._count = 0
        for said in known:
            self._number(said)
        self._writer = Writer(self._keep, self._part)

    def write(self, session: Session) -> int:
        """Write a session, and of what it is made of all that is new; return its number."""
        number = self._part(session)
        assert number is not None
        return number

    def _part(self, said: Any) -> int | None:
        if not isinstance(said, SHARED):
            return None
        number = self._numbers.get(said)
        if number is None:
            tree = self._writer.whole(said)
            number = self._number(said)
            self._write_line(json.dumps({"part": number, "is": tree}, separators=(",", ":")) + "\n")
        return number

    def _number(self, said: Any) -> int:
        number = self._numbers[said] = self._count
        self._count += 1
        return number

    def _keep(self, array: np.ndarray) -> dict[str, Any]:
        content = np.ascontiguousarray(array).tobytes()
        place = {"at": self._n_bytes, "type": array.dtype.str, "shape": list(array.shape)}
        self._write_bytes(content)
        self._n_bytes += len(content)
        return place


def last_session(lines: Iterable[str], content: bytes | memoryview, known: Sequence[Any] = ()) -> Session | None:
    """Return the last session that is whole; None where there is none.

    What was cut off in the middle of a line, as where a process was killed, is left out.
    """
    trees: dict[int, Any] = {}
    sessions: list[int] = []
    for line in lines:
        try:
            entry = json.loads(line)
            number, tree = entry["part"], entry["is"]
            trees[number] = tree
            is_session = Session.__name__ in tree
        except (ValueError, KeyError, TypeError, RecursionError):
            break
        if is_session:
            sessions.append(number)
    return next((found for number in reversed(sessions) if (found := _session(number, trees, content, known))), None)


def _session(
    number: int, trees: Mapping[int, Any], content: bytes | memoryview, known: Sequence[Any]
) -> Session | None:
    """Return a session of this number, or None where a part of it was not written any more."""
    parts: dict[int, Any] = dict(enumerate(known))

    def fetch(place: Mapping[str, Any]) -> np.ndarray:
        count = prod(place["shape"])
        if count < 0 or place["at"] + count * np.dtype(place["type"]).itemsize > len(content):
            raise _CutOff
        return np.frombuffer(content, place["type"], count, place["at"]).reshape(place["shape"])

    def part(index: int) -> Any:
        if index not in parts:
            parts[index] = reader.object(trees[index])
        return parts[index]

    reader = Reader(fetch, part)
    try:
        session = part(number)
    except _CutOff:
        return None
    except ValueError:
        # it is of another version, and says so
        raise
    except Exception:
        # what a line names is not there, or is another thing than what it is taken for
        return None
    return session if isinstance(session, Session) else None


class _CutOff(ValueError):
    """Bytes that a line names are not there."""
