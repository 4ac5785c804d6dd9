"""Bounds of colors in the plot of a spectrum: a bar for each band, whose two ends are dragged."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QPushButton

from napari_deblend.coloring import LOWER, UPPER, ColorBounds
from napari_deblend.widgets.ink import LINES
from napari_deblend.widgets.parts import call
from napari_deblend.workbench import Workbench

COLOR = LINES[2]
SIZE = 11
"""Of a handle [screen pix]."""
TIP = "Drag to bound the color; a double click on a band adds or removes its bounds"
SYMBOLS = {LOWER: "t1", UPPER: "t"}
"""Triangles that point to where the color may be."""


class ColorHandles:
    """Bars and handles in a plot of fluxes, while colors are bound."""

    def __init__(self, bench: Workbench, plot: pg.PlotWidget) -> None:
        self._bench, self._plot = bench, plot
        self._places = np.zeros(0)
        self._handles: dict[tuple[int, int], pg.TargetItem] = {}
        self._dragged: tuple[int, int] | None = None
        self._writing = False
        self._bars = pg.ErrorBarItem(
            x=np.zeros(0), y=np.zeros(0), height=np.zeros(0), beam=0.0, pen=pg.mkPen(COLOR, width=5)
        )
        self._bars.setOpacity(0.45)
        plot.addItem(self._bars)
        plot.scene().sigMouseClicked.connect(self._on_click)
        self.switch = QPushButton("Bound colors")
        self.switch.setCheckable(True)
        self.switch.setToolTip("Ask for colors near the present ones, then drag the ends of the bars  (Alt+O)")
        self.switch.clicked.connect(lambda: self._do(bench.coloring.toggle))
        self.reference = QComboBox()
        self.reference.setToolTip("The band that colors are relative to")
        call(self.reference, "Band that colors are relative to")
        self.reference.activated.connect(lambda k: self._do(partial(bench.coloring.refer_to, k)))

    @property
    def handles(self) -> dict[tuple[int, int], pg.TargetItem]:
        """By side and channel."""
        return dict(self._handles)

    def show(self, places: np.ndarray, names: list[str]) -> None:
        """Show the bounds of the chosen component where its channels are along x."""
        self._places = places
        bounds = self._bench.coloring.bounds
        is_on = bounds is not None and bounds.active and len(bounds.ratios[0]) == len(places) and bounds.flux > 0
        self.switch.setChecked(is_on)
        self.switch.setEnabled(bounds is not None and len(places) > 1)
        self.reference.setEnabled(is_on)
        if names != [self.reference.itemText(k) for k in range(self.reference.count())]:
            self.reference.clear()
            self.reference.addItems(names)
        if bounds is not None:
            self.reference.setCurrentIndex(bounds.reference)
        self._show_bounds(bounds if is_on else None)

    def clear(self) -> None:
        """Show none."""
        self.show(np.zeros(0), [])

    def _show_bounds(self, bounds: ColorBounds | None) -> None:
        wanted: dict[tuple[int, int], float] = {}
        if bounds is not None:
            fluxes = bounds.fluxes
            for channel in range(fluxes.shape[1]):
                if bounds.is_bound(channel):
                    wanted |= {
                        (side, channel): float(fluxes[side, channel])
                        for side in (LOWER, UPPER)
                        if np.isfinite(fluxes[side, channel])
                    }
        for key in set(self._handles) - set(wanted):
            self._plot.removeItem(self._handles.pop(key))
        self._writing = True
        try:
            for key, flux in wanted.items():
                if key not in self._handles:
                    self._handles[key] = self._made(*key)
                if key != self._dragged:
                    self._handles[key].setPos(float(self._places[key[1]]), flux)
        finally:
            self._writing = False
        both = [(wanted[LOWER, c], wanted[UPPER, c], c) for s, c in wanted if s == LOWER and (UPPER, c) in wanted]
        low, high, channels = (np.array(part) for part in zip(*both, strict=True)) if both else (np.zeros(0),) * 3
        self._bars.setData(x=self._places[channels.astype(int)], y=0.5 * (low + high), height=high - low)

    def _made(self, side: int, channel: int) -> pg.TargetItem:
        handle = pg.TargetItem(
            (float(self._places[channel]), 0.0),
            size=SIZE,
            symbol=SYMBOLS[side],
            pen=pg.mkPen("black"),
            hoverPen=pg.mkPen("white", width=2),
            brush=pg.mkBrush(COLOR),
            hoverBrush=pg.mkBrush(COLOR),
        )
        handle.setToolTip(TIP)
        handle.setZValue(10)
        handle.sigPositionChanged.connect(partial(self._on_moved, side, channel))
        handle.sigPositionChangeFinished.connect(self._on_finished)
        self._plot.addItem(handle, ignoreBounds=True)
        return handle

    def _on_moved(self, side: int, channel: int, handle: Any) -> None:
        if self._writing:
            return
        if self._dragged is None:
            self._dragged = side, channel
            # a plot that grew under the mouse would run away from it
            self._plot.getViewBox().disableAutoRange()
            self._bench.coloring.begin()
        self._do(partial(self._bench.coloring.drag, side, channel, float(handle.pos().y())))
        bounds = self._bench.coloring.bounds
        self._writing = True
        try:
            flux = bounds.fluxes[side, channel] if bounds is not None else handle.pos().y()
            handle.setPos(float(self._places[channel]), float(flux))
        finally:
            self._writing = False
        self._show_bounds(bounds)

    def _on_finished(self, handle: Any) -> None:
        if self._dragged is None:
            return
        self._dragged = None
        self._bench.coloring.end()
        self._plot.getViewBox().enableAutoRange()
        self._show_bounds(self._bench.coloring.bounds)

    def _on_click(self, event: Any) -> None:
        """Bound the band that is double-clicked, or no longer."""
        box = self._plot.getViewBox()
        is_meant = event.double() and event.button() == Qt.MouseButton.LeftButton and len(self._places) > 1
        if is_meant and box.sceneBoundingRect().contains(event.scenePos()):
            here = box.mapSceneToView(event.scenePos()).x()
            self._do(partial(self._bench.coloring.toggle_channel, int(np.argmin(np.abs(self._places - here)))))

    def _do(self, edit: Any) -> None:
        """Make an edit; what cannot be done is said in the window."""
        try:
            edit()
        except ValueError as error:
            self._bench.tell(str(error))
