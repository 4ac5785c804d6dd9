"""What the background thread works with: the compiled program, the fit while there is one, the pictures of both.

Everything here runs in that one thread; what leaves it is a `Frame`, whose arrays nobody rewrites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np

from deblend import FitSettings, Observation, Program, Scene, fit
from deblend.infer import Glimpse
from deblend.measure import chi2_map

Mix = Callable[[np.ndarray], np.ndarray]
"""From bands to a color composite."""


class PictureKind(Enum):
    """What a picture shows."""

    MODEL = "model"
    RESIDUAL = "residual"
    RESIDUAL_FLUX = "residual in flux"
    CHI2 = "chi2"
    COLOR = "color"
    COMPONENT = "component"


class Picture(NamedTuple):
    """A picture that the window may want to see."""

    kind: PictureKind
    observation: int
    source_id: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    """What the machine last computed."""

    revision: int
    """Revision of the document that this is an answer to."""
    scene: Scene
    pictures: Mapping[Picture, np.ndarray]
    chi2: float
    """Per unmasked pixel, over all observations."""
    chi2_per_observation: Mapping[str, float]
    iteration: int = 0
    curve: tuple[float, ...] = ()
    """chi² at the start and after every iteration of the present run, or of the last one."""
    sentence: str = ""
    """How the last run ended; empty while one goes on."""
    fit_number: int = 0
    """How many fits were begun so far."""
    is_success: bool | None = None
    """Whether the scene is one that a run has converged to; None where that was never tried, or it was edited since."""


class Window(Protocol):
    """The part of an image that a source reaches, with its light there [nJy/pix]."""

    @property
    def patch(self) -> np.ndarray: ...
    @property
    def window(self) -> tuple[slice, slice]: ...


class Shows(Protocol):
    """What pictures are made from: a program, or a state of a fit."""

    @property
    def scene(self) -> Scene: ...
    @property
    def chi2(self) -> float: ...
    @property
    def chi2_per_observation(self) -> Mapping[str, float]: ...
    def model(self, observation_index: int = 0) -> np.ndarray: ...
    def residual_sigma(self, observation_index: int = 0) -> np.ndarray: ...
    def component(self, source_index: int, observation_index: int = 0) -> np.ndarray: ...
    def sources(self) -> Sequence[Sequence[Window]]: ...


class Machine:
    """The program of one set of observations; it is compiled at the first edit."""

    def __init__(self, observations: Sequence[Observation], mixes: Mapping[int, Mix]) -> None:
        self.observations = tuple(observations)
        self._mixes = dict(mixes)
        self._program: Program | None = None
        self._revision = 0
        self._fit: Any = None
        self._states: Any = None
        self._shown: Shows | None = None
        self._curve: list[float] = []
        self._iteration = 0
        self._sentence = ""
        self._is_success: bool | None = None
        self._fit_number = 0

    @property
    def program(self) -> Program:
        """Raises ValueError where the program could not be made."""
        if self._program is None:
            raise ValueError("There is no model yet: the images could not be prepared for fitting.")
        return self._program

    @property
    def scene(self) -> Scene:
        return self.program.scene if self._shown is None else self._shown.scene

    @property
    def shown(self) -> Shows:
        """What pictures are made from now."""
        return self.program if self._shown is None else self._shown

    @property
    def is_ready(self) -> bool:
        return self._program is not None

    @property
    def is_fitting(self) -> bool:
        return self._fit is not None

    def edit(self, revision: int, scene: Scene) -> None:
        """Solve for the fluxes of an edited scene; a fit carries on from it."""
        self._revision = revision
        is_first = self._program is None
        self._is_success = None
        if self._program is None:
            program = Program(self.observations, scene, standard_groups=True)
            program.make_ready()
            self._program = program
        if self._fit is None:
            # work that is gone on with is as it was left, to the last digit
            self._program.update(scene, solve=not (is_first and scene.is_solved))
            self._shown = self._program
        else:
            self._shown = self._fit.edit(scene)

    def mix(self, mixes: Mapping[int, Mix]) -> None:
        """Make color composites in another way from now on."""
        self._mixes = dict(mixes)

    def start(self, settings: FitSettings) -> None:
        """Begin a fit at the present scene; one that is under way is finished first."""
        if self._fit is not None:
            self.finish("The fit was started again.")
        self._fit = fit(self.scene, self.observations, settings=settings, program=self.program)
        self._states = iter(self._fit)
        self._fit_number += 1
        self._curve, self._iteration, self._sentence, self._is_success = [], 0, "", None

    def step(self) -> None:
        """Take one iteration; the fit is finished where it has converged or reached its limit."""
        state = next(self._states, None)
        if state is None:
            self.finish("The fit has ended.")
            return
        self._shown = state
        self._iteration = int(state.iteration)
        self._curve.append(float(state.chi2))
        if state.outcome.is_final:
            self.finish(state.outcome.value, state.outcome.is_success)

    @property
    def is_success(self) -> bool | None:
        """Whether the present scene is one that a fit has converged to; None where that is not known."""
        return self._is_success

    def finish(self, how: str, is_success: bool = False) -> None:
        """End the fit and keep its best state; `how` is a sentence for a person."""
        self._is_success = is_success
        best = self._fit.best
        self.drop_fit()
        self._shown = best
        self.program.update(best.scene)
        count = "1 iteration" if self._iteration == 1 else f"{self._iteration} iterations"
        self._sentence = f"{how} The best state is kept, after {count}."

    def glimpse(self, source_id: str, index: int) -> Glimpse | None:
        """Return what is needed to see what the constraints of a component do; None where it is there no more."""
        sources = {source.id: source for source in self.program.scene.sources}
        if source_id not in sources or index >= len(sources[source_id].components):
            return None
        return Glimpse.of(self.program, source_id, index, self._fit.state.parameters if self.is_fitting else None)

    @property
    def every_picture(self) -> frozenset[Picture]:
        """All pictures of the whole scene."""
        kinds = (PictureKind.MODEL, PictureKind.RESIDUAL, PictureKind.RESIDUAL_FLUX, PictureKind.CHI2)
        colors = {Picture(PictureKind.COLOR, k) for k in self._mixes}
        return frozenset({Picture(kind, k) for kind in kinds for k in range(len(self.observations))} | colors)

    def drop_fit(self) -> None:
        """Forget a fit that cannot go on."""
        self._fit = self._states = None

    def frame(self, wanted: frozenset[Picture]) -> Frame:
        """Return what is shown now, with the wanted pictures of it."""
        shown = self._shown
        if shown is None:
            raise ValueError("There is no model to show yet.")
        scene = shown.scene
        rows = {source.id: row for row, source in enumerate(scene.sources)}
        models: dict[int, np.ndarray] = {}

        def model(observation: int) -> np.ndarray:
            if observation not in models:
                models[observation] = shown.model(observation)
            return models[observation]

        def draw(picture: Picture) -> np.ndarray:
            if picture.kind is PictureKind.MODEL:
                return model(picture.observation)
            if picture.kind is PictureKind.COLOR:
                return self._mixes[picture.observation](model(picture.observation))
            if picture.kind is PictureKind.RESIDUAL:
                return shown.residual_sigma(picture.observation)
            if picture.kind is PictureKind.CHI2:
                return chi2_map(self.observations[picture.observation], model(picture.observation))[None]
            if picture.kind is PictureKind.RESIDUAL_FLUX:
                observation = self.observations[picture.observation]
                left = observation.images - model(picture.observation)
                return np.where(observation.weights > 0, left, np.nan).astype(np.float32)
            return shown.component(rows[picture.source_id], picture.observation)

        return Frame(
            revision=self._revision,
            scene=scene,
            pictures={p: draw(p) for p in wanted if not p.source_id or p.source_id in rows},
            chi2=float(shown.chi2),
            chi2_per_observation=dict(shown.chi2_per_observation),
            iteration=self._iteration,
            curve=tuple(self._curve),
            sentence=self._sentence,
            fit_number=self._fit_number,
            is_success=self._is_success,
        )
