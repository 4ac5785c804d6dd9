"""Choosing files: images, and which of the files are their PSFs, weights and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from deblend.io import Role, role_of
from napari_deblend.jobs import LOADED
from napari_deblend.widgets.parts import call, prose
from napari_deblend.workbench import Workbench

IMAGE, PSF, WEIGHTS, MASK, LEAVE = "Image", "PSF", "Weights", "Mask", "Leave out"
FILTER = "Images and sessions (*.fits *.fit *.fts *.fits.gz *.fits.fz *.fits.bz2 *.asdf);;All files (*)"
_ROLES = {None: IMAGE, Role.PSF: PSF, Role.WEIGHTS: WEIGHTS, Role.MASK: MASK, Role.NEITHER: LEAVE}


def guessed_role(path: str) -> str:
    """Return what a file is by its name: an image, unless it says otherwise."""
    return _ROLES[role_of(Path(path))]


def ask_and_open(bench: Workbench, parent: QWidget | None = None) -> None:
    """Ask for files and open them; where that is not enough, ask which file is what."""
    paths, _ = QFileDialog.getOpenFileNames(parent, "Open FITS images", "", FILTER)
    if not paths:
        return
    roles = {path: guessed_role(path) for path in paths}

    def ask_again(job: str, sentence: str) -> None:
        if job == LOADED:
            forget()
            RolesDialog(bench, roles, sentence, parent).exec()

    def forget(*_: Any) -> None:
        bench.failed.disconnect(ask_again, missing_ok=True)
        bench.document.observations_changed.disconnect(forget, missing_ok=True)

    bench.failed.connect(ask_again)
    bench.document.observations_changed.connect(forget)
    load(bench, roles)


def load(bench: Workbench, roles: dict[str, str]) -> None:
    """Have the files read, each in its role; images and what goes with them in the order of their names.

    Where there are fewer weights or masks than images, their names tell which image they go with.
    """
    chosen = {role: sorted(p for p, r in roles.items() if r == role) for role in (IMAGE, PSF, WEIGHTS, MASK)}
    images = chosen[IMAGE]
    weights = chosen[WEIGHTS] if len(chosen[WEIGHTS]) == len(images) else []
    masks = chosen[MASK] if len(chosen[MASK]) in (1, len(images)) else []
    by_name = [path for path in (*chosen[WEIGHTS], *chosen[MASK]) if path not in (*weights, *masks)]
    bench.load([*images, *by_name], psf=chosen[PSF], weights=weights, mask=masks)


class RolesDialog(QDialog):
    """Which file is an image, which its PSF or weights; says why it asks."""

    def __init__(self, bench: Workbench, roles: dict[str, str], sentence: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self.setWindowTitle("Open FITS")
        self.setMinimumWidth(560)
        column = QVBoxLayout(self)
        column.addWidget(prose(sentence))
        column.addWidget(
            prose("Say what each file is. PSFs, weights and masks go with the images in the order of their names.")
        )
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["File", "is"])
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        call(self.table, "Files, and what each is")
        column.addWidget(self.table)
        buttons = QDialogButtonBox()
        more = buttons.addButton("Add files…", QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton("Open", QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        more.clicked.connect(self._add_files)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
        self._paths: list[str] = []
        self._combos: list[QComboBox] = []
        self.add(roles)

    @property
    def roles(self) -> dict[str, str]:
        return {path: combo.currentText() for path, combo in zip(self._paths, self._combos, strict=True)}

    def add(self, roles: dict[str, str]) -> None:
        for path, role in roles.items():
            line = self.table.rowCount()
            self.table.insertRow(line)
            item = QTableWidgetItem(Path(path).name)
            item.setToolTip(path)
            combo = QComboBox()
            combo.addItems([IMAGE, PSF, WEIGHTS, MASK, LEAVE])
            combo.setCurrentText(role)
            call(combo, f"What {Path(path).name} is")
            self.table.setItem(line, 0, item)
            self.table.setCellWidget(line, 1, combo)
            self._paths.append(path)
            self._combos.append(combo)
        self.table.resizeColumnToContents(1)

    def _add_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add files", str(Path(self._paths[0]).parent), FILTER)
        self.add({path: guessed_role(path) for path in _new(paths, self._paths)})

    def _accept(self) -> None:
        self.accept()
        load(self._bench, self.roles)


def _new(paths: Sequence[str], known: Sequence[str]) -> list[str]:
    return [path for path in paths if path not in known]
