"""What is said of sky and images as plain trees of dicts, lists and numbers, and back; nothing in a file is ever run.

An object is a dict of one item: the name of its type, and its fields. Only the types that are listed here are made
again, by their own checks. Tuples are lists; an array is `{"array": ...}`; a mapping is `{"map": [[key, value], ...]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

from deblend.infer.settings import FitSettings, Scheme, Solver, StopRule
from deblend.io.session.files import DataFile
from deblend.io.session.references import Reading
from deblend.io.session.session import Edit, Run, Session, Step
from deblend.measure.kept_draws import KeptDraws
from deblend.observe import Observation
from deblend.observe.correlation import NoiseCorrelation
from deblend.observe.psf_field import PsfField
from deblend.observe.weight_form import NoiseForm, WeightOrigin
from deblend.scene import (
    MORPHOLOGIES,
    Color,
    Constraint,
    ConstraintKind,
    CustomLaw,
    Law,
    Link,
    LogNormal,
    Morphology,
    Normal,
    OwnMorphology,
    SizeMagnitude,
    Uniform,
)
from deblend.scene.area import Area
from deblend.scene.calibration import Calibration
from deblend.scene.dust import Dust, Extinction
from deblend.scene.full_scene import FullScene
from deblend.scene.mask import PixelMask
from deblend.scene.parameter import Parameter, Status
from deblend.scene.scene import Scene
from deblend.scene.source import Component, Source
from deblend.scene.stars import StarField
from deblend.scene.track import Track
from deblend.sky import Channel, Passband, PixelGrid, TangentWcs

INLINE = 64
"""Arrays of up to so many numbers are written where they belong, as text that a person can read."""
OWN = "own morphology"
ARRAY, MAP, PART = "array", "map", "part"

_TYPES: tuple[type, ...] = (
    *(Session, Step, Run, Edit, DataFile, Reading, KeptDraws),
    *(Scene, Source, Component, Parameter, Status, Track, Link, StarField, FullScene, Calibration),
    *(Dust, Extinction, PixelMask, Area),
    *(Constraint, ConstraintKind, FitSettings, Solver, Scheme, StopRule),
    *(Normal, LogNormal, Uniform, SizeMagnitude, Color),
    *(Observation, PsfField, NoiseCorrelation, WeightOrigin, NoiseForm),
    *(Channel, Passband, PixelGrid, TangentWcs),
)

Keep = Callable[[np.ndarray], Any]
"""Puts an array away, and returns what stands for it in a tree."""
Fetch = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Writer:
    """How objects become trees."""

    keep: Keep
    """Of arrays that are not written inline."""
    part: Callable[[Any], int | None] = lambda _: None
    """The number of an object that is written once, elsewhere; None for one that is written here."""

    def tree(self, said: Any) -> Any:
        """Return the tree of an object; raises TypeError for what has none."""
        number = self.part(said)
        return self.whole(said) if number is None else {PART: number}

    def whole(self, said: Any) -> Any:
        """Return the tree of an object that is written here, whatever its parts are."""
        if said is None or isinstance(said, bool | str):
            return said
        if isinstance(said, Enum):
            return {name_of(type(said)): said.value}
        if isinstance(said, np.generic):
            return said.item()
        if isinstance(said, int | float):
            return said
        if isinstance(said, np.ndarray):
            return {ARRAY: self._array(said)}
        if is_dataclass(said) or hasattr(said, "_fields"):
            kind = type(said)
            called = name_of(kind)  # type: ignore[arg-type]  # mypy takes no type for hashable
            return {called: {name: self.tree(getattr(said, name)) for name in _field_names(kind)}}
        if isinstance(said, tuple | list):
            return [self.tree(item) for item in said]
        if isinstance(said, Mapping):
            return {MAP: [[self.tree(key), self.tree(value)] for key, value in said.items()]}
        raise TypeError(f"A {type(said).__name__} cannot be written to a session.")

    def _array(self, array: np.ndarray) -> Any:
        is_plain = array.dtype == np.float64 and array.size <= INLINE
        return array.tolist() if is_plain else self.keep(array)


@dataclass(frozen=True)
class Reader:
    """How trees become objects again."""

    fetch: Fetch
    """Returns a kept array."""
    part: Callable[[int], Any] = lambda number: None

    def object(self, tree: Any) -> Any:
        """Return the object of a tree; raises ValueError with a sentence where it is none."""
        if isinstance(tree, list):
            return tuple(self.object(item) for item in tree)
        if not isinstance(tree, Mapping):
            return tree
        if len(tree) != 1:
            raise ValueError(f"it says {', '.join(map(str, tree))} where one thing is said")
        ((name, content),) = tree.items()
        if name == ARRAY:
            return self._array(content)
        if name == MAP:
            return {self.object(key): self.object(value) for key, value in content}
        if name == PART:
            return self.part(content)
        kind = type_named(name)
        if issubclass(kind, Enum):
            return kind(content)
        known = _field_names(kind)
        unknown = [field for field in content if field not in known]
        if unknown:
            raise ValueError(
                f"a {name} says {', '.join(unknown)}, which this version does not know; update the program"
            )
        return kind(**{field: self.object(value) for field, value in content.items()})

    def _array(self, content: Any) -> np.ndarray:
        is_inline = isinstance(content, int | float | list)
        array = np.asarray(content, np.float64) if is_inline else np.array(self.fetch(content))
        array.setflags(write=False)
        return array


@cache
def name_of(kind: type[Any]) -> str:
    """Return what a type is called in a file; raises TypeError for one whose objects cannot be written."""
    if issubclass(kind, OwnMorphology):
        return f"{OWN}: {kind.label}"
    is_code = issubclass(kind, CustomLaw)
    if is_code or _types().get(kind.__name__) is not kind:
        raise TypeError(
            f"A {kind.__name__} cannot be written to a session"
            + (", as its function is code; give the source a template instead." if is_code else ".")
        )
    return kind.__name__


def type_named(name: str) -> type:
    """Return the type of a name in a file; raises ValueError where there is none."""
    if name.startswith(f"{OWN}: "):
        label = name.removeprefix(f"{OWN}: ")
        own = MORPHOLOGIES.get(label)
        if own is None or not issubclass(own, OwnMorphology):
            raise ValueError(
                f"its morphology {label!r} is of a person's own; register it before (--morphology FILE.py)"
            )
        return own
    kind = _types().get(name)
    if kind is None:
        raise ValueError(f"it holds a {name!r}, which this version does not know; update the program")
    return kind


def _types() -> dict[str, type]:
    found = {kind.__name__: kind for kind in _TYPES}
    for base in (Morphology, Law):
        found |= {kind.__name__: kind for kind in _subclasses(base) if not issubclass(kind, OwnMorphology | CustomLaw)}
    return found


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    kind: type[Any]
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _field_names(kind: type) -> tuple[str, ...]:
    named: tuple[str, ...] | None = getattr(kind, "_fields", None)
    return named if named is not None else tuple(f.name for f in fields(kind))
