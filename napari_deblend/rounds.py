"""A fit in rounds: sources are held to plain profiles, what these leave over is looked for, freedom comes back last.

As `deblend fit --passes` does it: behind a galaxy that may take any shape nothing is left over. Then, where that is
wanted, chi² says which sources are stars. All of it is the one step "Fit" of the document.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from deblend import Scene, Source, Status, StopRule, classified, classify, with_missed
from deblend.detect import as_free_as, plain
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
    """The last but for classes."""


class Rounds:
    """What follows when a fit of one workbench has ended."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.wanted = 0
        """How often missed sources are looked for."""
        self.classifies = False
        """Whether chi² says at the end which sources are stars."""
        self._left = 0
        self._stage = Stage.OFF
        self._number = 0
        """Of the fit of this stage, as the machine counts them."""
        self._given: dict[str, Source] = {}
        """Every source with the freedom that it is to have in the end."""
        bench.framed.connect(self._on_frame)

    def begin(self, taking_part: tuple[str, ...] | None = None) -> None:
        """Start the fit, and what is to follow it; where only some sources take part, nothing does."""
        scene = self._bench.document.scene
        self._given, self._left = {source.id: source for source in scene.sources}, self.wanted
        if taking_part is not None:
            self._run(None, Stage.OFF, taking_part)
        elif self.wanted:
            self._run(plain(scene), Stage.PLAIN)
        else:
            self._run(None, Stage.FREE if self.classifies else Stage.OFF)

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
        elif self._stage is Stage.PLAIN and self._left:
            bench.tell(f"Looking for what was missed; {_times(self._left)} to go.")
            bench.runner.submit(ROUND, self._round_job)
        elif self._stage is Stage.PLAIN:
            self._set_free()
        else:
            self._stage = Stage.OFF
            have_classified(bench)

    def _round_job(self, machine: Machine) -> tuple[Any, tuple[Source, ...]]:
        bench, observations, scene = self._bench, machine.observations, machine.scene
        models = [machine.shown.model(k) for k in range(len(observations))]
        seen = seen_by_machine(machine)
        more = with_missed(scene, seen, models, kind=bench.kind, box_scale=bench.box_scale, solve=False)
        return observations, tuple(source.renamed("") for source in more.sources[len(scene) :])

    def take_round(self, observations: Any, new: tuple[Source, ...]) -> None:
        """Go on with what a round has found."""
        document = self._bench.document
        if self._stage is not Stage.PLAIN or observations is not document.observations:
            return
        self._left -= 1
        if not new:
            self._set_free()
            return
        scene = document.scene.add(*new)
        added = scene.sources[-len(new) :]
        self._given.update({source.id: source for source in added})
        self._bench.tell(f"{_count(len(new))} more; fitting on.")
        held = {source.id: source for source in plain(scene).sources}
        self._run(scene.replace(*(held[source.id] for source in added)), Stage.PLAIN)

    def _set_free(self) -> None:
        """Fit once more, with all the freedom that sources were given."""
        self._run(self._freed, Stage.FREE if self.classifies else Stage.OFF)

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


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _count(count: int) -> str:
    return "1 source" if count == 1 else f"{count} sources"
