"""The chi² of every iteration, live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal

from napari_deblend.widgets.ink import DATA


class LogAxis(pg.AxisItem):
    """A logarithmic axis that labels round numbers only, few where the range is wide."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        decades = high - low
        mantissas = (1.0,) if decades > 2 else (1.0, 2.0, 5.0) if decades > 0.5 else (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0)
        exponents = np.arange(np.floor(low), np.ceil(high) + 1)
        ticks = (exponents[:, None] + np.log10(mantissas)[None]).ravel()
        return [(1.0, [float(t) for t in ticks if low <= t <= high])]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [f"{10.0**value:.3g}" for value in values]


class LogPlot(pg.PlotWidget):
    """A plot of a person's looking, not of their dragging, with a logarithmic axis on the left."""

    def __init__(self, height: int, left: str, bottom: str) -> None:
        super().__init__(background=None, axisItems={"left": LogAxis("left")})
        self.setFixedHeight(height)
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.showGrid(y=True, alpha=0.15)
        self.setLogMode(y=True)
        self.getAxis("left").enableAutoSIPrefix(False)
        self.setLabel("left", left)
        self.setLabel("bottom", bottom)


class Curve(LogPlot):
    """chi² per unmasked pixel against iteration, with the line where the model is as good as the noise.

    A click chooses the state below it.
    """

    chosen = Signal(int)
    """The number of the state that was clicked."""

    def __init__(self) -> None:
        super().__init__(150, "χ² per pixel", "iteration")
        noise = pg.InfiniteLine(0.0, angle=0, pen=pg.mkPen("#999999", style=Qt.PenStyle.DashLine))
        self.addItem(noise)
        self._curve = self.plot(pen=pg.mkPen(DATA, width=2))
        self._last = self.plot(pen=None, symbol="o", symbolSize=7, symbolBrush=DATA, symbolPen=None)
        self._below = self.plot(
            pen=None, symbol="o", symbolSize=11, symbolBrush=None, symbolPen=pg.mkPen(DATA, width=2)
        )
        self.setObjectName("curve")
        self.setAccessibleName("χ² of every iteration")
        self.scene().sigMouseClicked.connect(self._on_click)
        self.scene().sigMouseMoved.connect(self._on_move)

    def show_values(self, values: Sequence[float]) -> None:
        """Show the chi² of iterations 0, 1, 2, …"""
        self._below.setData([], [])
        if not values:
            self.setYRange(-0.1, 1.0)
            self._curve.setData([], [])
            self._last.setData([], [])
            return
        self.enableAutoRange()
        steps = np.arange(len(values))
        self._curve.setData(steps, np.asarray(values, float))
        self._last.setData(steps[-1:], np.asarray(values[-1:], float))

    def point_at(self, place: QPointF) -> int | None:
        """Return the number of the state that is nearest, along the iterations, to a place of the plot's scene."""
        count = len(self.values)
        box = self.getPlotItem().getViewBox()
        if not count or not box.sceneBoundingRect().contains(place):
            return None
        return int(np.clip(round(box.mapSceneToView(place).x()), 0, count - 1))

    def place_of(self, point: int) -> QPointF:
        """Return where a state is in the plot's scene."""
        box = self.getPlotItem().getViewBox()
        return QPointF(box.mapViewToScene(QPointF(float(point), float(np.log10(self.values[point])))))

    def _on_click(self, event: Any) -> None:
        point = self.point_at(event.scenePos())
        if event.button() == Qt.MouseButton.LeftButton and point is not None:
            self.chosen.emit(point)

    def _on_move(self, place: QPointF) -> None:
        """Ring the state that a click would choose, and say what it is."""
        point = self.point_at(place)
        if point is None:
            self._below.setData([], [])
            self.setToolTip("")
            return
        self._below.setData([point], self.values[point : point + 1])
        self.setToolTip(f"Iteration {point}, χ² {self.values[point]:.4f}: click to go back to it")

    @property
    def values(self) -> np.ndarray:
        """What is shown."""
        data = self._curve.getOriginalDataset()[1]
        return np.array([]) if data is None else np.asarray(data)
