"""Presets: what to ask of a kind of object, by a name; those of a person are small JSON files that can be sent on.

{"preset": 1, "name": "edge-on", "kind": "galaxy", "constraints": [{"kind": "symmetric", "strength": 0.5}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deblend import Constraint, ConstraintKind, Source
from deblend.guard import parsed_json
from deblend.replacing import replacing
from deblend.scene import MORPHOLOGIES, Component, SettingValue
from napari_deblend.remembered import folder

VERSION = 1
SUFFIX = ".json"


@dataclass(frozen=True)
class Preset:
    """What is asked of a component, and of which kind it is."""

    name: str
    kind: str
    """The label of a morphology: of what cannot take the constraints."""
    constraints: tuple[Constraint, ...] = ()
    help: str = ""
    """One sentence."""

    def on(self, component: Component) -> Component:
        """Return a component with these constraints, in their order, and no others."""
        given = tuple(c for c in self.constraints if component.morphology.takes(c.kind))
        return replace(component, morphology=replace(component.morphology, constraints=given))

    def fits(self, source: Source) -> bool:
        """Tell whether the constraints mean anything for a source as it is; else it has to become of the `kind`."""
        if not self.constraints:
            return source.kind == self.kind
        return any(all(c.morphology.takes(asked.kind) for asked in self.constraints) for c in source.components)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        constraints = [
            {"kind": c.kind.value, "strength": c.strength, "active": c.active, "settings": dict(c.settings)}
            for c in self.constraints
        ]
        return {
            "preset": VERSION,
            "name": self.name,
            "kind": self.kind,
            "help": self.help,
            "constraints": constraints,
        }

    @classmethod
    def from_dict(cls, said: Any) -> Preset:
        """Return what `to_dict` gave, or a person has written; raises ValueError with a sentence."""
        if not isinstance(said, dict) or "preset" not in said or not isinstance(said.get("constraints"), list):
            raise ValueError("it is no preset: it needs the entries preset, name, kind and constraints.")
        if said["preset"] != VERSION:
            raise ValueError(f"it is a preset of version {said['preset']}; this program reads version {VERSION}.")
        kind = str(said.get("kind", "galaxy"))
        if kind not in MORPHOLOGIES:
            raise ValueError(f"there is no kind of source {kind!r}; choose one of {', '.join(MORPHOLOGIES)}.")
        name = str(said.get("name", "")).strip()
        return cls(name, kind, tuple(map(_constraint, said["constraints"])), str(said.get("help", "")))


def _constraint(said: Any) -> Constraint:
    if not isinstance(said, dict) or "kind" not in said:
        raise ValueError(f"every constraint of it needs a kind, got {said!r}.")
    try:
        kind = ConstraintKind(said["kind"])
    except ValueError as error:
        raise ValueError(f"there is no constraint {said['kind']!r}.") from error
    strength = said.get("strength", kind.info.strength)
    if not isinstance(strength, int | float):
        raise ValueError(f"the strength of {kind.value} is a number, got {strength!r}.")
    settings = said.get("settings", {})
    if not isinstance(settings, dict):
        raise ValueError(f"the settings of {kind.value} are names with values, got {settings!r}.")
    given = tuple((str(name), _value(value)) for name, value in settings.items())
    return Constraint(kind, float(strength), bool(said.get("active", True)), given)


def _value(value: Any) -> SettingValue:
    return tuple(map(float, value)) if isinstance(value, list) else value


_K = ConstraintKind
BUILT_IN = (
    Preset(
        "isolated galaxy",
        "galaxy",
        (
            Constraint(_K.POSITIVITY),
            Constraint(_K.CORRECTION, 0.3),
            Constraint(_K.SYMMETRIC, 0.5),
            Constraint(_K.MONOTONIC),
        ),
        "Light that falls off from the center, and is nearly symmetric.",
    ),
    Preset(
        "spiral",
        "galaxy",
        (Constraint(_K.POSITIVITY), Constraint(_K.CORRECTION, 0.6), Constraint(_K.SYMMETRIC, 0.5)),
        "Arms may outshine what lies inside of them, and are seen on both sides of the center.",
    ),
    Preset(
        "irregular",
        "galaxy",
        (Constraint(_K.POSITIVITY), Constraint(_K.CORRECTION, 1.0), Constraint(_K.STARLET_SPARSITY, 0.1)),
        "Any shape, of few structures, so that it does not follow the noise.",
    ),
    Preset("star", "point", (), "A point: nothing but its place and its colors is fitted."),
    Preset(
        "LSB",
        "galaxy",
        (Constraint(_K.POSITIVITY), Constraint(_K.CORRECTION, 0.1), Constraint(_K.MONOTONIC, 0.5)),
        "Faint and smooth: nearly its profile, and no threshold that would cut its wings.",
    ),
)
"""Those that come with the program."""


def own_presets() -> tuple[Preset, ...]:
    """Return those that a person has saved or loaded, by name; files that are no presets are left aside."""
    found = []
    for path in sorted(_folder().glob(f"*{SUFFIX}")):
        try:
            found.append(read_preset(path))
        except ValueError:
            # written by another version, or by hand; it is said where it is asked for by its name
            continue
    return tuple(found)


def named_preset(name: str) -> Preset:
    """Return the preset of a name; raises ValueError where there is none."""
    everything = {p.name: p for p in (*own_presets(), *BUILT_IN)}
    if name not in everything:
        raise ValueError(f"There is no preset {name!r}; there are {', '.join(everything)}.")
    return everything[name]


def read_preset(path: Path) -> Preset:
    """Read a preset; without a name in it, it has that of the file. Raises ValueError, which names the file."""
    try:
        found = Preset.from_dict(parsed_json(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        sentence = "it is no JSON." if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
        raise ValueError(f"{path.name}: {sentence}") from error
    return found if found.name else replace(found, name=path.stem)


def write_preset(path: Path, preset: Preset) -> None:
    """Write a preset for others to read; raises ValueError where that is not possible."""
    try:
        with replacing(path) as part:
            part.write_text(json.dumps(preset.to_dict(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror}); choose another place.") from error


def keep_preset(preset: Preset) -> None:
    """Have a preset among those of a person from now on; raises ValueError for the name of one of the program's."""
    if preset.name in {p.name for p in BUILT_IN}:
        raise ValueError(f"{preset.name!r} is a preset of the program; choose another name.")
    write_preset(_folder() / f"{_file_name(preset.name)}{SUFFIX}", preset)


def of_component(name: str, kind: str, constraints: Iterable[Constraint]) -> Preset:
    """Return what is asked of a component now, as a preset."""
    return Preset(name.strip(), kind, tuple(constraints))


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in " -_" else "_" for c in name)


def _folder() -> Path:
    return folder() / "presets"
