"""A session as one ASDF file: the present scene as text that a person can read, images as blocks or as references to
files, history behind them.

ASDF: Greenfield, Droettboom & Bray 2015, Astronomy and Computing 12, 240.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from deblend.guard import ROOM, AnyPath, reason_of
from deblend.io.asdf_file import opened_asdf
from deblend.io.session.ledger import Ledger, last_session
from deblend.io.session.plain import Fetch, Reader, Writer
from deblend.io.session.references import WHERE, DataNotFoundError, Place, Reading, References, elsewhere, fetched
from deblend.io.session.session import Session
from deblend.observe import Observation
from deblend.replacing import replacing
from deblend.scene.scene import Scene

KEY = "napari_deblend"
VERSION = 1
SUFFIX = ".asdf"


def write_session(path: AnyPath, session: Session) -> tuple[str, ...]:
    """Write a session to an ASDF file, so that it can be restored exactly; return what there is to say about it.

    Its images go with it, or where it says so (`holds_images`) only references to the files that they came from, with
    hashes. What these files do not give bit for bit, like a PSF that was made of stars, goes with it all the same.

    Raises ValueError with a sentence where something of it cannot be written, OSError where the disk refuses.
    """
    path = Path(path)
    references = None
    if not session.holds_images:
        if session.reading is None:
            raise ValueError(f"{path}: these images came from no files that could be referred to; save them with it.")
        references = References(session.reading)
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
        keep = Writer(np.ascontiguousarray if references is None else references.keep)
        images = [keep.whole(observation) for observation in observations]
    except TypeError as error:
        raise ValueError(f"{path}: the session cannot be written: {error}") from error
    tree = {
        KEY: {
            "version": VERSION,
            "written_by": f"napari-deblend {version('napari-deblend')}",
            "session": now,
            "observations": images,
            "folder": str(path.resolve().parent),
            "history": {"lines": _bytes("".join(lines).encode()), "arrays": _bytes(b"".join(content))},
        }
    }
    file = asdf.AsdfFile(tree)
    if sum(map(len, lines)) < ROOM:
        # longer ones would not be opened again: they could be a trap
        file.set_array_compression(tree[KEY]["history"]["lines"], "zlib")
    with replacing(path) as part:
        file.write_to(part)
    if references is None:
        return ()
    changed = [o.name for o in session.observations if id(o.images) not in references.found]
    return tuple(f"The images of {name} are kept in it, as the files hold other ones." for name in changed)


def is_session(path: AnyPath) -> bool:
    """Tell whether a file is a session, from its first kilobytes; images of the Roman telescope are ASDF, too."""
    path = Path(path)
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    with path.open("rb") as file:
        return f"\n{KEY}:".encode() in file.read(65536)


def read_session(path: AnyPath, data: AnyPath | None = None) -> Session:
    """Read a session, and the images that it refers to from where they were, or from the folder `data`.

    Raises ValueError with a sentence, naming the file, where it is missing or damaged, and as DataNotFoundError where
    its images are nowhere.
    """
    path, data = Path(path), None if data is None else Path(data)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such session; check the path.")
    with warnings.catch_warnings():
        # whatever else another program has added is left alone
        warnings.simplefilter("ignore")
        try:
            with opened_asdf(path, core_only=True) as file:
                return _session(file.tree.get(KEY), path.resolve().parent, data)
        except DataNotFoundError as error:
            raise DataNotFoundError(f"{path}: {error}.") from error
        except Exception as error:  # asdf raises whatever its parsers do
            raise ValueError(f"{path}: cannot be read as a session ({reason_of(error)}).") from error


def _session(tree: Any, folder: Path, data: Path | None) -> Session:
    if not isinstance(tree, Mapping) or "session" not in tree:
        raise ValueError("it holds none")
    if tree["version"] > VERSION:
        raise ValueError(f"it was written by a newer version, {tree.get('written_by')}; update the program")
    images, reading = _plain(tree["observations"]), None
    fetch: Fetch = np.asarray
    if wanted := dict(_references(images)):
        said = Reader(np.asarray).object(_plain(tree["session"])["Session"]["reading"])
        reading, fetch = _found(elsewhere(said, Path(tree["folder"]), folder, data), wanted)
    observations = tuple(Reader(fetch).object(image) for image in images)
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
    session = replace(session, undo=whole.undo, redo=whole.redo, runs=whole.runs, draws=draws)
    return session if reading in (None, session.reading) else replace(session, reading=reading, files=reading.files)


def _is_same(one: Scene, other: Scene) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one.sources, other.sources, strict=True))


def _references(tree: Any) -> Iterator[tuple[str, Place]]:
    """Give hash and place of every array that a tree refers to."""
    if isinstance(tree, Mapping):
        if WHERE in tree:
            yield tree["sha256"], tuple(tree[WHERE])
        else:
            yield from (reference for item in tree.values() for reference in _references(item))
    elif isinstance(tree, list):
        yield from (reference for item in tree for reference in _references(item))


def _found(places: Sequence[Reading], wanted: Mapping[str, Place]) -> tuple[Reading, Fetch]:
    """Return the first place whose files hold what is wanted, and what gets it; raises DataNotFoundError for none."""
    failures = []
    for reading in places:
        try:
            return reading, partial(_array, fetched(reading, wanted))
        except DataNotFoundError as error:
            failures.append(error)
    raise failures[0]


def _array(arrays: Mapping[str, np.ndarray], content: Any) -> np.ndarray:
    return arrays[content["sha256"]] if isinstance(content, Mapping) else np.asarray(content)


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
