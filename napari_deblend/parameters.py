"""The numbers of the chosen source: read, typed, bounded, freed and linked, each as one step of the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from psygnal import Signal

from deblend import Source, Status
from napari_deblend.document import named
from napari_deblend.dust_lines import dust_groups
from napari_deblend.parameter_lines import Group, Line, groups_of
from napari_deblend.prior_lines import changed, new_prior

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

Member = tuple[str, int]
"""The id of a source, and which of its components."""


class Parameters:
    """Edits the numbers of the source that was selected last, in one workbench."""

    wanted = Signal()
    """A person wants to see them."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @property
    def source(self) -> Source | None:
        """The source whose numbers are shown; None where none is selected."""
        selected = self._bench.document.selected
        return selected[-1] if selected else None

    @property
    def groups(self) -> tuple[Group, ...]:
        """All of its numbers."""
        source, document = self.source, self._bench.document
        if source is None:
            return ()
        y, x = document.to_image(source.y, source.x)
        channels, sky = document.scene.channels, self.sky
        return *groups_of(source, channels, (float(x), float(y)), sky), *dust_groups(source, channels, sky)

    @property
    def sky(self) -> Float[np.ndarray, "2 2"] | None:
        """What takes a direction (y, x) on the scene's pixels to north and east; None where there is no sky."""
        world = self._bench.layers.world
        return None if world.center is None else world.affine(self._bench.document.scene.grid)[:2, :2]

    # edits -------------------------------------------------------------------------------------------------------

    def set_value(self, line: Line, number: float) -> None:
        """Give a number another value; raises ValueError with a sentence where it cannot have that."""
        source = self._chosen
        if line.changed is None:
            raise ValueError(f"{line.label} of {named([source])} follows from other numbers; change those.")
        if line.key in ("x", "y"):
            self._move(source, line.key, number)
            return
        changed = line.changed
        self._change(line, lambda s: changed(s, number), f"{_label(line)} {number:.4g} of {named([source])}")
        if line.key.split(".")[1:2] == ["flux"] and line.place and line.place.get(source).is_free:
            self._bench.tell(f"The fluxes of {named([source])} are fixed now; make them free to have them solved for.")

    def set_bounds(self, line: Line, lower: float | None = None, upper: float | None = None) -> None:
        """Give a number other bounds, its value goes along; raises ValueError where they cannot be."""
        if line.place is None or not line.has_bounds:
            raise ValueError(f"{line.label} has no bounds of its own.")
        place = line.place
        old = place.get(self._chosen)
        low, high = old.lower if lower is None else lower, old.upper if upper is None else upper
        if low < line.widest[0] or high > line.widest[1]:
            raise ValueError(
                f"Bounds of the {line.label} must lie between {line.widest[0]:g} and {line.widest[1]:g}, which is what "
                "can be drawn."
            )
        label = f"Bounds of the {line.label} of {named([self._chosen])}"
        self._change(line, lambda s: place.put(s, place.get(s).bounded(low, high)), label)

    def set_status(self, line: Line, status: Status) -> None:
        """Make the parameter of a line free, fixed or locked."""
        if line.place is None:
            raise ValueError(f"{line.label} is nothing that a fit changes.")
        place = line.place
        verb = {Status.FREE: "Free", Status.FIXED: "Fix", Status.LOCKED: "Lock"}[status]
        label = f"{verb} the {line.label} of {named([self._chosen])}"
        self._change(line, lambda s: place.put(s, place.get(s).with_status(status)), label)

    # priors ------------------------------------------------------------------------------------------------------

    def choose_prior(self, line: Line, kind: str) -> None:
        """Have a prior of another kind, around the present value; raises ValueError where there can be none."""
        place = line.prior
        if place is None:
            raise ValueError(f"{line.label} takes no prior.")
        prior = new_prior(kind, line.value, place, self._chosen.components[line.part])
        label = f"Prior of the {line.label} of {named([self._chosen])}"
        self._change(line, lambda s: place.put(s, prior), label)

    def set_prior(self, line: Line, name: str, value: float) -> None:
        """Change a number of a prior; raises ValueError with a sentence where it cannot be that."""
        place = line.prior
        before = None if place is None else place.get(self._chosen)
        if place is None or before is None:
            raise ValueError(f"{line.label} has no prior of yours; choose its kind first.")
        prior = changed(before, name, value)
        label = f"Prior of the {line.label} of {named([self._chosen])}"
        self._change(line, lambda s: place.put(s, prior), label)

    # links -------------------------------------------------------------------------------------------------------

    def links_of(self, line: Line) -> tuple[Member, ...]:
        """Return what a number is linked with, besides itself."""
        source = self.source
        if source is None or not line.link_name:
            return ()
        me = source.id, line.part
        links = self._bench.document.scene.links
        found = next((link for link in links if link.parameter == line.link_name and me in link.members), None)
        return () if found is None else tuple(member for member in found.members if member != me)

    def partners(self, line: Line) -> dict[str, Member]:
        """Return everything that a number could be linked with, by what a person calls it."""
        source = self.source
        if source is None or not line.link_name or line.place is None:
            return {}
        shape = line.place.get(source).value.shape
        found: dict[str, Member] = {}
        for other in self._bench.document.scene.sources:
            for part, component in enumerate(other.components):
                parameter = component.morphology.parameters.get(line.link_name)
                if (other.id, part) != (source.id, line.part) and parameter and parameter.value.shape == shape:
                    found[self.called((other.id, part))] = other.id, part
        return found

    def called(self, member: Member) -> str:
        """Return what a person calls a component."""
        other = self._bench.document.scene[member[0]]
        part = f" part {member[1] + 1}" if len(other.components) > 1 else ""
        return f"source {other.name}{part}"

    def link(self, line: Line, member: Member | None) -> None:
        """Have a number be one with that of another component, whose value it takes; None to let go of all."""
        source, scene = self._chosen, self._bench.document.scene
        _refuse_locked(source)
        me, name = (source.id, line.part), line.link_name
        if not name:
            raise ValueError(f"{line.label} cannot be linked.")
        if member is None:
            if self.links_of(line):
                label = f"Unlink the {line.label} of {named([source])}"
                self._bench.document.replace_scene(scene.unlinked(name, me), label)
            return
        theirs = next((k.members for k in scene.links if k.parameter == name and member in k.members), (member,))
        if me in theirs:
            return
        linked = scene.unlinked(name, me).linked(name, *theirs, me)
        label = f"Link the {line.label} of {named([source])} with {self.called(member)}"
        self._bench.document.replace_scene(linked, label)

    # inside ------------------------------------------------------------------------------------------------------

    @property
    def _chosen(self) -> Source:
        source = self.source
        if source is None:
            raise ValueError("No source is selected; click its marker or its row first.")
        return source

    def _move(self, source: Source, axis: str, number: float) -> None:
        document = self._bench.document
        y, x = document.to_image(source.y, source.x)
        y, x = document.to_image.inverse(*((y, number) if axis == "x" else (number, x)))
        document.move({source.id: (float(x), float(y))})

    def _change(self, line: Line, change: Callable[[Source], Source], label: str) -> None:
        source, document = self._chosen, self._bench.document
        _refuse_locked(source)
        new = change(source)
        is_same_prior = line.prior is None or line.prior.get(new) == line.prior.get(source)
        if line.place is not None and is_same_prior and line.place.get(new).is_like(line.place.get(source)):
            return
        document.replace_scene(document.scene.replace(new), label)


def show_parameters(bench: Workbench) -> None:
    """Have the numbers of the selected source in view, with the keyboard in them."""
    if not bench.document.selection:
        raise ValueError("No source is selected; click its marker or its row first.")
    bench.parameters.wanted.emit()


def _refuse_locked(source: Source) -> None:
    if source.is_locked:
        raise ValueError(f"Cannot change {named([source])}: locked; unlock first.")


def _label(line: Line) -> str:
    return line.label[0].upper() + line.label[1:]
