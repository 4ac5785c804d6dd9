"""A session as one ASDF file: the present scene as text that a person can read, images as blocks, history behind them.

ASDF: Greenfield, Droettboom & Bray 2015, Astronomy and Computing 12, 240.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from deblend.io.replacing import replacing
from deblend.io.session.ledger import Ledger, last_session
from deblend.io.session.plain import Reader, Writer
from deblend.io.session.session import Session
from deblend.observe import Observation
from deblend.scene.scene import Scene

KEY = "napari_deblend"
VERSION = 1
SUFFIX = ".asdf"


def write_session(path: Path, session: Session) -> None:
    """Write a session to an ASDF file, with its images, so that it can be restored exactly.

    Raises ValueError with a sentence where something of it cannot be written, OSError where the disk refuses.
    """
    # here, since it takes as long as the rest of the package together and most of its users never save
    import asdf

    observations = _distinct(session)
    numbers = {id(observation): k for k, observation in enumerate(observations)}
    here = Writer(np.ascontiguousarray, lambda said: numbers.get(id(said)) if isinstance(said, Observation) else None)
    lines: list[str] = []
    content: list[bytes] = []
    try:
        Ledger(lines.append, content.append, observations).write(session)
        now = here.tree(replace(session, undo=(), redo=(), runs=(), draws=None))
        images = [here.whole(observation) for observation in observations]
    except TypeError as error:
        raise ValueError(f"{path}: the session cannot be written: {error}") from error
    tree = {
        KEY: {
            "version": VERSION,
            "written_by": f"napari-deblend {version('napari-deblend')}",
            "session": now,
            "observations": images,
            "history": {"lines": _bytes("".join(lines).encode()), "arrays": _bytes(b"".join(content))},
        }
    }
    file = asdf.AsdfFile(tree)
    file.set_array_compression(tree[KEY]["history"]["lines"], "zlib")
    with replacing(path) as part:
        file.write_to(part)


def is_session(path: Path) -> bool:
    """Tell whether a file is a session, from its first kilobytes; images of the Roman telescope are ASDF, too."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    with path.open("rb") as file:
        return f"\n{KEY}:".encode() in file.read(65536)


def read_session(path: Path) -> Session:
    """Read a session; raises ValueError with a sentence, naming the file, where it is missing or damaged."""
    import asdf

    if not path.is_file():
        raise ValueError(f"{path}: there is no such session; check the path.")
    with warnings.catch_warnings():
        # whatever else another program has added is left alone
        warnings.simplefilter("ignore")
        try:
            with asdf.open(path, memmap=False, lazy_load=False) as file:
                return _session(file.tree.get(KEY))
        except Exception as error:  # asdf raises whatever its parsers do
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ValueError(f"{path}: cannot be read as a session ({reason}).") from error


def _session(tree: Any) -> Session:
    if not isinstance(tree, Mapping) or "session" not in tree:
        raise ValueError("it holds none")
    if tree["version"] > VERSION:
        raise ValueError(f"it was written by a newer version, {tree.get('written_by')}; update the program")
    observations = tuple(Reader(np.asarray).object(_plain(image)) for image in tree["observations"])
    session = Reader(np.asarray, observations.__getitem__).object(_plain(tree["session"]))
    if not isinstance(session, Session):
        raise ValueError("it holds none")
    history = tree["history"]
    lines = bytes(np.asarray(history["lines"])).decode().splitlines()
    whole = last_session(lines, bytes(np.asarray(history["arrays"])), observations)
    if whole is None:
        raise ValueError("its history is damaged")
    draws = whole.draws
    if draws is not None and _is_same(draws.scene, whole.scene):
        # around the present scene, which was read a second time
        draws = replace(draws, scene=session.scene)
    return replace(session, undo=whole.undo, redo=whole.redo, runs=whole.runs, draws=draws)


def _is_same(one: Scene, other: Scene) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one.sources, other.sources, strict=True))


def _plain(tree: Any) -> Any:
    """Return ASDF's own containers as dicts and lists."""
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple) or type(tree).__name__ == "TaggedList":
        return [_plain(item) for item in tree]
    return tree


def _distinct(session: Session) -> list[Observation]:
    steps = (step.observations for step in (*session.undo, *session.redo))
    every = [session.observations, *steps, *(run.observations for run in session.runs)]
    return list({id(observation): observation for several in every for observation in several}.values())


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
