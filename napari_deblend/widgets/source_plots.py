"""Section: plots of the chosen source: spectrum, radial profile, growth curve."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QTabWidget

from napari_deblend.source_look import SourceLook
from napari_deblend.widgets.color_bounds import ColorHandles
from napari_deblend.widgets.ink import DATA, MODEL
from napari_deblend.widgets.parts import Section, call, prose, row
from napari_deblend.workbench import Workbench

ZERO = "#888888"
"""Color of the line at zero."""
HEIGHT = 210
"""[screen pix]"""
LOOKING = "Looking at the source…"
NOTHING = "Select a source to see its spectrum, profile and growth curve."


class Plot(pg.PlotWidget):
    """Points with error bars, and a line."""

    def __init__(self, left: str, bottom: str) -> None:
        super().__init__(background=None)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.showGrid(y=True, alpha=0.15)
        self.setLabel("left", left)
        self.setLabel("bottom", bottom)
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        zero = pg.InfiniteLine(0.0, angle=0, pen=pg.mkPen(ZERO, style=Qt.PenStyle.DashLine))
        self.addItem(zero, ignoreBounds=True)
        self.line = self.plot(pen=pg.mkPen(MODEL, width=2))
        self.bars = pg.ErrorBarItem(x=np.zeros(0), y=np.zeros(0), height=np.zeros(0), beam=0.0, pen=pg.mkPen(DATA))
        self.addItem(self.bars)
        self.points = self.plot(pen=None, symbol="o", symbolSize=6, symbolBrush=DATA, symbolPen=None)

    def show_points(self, x: np.ndarray, y: np.ndarray, error: np.ndarray, line: tuple[np.ndarray, np.ndarray]) -> None:
        """Show points that are known, with errors where these are, and a line (x, y)."""
        known = np.isfinite(y)
        self.points.setData(x[known], y[known])
        self.bars.setData(x=x[known], y=y[known], height=2.0 * np.nan_to_num(error[known]))
        self.line.setData(*line)

    def clear_points(self) -> None:
        none = np.zeros(0)
        self.show_points(none, none, none, (none, none))


class SourcePlotsSection(Section):
    """Live plots of the source that was chosen last; nothing is computed for them while they are folded away."""

    title = "Plots of the source"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.spectrum = Plot("flux [nJy]", "band, by wavelength")
        self.profile = Plot("nJy/pix", "radius")
        self.growth = Plot("flux inside [nJy]", "radius")
        self.tabs = QTabWidget()
        self.tabs.addTab(self.spectrum, "SED")
        self.tabs.addTab(self.profile, "Profile")
        self.tabs.addTab(self.growth, "Growth")
        for plot, name in (
            (self.spectrum, "Spectrum"),
            (self.profile, "Radial profile"),
            (self.growth, "Growth curve"),
        ):
            call(plot, name)
        self.tabs.setFixedHeight(HEIGHT)
        self.heading = prose(NOTHING)
        self.column.addWidget(self.heading)
        self.column.addWidget(self.tabs)
        self.colors = ColorHandles(bench, self.spectrum)
        self.column.addLayout(row(self.colors.switch, self.colors.reference, None))
        self.listen(bench.source_looks.changed, self._show)
        self.listen(bench.document.selection_changed, self._show)
        self.listen(bench.constraining.changed, self._show)
        self.listen(bench.sureness.changed, self._on_draws)
        self.tabs.currentChanged.connect(lambda _: self._show())
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.bench.source_looks.watch(True)
        self._show()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.bench.source_looks.watch(False)

    def _show(self) -> None:
        look = self.bench.source_looks.look
        if not self.isVisible():
            return
        if look is None:
            self.heading.setText(LOOKING if self.bench.document.selection else NOTHING)
            for plot in (self.spectrum, self.profile, self.growth):
                plot.clear_points()
            self.colors.clear()
        elif self.tabs.currentWidget() is self.spectrum:
            self._show_spectrum(look)
        else:
            self._show_rings(look)

    def _on_draws(self) -> None:
        if self.tabs.currentWidget() is self.spectrum:
            self._show()

    def _show_spectrum(self, look: SourceLook) -> None:
        count = len(look.channels)
        x = np.arange(count, dtype=float) if look.wavelengths is None else np.array(look.wavelengths)
        order = np.argsort(x, kind="stable")
        ticks = [(float(x[k]), look.channels[k].name) for k in order]
        self.spectrum.getAxis("bottom").setTicks([ticks])
        drawn = self.bench.sureness.flux_errors(look.source_id)
        is_drawn = drawn is not None and len(drawn) == count
        error = drawn if drawn is not None and is_drawn else look.flux_error
        self.spectrum.show_points(x, look.flux, error, (x[order], look.flux[order]))
        if count > 1:
            # by itself the plot would have wavelength 0 in view
            self.spectrum.setXRange(float(x.min()), float(x.max()), padding=0.1)
        self.colors.show(x, [channel.name for channel in look.channels])
        how = f"from draws ({self.bench.sureness.heading})" if is_drawn else "as if its neighbours were known"
        self.heading.setText(f"{look.name}: flux in every band, with errors {how}.")

    def _show_rings(self, look: SourceLook) -> None:
        band = min(self.bench.layers.band, len(look.bands) - 1)
        unit = "pix" if self.bench.layers.world.center is None else "arcsec"
        data, model = look.data, look.model
        for plot in (self.profile, self.growth):
            plot.setLabel("bottom", f"radius [{unit}]")
        inner, edges = look.pixel * data.radius, look.pixel * data.edge
        self.profile.show_points(inner, data.mean[band], data.error[band], (inner, model.mean[band]))
        self.growth.show_points(edges, data.growth[band], data.growth_error[band], (edges, model.growth[band]))
        self.heading.setText(f"{look.name} in {look.bands[band]}: image less all others, and its model (line).")
