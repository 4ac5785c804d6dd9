"""A fit in rounds: sources are held to plain profiles, what these leave over or hide is looked for, freedom comes last.

As `deblend fit --passes` does it (see `deblend.Search`). Then, where that is wanted, chi² says which sources are stars.
All of it is the one step "Fit" of the document.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from deblend import Scene, Search, Source, Status, StopRule, classified, classify
from deblend.detect import as_free_as
from napari_deblend.jobs import CLASSIFIED, ROUND
from napari_deblend.machine import Frame, Machine
from napari_deblend.masking import seen_by_machine

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


class Stage(Enum):
    """Which fit runs now."""

    OFF = "off"
    """One that nothing follows."""
    PLAIN = "plain"
    """Of plain profiles."""
    FREE = "free"
    """With all the freedom that sources were given."""
    LAST = "last"
    """Without what that has left no light to; only classes are behind it."""


class Rounds:
    """What follows when a fit of one workbench has ended."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.wanted = 0
        """How often peaks of the residual are looked for; what others hide is tried behind that."""
        self.classifies = False
        """Whether chi² says at the end which sources are stars."""
        self._search: Search | None = None
        self._stage = Stage.OFF
        self._number = 0
        """Of the fit of this stage, as the machine counts them."""
        self._given: dict[str, Source] = {}
        """Every source with the freedom that it is to have in the end."""
        bench.framed.connect(self._on_frame)

    def begin(self, taking_part: tuple[str, ...] | None = None) -> None:
        """Start the fit, and what is to follow it; where only some sources take part, nothing does."""
        scene = self._bench.document.scene
        self._given = {source.id: source for source in scene.sources}
        if taking_part is not None:
            self._run(None, Stage.OFF, taking_part)
        elif self.wanted:
            self._search = Search(scene, self.wanted, kind=self._bench.kind, box_scale=self._bench.box_scale)
            self._run(self._search.start, Stage.PLAIN)
        else:
            self._run(None, self._last)

    def forget(self) -> None:
        """Have nothing follow any more."""
        self._stage = Stage.OFF

    def with_freedom(self, scene: Scene) -> Scene:
        """Return a scene with its sources as free as they were before a fit held them to plain profiles."""
        # what a person has locked or freed since stays so
        same = tuple(s for s in self._known(scene) if s.center.status is scene[s.id].center.status)
        freed = as_free_as(scene, replace(scene, sources=same, links=()))
        return scene if _freedom(freed) == _freedom(scene) else freed

    def _run(self, scene: Scene | None, stage: Stage, taking_part: tuple[str, ...] | None = None) -> None:
        bench = self._bench
        self._stage = stage
        self._number = 1 + (bench.frame.fit_number if bench.frame is not None else 0)
        if scene is not None:
            bench.document.carry(scene)
        if bench.runner is not None:
            # what another fit follows need not be at rest
            is_rough = stage is Stage.PLAIN
            settings = replace(bench.settings, stop=StopRule.ROUGH) if is_rough else bench.settings
            bench.runner.run(settings, taking_part)

    def _on_frame(self, frame: Frame) -> None:
        bench = self._bench
        if self._stage is Stage.OFF or bench.runner is None:
            return
        if not frame.sentence or frame.fit_number < self._number or frame.revision != bench.document.revision:
            return
        # what follows has a frame of its own
        self._number = frame.fit_number + 1
        if frame.is_success is not True:
            self._end()
        elif self._stage is Stage.LAST:
            self._stage = Stage.OFF
            have_classified(bench)
        else:
            if self._stage is Stage.PLAIN:
                bench.tell("Looking for what is missed or hidden…")
            bench.runner.submit(ROUND, self._round_job)

    def _round_job(self, machine: Machine) -> tuple[Any, Scene, Scene | None]:
        """Return the observations, the scene as it is, and as it is to be fitted next; None for no such scene."""
        observations, scene, search = machine.observations, machine.scene, self._search
        assert search is not None
        seen, pictures = seen_by_machine(machine), machine.shown.sources()
        if self._stage is Stage.PLAIN:
            models = [machine.shown.model(k) for k in range(len(observations))]
            return observations, scene, search.after(scene, seen, models, pictures)
        faded = search.faded(scene, seen, pictures)
        return observations, scene, scene.remove(*faded) if faded else None

    def take_round(self, observations: Any, seen: Scene, wanted: Scene | None) -> None:
        """Go on with what a round has found, or has found to be nothing."""
        document, search = self._bench.document, self._search
        if self._stage is Stage.OFF or observations is not document.observations or search is None:
            return
        if wanted is None:
            self._go_on()
            return
        # a person may have edited the scene meanwhile: only what the search has changed is changed
        scene = document.scene
        new = [source for source in wanted.sources if source.id not in {s.id for s in seen.sources}]
        gone = {source.id for source in seen.sources} - {source.id for source in wanted.sources}
        self._given.update({source.id: source for source in search.new})
        self._bench.tell(_said(len(new), len(gone), search.is_trying))
        present = [source.id for source in scene.sources if source.id in gone]
        scene = scene.remove(*present).add(*(source.renamed("") for source in new))
        self._run(scene, Stage.PLAIN if self._stage is Stage.PLAIN else self._last)

    @property
    def _last(self) -> Stage:
        return Stage.LAST if self.classifies else Stage.OFF

    def _go_on(self) -> None:
        """Go on where nothing more was found, or nothing has to go."""
        if self._stage is Stage.PLAIN:
            self._run(self._freed, Stage.FREE)
        else:
            self._stage = Stage.OFF
            if self.classifies:
                have_classified(self._bench)

    def _end(self) -> None:
        """Give sources their freedom back, and leave them as they are."""
        if self._stage is Stage.PLAIN:
            self._bench.document.carry(self._freed)
        self._stage = Stage.OFF

    @property
    def _freed(self) -> Scene:
        scene = self._bench.document.scene
        return as_free_as(scene, replace(scene, sources=self._known(scene), links=()))

    def _known(self, scene: Scene) -> tuple[Source, ...]:
        """Return what is known of the freedom of a scene's sources; what a person has made something else meanwhile has
        the freedom of that."""
        same = (s for s in scene.sources if s.id in self._given and s.kind == self._given[s.id].kind)
        return tuple(self._given[s.id] for s in same)


