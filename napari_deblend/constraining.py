"""What is asked of the chosen components: which constraints, how strong, in which order; and what they would do now.

Every change is one step of the document. What a constraint does is seen at once: the machine's thread hands out the
component as it is, and the finder's thread puts the operators onto it, so that neither the window nor an edit waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from deblend import Component, Constraint, ConstraintKind, Source, offered_constraints
from deblend.infer import Glimpse
from deblend.program.asked import check_asked
from deblend.scene import ACTING_ORDER, SettingValue, Target, acting_order
from napari_deblend.document import Change, named
from napari_deblend.jobs import GLIMPSED, LIGHTS
from napari_deblend.machine import Machine
from napari_deblend.presets import Preset, keep_preset, of_component
from napari_deblend.thumbnails import Thumbnails

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

Member = tuple[str, int]
"""The id of a source, and the index of one of its components."""


@dataclass(frozen=True)
class Line:
    """A constraint in the list."""

    constraint: Constraint
    """As it is asked, or as it would be."""
    rank: int | None
    """Its place among those that act one after another, from 1; None where it is off, or acts with the data."""

    @property
    def kind(self) -> ConstraintKind:
        return self.constraint.kind


class Constraining:
    """Edits constraints of the selected sources of one workbench."""

    changed = Signal()
    """Other components are chosen, or other things are asked of them."""
    pictured = Signal()
    """What the constraints do is known."""
    wanted = Signal()
    """A person wants to see the list."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.part: int | None = None
        """Which component of every selected source; None for all."""
        self.kind = ConstraintKind.MONOTONIC
        """The one that keys act on."""
        self.thumbnails: Thumbnails | None = None
        """The chosen component before and after; None until that is known."""
        self._is_watched = False
        self._shows: tuple[Member | None, tuple[Constraint, ...], int] = (None, (), 0)
        bench.document.selection_changed.connect(self._on_selection)
        bench.document.scene_changed.connect(self._on_scene)
        bench.settled.connect(self._look)

    # what is chosen ----------------------------------------------------------------------------------------------

    @property
    def members(self) -> tuple[Member, ...]:
        """The components that an edit changes."""
        return tuple(
            (source.id, index)
            for source in self._bench.document.selected
            for index in range(len(source.components))
            if self.part in (None, index)
        )

    @property
    def shown(self) -> Member | None:
        """The component whose constraints are listed: of the source that was chosen last; None where none is."""
        selection = self._bench.document.selection
        own = [member for member in self.members if member[0] == selection[-1]] if selection else []
        return own[0] if own else None

    @property
    def component(self) -> Component | None:
        """That component."""
        shown = self.shown
        return None if shown is None else self._bench.document.scene[shown[0]].components[shown[1]]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every constraint that means anything for it: those that weigh against the data, those that act one after
        another in their order, those of its colors."""
        component = self.component
        if component is None:
            return ()
        morphology = component.morphology
        kinds = [kind for kind in offered_constraints() if morphology.takes(kind)]
        acting = [kind for kind in acting_order(c.kind for c in morphology.constraints) if kind in kinds]
        others = [kind for kind in kinds if kind not in ACTING_ORDER]
        colors = [kind for kind in others if kind.info.target is Target.SPECTRUM]
        lines, rank = [], 0
        for kind in (*(k for k in others if k not in colors), *acting, *colors):
            asked = morphology.constraint(kind)
            acts = kind in acting and asked is not None and asked.active
            rank += acts
            lines.append(Line(asked or Constraint(kind, active=False), rank if acts else None))
        return tuple(lines)

    def line(self, kind: ConstraintKind) -> Line | None:
        """Return the line of a kind; None where it means nothing for the component."""
        return next((line for line in self.lines if line.kind is kind), None)

    def choose_part(self, part: int | None) -> None:
        """Edit one component of every selected source, or all of them for None."""
        if part != self.part:
            self.part = part
            self._show()

    # edits -------------------------------------------------------------------------------------------------------

    def switch(self, kind: ConstraintKind, active: bool) -> None:
        """Ask a constraint of the chosen components, or no longer."""
        verb = "Ask" if active else "Stop asking"
        self._edit(kind, lambda c: replace(c, active=active), f"{verb} {kind.info.label!r} of {{}}")

    def strengthen(self, kind: ConstraintKind, strength: float) -> None:
        """Make a constraint this strong, and ask it; raises ValueError for a strength that it cannot have."""
        label = f"{kind.info.label} {strength:.3g} of {{}}"
        self._edit(kind, lambda c: replace(c, strength=strength, active=True), label)

    def set_setting(self, kind: ConstraintKind, name: str, value: SettingValue) -> None:
        """Give a constraint another setting; raises ValueError for one that it cannot have."""

        def changed(constraint: Constraint) -> Constraint:
            others = tuple((n, v) for n, v in constraint.settings if n != name)
            return replace(constraint, settings=(*others, (name, value)))

        self._edit(kind, changed, f"{kind.info.label}, {name}, of {{}}")

    def set_settings(self, kind: ConstraintKind, settings: Mapping[str, SettingValue]) -> None:
        """Give a constraint these settings at once, and ask it; raises ValueError for one that it cannot have."""

        def changed(constraint: Constraint) -> Constraint:
            others = tuple((n, v) for n, v in constraint.settings if n not in settings)
            return replace(constraint, settings=(*others, *settings.items()), active=True)

        self._edit(kind, changed, f"{kind.info.label} of {{}}")

    def shift(self, kind: ConstraintKind, step: int) -> None:
        """Have a constraint act earlier (-1) or later (1) than the next one that is on."""
        line = self.line(kind)
        if line is None or line.rank is None:
            raise ValueError(f"{kind.info.label!r} has no place in an order: it is off, or acts with the data.")
        lines = [each for each in self.lines if each.rank is not None]
        place = line.rank - 1 + step
        if not 0 <= place < len(lines):
            raise ValueError(f"{kind.info.label!r} is the {'first' if step < 0 else 'last'} to act already.")
        on = [each.kind for each in lines]
        on[line.rank - 1], on[place] = on[place], on[line.rank - 1]
        order = acting_order(on)
        self._change(
            lambda c: replace(c, morphology=c.morphology.with_acting_order(order)),
            f"{kind.info.label} {'earlier' if step < 0 else 'later'} for {{}}",
        )

    def apply(self, preset: Preset) -> None:
        """Ask what a preset asks of the chosen components, and nothing else; sources that cannot take that become of
        the preset's kind."""
        members = set(self.members)

        def prepared(source: Source) -> Source:
            source = source if preset.fits(source) else source.retyped(preset.kind)
            single = len(source.components) == 1
            parts = tuple(
                preset.on(c) if single or (source.id, k) in members else c for k, c in enumerate(source.components)
            )
            return replace(source, components=parts)

        document = self._bench.document
        document.change(self._ids, prepared, f"Make {named(self._sources)} a preset “{preset.name}”")

    def keep(self, name: str) -> Preset:
        """Keep what is asked of the chosen component as a preset of that name; raises ValueError where that cannot
        be."""
        component = self.component
        if component is None:
            raise ValueError("No source is selected; select the one whose constraints make the preset.")
        preset = of_component(name, component.morphology.label, component.morphology.constraints)
        if not preset.name:
            raise ValueError("A preset needs a name of at least one letter or digit.")
        keep_preset(preset)
        return preset

    @property
    def _sources(self) -> Sequence[Source]:
        sources = self._bench.document.selected
        if not sources:
            raise ValueError("No source is selected; click its marker or its row first.")
        return sources

    @property
    def _ids(self) -> list[str]:
        return [source.id for source in self._sources]

    def _edit(self, kind: ConstraintKind, change: Callable[[Constraint], Constraint], label: str) -> None:
        def changed(component: Component) -> Component:
            morphology = component.morphology
            if not morphology.takes(kind):
                return component
            before = morphology.constraint(kind) or Constraint(kind, active=False)
            after = change(before)
            if after == before:
                return component
            new = replace(component, morphology=morphology.with_constraint(after))
            check_asked(new)
            return new

        self._change(changed, label)

    def _change(self, change: Callable[[Component], Component], label: str) -> None:
        sources, part = self._sources, self.part

        def changed(source: Source) -> Source:
            parts = tuple(change(c) if part in (None, k) else c for k, c in enumerate(source.components))
            same = all(new is old for new, old in zip(parts, source.components, strict=True))
            return source if same else replace(source, components=parts)

        self._bench.document.change(self._ids, changed, label.format(named(sources)), "change the constraints of")

    # what they do ------------------------------------------------------------------------------------------------

    def watch(self, is_watched: bool) -> None:
        """Say whether anybody looks: only then pictures are made."""
        self._is_watched = is_watched
        if is_watched:
            self._show()

    def _on_selection(self) -> None:
        # a part is chosen of one source; of another it would be something else
        self.part = None
        self._show()

    def _on_scene(self, change: Change) -> None:
        if change is Change.ANSWER:
            # the switch of a kind may come from an answer too, as a galaxy that became a star
            if self._said != self._shows:
                self._show()
            return
        selected = self._bench.document.selected
        if self.part is not None and (not selected or self.part >= len(selected[-1].components)):
            self.part = None
        self._show()

    @property
    def _said(self) -> tuple[Member | None, tuple[Constraint, ...], int]:
        component, shown = self.component, self.shown
        if component is None or shown is None:
            return None, (), 0
        n_parts = len(self._bench.document.scene[shown[0]].components)
        return shown, component.morphology.constraints, n_parts

    def _show(self) -> None:
        if not self._bench.document.is_open:
            return
        said = self._said
        if said[0] != self._shows[0]:
            self.thumbnails = None
        self._shows = said
        self.changed.emit()
        self._look()

    def _look(self) -> None:
        """Ask for the component before and after; the answer comes by and by."""
        runner, shown = self._bench.runner, self.shown if self._bench.document.is_open else None
        if not self._is_watched or runner is None:
            return
        if shown is None:
            self.thumbnails = None
            self.pictured.emit()
            return
        observations = self._bench.document.observations

        def job(machine: Machine) -> tuple[Any, Member, Glimpse | None]:
            return observations, shown, machine.glimpse(*shown)

        runner.submit(GLIMPSED, job)
        self._bench.pulse.look_soon()

    def take_glimpse(self, observations: Any, shown: Member, glimpse: Glimpse | None) -> None:
        """Have the operators put onto what the machine has handed out."""
        if glimpse is not None and shown == self.shown:
            self._bench.find(LIGHTS, lambda: (observations, shown, Thumbnails.of(glimpse.lights())))

    def take_pictures(self, shown: Member, thumbnails: Thumbnails) -> None:
        """Show what they have made of it."""
        if shown == self.shown:
            self.thumbnails = thumbnails
            self.pictured.emit()
