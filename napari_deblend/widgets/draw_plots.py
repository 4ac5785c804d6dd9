"""Plots of draws: how numbers go from draw to draw, and how they go with each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from jaxtyping import Float, Int

MOST_POINTS = 600
"""In a cell of the corner; more are not told apart."""
N_BINS = 24
COLORS = ("#4cc9f0", "#ffb454", "#c77dff", "#80c904", "#ff6b6b", "#aaaaaa")
"""Of chains, told apart by the color-blind in this order."""
POINTS = "#4cc9f0"
CHOSEN_LINE = "#ffb454"
AXIS_WIDTH = 44
"""[screen pix]"""

Numbers = Mapping[str, Float[np.ndarray, " draw"]]
"""Of every quantity, by its label with unit."""


class Trace(pg.GraphicsLayoutWidget):
    """One row for each number, with a line for each chain."""

    def __init__(self) -> None:
        super().__init__()
        self.setBackground(None)
        self._rows: list[pg.PlotItem] = []

    def show_numbers(self, numbers: Numbers, chains: Int[np.ndarray, " draw"]) -> None:
        """Show numbers from draw to draw."""
        self._lay_out(len(numbers))
        for plot, (label, values) in zip(self._rows, numbers.items(), strict=True):
            plot.setLabel("left", label)
            plot.clear()
            for k, chain in enumerate(np.unique(chains)):
                own = values[chains == chain]
                plot.plot(np.arange(len(own)), own, pen=pg.mkPen(COLORS[k % len(COLORS)], width=1))

    def _lay_out(self, count: int) -> None:
        if count == len(self._rows):
            return
        self.clear()
        self._rows = [_plain(self.addPlot(row=k, col=0)) for k in range(count)]
        if self._rows:
            self._rows[-1].setLabel("bottom", "draw of a chain")


class Corner(pg.GraphicsLayoutWidget):
    """Histograms on the diagonal, with what lies between the 16th and 84th percentile; pairs of numbers below it."""

    def __init__(self) -> None:
        super().__init__()
        self.setBackground(None)
        self._cells: dict[tuple[int, int], pg.PlotItem] = {}
        self._count = 0

    def show_numbers(self, numbers: Numbers, chains: Int[np.ndarray, " draw"]) -> None:
        """Show how numbers scatter."""
        self._lay_out(len(numbers))
        labels, values = list(numbers), list(numbers.values())
        every = max(len(chains) // MOST_POINTS, 1)
        for (row, column), plot in self._cells.items():
            plot.clear()
            x, y = values[column], values[row]
            known = np.isfinite(x) & np.isfinite(y)
            if row == self._count - 1:
                plot.setLabel("bottom", labels[column])
            if column == 0 and row:
                plot.setLabel("left", labels[row])
            if row == column:
                _show_histogram(plot, x[known])
            else:
                plot.plot(
                    x[known][::every],
                    y[known][::every],
                    pen=None,
                    symbol="o",
                    symbolSize=3,
                    symbolPen=None,
                    symbolBrush=POINTS,
                )

    def _lay_out(self, count: int) -> None:
        if count == self._count:
            return
        self.clear()
        self._count = count
        self._cells = {
            (row, column): _plain(self.addPlot(row=row, col=column))
            for row in range(count)
            for column in range(row + 1)
        }
        for (row, column), plot in self._cells.items():
            if row != column:
                plot.setXLink(self._cells[column, column])


def _show_histogram(plot: pg.PlotItem, values: Float[np.ndarray, " draw"]) -> None:
    if len(values) < 2 or np.ptp(values) == 0:
        return
    counts, edges = np.histogram(values, N_BINS)
    plot.plot(edges, counts, stepMode="center", fillLevel=0, brush=pg.mkBrush(POINTS + "60"), pen=pg.mkPen(POINTS))
    for place, width in zip(np.percentile(values, (16, 50, 84)), (1, 2, 1), strict=True):
        plot.addItem(pg.InfiniteLine(place, angle=90, pen=pg.mkPen(CHOSEN_LINE, width=width)))


def _plain(plot: pg.PlotItem) -> pg.PlotItem:
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.getAxis("left").setWidth(AXIS_WIDTH)
    for side in ("left", "bottom"):
        plot.getAxis(side).enableAutoSIPrefix(False)
        plot.getAxis(side).setStyle(tickTextOffset=2, hideOverlappingLabels=True)
    return plot
