"""Section: what is asked of the selected sources, with what it would do shown beside it."""

from __future__ import annotations

from magicgui.widgets import Container
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QHideEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QLabel,
    QShortcut,
    QSizePolicy,
    QSlider,
    QTableView,
    QVBoxLayout,
)

from deblend import ConstraintKind
from deblend.scene import SettingValue
from napari_deblend.actions import perform
from napari_deblend.widgets.constraint_form import STRENGTH, constraint_form, show_constraint
from napari_deblend.widgets.constraint_table import LABEL, ORDER, ConstraintTable
from napari_deblend.widgets.constraint_table import STRENGTH as STRENGTH_COLUMN
from napari_deblend.widgets.parts import Section, action_button, call, prose, row
from napari_deblend.widgets.pixmaps import pixmap_of
from napari_deblend.widgets.presets import PresetButton
from napari_deblend.workbench import Workbench

WIDTHS = {ORDER: 26, LABEL: 230, STRENGTH_COLUMN: 60}
PICTURE = 96
"""Side of a small picture [screen pix]."""
CAPTIONS = {
    "before": ("now", "The light of the component before the PSF, all bands together"),
    "after": ("as asked", "The same, after its constraints have acted once"),
    "change": ("change", "Orange where light is added, purple where it is taken"),
}
SHORTCUTS = (("Alt+Up", "constraint_earlier"), ("Alt+Down", "constraint_later"))
"""In the list only: elsewhere the arrow keys are the image's."""


