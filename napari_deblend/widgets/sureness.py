"""Section: how sure the fit is: how many draws there are, whether they can be trusted, and what they say; live."""

from __future__ import annotations

import time

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
)

from deblend import Method
from deblend.measure import Density, column_key, is_flux, prior_density, said_of, widened_percentiles
from napari_deblend.data_shares import MEANING
from napari_deblend.drawing import DrawKind, Drawn
from napari_deblend.ownership import called
from napari_deblend.widgets.draw_plots import Corner, Numbers, Trace
from napari_deblend.widgets.parts import Section, action_button, call, prose, row
from napari_deblend.workbench import Workbench

HEIGHT = 430
"""Of the plots [screen pix]."""
INTERVAL = 0.5
"""Least time between two drawings of the plots [s]."""
WINDOW_SHARE = 0.15
"""Fraction of the window's time that these may take."""
NOTHING = "Choose a way to draw under “Method”, and press Draw: scenes that the data allow tell how sure the fit is."
PERCENTILES = (16, 50, 84)
TITLES = ("Quantity", "16 %", "50 %", "84 %", "Before")
BEFORE = "Dashed: what was believed before, with the same area"
"""Below a corner that has such curves."""
WIDER = 3.0, 10.0, 30.0, 100.0, 300.0
N_WIDTH, ENOUGH = 4001, 0.95
"""Points of a density whose percentiles are looked for, and how much of it they have to hold."""
N_CHOICES = 3
"""How many quantities are plotted at once."""
NONE = "—"
WIDTHS = (56, 56, 56, 88)
"""Of the columns behind the first [screen pix]."""


