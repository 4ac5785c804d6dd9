"""The chosen source in numbers for plots: its spectrum with errors, its profile, its growth curve; live.

The numbers are computed in the machine's thread from what it shows, at most a few times a second, and only while a
plot is in view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import Channel, find_passband
from deblend.measure import Rings, rings
from napari_deblend.compat import main_window
from napari_deblend.jobs import SOURCE_LOOK
from napari_deblend.machine import Machine
from napari_deblend.ownership import called

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

INTERVAL = 250
"""Least time between two looks [ms]."""


@dataclass(frozen=True, eq=False)
class SourceLook:
    """What is plotted of one source."""

    source_id: str
    name: str
    observation: int
    channels: tuple[Channel, ...]
    wavelengths: tuple[float, ...] | None
    """Pivots of the channels [nm]; None where one is not known."""
    flux: Float[np.ndarray, " channel"]
    """[nJy]"""
    flux_error: Float[np.ndarray, " channel"]
    """With all else held as it is [nJy]."""
    data: Rings
    """The images less all other sources, as the observation in view has them."""
    model: Rings
    pixel: float
    """Side of a pixel [arcsec]; 1 without a sky, where radii are in pixels."""
    bands: tuple[str, ...]

    @classmethod
    def of(cls, machine: Machine, source_id: str, index: int) -> SourceLook | None:
        """Look at a source of what a machine shows, as an observation sees it; None where it is there no more."""
        scene, shown = machine.scene, machine.shown
        row = next((k for k, source in enumerate(scene.sources) if source.id == source_id), None)
        if row is None:
            return None
        source, seen = scene.sources[row], shown.sources()[row]
        error = dict.fromkeys(scene.channels, np.nan)
        flux = dict(zip(scene.channels, source.flux, strict=True))
        for observation, part in zip(machine.observations, seen, strict=True):
            weights = observation.weights[:, *part.window]
            information = (weights * part.patch**2).sum(axis=(1, 2))
            for channel, total in zip(observation.channels, information, strict=True):
                error[channel] = abs(flux[channel]) / np.sqrt(total) if total > 0 else np.nan
        observation, part = machine.observations[index], seen[index]
        window = (slice(None), *part.window)
        own = observation.images[window] - shown.model(index)[window] + part.patch
        y, x = scene.grid.affine_to(observation.grid)(np.array(source.y), np.array(source.x))
        center = float(y) - part.window[0].start, float(x) - part.window[1].start
        weights = observation.weights[window]
        pivots = [wavelength(c.survey, c.band) for c in scene.channels]
        known = tuple(p for p in pivots if p is not None)
        return cls(
            source_id,
            called(source),
            index,
            tuple(scene.channels),
            known if len(known) == len(pivots) else None,
            np.array([flux[c] for c in scene.channels]),
            np.array([error[c] for c in scene.channels]),
            rings(own, weights, center),
            rings(part.patch, np.ones_like(weights), center),
            1.0 if observation.wcs is None else observation.wcs.pixel_scale,
            tuple(channel.name for channel in observation.channels),
        )


@lru_cache(maxsize=256)
def wavelength(survey: str, band: str) -> float | None:
    """Return the pivot wavelength of a band [nm]; None where none is known by its name."""
    try:
        return find_passband(survey, band).pivot / 10.0
    except ValueError:
        return None


class SourceLooks:
    """Asks for the look of the chosen source whenever it may have changed, while somebody watches."""

    changed = Signal()
    wanted = Signal()
    """The plots are to be shown, or hidden again."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.look: SourceLook | None = None
        self._is_watched = False
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.setSingleShot(True)
        self._timer.setInterval(INTERVAL)
        self._timer.timeout.connect(self._ask)
        bench.framed.connect(self._soon)
        bench.document.selection_changed.connect(self._soon)
        bench.layers.view_changed.connect(self._on_view)
        bench.document.observations_changed.connect(self._forget)
        bench.result.connect(self._on_result)

    def watch(self, watched: bool) -> None:
        """Say whether a plot is in view."""
        self._is_watched = watched
        if watched:
            self._ask()

    def disconnect(self) -> None:
        self._timer.stop()

    def _soon(self, *_: object) -> None:
        if self._is_watched and not self._timer.isActive():
            self._timer.start()

    def _on_view(self) -> None:
        if self.look is not None and self.look.observation != self._bench.layers.seen_by:
            self._soon()
        self.changed.emit()

    def _ask(self) -> None:
        bench = self._bench
        if not bench.document.selection:
            if self.look is not None:
                self._forget()
        elif self._is_watched and bench.runner is not None and bench.frame is not None:
            source_id, index = bench.document.selection[-1], bench.layers.seen_by
            bench.runner.submit(SOURCE_LOOK, lambda machine: SourceLook.of(machine, source_id, index))

    def _on_result(self, name: str, outcome: object) -> None:
        if name == SOURCE_LOOK and (outcome is None or isinstance(outcome, SourceLook)):
            self.look = outcome
            self.changed.emit()

    def _forget(self) -> None:
        self.look = None
        self.changed.emit()


def show_plots(bench: Workbench) -> None:
    """Have the plots of the chosen source in view, or fold them away."""
    bench.source_looks.wanted.emit()
