"""The sources as a table model: what is shown comes from the document, what is typed becomes an edit of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from deblend import Source, Status
from napari_deblend.markers import COLORS
from napari_deblend.workbench import Workbench

NAME, KIND, X, Y, FLUX, SNR, LOCK = range(7)
TITLES = ("Name", "Kind", "x", "y", "Flux", "SNR", "Fit")
STATUS_TEXT = {Status.FREE: "free", Status.FIXED: "fixed", Status.LOCKED: "locked"}
TOOLTIPS = {
    NAME: "Double-click to rename",
    KIND: "Click to change the kind",
    X: "Column in the first image, 0-based [px]; double-click to edit",
    Y: "Row in the first image, 0-based [px]; double-click to edit",
    FLUX: "Total flux in the chosen band [nJy]",
    SNR: "Signal over noise, all bands together",
    LOCK: "free: the fit changes it · fixed: only you do · locked: nobody does. Click to change",
}
EDITABLE = (NAME, KIND, X, Y, LOCK)
Role = Qt.ItemDataRole


class SourceTable(QAbstractTableModel):
    """A row per source of the document."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._rows: tuple[Source, ...] = ()
        self.channel = 0
        self.snr: Mapping[str, float] = {}

    def refresh(self) -> None:
        """Show the document's scene as it is now."""
        document = self._bench.document
        new = document.scene.sources if document.is_open else ()
        if len(new) != len(self._rows):
            self.beginResetModel()
            self._rows = new
            self.endResetModel()
        elif new is not self._rows:
            self._rows = new
            if new:
                self.dataChanged.emit(self.index(0, 0), self.index(len(new) - 1, len(TITLES) - 1))

    def set_channel(self, channel: int) -> None:
        self.channel = max(channel, 0)
        self.refresh_column(FLUX)
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, FLUX, FLUX)

    def refresh_column(self, column: int) -> None:
        if self._rows:
            self.dataChanged.emit(self.index(0, column), self.index(len(self._rows) - 1, column))

    def source(self, line: int) -> Source:
        return self._rows[line]

    def line(self, source_id: str) -> int | None:
        return next((k for k, source in enumerate(self._rows) if source.id == source_id), None)

    # what Qt asks for --------------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            document = self._bench.document
            if section == FLUX and document.is_open and self.channel < len(document.scene.channels):
                channel = document.scene.channels[self.channel]
                # a date has no room; the choice above says it
                return f"{channel.name} [nJy]" if channel.epoch is None else TITLES[FLUX]
            return TITLES[section]
        return TOOLTIPS[section] if role == Role.ToolTipRole else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlags:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() in EDITABLE else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        source, column = self._rows[index.row()], index.column()
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(source, column)
        if role == Role.TextAlignmentRole and column in (X, Y, FLUX, SNR):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Role.ForegroundRole and column == LOCK:
            return QColor(COLORS[source.center.status])
        if role == Role.ToolTipRole and column == NAME and source.track is not None:
            return f"{source.name} at MJD {source.track.time:.5f}; {TOOLTIPS[NAME]}"
        return TOOLTIPS[column] if role == Role.ToolTipRole else None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        if role != Role.EditRole or index.row() >= len(self._rows):
            return False
        source, column, text = self._rows[index.row()], index.column(), str(value)
        document = self._bench.document
        chosen = document.selection if source.id in document.selection else (source.id,)
        try:
            if text == self._text(source, column):
                return False
            if column == NAME:
                document.rename(source.id, text)
            elif column == KIND:
                document.retype(chosen, text)
            elif column == LOCK:
                document.set_status(chosen, next(s for s, t in STATUS_TEXT.items() if t == text))
            elif column in (X, Y):
                number = _number(text, TITLES[column])
                y, x = document.to_image(source.y, source.x)
                y, x = document.to_image.inverse(*((y, number) if column == X else (number, x)))
                document.move({source.id: (float(x), float(y))})
        except ValueError as error:
            self._bench.tell(str(error))
            return False
        return True

    def _text(self, source: Source, column: int) -> str:
        if column == NAME:
            return source.name
        if column == KIND:
            return source.kind
        if column == X:
            return f"{float(self._bench.document.to_image(source.y, source.x)[1]):.2f}"
        if column == Y:
            return f"{float(self._bench.document.to_image(source.y, source.x)[0]):.2f}"
        if column == FLUX:
            flux = float(source.flux[self.channel]) if self.channel < len(source.flux) else math.nan
            return f"{flux:,.3g}" if abs(flux) < 1000 else (f"{flux:,.0f}" if math.isfinite(flux) else "…")
        if column == SNR:
            snr = self.snr.get(source.id, math.nan)
            return (f"{snr:.1f}" if snr < 100 else f"{snr:,.0f}") if math.isfinite(snr) else "–"
        return STATUS_TEXT[source.center.status]


def _number(text: str, what: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a number of pixels, got {text!r}.")
    return number
