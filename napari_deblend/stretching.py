"""The stretch of the pictures, as a person sets it: live, for all views of all telescopes, and remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from deblend import Observation
from napari_deblend.jobs import STRETCHED
from napari_deblend.pictures import ColorMix, filled
from napari_deblend.remembered import recall_stretch, remember_stretch
from napari_deblend.stretch import WHITE_RANGE, Levels, Preset, Stretch

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

STEP = 1.3
"""By how much a key changes the white level."""


class Stretching:
    """Black, white and curve of all pictures of one workbench."""

    changed = Signal()

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        bench.layers.stretch = recall_stretch()
        self._filled: dict[int, tuple[Observation, np.ndarray]] = {}

    @property
    def stretch(self) -> Stretch:
        return self._bench.layers.stretch

    @property
    def levels(self) -> Levels | None:
        """What is in view now; None where nothing is open."""
        layers = self._bench.layers
        if not layers.observations:
            return None
        return layers.mixes[layers.seen_by].levels if layers.role.is_color else layers.levels(layers.seen_by)

    @property
    def white(self) -> float:
        """What is white in view [sigma of the noise]; 0 where nothing is open."""
        layers, levels = self._bench.layers, self.levels
        if levels is None:
            return 0.0
        light = layers.mixes[layers.seen_by].light if layers.role.is_color else layers.light(layers.seen_by)
        return levels.white / light.noise

    def set(self, stretch: Stretch) -> None:
        """Show all pictures in this stretch from now on."""
        if stretch == self.stretch:
            return
        bench = self._bench
        bench.layers.restretch(stretch)
        if bench.runner is not None:
            bench.runner.mix(bench.layers.mixes)
        observations, mixes = bench.document.observations, dict(bench.layers.mixes)

        def job() -> object:
            remember_stretch(stretch)
            return observations, {k: self._colors(k, o, mixes[k]) for k, o in enumerate(observations)}

        bench.find(STRETCHED, job)
        self.changed.emit()

    def use(self, preset: Preset) -> None:
        """Take the levels from the images again, in this way."""
        self.set(Stretch(preset))

    def set_white(self, white: float) -> None:
        """Have light of `white` [sigma] white; where black and the curve come from stays."""
        levels = self.levels
        q = self.stretch.q if levels is None else levels.q
        self.set(replace(self.stretch, white=float(np.clip(white, *WHITE_RANGE)), q=q))

    def set_q(self, q: float) -> None:
        self.set(replace(self.stretch, q=q))

    def _colors(self, k: int, observation: Observation, mix: ColorMix) -> np.ndarray:
        """Return the data in color (y, x, 3); runs in a thread of its own, which fills masked pixels once."""
        if k not in self._filled or self._filled[k][0] is not observation:
            self._filled[k] = observation, filled(observation.images, observation.weights)
        return mix(self._filled[k][1])


# actions ---------------------------------------------------------------------------------------------------------


def next_stretch(bench: Workbench) -> None:
    """Take the next of the presets: asinh, zscale, percentile."""
    _needs_images(bench)
    preset = bench.stretching.stretch.preset.next
    bench.stretching.use(preset)
    bench.tell(f"Stretch: {preset.value}.")


def brighter(bench: Workbench) -> None:
    """Have fainter light white."""
    _needs_images(bench)
    bench.stretching.set_white(bench.stretching.white / STEP)


def fainter(bench: Workbench) -> None:
    """Have only brighter light white."""
    _needs_images(bench)
    bench.stretching.set_white(bench.stretching.white * STEP)


def toggle_flux(bench: Workbench) -> None:
    """See residuals in flux, with the stretch of the data, or in units of the noise again."""
    bench.layers.look_at(in_flux=not bench.layers.in_flux)


def _needs_images(bench: Workbench) -> None:
    if not bench.document.is_open:
        raise ValueError("No images are open; open FITS files first.")
