"""What the background thread works with: the compiled program, the fit while there is one, the pictures of both.

Everything here runs in that one thread; what leaves it is a `Frame`, whose arrays nobody rewrites.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

import numpy as np

from deblend import Catalog, FitSettings, Observation, Program, Scene, fit
from deblend.infer import Glimpse, holding, set_free
from deblend.io import Edit, Run
from deblend.measure import chi2_map
from deblend.program.columns import Column
from napari_deblend.isolating import Isolated, isolated_light
from napari_deblend.past import MOST_WITH_STATES, PastRun

logger = logging.getLogger(__name__)

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
    ISOLATED = "isolated"
    ISOLATED_COLOR = "isolated in color"


class Picture(NamedTuple):
    """A picture that the window may want to see."""

    kind: PictureKind
    observation: int
    source_id: str = ""
    isolated: Isolated | None = None


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
    states: tuple[Scene, ...] = ()
    """The scene at every point of the curve."""
    past: tuple[PastRun, ...] = ()
    """The runs that have ended, the oldest first."""


ISOLATED_INTERVAL = 0.25
"""Least time between two pictures of isolated sources while a fit runs [s]: every source is drawn for one."""
ISOLATED_PART = 0.3
"""Fraction of the time of a running fit that these may take."""


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
    def sources(self) -> Sequence[Sequence[Column]]: ...


def residual_flux(observation: Observation, model: np.ndarray) -> np.ndarray:
    """Return what a model leaves over [nJy/pix], (band, y, x); NaN where pixels are masked."""
    return np.where(observation.weights > 0, observation.images - model, np.nan).astype(np.float32)


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
        self._states_passed: list[Scene] = []
        self._edits: list[Edit] = []
        self._begun: tuple[float, Scene] | None = None
        """When the fit was begun, and where."""
        self._past: tuple[PastRun, ...] = ()
        self._reached: WeakSet[Scene] = WeakSet()
        """States of fits: they are gone back to as they were, with no flux solved anew."""
        self._other: Program | None = None
        """For pictures of other scenes than the present one."""
        self._taking_part: tuple[str, ...] | None = None
        """Which sources the fit may change; None for all of them."""
        self._given: Scene | None = None
        """The scene that the fit was begun with, or was edited to, where some take no part."""
        self._said: tuple[Scene, Scene] | None = None
        """The last scene that was shown, and what is said of it."""
        self._isolated: dict[Picture, np.ndarray] = {}
        """The last pictures of isolated sources."""
        self._next_isolated = 0.0
        """When a running fit may draw them again."""
        self.measured: tuple[Scene, bool | None, Catalog] | None = None
        """The last catalog with error bars, of which scene, and how the fit had ended."""
        self.is_behind = False
        """Whether pictures of isolated sources are of an earlier state than the others."""

    @property
    def program(self) -> Program:
        """Raises ValueError where the program could not be made."""
        if self._program is None:
            raise ValueError("There is no model yet: the images could not be prepared for fitting.")
        return self._program

    @property
    def scene(self) -> Scene:
        return self._as_said(self.program.scene if self._shown is None else self._shown.scene)

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
            self._program.update(scene, solve=not ((is_first and scene.is_solved) or scene in self._reached))
            self._shown, self._taking_part = self._program, None
        else:
            self._edits.append(Edit(len(self._curve), scene))
            self._shown = self._fit.edit(self._held(scene))

    def mix(self, mixes: Mapping[int, Mix]) -> None:
        """Make color composites in another way from now on."""
        self._mixes = dict(mixes)

    def _held(self, scene: Scene) -> Scene:
        """Return a scene for the fit: what takes no part is fixed."""
        if self._taking_part is None:
            return scene
        self._given, self._said = scene, None
        return holding(scene, self._taking_part)

    def _as_said(self, scene: Scene) -> Scene:
        """Return a scene of the fit as a person says it: what takes no part is as free as it was."""
        if self._taking_part is None or self._given is None:
            return scene
        if self._said is None or self._said[0] is not scene:
            self._said = scene, set_free(scene, self._given, self._taking_part)
        return self._said[1]

    def start(self, settings: FitSettings, taking_part: tuple[str, ...] | None = None) -> None:
        """Begin a fit at the present scene, of some sources or of all; one that is under way is finished first."""
        if self._fit is not None:
            self.finish("The fit was started again.")
        start, self._taking_part = self.scene, taking_part
        self._fit = fit(self._held(start), self.observations, settings=settings, program=self.program)
        self._states = iter(self._fit)
        self._fit_number += 1
        self._curve, self._iteration, self._sentence, self._is_success = [], 0, "", None
        self._states_passed, self._edits, self._begun = [], [], (time.time(), start)

    def step(self) -> None:
        """Take one iteration; the fit is finished where it has converged or reached its limit."""
        state = next(self._states, None)
        if state is None:
            self.finish("The fit has ended.")
            return
        self._shown = state
        self._iteration = int(state.iteration)
        self._curve.append(float(state.chi2))
        said = self._as_said(state.scene)
        self._states_passed.append(said)
        self._reached.add(said)
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
        self._remember(best, how)
        self.drop_fit()
        self._shown = best
        self.program.update(self._as_said(best.scene))
        count = "1 iteration" if self._iteration == 1 else f"{self._iteration} iterations"
        self._sentence = f"{how} The best state is kept, after {count}."

    def _remember(self, best: Any, how: str) -> None:
        """Keep the fit as one of the past, with its states where it is one of the last ones."""
        assert self._begun is not None, "a fit that ends was begun"
        (begun, start), curve = self._begun, tuple(self._curve)
        settings, edits = self._fit.settings, tuple(self._edits)
        end = next((s for s in self._states_passed if s is best.scene), None) or self._as_said(best.scene)
        self._reached.add(end)
        outcome = how, self._taking_part
        run = Run(begun, settings, self.observations, start, edits, curve, end, float(best.chi2), *outcome)
        older = self._past[: max(len(self._past) + 1 - MOST_WITH_STATES, 0)]
        self._past = (
            *(each.without_states for each in older),
            *self._past[len(older) :],
            PastRun(run, tuple(self._states_passed)),
        )

    def models_of(self, scene: Scene) -> list[np.ndarray]:
        """Return any scene as every observation sees it [nJy/pix], (band, y, x); the fit goes on untouched."""
        program = self.beside(scene)
        return [program.model(k) for k in range(len(self.observations))]

    def beside(self, scene: Scene) -> Program:
        """Return a program at any scene; that of the fit goes on untouched."""
        if self._other is None:
            self._other = Program(self.observations, scene, standard_groups=True, solve=False)
        self._other.update(scene, solve=False)
        return self._other

    def apart(self) -> Program:
        """Return a program at what is shown, that no fit works with."""
        return self.beside(self.scene) if self.is_fitting else self.at_rest()

    def at_rest(self) -> Program:
        """Return the program, at what is shown; where there is no fit."""
        if self.program.scene is not self.scene:
            self.program.update(self.scene, solve=False)
        return self.program

    def glimpse(self, source_id: str, index: int) -> Glimpse | None:
        """Return what is needed to see what the constraints of a component do; None where it is there no more."""
        sources = {source.id: source for source in self.program.scene.sources}
        if source_id not in sources or index >= len(sources[source_id].components):
            return None
        return Glimpse.of(self.program, source_id, index, self._fit.state.parameters if self.is_fitting else None)

    def glimpse_at(self, scene: Scene, source_id: str, index: int) -> Glimpse | None:
        """Return the same for another scene, as it was before an edit; None where it had no such component."""
        sources = {source.id: source for source in scene.sources}
        if source_id not in sources or index >= len(sources[source_id].components) or not scene.is_solved:
            return None
        if self.is_fitting:
            # the fit has the program; what it has just left is near enough
            return self.glimpse(source_id, index)
        with self.program.standing_at(scene):
            return Glimpse.of(self.program, source_id, index)

    @property
    def every_picture(self) -> frozenset[Picture]:
        """All pictures of the whole scene."""
        kinds = (PictureKind.MODEL, PictureKind.RESIDUAL, PictureKind.RESIDUAL_FLUX, PictureKind.CHI2)
        colors = {Picture(PictureKind.COLOR, k) for k in self._mixes}
        return frozenset({Picture(kind, k) for kind in kinds for k in range(len(self.observations))} | colors)

    def break_off(self, why: str) -> bool:
        """End a fit that cannot go on, and keep its best state; return whether there was one."""
        if self._fit is None:
            return False
        try:
            self.finish(why)
        except Exception:
            # what broke the fit may break this, too: the last state that was shown stays
            logger.exception("The best state of a fit that broke off could not be taken.")
            self.drop_fit()
            return False
        return True

    def drop_fit(self) -> None:
        """Forget a fit."""
        self._fit = self._states = None

    def frame(self, wanted: frozenset[Picture], is_streaming: bool = False) -> Frame:
        """Return what is shown now, with the wanted pictures of it; those that take long may lag where they stream."""
        shown = self._shown
        if shown is None:
            raise ValueError("There is no model to show yet.")
        scene = self.scene
        rows = {source.id: row for row, source in enumerate(scene.sources)}
        models: dict[int, np.ndarray] = {}
        isolated = self._draw_isolated({p for p in wanted if p.isolated is not None}, is_streaming)

        def model(observation: int) -> np.ndarray:
            if observation not in models:
                models[observation] = shown.model(observation)
            return models[observation]

        def draw(picture: Picture) -> np.ndarray:
            if picture.isolated is not None:
                return isolated[picture]
            if picture.kind is PictureKind.MODEL:
                return model(picture.observation)
            if picture.kind is PictureKind.COLOR:
                return self._mixes[picture.observation](model(picture.observation))
            if picture.kind is PictureKind.RESIDUAL:
                return shown.residual_sigma(picture.observation)
            if picture.kind is PictureKind.CHI2:
                return chi2_map(self.observations[picture.observation], model(picture.observation))[None]
            if picture.kind is PictureKind.RESIDUAL_FLUX:
                return residual_flux(self.observations[picture.observation], model(picture.observation))
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
            states=tuple(self._states_passed),
            past=self._past,
        )

    def _draw_isolated(self, wanted: Set[Picture], is_streaming: bool) -> Mapping[Picture, np.ndarray]:
        """Return pictures of isolated sources; while a fit runs they may be those of some steps ago."""
        begin = time.monotonic()
        self.is_behind = is_streaming and begin < self._next_isolated and wanted <= self._isolated.keys()
        if self.is_behind or not wanted:
            return self._isolated
        drawn: dict[Picture, np.ndarray] = {}
        for picture in sorted(wanted, key=lambda p: p.kind is PictureKind.ISOLATED_COLOR):
            assert picture.isolated is not None, "only such are asked for"
            bands = picture._replace(kind=PictureKind.ISOLATED)
            if bands not in drawn:
                drawn[bands] = isolated_light(self, picture.isolated, picture.observation)
            if picture.kind is PictureKind.ISOLATED_COLOR:
                # what is masked has no light
                drawn[picture] = self._mixes[picture.observation](np.nan_to_num(drawn[bands]))
        cost = time.monotonic() - begin
        self._next_isolated = begin + max(ISOLATED_INTERVAL, cost / ISOLATED_PART)
        self._isolated = drawn
        return drawn
