"""A session as a Python script that can be read, changed and run: its scenes, its edits, its fits.

Images lie in a session file beside the script, and long arrays in an `.npz` file; all else is said in the script. It
does every fit with as many iterations as were done before each edit, and writes the catalog of what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from deblend.guard import AnyPath
from deblend.io.session.file import write_session
from deblend.io.session.plain import name_of
from deblend.io.session.session import Run, Session
from deblend.observe import Observation
from deblend.replacing import replacing
from deblend.scene import OwnMorphology, Scene, Source

INLINE = 12
"""Arrays of up to so many numbers are said in the script."""
INDENT = "    "

HEAD = '''#!/usr/bin/env python3
"""{title}

Written by napari-deblend {version} on {date}. Needs {images} and {arrays} beside it.
"""

from pathlib import Path

import numpy as np
from deblend import Program, measure
from deblend.io import fit_again, read_session
{imports}

HERE = Path(__file__).resolve().parent
ARRAYS = np.load(HERE / "{arrays}")
IMAGES = read_session(HERE / "{images}")
ends = {{}}
'''
TAIL = """
program.update(scene, solve=False)
print(f"chi2 per pixel {{program.chi2:.6f}}, {{len(scene)}} sources")
measure(scene, {observations}, program, errors=False).write(HERE / "{catalog}")
"""


@dataclass
class _Speaker:
    """Says objects as Python, each once."""

    imports: set[tuple[str, str]] = field(default_factory=set)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    named: dict[int, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    """What has a name: as long as it lives, no other object has its identity."""

    def say(self, line: str) -> None:
        self.lines.append(line)

    def called(self, said: Any, name: str) -> str:
        """Return the name of an object, which is said here where it was not before."""
        if id(said) not in self.named:
            self.say(f"{name} = {self.expression(said)}")
            self.named[id(said)] = name
            self.kept.append(said)
        return self.named[id(said)]

    def expression(self, said: Any, depth: int = 0) -> str:
        """Return an object as an expression; raises ValueError for what is code."""
        if id(said) in self.named:
            return self.named[id(said)]
        if said is None or isinstance(said, bool | str | int):
            return repr(said)
        if isinstance(said, Enum):
            return f"{self._type(type(said))}.{said.name}"
        if isinstance(said, float | np.floating):
            return _number(float(said))
        if isinstance(said, np.generic):
            return repr(said.item())
        if isinstance(said, np.ndarray):
            return self._array(said)
        if isinstance(said, tuple | list) and not hasattr(said, "_fields"):
            inside = [self.expression(item, depth) for item in said]
            return f"({', '.join(inside)}{',' * (len(inside) == 1)})"
        if isinstance(said, Mapping):
            pairs = (f"{self.expression(key)}: {self.expression(value)}" for key, value in said.items())
            return f"{{{', '.join(pairs)}}}"
        if is_dataclass(said) or hasattr(said, "_fields"):
            return self._object(said, depth)
        raise ValueError(f"A {type(said).__name__} cannot be said in a script.")

    def _object(self, said: Any, depth: int) -> str:
        kind = type(said)
        try:
            name_of(kind)  # type: ignore[arg-type]  # mypy takes no type for hashable
        except TypeError as error:
            raise ValueError(str(error)) from error
        if isinstance(said, OwnMorphology):
            raise ValueError(f"The morphology {said.label!r} is of a person's own; a script cannot say its code.")
        names = getattr(kind, "_fields", None) or tuple(f.name for f in fields(kind))
        parts = [f"{name}={self.expression(getattr(said, name), depth + 1)}" for name in names]
        one = f"{self._type(kind)}({', '.join(parts)})"
        if len(one) + len(INDENT) * depth <= 100:
            return one
        margin = "\n" + INDENT * (depth + 1)
        return f"{self._type(kind)}({margin}{f',{margin}'.join(parts)},\n{INDENT * depth})"

    def _type(self, kind: type) -> str:
        self.imports.add((kind.__module__, kind.__name__))
        return kind.__name__

    def _array(self, array: np.ndarray) -> str:
        if array.size <= INLINE and array.dtype == np.float64:
            return f"np.array({_nested(array.tolist())})"
        name = f"a{len(self.arrays)}"
        self.arrays[name] = array
        return f'ARRAYS["{name}"]'


def write_script(path: AnyPath, session: Session) -> list[Path]:
    """Write a script that does the session again, with its images and arrays beside it; return the paths of all three.

    Raises ValueError with a sentence where something of the session cannot be said, OSError where the disk refuses.
    """
    path = Path(path)
    images, arrays = path.with_name(f"{path.stem}_images.asdf"), path.with_name(f"{path.stem}_arrays.npz")
    speaker = _Speaker()
    groups = _groups(session)
    for run_number, run in enumerate(session.runs, 1):
        _say_run(speaker, run, run_number, groups, session.runs[run_number - 2] if run_number > 1 else None)
    last = session.runs[-1] if session.runs else None
    is_end = last is not None and _is_same(session.scene, last.end)
    seen = _place(session.observations, groups)
    if not is_end:
        speaker.say("\n# what was done since: the scene as it is in the end")
        speaker.say(f"scene = {_scene(speaker, session.scene, 'last')}")
        speaker.say(f"program = Program({seen}, scene, standard_groups=True, solve=False)")
    about = {
        # names are of others, and must not end the text that they stand in
        "title": _harmless(f"The work on {', '.join(o.name for o in session.observations)}, done again."),
        "version": version("napari-deblend"),
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
    }
    imports = "\n".join(f"from {module} import {name}" for module, name in sorted(speaker.imports))
    head = HEAD.format(**about, images=images.name, arrays=arrays.name, imports=imports)
    tail = TAIL.format(observations=seen, catalog=f"{path.stem}_catalog.ecsv")
    write_session(images, _images_of(groups))
    with replacing(arrays) as part, part.open("wb") as file:
        np.savez_compressed(file, **speaker.arrays)  # type: ignore[arg-type]
    with replacing(path) as part:
        part.write_text(head + "\n".join(speaker.lines) + "\n" + tail, encoding="utf-8")
    return [path, images, arrays]


def _say_run(
    speaker: _Speaker, run: Run, number: int, groups: list[tuple[Observation, ...]], before: Run | None
) -> None:
    when = f"{datetime.fromtimestamp(run.time):%Y-%m-%d %H:%M:%S}"
    speaker.say(f"\n# run {number}, of {when}: {len(run.curve) - 1} iterations, chi2 {run.chi2:.6f}")
    start = _scene(speaker, run.start, f"run_{number}")
    edits = [
        f"Edit({edit.after}, {_scene(speaker, edit.scene, f'run_{number}_edit_{k}')})"
        for k, edit in enumerate(run.edits, 1)
    ]
    if edits:
        speaker.imports.add(("deblend.io", "Edit"))
    speaker.say(f"start = {start}")
    if before is None or _place(before.observations, groups) != _place(run.observations, groups):
        seen = _place(run.observations, groups)
        room = "standard_groups=True, " if run.standard_groups else ""
        speaker.say(f"program = Program({seen}, start, {room}solve=False)")
    settings, part = speaker.expression(run.settings), speaker.expression(run.taking_part)
    inside = f"[{', '.join(edits)}]"
    speaker.say(f"scene = fit_again(program, start, {settings}, {len(run.curve)}, {inside}, {part})")
    # where the next run goes on from this end, its sources are those that were just found
    for source in run.end.sources:
        speaker.named[id(source)] = f"ends[{number}][{source.id!r}]"
        speaker.kept.append(source)
    speaker.say(f"ends[{number}] = scene")


def _scene(speaker: _Speaker, scene: Scene, name: str) -> str:
    """Say a scene, each of its sources on its own, and return its name."""
    if id(scene) in speaker.named:
        return speaker.named[id(scene)]
    for source in scene.sources:
        if isinstance(source, Source):
            speaker.called(source, f"{name}_{_letters(source.id)}")
    return speaker.called(scene, name)


def _harmless(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in '"\\')


def _letters(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)


def _groups(session: Session) -> list[tuple[Observation, ...]]:
    """Return every set of observations, each once."""
    found: list[tuple[Observation, ...]] = []
    for each in (*(run.observations for run in session.runs), session.observations):
        if not any(_are_same(each, other) for other in found):
            found.append(each)
    return found


def _images_of(groups: list[tuple[Observation, ...]]) -> Session:
    """Return a session without work that holds sets of images, one after the other."""
    everything = tuple(observation for group in groups for observation in group)
    first = everything[0]
    return Session(Scene(first.grid, first.channels), everything)


def _place(observations: tuple[Observation, ...], groups: list[tuple[Observation, ...]]) -> str:
    """Return the expression of a set of images."""
    start = 0
    for group in groups:
        if _are_same(group, observations):
            return f"IMAGES.observations[{start}:{start + len(group)}]"
        start += len(group)
    raise KeyError("These images are none of the session's.")


def _are_same(a: tuple[Observation, ...], b: tuple[Observation, ...]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _is_same(a: Scene, b: Scene) -> bool:
    """Tell whether two scenes have the same sources at the same places, of the same fluxes."""
    if a is b:
        return True
    if [s.id for s in a.sources] != [s.id for s in b.sources]:
        return False
    pairs = zip(a.sources, b.sources, strict=True)
    return all(np.array_equal(x.center.value, y.center.value) and np.array_equal(x.flux, y.flux) for x, y in pairs)


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"


def _nested(values: Any) -> str:
    return f"[{', '.join(map(_nested, values))}]" if isinstance(values, list) else _number(float(values))
