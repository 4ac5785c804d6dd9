"""The work of a person as it stands, and every step that led to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from deblend.infer.settings import FitSettings
from deblend.observe import Observation
from deblend.scene.scene import Scene


@dataclass(frozen=True, eq=False)
class Step:
    """What undo returns to."""

    label: str
    """What was done next."""
    scene: Scene
    selection: tuple[str, ...]
    """Ids of the sources that were selected, the last one chosen last."""
    observations: tuple[Observation, ...]


@dataclass(frozen=True, eq=False)
class Session:
    """Images, scene, selection and settings, with the history to both sides."""

    scene: Scene
    observations: tuple[Observation, ...]
    selection: tuple[str, ...] = ()
    settings: FitSettings = field(default_factory=FitSettings)
    undo: tuple[Step, ...] = ()
    """The oldest step first."""
    redo: tuple[Step, ...] = ()
    """The next one last."""
