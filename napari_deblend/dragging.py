"""What a drag makes of a component: its light as it was, as it is now, and as its constraints ask.

Whatever is dragged (the center of symmetry, the circle, the box, the ellipse, a painted stroke), the machine's thread
hands out the component before and now, and the finder's thread puts the operators onto it: nothing waits for either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from deblend.infer import Glimpse
from napari_deblend.document import Change
from napari_deblend.jobs import DRAGGED, DRAGGED_LIGHTS
from napari_deblend.machine import Machine
from napari_deblend.thumbnails import DragPictures

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

Member = tuple[str, int]


class Dragging:
    """Follows the gestures of one workbench."""

    changed = Signal()
    """Other pictures are to be shown, or none."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.is_watched = False
        """Whether anybody shows the pictures: only then they are made."""
        self.pictures: DragPictures | None = None
        """Of the component that is being changed; None while nothing is dragged, or nothing is known of it yet."""
        self._member: Member | None = None
        self._before: Glimpse | None = None
        bench.document.scene_changed.connect(self._on_scene)

    @property
    def member(self) -> Member | None:
        """The component that is being changed: that whose constraints are listed, where it has pixels."""
        component, shown = self._bench.constraining.component, self._bench.constraining.shown
        return shown if component is not None and component.morphology.has_pixels else None

    def _on_scene(self, change: Change) -> None:
        document = self._bench.document
        if change is Change.LIVE and document.in_gesture and self.is_watched:
            member = self.member
            if member != self._member:
                self._member, self._before = member, None
            self._ask()
        elif change in (Change.EDIT, Change.OPENED) and self._member is not None:
            self._member = self._before = self.pictures = None
            self.changed.emit()

    def _ask(self) -> None:
        """Ask for the component as it is now, and at first as it was."""
        bench, member, before = self._bench, self._member, self._before
        start = bench.document.gesture_start
        if bench.runner is None or member is None or start is None:
            return
        observations = bench.document.observations

        def job(machine: Machine) -> tuple[Any, Member, Glimpse | None, Glimpse | None]:
            was = before or machine.glimpse_at(start, *member)
            return observations, member, was, machine.glimpse(*member)

        bench.runner.submit(DRAGGED, job)
        bench.pulse.look_soon()

    def take_glimpses(self, observations: Any, member: Member, was: Glimpse | None, now: Glimpse | None) -> None:
        """Have the operators put onto what the machine has handed out."""
        if member != self._member or was is None or now is None:
            return
        self._before = was
        self._bench.find(DRAGGED_LIGHTS, lambda: (observations, member, DragPictures.of(was.lights(), now.lights())))

    def take_pictures(self, member: Member, pictures: DragPictures) -> None:
        """Show them."""
        if member == self._member:
            self.pictures = pictures
            self.changed.emit()
