"""Row: the learned prior that pictures are drawn under, and learning another one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_deblend.compat import main_window
from napari_deblend.learning_settings import SUFFIX
from napari_deblend.widgets.parts import Links, action_button, call, row
from napari_deblend.workbench import Workbench

PACKAGED, ANOTHER = "generated galaxies", "another file…"
TIP = "What galaxies may look like: the prior that comes with the program, or one that you have learned"


class PriorChoice(QWidget):
    """A list of priors: that of the package, those chosen so far, and another file."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self.choice = QComboBox()
        self.choice.setObjectName("prior of draws")
        self.choice.setToolTip(TIP)
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.setMinimumContentsLength(16)
        self.choice.activated.connect(self._set)
        call(self.choice, "Prior of the pictures")
        self.learn = action_button(bench, "learn_prior", "Learn a prior…")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(QLabel("Prior"), self.choice, None, self.learn))
        self._links = Links()
        self.destroyed.connect(self._links.end)
        self._links.connect(bench.sureness.chosen, self._show)
        self._show()

    def _show(self) -> None:
        sureness = self._bench.sureness
        self.choice.clear()
        self.choice.addItem(PACKAGED, None)
        for path in sureness.known_priors:
            self.choice.addItem(path.stem, path)
            self.choice.setItemData(self.choice.count() - 1, str(path), Qt.ItemDataRole.ToolTipRole)
        self.choice.addItem(ANOTHER, ANOTHER)
        self.choice.setCurrentIndex([None, *sureness.known_priors].index(sureness.prior))

    def _set(self, place: int) -> None:
        chosen = self.choice.itemData(place)
        if chosen == ANOTHER:
            title, kind = "The prior that pictures are drawn under", f"Priors (*{SUFFIX})"
            named, _ = QFileDialog.getOpenFileName(main_window(self._bench.viewer), title, "", kind)
            chosen = Path(named) if named else self._bench.sureness.prior
        try:
            self._bench.sureness.take_prior(chosen)
        except ValueError as error:
            self._bench.tell(str(error))
            self._show()