class ConstraintsSection(Section):
    """A list with switches, a form for the chosen one, presets, and pictures before and after."""

    title = "Constraints"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.part = QComboBox()
        self.part.setToolTip("Which components of the selected sources are asked")
        self.part.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.part.activated.connect(lambda place: bench.constraining.choose_part(None if place == 0 else place - 1))
        self.preset = PresetButton(bench)
        self.model = ConstraintTable(bench)
        self.view = _table(self.model)
        call(self.view, "Constraints")
        call(self.part, "What is asked of")
        self.view.selectionModel().currentRowChanged.connect(self._on_row)
        self.earlier = action_button(bench, "constraint_earlier", "▲ Earlier")
        self.later = action_button(bench, "constraint_later", "▼ Later")
        self.form: Container | None = None
        self._form_kind: ConstraintKind | None = None
        self._form_place = QVBoxLayout()
        self.help = prose()
        self.sentence = prose()
        self.pictures = {name: QLabel() for name in CAPTIONS}
        self.column.addLayout(row(self.part, self.preset))
        self.column.addWidget(self.view)
        self.column.addLayout(row(self.earlier, self.later, None))
        self.column.addWidget(self.help)
        self.column.addLayout(self._form_place)
        self.column.addLayout(self._picture_row())
        self.column.addWidget(self.sentence)
        self._shortcuts = [self._shortcut(*pair) for pair in SHORTCUTS]
        self.listen(bench.constraining.changed, self._show)
        self.listen(bench.constraining.pictured, self._show_pictures)
        self._show()

    def focus(self) -> None:
        """Have the keyboard in the list, at the one that is explained below it."""
        self.view.setFocus()
        self.view.scrollTo(self.view.currentIndex())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.bench.constraining.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.bench.constraining.watch(False)

    def _shortcut(self, keys: str, action: str) -> QShortcut:
        shortcut = QShortcut(QKeySequence(keys), self.view)
        shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
        shortcut.activated.connect(lambda: perform(self.bench, action))
        return shortcut

    def _picture_row(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        for column, (name, label) in enumerate(self.pictures.items()):
            caption, tip = CAPTIONS[name]
            label.setFixedSize(PICTURE, PICTURE)
            label.setToolTip(tip)
            label.setStyleSheet("background: black;")
            grid.addWidget(label, 0, column)
            grid.addWidget(QLabel(caption), 1, column, Qt.AlignmentFlag.AlignHCenter)
        grid.setColumnStretch(len(self.pictures), 1)
        return grid

    # showing -----------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        constraining = self.bench.constraining
        is_open = self.bench.document.is_open
        component = constraining.component if is_open else None
        self._show_parts()
        self.model.refresh()
        for widget in (self.part, self.preset, self.view):
            widget.setEnabled(component is not None)
        place = self.model.row_of(constraining.kind)
        if place is None and self.model.rowCount():
            place = 0
            constraining.kind = self.model.line(0).kind
        if place is not None and place != self.view.currentIndex().row():
            self.view.setCurrentIndex(self.model.index(place, LABEL))
        self._show_form()
        if constraining.thumbnails is None or component is None:
            self._show_pictures()

    def _show_parts(self) -> None:
        """Say which components there are to choose from."""
        constraining, document = self.bench.constraining, self.bench.document
        selected = document.selected
        texts: list[str] = []
        if selected:
            names = ", ".join(source.name for source in selected[:3]) + (" …" if len(selected) > 3 else "")
            several = "all components of " if any(len(s.components) > 1 for s in selected) else ""
            texts = [f"{several}{'source' if len(selected) == 1 else 'sources'} {names}"]
            parts = selected[-1].components
            if len(parts) > 1:
                texts += [f"component {k}: {c.morphology.label}" for k, c in enumerate(parts, 1)]
        texts = texts or ["select a source"]
        if texts != [self.part.itemText(k) for k in range(self.part.count())]:
            self.part.clear()
            self.part.addItems(texts)
        self.part.setCurrentIndex(0 if constraining.part is None else min(constraining.part + 1, len(texts) - 1))

    def _on_row(self, current: QModelIndex, previous: QModelIndex) -> None:
        if current.isValid():
            self.bench.constraining.kind = self.model.line(current.row()).kind
            self._show_form()

    def _show_form(self) -> None:
        """Show strength and settings of the chosen constraint."""
        constraining = self.bench.constraining
        line = constraining.line(constraining.kind) if self.bench.document.is_open else None
        names = None if line is None else [STRENGTH, *(setting.name for setting in line.kind.info.settings)]
        self.help.setText("" if line is None else line.kind.info.help)
        for button in (self.earlier, self.later):
            button.setEnabled(line is not None and line.rank is not None)
        if self.form is not None and line is not None and self._form_kind is line.kind:
            show_constraint(self.form, line)
            return
        if self.form is not None:
            self._form_place.removeWidget(self.form.native)
            self.form.native.deleteLater()
            self.form = None
        if line is None or names is None:
            return
        self.form = constraint_form(line, self._set, self.bench.tell)
        self._form_kind = line.kind
        self._form_place.addWidget(self.form.native)
        slider = self.form[STRENGTH].native.findChild(QSlider)
        if slider is not None:
            # a drag is one step
            slider.sliderPressed.connect(self._begin)
            slider.sliderReleased.connect(self.bench.document.commit)

    def _begin(self) -> None:
        if self.bench.document.selection:
            self.bench.document.begin(f"Strength of {self.bench.constraining.kind.info.label!r}")

    def _set(self, name: str, value: SettingValue) -> None:
        constraining = self.bench.constraining
        if name == STRENGTH:
            constraining.strengthen(constraining.kind, float(value))  # type: ignore[arg-type]
        else:
            constraining.set_setting(constraining.kind, name, value)

    def _show_pictures(self) -> None:
        thumbnails = self.bench.constraining.thumbnails
        self.sentence.setText("" if thumbnails is None else thumbnails.sentence)
        for name, label in self.pictures.items():
            if thumbnails is None:
                label.clear()
            else:
                label.setPixmap(pixmap_of(self.bench.viewer, getattr(thumbnails, name), PICTURE))


def _table(model: ConstraintTable) -> QTableView:
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setShowGrid(False)
    view.setMinimumHeight(220)
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(22)
    header = view.horizontalHeader()
    header.setMinimumSectionSize(24)
    header.setStretchLastSection(True)
    for column, width in WIDTHS.items():
        header.resizeSection(column, width)
    return view
