"""The ranked list of what the model leaves over, going to its places, and adding a source at one of them.

The list is made when nothing has changed for a moment: the machine hands over its models, the finder's thread looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from deblend import Blob, Observation, Peaks, residual_blobs, source_from_residual
from napari_deblend.candidates import Candidates
from napari_deblend.jobs import FROM_RESIDUAL, LEFT_OVER, MODELS
from napari_deblend.machine import Machine
from napari_deblend.views import View

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

RING = "#ff7ad9"
WELL_INSIDE = 0.4
"""How far from the middle of the window a place may be to be seen well [of the window's sides]."""
CLOSE_UP = 18.0
"""How much of the sky is seen around a place at least, to each side [FWHM of the PSF]."""


class Leftovers:
    """What is left over in one workbench, worst first, and which of it a person looks at."""

    changed = Signal()

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.blobs: tuple[Blob, ...] | None = None
        """None until they are known."""
        self.chosen: int | None = None
        self._known_for: tuple[int, int] | None = None
        self._ring = Candidates(bench.viewer, "residual peak", RING)
        bench.settled.connect(self._ask)
        bench.result.connect(self._on_result)
        bench.document.observations_changed.connect(self._forget)
        bench.layers.view_changed.connect(self._on_view)

    def disconnect(self) -> None:
        self._ring.disconnect()

    def take(self, blobs: list[Blob]) -> None:
        """Take a list that was made."""
        self.blobs, self.chosen = tuple(blobs), None
        self._ring.clear()
        self.changed.emit()

    def go_to(self, index: int) -> None:
        """Look at one of them: its residual, its band, its place, with a ring around it."""
        bench, blob = self._bench, self._known[index]
        self.chosen = index
        layers, dims = bench.layers, bench.viewer.dims
        if layers.seen_by != blob.observation:
            layers.look_through(blob.observation)
        if blob.band is not None and dims.ndim >= 3:
            dims.set_current_step(dims.ndim - 3, blob.band)
        if not layers.has_in_view(View.RESIDUAL):
            layers.look_at(View.RESIDUAL)
        self._center(blob)
        here = Peaks(np.array([blob.x]), np.array([blob.y]), np.array([blob.significance]))
        self._ring.show(here, bench.document.scene.grid, layers.world)
        self.changed.emit()

    def go_to_next(self) -> None:
        """Look at the worst, then the next worst, and after the last at the worst again."""
        count = len(self._known)
        if count == 0:
            raise ValueError("Nothing is left over that stands out of the noise.")
        self.go_to(0 if self.chosen is None else (self.chosen + 1) % count)

    def add_chosen(self) -> None:
        """Add a source where the chosen one is."""
        if self.chosen is None:
            raise ValueError("No place of the residual is chosen; choose a row of the list, or press Shift-W.")
        blob = self._known[self.chosen]
        if blob.significance < 0:
            raise ValueError("The model is too bright there, so a source more cannot help; look at its neighbours.")
        self.add_at(blob.x, blob.y)

    def add_at(self, x: float, y: float) -> None:
        """Add a source at pixel (x, y) of the scene, or at the peak of the residual that is there, with its size."""
        bench = self._bench
        if bench.runner is None or bench.frame is None:
            raise ValueError("There is no model yet, and so no residual; wait until it is computed.")
        near = [b for b in self.blobs or () if b.significance > 0 and np.hypot(b.x - x, b.y - y) <= b.reach]
        if near:
            x, y = min(((b.x, b.y) for b in near), key=lambda place: np.hypot(place[0] - x, place[1] - y))
        observations, kind, box_scale = bench.document.observations, bench.kind, bench.box_scale

        def job(machine: Any) -> object:
            models = [machine.shown.model(k) for k in range(len(machine.observations))]
            return observations, source_from_residual(
                machine.observations, models, machine.scene, x, y, kind, box_scale
            )

        bench.runner.submit(FROM_RESIDUAL, job)

    @property
    def _known(self) -> tuple[Blob, ...]:
        if not self._bench.document.is_open:
            raise ValueError("No images are open; open FITS files first.")
        if self.blobs is None:
            raise ValueError("The residual is being looked at; try again in a moment.")
        return self.blobs

    def _center(self, blob: Blob) -> None:
        """Have a place in the middle of the window, and as much around it as tells what it is; where it is seen well
        already, everything stays."""
        bench = self._bench
        camera, layer = bench.viewer.scene.camera, bench.markers.layer
        if layer is None:
            return
        north, east = layer.data_to_world((blob.y, blob.x))[-2:]
        corner = np.array(layer.data_to_world((blob.y, blob.x + CLOSE_UP * blob.reach))[-2:])
        reach = float(np.hypot(*(corner - (north, east))))
        size = np.array(bench.viewer.canvas.viewbox_size(bench.viewer.layers))
        close = float(size.min()) / (2.0 * reach)
        off = np.abs(np.array((north, east)) - camera.center[-2:]) * camera.zoom
        if camera.zoom >= close and np.all(off <= WELL_INSIDE * size):
            return
        camera.center = (*tuple(camera.center)[:-2], float(north), float(east))
        camera.zoom = max(camera.zoom, close)

    def _ask(self) -> None:
        bench = self._bench
        frame = bench.frame
        if bench.runner is None or frame is None:
            return
        state = (frame.revision, frame.fit_number * 1_000_000 + frame.iteration)
        if state != self._known_for:
            self._known_for = state
            bench.runner.submit(
                MODELS, lambda m: (m.observations, [m.shown.model(k) for k in range(len(m.observations))])
            )

    def _on_result(self, name: str, outcome: Any) -> None:
        bench, opened = self._bench, self._bench.document.observations
        if name == MODELS and opened:
            seen, models = outcome
            grid = bench.document.scene.grid
            bench.find(LEFT_OVER, lambda: (opened, residual_blobs(seen, models, grid)))
        elif name == FROM_RESIDUAL and outcome[0] is opened:
            bench.document.add(outcome[1], label="Add a source from the residual")

    def _on_view(self) -> None:
        if not self._bench.layers.has_in_view(View.RESIDUAL):
            self._ring.clear()

    def _forget(self) -> None:
        self.blobs = self.chosen = self._known_for = None
        self._ring.clear()
        self.changed.emit()


def _seen(machine: Machine) -> tuple[tuple[Observation, ...], list[np.ndarray]]:
    """Return what a machine fits and what its model looks like to each of these."""
    observations = machine.observations
    return observations, [machine.shown.model(k) for k in range(len(observations))]


# actions ---------------------------------------------------------------------------------------------------------


def next_residual(bench: Workbench) -> None:
    """Go to what is left over most, then to the next."""
    bench.leftovers.go_to_next()


def add_from_residual(bench: Workbench) -> None:
    """Add a source at the chosen place of the residual."""
    bench.leftovers.add_chosen()
