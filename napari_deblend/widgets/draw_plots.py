"""Plots of draws: how numbers go from draw to draw, and how they go with each other.

Plots are drawn one at a time, with the window alive in between: all at once would freeze it for a tenth of a second.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from jaxtyping import Float, Int
from qtpy.QtCore import Qt, QTimer

from deblend.measure import Density
from napari_deblend.widgets.ink import DATA, LINES, MODEL

MOST_POINTS = 400
"""In a cell of the corner, or on a line of the trace; more are not told apart."""
N_BINS = 24
N_GRID = 97
"""Points of the curve of what was believed before."""
BEFORE = LINES[-1]
"""Of that curve."""
SMALL = {"font-size": "7pt", "color": "#969696"}
AXIS_WIDTH = 44
"""[screen pix]"""

Numbers = Mapping[str, Float[np.ndarray, " draw"]]
"""Of every quantity, by its label with unit."""
Cell = tuple[int, int]
"""Row and column of a plot."""


class DrawPlots(pg.GraphicsLayoutWidget):
    """Plots in rows and columns that follow the draws."""

    def __init__(self) -> None:
        super().__init__()
        self.setBackground(None)
        self.plots: dict[Cell, pg.PlotItem] = {}
        self._curves: dict[tuple[Cell, int], pg.PlotDataItem] = {}
        self._labels: list[str] = []
        self._values: list[Float[np.ndarray, " draw"]] = []
        self._chains: Int[np.ndarray, " draw"] = np.zeros(0, int)
        self._believed: Mapping[str, Density] = {}
        self._pending: list[Cell] = []
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._show_next)

    def show_numbers(
        self, numbers: Numbers, chains: Int[np.ndarray, " draw"], believed: Mapping[str, Density] | None = None
    ) -> None:
        """Show numbers of all draws, with the chain of each and what was believed of some before, by and by."""
        self._believed = believed or {}
        if list(numbers) != self._labels:
            self.clear()
            self.plots, self._curves = {}, {}
        self._labels, self._values, self._chains = list(numbers), list(numbers.values()), chains
        self._pending = self.cells(len(numbers))
        self._timer.start(0)

    @property
    def is_drawing(self) -> bool:
        """Whether some plots are of the draws before."""
        return bool(self._pending)

    @staticmethod
    @abstractmethod
    def cells(count: int) -> list[Cell]:
        """Return where plots of as many numbers are."""

    @abstractmethod
    def fill(self, cell: Cell) -> None:
        """Show the numbers of one plot."""

    def _show_next(self) -> None:
        if not self._pending:
            self._timer.stop()
            return
        cell = self._pending.pop(0)
        if cell not in self.plots:
            self.plots[cell] = _plain(self.addPlot(*cell))
            self._label(cell)
        self.fill(cell)

    def _label(self, cell: Cell) -> None:
        """Say what the axes of a new plot are."""

    def curve(self, cell: Cell, index: int, **look: object) -> pg.PlotDataItem:
        """Return a curve of a plot, made when it is first asked for."""
        if (cell, index) not in self._curves:
            self._curves[cell, index] = self.plots[cell].plot(**look)
        return self._curves[cell, index]


class Trace(DrawPlots):
    """One row for each number, with a line for each chain."""

    @staticmethod
    def cells(count: int) -> list[Cell]:
        return [(row, 0) for row in range(count)]

    def _label(self, cell: Cell) -> None:
        self.plots[cell].setLabel("left", self._labels[cell[0]], **SMALL)
        if cell[0] == len(self._labels) - 1:
            self.plots[cell].setLabel("bottom", "draw of a chain", **SMALL)

    def fill(self, cell: Cell) -> None:
        for k, chain in enumerate(np.unique(self._chains)):
            own = self._values[cell[0]][self._chains == chain]
            every = max(len(own) // MOST_POINTS, 1)
            line = self.curve(cell, k, pen=pg.mkPen(LINES[k % len(LINES)], width=1))
            line.setData(np.arange(len(own))[::every], own[::every])


class Corner(DrawPlots):
    """Histograms on the diagonal, with what lies between the 16th and 84th percentile and, dashed, what was believed
    before; pairs of numbers below it."""

    @staticmethod
    def cells(count: int) -> list[Cell]:
        return [(row, column) for row in range(count) for column in range(row + 1)]

    def _label(self, cell: Cell) -> None:
        row, column = cell
        if row == len(self._labels) - 1:
            self.plots[cell].setLabel("bottom", self._labels[column], **SMALL)
        if column == 0 and row:
            self.plots[cell].setLabel("left", self._labels[row], **SMALL)
        if row == column:
            self.plots[cell].getAxis("left").setTicks([])

    def fill(self, cell: Cell) -> None:
        row, column = cell
        x, y = self._values[column], self._values[row]
        known = np.isfinite(x) & np.isfinite(y)
        if row == column:
            self._fill_histogram(cell, x[known], self._believed.get(self._labels[row]))
            return
        every = max(int(np.sum(known)) // MOST_POINTS, 1)
        look = {"pen": None, "symbol": "o", "symbolSize": 3, "symbolPen": None, "symbolBrush": DATA}
        self.curve(cell, 0, **look).setData(x[known][::every], y[known][::every])

    def _fill_histogram(self, cell: Cell, values: Float[np.ndarray, " draw"], before: Density | None) -> None:
        if len(values) < 2 or np.ptp(values) == 0:
            return
        counts, edges = np.histogram(values, N_BINS)
        look = {"stepMode": "center", "fillLevel": 0, "brush": pg.mkBrush(DATA + "60"), "pen": pg.mkPen(DATA)}
        self.curve(cell, 0, x=edges, y=counts, **look).setData(edges, counts)
        percentiles = np.percentile(values, (16, 50, 84))
        for k, (place, width) in enumerate(zip(percentiles, (1, 2, 1), strict=True), 1):
            line = self.curve(cell, k, pen=pg.mkPen(MODEL, width=width))
            line.setData((place, place), (0, int(counts.max())))
        line = self.curve(cell, 4, pen=pg.mkPen(BEFORE, width=2, style=Qt.PenStyle.DashLine))
        grid = np.linspace(edges[0], edges[-1], N_GRID)
        area = len(values) * (edges[1] - edges[0])
        line.setData(*((grid, area * before(grid)) if before is not None else ((), ())))


def _plain(plot: pg.PlotItem) -> pg.PlotItem:
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.getAxis("left").setWidth(AXIS_WIDTH)
    for side in ("left", "bottom"):
        plot.getAxis(side).enableAutoSIPrefix(False)
        plot.getAxis(side).setStyle(tickTextOffset=2, hideOverlappingLabels=True)
    return plot
