"""What a drag makes of a component: its light as it was, as it is now, and as its constraints ask.

Whatever is dragged (the center of symmetry, the circle, the box, the ellipse, a painted stroke), the machine's thread
hands out the component before and now, and the finder's thread puts the operators onto it. One at a time, and some a
second: an edit that had to wait for them would be seen later itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend.infer import Glimpse, Lights
from napari_deblend.compat import main_window
from napari_deblend.document import Change
from napari_deblend.jobs import DRAGGED, DRAGGED_LIGHTS
from napari_deblend.machine import Machine
from napari_deblend.thumbnails import DragPictures

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

Member = tuple[str, int]

INTERVAL = 0.2
"""Least time between two wishes for pictures [s]."""
GIVEN_UP = 5.0
"""After which an answer is waited for no longer, as where the source is gone [s]."""


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
        self._drag = 0
        """Number of the drag: an answer to another one is dropped."""
        self._was: Lights | None = None
        """The component when the drag began."""
        self._asked = 0.0
        """When pictures were asked for last."""
        self._is_awaited = False
        self._later = QTimer(main_window(bench.viewer))
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._ask)
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
                self._begin(member)
            if not self._later.isActive():
                since = time.monotonic() - self._asked
                wait = (GIVEN_UP if self._is_awaited else INTERVAL) - since
                self._later.start(max(round(1000 * wait), 0))
        elif change in (Change.EDIT, Change.OPENED) and self._member is not None:
            self._begin(None)
            self.changed.emit()

    def _begin(self, member: Member | None) -> None:
        """Have pictures of another component, or none."""
        self._member, self._was, self.pictures = member, None, None
        self._drag += 1
        self._is_awaited, self._asked = False, 0.0
        self._later.stop()

    def _ask(self) -> None:
        """Ask for the component as it is now, and at first as it was."""
        bench, member, is_known = self._bench, self._member, self._was is not None
        start = bench.document.gesture_start
        if bench.runner is None or member is None or start is None:
            return
        self._asked, self._is_awaited = time.monotonic(), True
        observations, drag = bench.document.observations, self._drag

        def job(machine: Machine) -> tuple[Any, int, Glimpse | None, Glimpse | None]:
            was = None if is_known else machine.glimpse_at(start, *member)
            return observations, drag, was, machine.glimpse(*member)

        bench.runner.submit(DRAGGED, job)
        bench.pulse.look_soon()

    def take_glimpses(self, observations: Any, drag: int, before: Glimpse | None, now: Glimpse | None) -> None:
        """Have the operators put onto what the machine has handed out."""
        if drag != self._drag or now is None or (before is None and self._was is None):
            return
        known = self._was

        def job() -> tuple[Any, int, Lights, DragPictures]:
            was = known if before is None else before.lights()
            assert was is not None, "it was looked at above"
            return observations, drag, was, DragPictures.of(was, now.lights())

        self._bench.find(DRAGGED_LIGHTS, job)

    def take_pictures(self, drag: int, was: Lights, pictures: DragPictures) -> None:
        """Show them, and have the next ones made where the drag has gone on meanwhile."""
        if drag != self._drag:
            return
        self._was, self.pictures, self._is_awaited = was, pictures, False
        if self._later.isActive():
            self._later.start(max(round(1000 * (INTERVAL - time.monotonic() + self._asked)), 0))
        self.changed.emit()
