"""The work of a person as it stands, and every step that led to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from deblend.infer.settings import FitSettings
from deblend.io.session.files import DataFile
from deblend.io.session.references import Reading
from deblend.measure.kept_draws import KeptDraws
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
class Edit:
    """Another scene in the middle of a fit."""

    after: int
    """How many states the fit had given before."""
    scene: Scene


@dataclass(frozen=True, eq=False)
class Run:
    """A fit that has ended, so that it can be looked up, gone back to and done again."""

    time: float
    """When it was begun [s since 1970]."""
    settings: FitSettings
    observations: tuple[Observation, ...]
    start: Scene
    edits: tuple[Edit, ...]
    """In the order in which they came."""
    curve: tuple[float, ...]
    """χ² per unmasked pixel of every state: of the start and after each iteration."""
    end: Scene
    """The best state, which was kept."""
    chi2: float
    """Of that, per unmasked pixel."""
    outcome: str
    """How it ended, as a sentence."""
    taking_part: tuple[str, ...] | None = None
    """Ids of the sources that it could change; None for all of them."""
    standard_groups: bool = True
    """Whether its program had room for stars and galaxies of usual size from the start, as that of the window has."""


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
    files: tuple[DataFile, ...] = ()
    """The files that the images were read from, where that is known."""
    runs: tuple[Run, ...] = ()
    """Every fit that has ended, the oldest first."""
    rounds: int = 0
    """How often a fit looks for missed sources."""
    classifies: bool = False
    """Whether chi² says after a fit which sources are stars."""
    reading: Reading | None = None
    """How the images were read from these files, where that is known."""
    holds_images: bool = True
    """Whether a file of it holds its images; else it refers to the files, which have to be there to open it."""
    draws: KeptDraws | None = None
    """What the last draws said; None where there were none."""
