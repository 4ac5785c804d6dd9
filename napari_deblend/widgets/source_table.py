"""The sources as a tree model: what is shown comes from the document, what is typed becomes an edit of it.

A source of several components, or behind dust, has a row below it for each of them, and one for the dust.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QAbstractItemModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from deblend import Component, Source, Status
from napari_deblend.composing import retyped, with_component
from napari_deblend.document import named
from napari_deblend.dusting import with_dust_kind
from napari_deblend.flags import sentences_of, signs_of
from napari_deblend.widgets.ink import OF_STATUS, Ink
from napari_deblend.widgets.parts import typed_number
from napari_deblend.workbench import Workbench

NAME, KIND, X, Y, FLUX, SNR, LOCK, FLAGS = range(8)
TITLES = ("Name", "Kind", "x", "y", "Flux", "SNR", "Fit", "!")
STATUS_TEXT = {Status.FREE: "free", Status.FIXED: "fixed", Status.LOCKED: "locked"}
TOOLTIPS = {
    NAME: "Double-click to rename",
    KIND: "Click to change the kind",
    X: "Column in the first image, 0-based [px]; double-click to edit",
    Y: "Row in the first image, 0-based [px]; double-click to edit",
    FLUX: "Total flux in the chosen band [nJy]",
    SNR: "Signal over noise, all bands together",
    FLAGS: "What to be careful about",
    LOCK: "free: the fit changes it · fixed: only you do · locked: nobody does. Click to change",
}
EDITABLE = (NAME, KIND, X, Y, LOCK)
SHORT = {"exponential": "exp", "de-vaucouleurs": "deV"}
"""Of kinds that are too long for their column, as surveys write them."""
Role = Qt.ItemDataRole


class SourceTable(QAbstractItemModel):
    """A row per source of the document, with one per component below those that have several."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self._rows: tuple[Source, ...] = ()
        self.channel = 0
        self.snr: Mapping[str, float] = {}
        self.flags_of: Mapping[str, tuple[str, ...]] = {}
        """Of every source that was measured."""

    def refresh(self) -> None:
        """Show the document's scene as it is now."""
        document = self._bench.document
        new = document.scene.sources if document.is_open else ()
        if tuple(map(_n_parts, new)) != self.shape:
            self.beginResetModel()
            self._rows = new
            self.endResetModel()
        elif new is not self._rows:
            self._rows = new
            if new:
                self._renew(NAME, len(TITLES) - 1)

    def set_channel(self, channel: int) -> None:
        self.channel = max(channel, 0)
        self.refresh_column(FLUX)
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, FLUX, FLUX)

    def refresh_column(self, column: int) -> None:
        if self._rows:
            self._renew(column, column)

    def _renew(self, first: int, last: int) -> None:
        """Have these columns drawn anew."""
        self.dataChanged.emit(self.index(0, first), self.index(len(self._rows) - 1, last))
        for row, source in enumerate(self._rows):
            if n_parts := _n_parts(source):
                above = self.index(row, 0)
                self.dataChanged.emit(self.index(0, first, above), self.index(n_parts - 1, last, above))

    def source(self, line: int) -> Source:
        return self._rows[line]

    def line(self, source_id: str) -> int | None:
        return next((k for k, source in enumerate(self._rows) if source.id == source_id), None)

    # what Qt asks for --------------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: QModelIndex | None = None) -> QModelIndex:
        above = QModelIndex() if parent is None else parent
        if not (0 <= row < self.rowCount(above) and 0 <= column < len(TITLES)):
            return QModelIndex()
        # the id of a component's row is that of its source, from 1
        return self.createIndex(row, column, above.row() + 1 if above.isValid() else 0)

    def parent(self, child: QModelIndex | None = None) -> Any:
        if child is None:
            return super().parent()
        source = int(child.internalId()) if child.isValid() else 0
        return self.createIndex(source - 1, 0, 0) if source else QModelIndex()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        if parent is None or not parent.isValid():
            return len(self._rows)
        if parent.internalId() or parent.column() or parent.row() >= len(self._rows):
            return 0
        return _n_parts(self._rows[parent.row()])

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(TITLES)

    def member(self, index: QModelIndex) -> tuple[Source, int | None]:
        """Return the source of a row, and which component the row is of, the dust last; None for the whole source."""
        source = int(index.internalId())
        return (self._rows[source - 1], index.row()) if source else (self._rows[index.row()], None)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many rows every source has below its own."""
        return tuple(map(_n_parts, self._rows))

    @property
    def has_components(self) -> bool:
        """Whether a source has several, or dust."""
        return any(self.shape)

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
        if index.internalId():
            return flags | Qt.ItemFlag.ItemIsEditable if index.column() == KIND else flags
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() in EDITABLE else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        if not index.isValid():
            return None
        (source, part), column = self.member(index), index.column()
        if part is not None:
            if part == len(source.components):
                return self._of_dust(source, column, role)
            return self._of_component(source.components[part], part, column, role)
        if role == Role.DisplayRole and column == NAME and source.group:
            return f"{source.name} · {source.group}"
        if role == Role.DisplayRole and column == KIND:
            return _kind(source.kind, role)
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(source, column)
        if role == Role.TextAlignmentRole and column in (X, Y, FLUX, SNR):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Role.ForegroundRole and column == LOCK:
            return QColor(OF_STATUS[source.center.status].on(self._bench.viewer))
        if role == Role.ForegroundRole and column == FLAGS:
            return QColor(Ink.DOUBT.on(self._bench.viewer))
        if role == Role.ToolTipRole and column == FLUX and self._error(source):
            known = f"{self._flux(source.flux)}{self._error(source)} nJy"
            return f"{known}, the error from draws: {self._bench.sureness.heading}"
        if role == Role.ToolTipRole and column == FLAGS and self.flags_of.get(source.id):
            return sentences_of(self.flags_of[source.id])
        if role == Role.ToolTipRole and column == NAME and source.group:
            return f"{source.name} of group {source.group}; {TOOLTIPS[NAME]}"
        if role == Role.ToolTipRole and column == NAME and source.track is not None:
            return f"{source.name} at MJD {source.track.time:.5f}; {TOOLTIPS[NAME]}"
        if role == Role.ToolTipRole and column == KIND:
            return f"{source.kind}; {TOOLTIPS[KIND]}"
        return TOOLTIPS[column] if role == Role.ToolTipRole else None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        if role != Role.EditRole or not index.isValid():
            return False
        (source, part), column, text = self.member(index), index.column(), str(value)
        document = self._bench.document
        chosen = document.selection if source.id in document.selection else (source.id,)
        try:
            if part is not None:
                return column == KIND and self._retype_component(source, part, text)
            if text == self._text(source, column):
                return False
            if column == NAME:
                document.rename(source.id, text)
            elif column == KIND:
                document.retype(chosen, text, retyped)
            elif column == LOCK:
                document.set_status(chosen, next(s for s, t in STATUS_TEXT.items() if t == text))
            elif column in (X, Y):
                number = typed_number(text, f"{TITLES[column]} must be a number of pixels")
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
            return self._flux(source.flux) + self._error(source)
        if column == FLAGS:
            return signs_of(self.flags_of.get(source.id, ()))
        if column == SNR:
            snr = self.snr.get(source.id, math.nan)
            return (f"{snr:.1f}" if snr < 100 else f"{snr:,.0f}") if math.isfinite(snr) else "–"
        return STATUS_TEXT[source.center.status]

    def _error(self, source: Source) -> str:
        """Return the error of the flux in the chosen band, where draws tell it."""
        errors = self._bench.sureness.flux_errors(source.id)
        error = float(errors[self.channel]) if errors is not None and self.channel < len(errors) else math.nan
        return f" ± {error:,.2g}" if error < 100 else f" ± {error:,.0f}" if math.isfinite(error) else ""

    def _flux(self, fluxes: Any) -> str:
        flux = float(fluxes[self.channel]) if self.channel < len(fluxes) else math.nan
        return f"{flux:,.3g}" if abs(flux) < 1000 else (f"{flux:,.0f}" if math.isfinite(flux) else "…")

    def _of_component(self, component: Component, part: int, column: int, role: int) -> Any:
        """Return what a cell of a component's row has."""
        if role in (Role.DisplayRole, Role.EditRole):
            texts = {
                NAME: f"part {part + 1}",
                KIND: _kind(component.morphology.label, role),
                FLUX: self._flux(component.spectrum.value),
            }
            return texts.get(column, "")
        if role == Role.TextAlignmentRole and column == FLUX:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Role.ToolTipRole:
            return TOOLTIPS[column] if column in (KIND, FLUX) else "A component of the source above; click to choose it"
        return None

    def _of_dust(self, source: Source, column: int, role: int) -> Any:
        """Return what a cell of the row of a layer of dust has."""
        assert source.dust is not None, "a row of dust is of a source that has some"
        if role in (Role.DisplayRole, Role.EditRole):
            texts = {NAME: "dust", KIND: _kind(source.dust.morphology.label, role), FLUX: f"τ {source.dust.depth:.2g}"}
            return texts.get(column, "")
        if role == Role.TextAlignmentRole and column == FLUX:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Role.ToolTipRole:
            of = {KIND: TOOLTIPS[KIND], FLUX: "Mean optical depth within the ellipse that holds half of the dust"}
            return of.get(column, "Dust in front of the source above; its numbers are under Parameters")
        return None

    def _retype_component(self, source: Source, part: int, kind: str) -> bool:
        """Make one component another kind; raises ValueError where there is no such kind of one component."""
        if kind == source.parts[part].morphology.label:
            return False
        if part == len(source.components):
            label = f"Make the dust of {named([source])} {kind}"
            self._bench.document.change([source.id], lambda s: with_dust_kind(s, kind), label, "change the dust of")
            return True
        label = f"Make component {part + 1} of {named([source])} a {kind} one"
        self._bench.document.change([source.id], lambda s: with_component(s, part, kind), label, "change the kind of")
        return True


def _kind(label: str, role: int) -> str:
    """Return a kind as it is shown, or as it is chosen."""
    return " + ".join(SHORT.get(k, k) for k in label.split(" + ")) if role == Role.DisplayRole else label


def _n_parts(source: Source) -> int:
    """Return how many rows a source has below its own: none where it is of one component without dust."""
    return len(source.parts) if len(source.parts) > 1 else 0