class SurenessSection(Section):
    """Draws so far, diagnosis, trace, corner and percentiles of the selected sources."""

    title = "How sure"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.heading = prose(NOTHING)
        self.heading.setObjectName("sureness")
        self.diagnosis = prose()
        self.draw = action_button(bench, "draw_or_pause", "Draw")
        self.enough = action_button(bench, "stop_drawing", "Stop")
        self.write = action_button(bench, "export_draws", "Write…")
        self.look = QComboBox()
        self.look.setObjectName("look at draws")
        self.look.setToolTip("What of the draws lies over the image: of the selected source, or of the whole model")
        self.look.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.look.setMinimumContentsLength(10)
        self.look.activated.connect(self._set_look)
        self.choices = [QComboBox() for _ in range(N_CHOICES)]
        for choice in self.choices:
            choice.setToolTip("A quantity of the selected sources for trace and corner")
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            choice.setMinimumContentsLength(5)
            choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            choice.activated.connect(lambda _: self._show_plots())
        self.trace, self.corner = Trace(), Corner()
        self.table = QTableWidget(0, len(TITLES))
        self.table.setHorizontalHeaderLabels(TITLES)
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        for part, name in ((self.table, "Percentiles"), (self.trace, "Trace"), (self.corner, "Corner plot")):
            call(part, name)
        for number, choice in enumerate(self.choices, 1):
            call(choice, f"Quantity {number} of the plots")
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in enumerate(WIDTHS, 1):
            self.table.setColumnWidth(column, width)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.corner, "Corner")
        self.tabs.addTab(self.trace, "Trace")
        self.tabs.addTab(self.table, "Percentiles")
        self.tabs.setFixedHeight(HEIGHT)
        for part in (self.corner, self.trace, self.table, self.tabs):
            # the dock is no wider for them
            part.setMinimumWidth(0)
            part.setSizePolicy(QSizePolicy.Policy.Ignored, part.sizePolicy().verticalPolicy())
        self.tabs.currentChanged.connect(lambda _: self._show_plots())
        self.column.addLayout(row(self.draw, self.enough, self.write, None, QLabel("See"), self.look))
        self.column.addWidget(self.heading)
        self.column.addWidget(self.diagnosis)
        self.column.addLayout(row(*self.choices))
        self.column.addWidget(self.tabs)
        self.before = prose(BEFORE)
        self.before.hide()
        self.column.addWidget(self.before)
        self._believed: dict[str, Density] = {}
        """What was believed of the numbers that are offered, by their labels."""
        self._shares: dict[str, float] = {}
        """Of those that are fluxes, by which share of themselves beliefs about shapes may bias them."""
        self._has_errors = True
        """Whether draws may be told by percentiles."""
        self._seen: tuple[str, ...] = ()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._show_plots)
        self._pause = INTERVAL
        self.listen(bench.sureness.changed, self._show)
        self.listen(bench.document.selection_changed, self._soon)
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._soon()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()

    def _set_look(self, place: int) -> None:
        sureness = self.bench.sureness
        try:
            sureness.show(self.look.itemData(place))
        except ValueError as error:
            self.bench.tell(str(error))
            self._show()

    def _show(self) -> None:
        sureness = self.bench.sureness
        self.heading.setText(sureness.heading or NOTHING)
        is_busy = sureness.is_busy
        self.draw.setText("Draw" if not is_busy else "Go on" if sureness.is_paused else "Pause")
        self.enough.setEnabled(is_busy)
        drawn = sureness.drawn
        self.write.setEnabled(drawn is not None and drawn.n_done > 0)
        self.diagnosis.setText("" if drawn is None else diagnosed(drawn))
        self.diagnosis.setVisible(bool(self.diagnosis.text()))
        self._offer_looks(
            tuple(kind for kind in DrawKind if kind is not DrawKind.SHARE) if drawn is None else drawn.kinds
        )
        self.look.setCurrentIndex(self._looks.index(sureness.layers.kind))
        self._soon()

    @property
    def _looks(self) -> list[DrawKind | None]:
        return [self.look.itemData(k) for k in range(self.look.count())]

    def _offer_looks(self, kinds: tuple[DrawKind, ...]) -> None:
        """Let a person choose among these pictures of draws, or none."""
        if self._looks == [None, *kinds]:
            return
        self.look.clear()
        self.look.addItem("nothing of them", None)
        for kind in kinds:
            self.look.addItem("each draw" if kind is DrawKind.DRAW else kind.value, kind)
            if kind is DrawKind.SHARE:
                self.look.setItemData(self.look.count() - 1, MEANING, Qt.ItemDataRole.ToolTipRole)

    def _soon(self) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start(round(1000 * self._pause))

    # plots -------------------------------------------------------------------------------------------------------

    def _show_plots(self) -> None:
        if not self.isVisible():
            return
        begin = time.perf_counter()
        drawn = self.bench.sureness.drawn
        self._has_errors = drawn is None or drawn.is_calibrated
        numbers = {} if drawn is None else self._numbers(drawn)
        self._offer(tuple(numbers))
        if drawn is not None:
            tab = self.tabs.currentWidget()
            if tab is self.table:
                self.before.hide()
                self._show_table(numbers)
            else:
                names = [choice.currentData() for choice in self.choices]
                chosen = {name: numbers[name] for name in dict.fromkeys(names) if name in numbers}
                believed = {name: self._believed[name] for name in chosen if name in self._believed}
                self.before.setVisible(tab is self.corner and bool(believed))
                (self.corner if tab is self.corner else self.trace).show_numbers(chosen, drawn.chains, believed)
        self._pause = max(INTERVAL, (time.perf_counter() - begin) / WINDOW_SHARE)

    def _numbers(self, drawn: Drawn) -> Numbers:
        """Return every quantity of the selected sources, of the first one where none is selected."""
        selection = self.bench.document.selection
        rows = {source.id: k for k, source in enumerate(drawn.scene.sources)}
        chosen = [rows[i] for i in selection if i in rows] or [0]
        result = {}
        self._believed, self._shares = {}, {}
        document, channels = self.bench.document, drawn.scene.channels
        fluxes = np.stack([drawn.quantities[f"flux_{column_key(channel)}"] for channel in channels], axis=2)
        shares = drawn.biases
        for k in chosen:
            of = f"{called(drawn.scene.sources[k])} " if len(chosen) > 1 else ""
            for name, values in drawn.quantities.items():
                unit = f" [{drawn.units[name]}]" if drawn.units[name] else ""
                label = f"{of}{name}{unit}"
                result[label] = values[:, k]
                source = drawn.scene.sources[k]
                density = prior_density(source, channels, name, fluxes[:, k], document.to_image)
                if density is not None and drawn.method is not Method.DIFFUSION:
                    self._believed[label] = density
                if is_flux(name):
                    self._shares[label] = shares[k]
        return result

    def _offer(self, names: tuple[str, ...]) -> None:
        """Let a person choose among these; what was chosen stays where it is there still."""
        if names == self._seen:
            return
        first = not self._seen
        self._seen = names
        for k, choice in enumerate(self.choices):
            before = choice.currentData()
            choice.clear()
            choice.addItem(NONE, NONE)
            for name in names:
                # the unit is at the axis, and has no room here
                choice.addItem(name.split(" [")[0], name)
            wanted = before if before in (NONE, *names) and not first else [*names, *[NONE] * N_CHOICES][k]
            choice.setCurrentIndex((NONE, *names).index(wanted))

    def _show_table(self, numbers: Numbers) -> None:
        self.table.setRowCount(len(numbers))
        for line, (name, values) in enumerate(numbers.items()):
            known = values[np.isfinite(values)]
            told = [NONE] * 3
            if len(known):
                found = widened_percentiles(np.percentile(known, PERCENTILES), self._shares.get(name, 0.0))
                told = [f"{p:.5g}" if k == 1 or self._has_errors else NONE for k, p in enumerate(found)]
            before = width_of(self._believed[name], known) if name in self._believed and len(known) else ""
            for column, text in enumerate((name, *told, before)):
                item = QTableWidgetItem(text)
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(int(side | Qt.AlignmentFlag.AlignVCenter))
                self.table.setItem(line, column, item)


def width_of(density: Density, known: np.ndarray) -> str:
    """Return the middle of what was believed and how wide it was, as ±, looked for around the draws."""
    spread = max(float(np.ptp(known)), 1e-6)
    middle = float(np.median(known))
    # wider and wider, until what is beyond does not count
    for factor in WIDER:
        grid = np.linspace(middle - factor * spread, middle + factor * spread, N_WIDTH)
        share = np.cumsum(density(grid)) * (grid[1] - grid[0])
        if share[-1] > ENOUGH:
            low, half, high = np.interp(np.array(PERCENTILES) / 100.0, share / share[-1], grid)
            return f"{half:.4g} ± {0.5 * (high - low):.2g}"
    return ""


def diagnosed(drawn: Drawn) -> str:
    """Return what is said of whether draws can be trusted."""
    lines = [] if drawn.diagnosis is None else [drawn.diagnosis.summary]
    widened = "" if drawn.method is Method.DIFFUSION else said_of(drawn.scene)
    return "\n".join(filter(None, [*lines, *drawn.doubts, widened]))
