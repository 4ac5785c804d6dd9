"""The open work: observations, the scene, the selection, and every step that can be taken back.

One gesture is one step, and undo is the previous `Scene`: scenes are frozen and share what did not change, so the
stacks may grow without limit. Nothing here knows of Qt, of napari or of threads; whoever wants to follow the work
connects to the signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum

from psygnal import Signal

from deblend import FitSettings, Observation, PixelAffine, Scene, Source, StarCatalog, StarField, Status
from deblend.detect import empty_scene, model_psf_sigma
from deblend.io import Session, Step


class Change(Enum):
    """Why the scene is another one."""

    EDIT = "edit"
    """A person did something; its fluxes are not solved yet."""
    LIVE = "live"
    """A person is doing something: the step is not finished."""
    ANSWER = "answer"
    """The machine answered: solved fluxes, or the state of a running fit."""
    OPENED = "opened"
    """Other data were opened."""


class Document:
    """The open work. Every edit is a method; every method that edits makes one step."""

    scene_changed = Signal(Change)
    selection_changed = Signal()
    observations_changed = Signal()
    history_changed = Signal()

    def __init__(self) -> None:
        self._observations: tuple[Observation, ...] = ()
        self._scene: Scene | None = None
        self._selection: tuple[str, ...] = ()
        self._undo: list[Step] = []
        self._redo: list[Step] = []
        self._gesture: Step | None = None
        self._gesture_edited = False
        self._revision = 0

    # what is open ------------------------------------------------------------------------------------------------

    @property
    def observations(self) -> tuple[Observation, ...]:
        return self._observations

    @property
    def is_open(self) -> bool:
        return self._scene is not None

    @property
    def scene(self) -> Scene:
        """The scene as it is now; raises ValueError where nothing is open."""
        if self._scene is None:
            raise ValueError("No images are open; open FITS files first.")
        return self._scene

    @property
    def to_image(self) -> PixelAffine:
        """From the scene's pixels to those of the first image, which is what a person reads."""
        return self.scene.grid.affine_to(self._observations[0].grid)

    @property
    def revision(self) -> int:
        """How many times a person has changed the scene; answers of the machine do not count."""
        return self._revision

    def open(self, observations: Sequence[Observation], scene: Scene | None = None) -> None:
        """Begin work on other data, without sources or with those of `scene`; the history starts anew."""
        scene = empty_scene(observations) if scene is None else scene
        self._undo, self._redo, self._gesture = [], [], None
        self._switch(tuple(observations), scene)
        self.history_changed.emit()

    def exchange(self, observations: Sequence[Observation], scene: Scene, label: str) -> None:
        """Go on with other observations and the scene on them, as one step that can be taken back."""
        self.commit()
        before = self._step(label)
        self._switch(tuple(observations), scene)
        self._record(before)

    def session(self, settings: FitSettings) -> Session:
        """Return all of the work, with what undo and redo can reach; raises ValueError where nothing is open."""
        history = tuple(self._undo), tuple(self._redo)
        return Session(self.scene, self._observations, self._selection, settings, *history)

    def restore(self, session: Session) -> None:
        """Go on with the work of a session, and with its history instead of the present one."""
        self._undo, self._redo, self._gesture = list(session.undo), list(session.redo), None
        self._switch(session.observations, session.scene)
        self.select(session.selection)
        self.history_changed.emit()

    def _switch(self, observations: tuple[Observation, ...], scene: Scene) -> None:
        self._observations, self._scene = observations, scene
        self._selection = ()
        self._revision += 1
        self.observations_changed.emit()
        self.scene_changed.emit(Change.OPENED)
        self.selection_changed.emit()

    def observe_as(self, observations: Sequence[Observation], label: str) -> None:
        """Go on with the same images seen otherwise (another PSF, another account of their noise), as one step.

        Raises ValueError where they are of other grids or channels.
        """
        same = [o.channels for o in observations] == [o.channels for o in self._observations]
        if not same or any(a.grid != b.grid for a, b in zip(observations, self._observations, strict=True)):
            raise ValueError("Other images need a scene of their own; open them.")
        sigma = model_psf_sigma(observations, self.scene.grid)
        self.exchange(observations, replace(self.scene, model_psf_sigma=sigma), label)

    # selection ---------------------------------------------------------------------------------------------------

    @property
    def selection(self) -> tuple[str, ...]:
        """Ids of the selected sources, the last one chosen last."""
        return self._selection

    @property
    def selected(self) -> tuple[Source, ...]:
        return tuple(self.scene[source_id] for source_id in self._selection) if self.is_open else ()

    def select(self, source_ids: Iterable[str]) -> None:
        """Select these sources and no others; ids that the scene does not have are left out."""
        selection = _there(dict.fromkeys(source_ids), self._scene)
        if selection != self._selection:
            self._selection = selection
            self.selection_changed.emit()

    # edits -------------------------------------------------------------------------------------------------------

    def add(self, *sources: Source, label: str = "", instead_of: Iterable[str] = ()) -> None:
        """Add sources at the end, instead of some that there are, and select them; the step is named after them, or by
        its `label`."""
        if not sources:
            return
        scene = self.scene.remove(*instead_of).add(*sources)
        self._edit(label or f"Add {named(scene.sources[-len(sources) :])}", scene, select=[s.id for s in sources])

    def move(self, places: Mapping[str, tuple[float, float]]) -> None:
        """Move sources to (x, y) [pix], other epochs of them along; raises LockedParameterError where one is locked."""
        self._edit(f"Move {named([self.scene[source_id] for source_id in places])}", self.scene.moved(places))

    def delete(self, source_ids: Iterable[str]) -> None:
        """Remove sources, with all their epochs; raises ValueError where one is locked."""
        gone = self._with_their_epochs(source_ids)
        _refuse_locked(gone, "delete")
        if gone:
            self._edit(f"Delete {named(gone)}", self.scene.remove(*(s.id for s in gone)))

    def retype(
        self, source_ids: Iterable[str], kind: str, retyped: Callable[[Source, str], Source] = Source.retyped
    ) -> None:
        """Give sources another morphology of about their size; raises ValueError where one is locked."""
        changed = [s for s in self._with_their_epochs(source_ids) if s.kind != kind]
        _refuse_locked(changed, "change the kind of")
        self._exchange(changed, lambda s: retyped(s, kind), f"Make {named(changed)} a {kind} source")

    def rename(self, source_id: str, name: str) -> None:
        """Rename a source; raises ValueError where the name is empty or taken by another."""
        name = name.strip()
        if not name:
            raise ValueError("A source needs a name of at least one letter or digit.")
        if any(s.name == name and s.id != source_id for s in self.scene.sources):
            raise ValueError(f"There is already a source named {name!r}; choose another name.")
        source = self.scene[source_id]
        if source.name != name:
            self._exchange([source], lambda s: s.renamed(name), f"Rename {named([source])}")

    def set_status(self, source_ids: Iterable[str], status: Status) -> None:
        """Make every parameter of sources free, fixed or locked."""
        changed = [s for s in self._with_their_epochs(source_ids) if s.center.status is not status]
        verb = {Status.FREE: "Free", Status.FIXED: "Fix", Status.LOCKED: "Lock"}[status]
        self._exchange(changed, lambda s: s.with_status(status), f"{verb} {named(changed)}")

    def change(
        self, source_ids: Iterable[str], change: Callable[[Source], Source], label: str, verb: str = "change"
    ) -> None:
        """Have sources, with all their epochs, become what `change` makes of them; where it gives the same one back,
        nothing happens. Raises ValueError where one that changes is locked."""
        pairs = [(source, change(source)) for source in self._with_their_epochs(source_ids)]
        changed = [new for old, new in pairs if new is not old]
        _refuse_locked(changed, verb)
        if changed:
            self._edit(label, self.scene.replace(*changed))

    def set_variable(self, source_ids: Iterable[str], is_variable: bool) -> None:
        """Give sources a flux of their own at every epoch, or constant ones; raises ValueError where one is locked."""
        changed = [self.scene[i] for i in source_ids if self.scene[i].is_variable != is_variable]
        _refuse_locked(changed, "change the epochs of")
        label = f"Let {named(changed)} vary" if is_variable else f"Keep {named(changed)} constant"
        self._exchange(changed, lambda s: s.varying(is_variable), label)

    def resize(self, source_ids: Iterable[str], radius: int) -> None:
        """Give sources boxes of another radius [pix]; raises ValueError where one is locked."""
        changed = [self.scene[i] for i in source_ids if self.scene[i].radius != radius]
        _refuse_locked(changed, "resize")
        self._exchange(changed, lambda s: s.resized(radius), f"Resize {named(changed)}")

    def calibrate(self, names: Sequence[str]) -> None:
        """Let the fit find these parameters of every image (see `Scene.calibrating`), and no others."""
        scene = self.scene.calibrating(*names)
        if scene.calibrations or self.scene.calibrations:
            self._edit("Fit how images are off" if names else "Take images as they are", scene)

    def know_stars(self, stars: StarCatalog | StarField | None) -> None:
        """Have known stars besides the sources, or none; raises ValueError where they cannot lie on the images."""
        scene = self.scene.with_stars(stars)
        if scene.stars is None and self.scene.stars is None:
            return
        count = 0 if scene.stars is None else len(scene.stars)
        self._edit(f"Know {count} stars" if count else "Forget the known stars", scene)

    def replace_scene(self, scene: Scene, label: str) -> None:
        """Put another scene in place of the whole, as detection does."""
        self._edit(label, scene)

    def carry(self, scene: Scene) -> None:
        """Go on with another scene within the step that was recorded last, as a fit of several parts does."""
        self._scene = scene
        self._announce(Change.EDIT)
        self.select(self._selection)

    @contextmanager
    def gesture(self, label: str) -> Iterator[None]:
        """Make one step of all edits inside; an exception takes them back."""
        self.begin(label)
        try:
            yield
        except BaseException:
            self.abandon()
            raise
        self.commit()

    def begin(self, label: str) -> None:
        """Start a gesture: edits until `commit` are live, and one step."""
        if self._gesture is not None:
            self.commit()
        self._gesture, self._gesture_edited = self._step(label), False

    def commit(self) -> None:
        """Finish the gesture; nothing is recorded where it changed nothing."""
        if self._gesture is None:
            return
        step, self._gesture = self._gesture, None
        if self._gesture_edited:
            self._record(step)
            self._announce(Change.EDIT)

    def abandon(self) -> None:
        """Take the gesture back as if it had never begun."""
        if self._gesture is None:
            return
        step, self._gesture = self._gesture, None
        if self._gesture_edited:
            self._return_to(step)
        else:
            self.select(step.selection)

    @property
    def gesture_start(self) -> Scene | None:
        """The scene as it was when the gesture under way began; None for none."""
        return None if self._gesture is None else self._gesture.scene

    @property
    def in_gesture(self) -> bool:
        return self._gesture is not None

    # answers of the machine ----------------------------------------------------------------------------------------

    def accept(self, scene: Scene, revision: int) -> None:
        """Take an answer of the machine to the scene of that revision.

        An answer to what has been edited since is worth its fluxes only: they are shown until the newer answer.
        """
        if self._scene is None:
            return
        self._scene = scene if revision == self._revision else with_fluxes_of(self._scene, scene)
        self.scene_changed.emit(Change.ANSWER)

    def mark(self, label: str) -> None:
        """Record the scene as it is now: what comes (a fit) can be taken back as one step."""
        self._record(self._step(label))

    # history -----------------------------------------------------------------------------------------------------

    @property
    def undo_label(self) -> str | None:
        return self._undo[-1].label if self._undo else None

    @property
    def last_step(self) -> Step | None:
        """What undo would return to; None for nothing."""
        return self._undo[-1] if self._undo else None

    @property
    def redo_label(self) -> str | None:
        return self._redo[-1].label if self._redo else None

    def undo(self) -> None:
        """Go back one step; a gesture that is under way is what goes."""
        if self._gesture is not None:
            self.abandon()
        elif self._undo:
            self._travel(self._undo, self._redo)

    def redo(self) -> None:
        if self._gesture is None and self._redo:
            self._travel(self._redo, self._undo)

    def _travel(self, source: list[Step], target: list[Step]) -> None:
        step = source.pop()
        target.append(self._step(step.label))
        if step.observations is not self._observations:
            self._switch(step.observations, step.scene)
            self.select(step.selection)
        else:
            self._return_to(step)
        self.history_changed.emit()

    def _return_to(self, step: Step) -> None:
        """Show the scene of a step with what was selected in it, both at once."""
        before, self._scene = self._selection, step.scene
        self._selection = _there(step.selection, step.scene)
        self._announce(Change.EDIT)
        if self._selection != before:
            self.selection_changed.emit()

    def _step(self, label: str) -> Step:
        """What undo would return to from here."""
        return Step(label, self.scene, self._selection, self._observations)

    def _record(self, step: Step) -> None:
        self._undo.append(step)
        self._redo.clear()
        self.history_changed.emit()

    def _with_their_epochs(self, source_ids: Iterable[str]) -> list[Source]:
        """Return sources, and all other epochs of those that move: each of them is one thing."""
        return [self.scene[source_id] for source_id in self.scene.together(tuple(source_ids))]

    def _exchange(self, sources: Sequence[Source], change: Callable[[Source], Source], label: str) -> None:
        if sources:
            self._edit(label, self.scene.replace(*(change(source) for source in sources)))

    def _edit(self, label: str, scene: Scene, select: Iterable[str] | None = None) -> None:
        before = self._step(label)
        self._scene = scene
        if self._gesture is None:
            self._record(before)
        else:
            self._gesture_edited = True
        # chosen before it is announced, so that whoever shows the scene shows both at once
        self._selection = _there(self._selection if select is None else select, scene)
        self._announce(Change.EDIT if self._gesture is None else Change.LIVE)
        if self._selection != before.selection:
            self.selection_changed.emit()

    def _announce(self, change: Change) -> None:
        self._revision += 1
        self.scene_changed.emit(change)


def _there(source_ids: Iterable[str], scene: Scene | None) -> tuple[str, ...]:
    """Return those of the ids that a scene has."""
    known = set() if scene is None else {source.id for source in scene.sources}
    return tuple(source_id for source_id in source_ids if source_id in known)


def with_fluxes_of(scene: Scene, solved: Scene) -> Scene:
    """Return the scene with the fluxes of those sources that the solved one has too."""
    answers = {source.id: source for source in solved.sources}

    def updated(source: Source) -> Source:
        answer = answers.get(source.id)
        if answer is None or len(answer.components) != len(source.components):
            return source
        pairs = zip(source.components, answer.components, strict=True)
        return replace(source, components=tuple(replace(old, spectrum=new.spectrum) for old, new in pairs))

    return scene.with_sources(updated(source) for source in scene.sources)


def named(sources: Sequence[Source]) -> str:
    """Return sources as the object of a sentence."""
    if len(sources) == 1:
        return f"source {sources[0].name}" if sources[0].name else "a source"
    return f"{len(sources)} sources"


def _refuse_locked(sources: Sequence[Source], verb: str) -> None:
    locked = [source for source in sources if source.is_locked]
    if locked:
        raise ValueError(f"Cannot {verb} {named(locked)}: locked; unlock first.")