def _freedom(scene: Scene) -> list[Status]:
    """Return whether the fit may change what plain profiles are held to."""
    parts = [(source, component) for source in scene.sources for component in source.components]
    corrections = [c.morphology.parameters["correction"] for _, c in parts if "correction" in c.morphology.parameters]
    return [
        *(source.channel_offsets.status for source, _ in parts),
        *(component.color_gradients.status for _, component in parts),
        *(correction.status for correction in corrections),
    ]


def have_classified(bench: Workbench) -> None:
    """Have chi² say which sources are stars; the answer comes by and by."""
    if bench.runner is None or bench.frame is None or not bench.document.scene.sources:
        raise ValueError("There is nothing to tell apart yet; detect sources and fit them first.")
    if bench.runner.is_running:
        raise ValueError("A fit is running; stars are told from galaxies once it has ended.")
    bench.tell("Telling stars from galaxies…")

    def job(machine: Machine) -> tuple[Any, Any]:
        scene = machine.scene
        classes = classify(scene, machine.observations, machine.program)
        return machine.observations, dict(zip((s.id for s in scene.sources), classes, strict=True))

    bench.runner.submit(CLASSIFIED, job)


def take_classes(bench: Workbench, observations: Any, classes: dict[str, Any]) -> None:
    """Make sources what chi² says they are, as one step."""
    document = bench.document
    if observations is not document.observations:
        return
    known = [source for source in document.scene.sources if source.id in classes]
    part = replace(document.scene, sources=tuple(known), links=())
    settled = classified(part, [classes[source.id] for source in known])
    n_stars = sum(classes[source.id].kind == "point" for source in known)
    changed = [new for old, new in zip(known, settled.sources, strict=True) if new is not old]
    bench.tell(f"Of {len(known)} sources a point fits {n_stars} as well as anything extended does.")
    if changed:
        document.replace_scene(document.scene.replace(*changed), f"Tell stars from galaxies ({len(changed)} changed)")


def _said(n_new: int, n_gone: int, is_trying: bool) -> str:
    """Return a sentence about what a round has found."""
    if is_trying:
        return f"{_count(n_new)} may be hidden by others; fitting to see."
    if n_new:
        return f"{_count(n_new)} more; fitting on."
    return f"{_count(n_gone)} of those found not needed; fitting on without."


def _count(count: int) -> str:
    return "1 source" if count == 1 else f"{count} sources"
