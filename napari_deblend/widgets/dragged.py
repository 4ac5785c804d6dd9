"""Pictures of a component over a corner of the image while something of it is dragged."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_deblend.compat import canvas_of
from napari_deblend.widgets.pixmaps import pixmap_of
from napari_deblend.workbench import Workbench

PICTURE = 96
"""Side of a picture [screen pix]."""
EDGE = 12
"""Between the panel and the edge of the canvas [screen pix]."""
CAPTIONS = {"was": "before", "now": "now", "asked": "as asked"}
STYLE = "QWidget { background: #22262c; color: #f0f0f0; } QLabel { font-size: 11px; }"


class DraggedPictures(QWidget):
    """As it was, now, and as asked; seen only while something is dragged, and through by the mouse."""

    def __init__(self, bench: Workbench) -> None:
        canvas = canvas_of(bench.viewer).native
        super().__init__(canvas)
        self._bench, self._canvas = bench, canvas
        self.setObjectName("dragged pictures")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(STYLE)
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setSpacing(4)
        self.pictures = {name: QLabel() for name in CAPTIONS}
        for column, (name, label) in enumerate(self.pictures.items()):
            label.setFixedSize(PICTURE, PICTURE)
            grid.addWidget(label, 0, column, Qt.AlignmentFlag.AlignHCenter)
            grid.setColumnStretch(column, 1)
            grid.addWidget(QLabel(CAPTIONS[name]), 1, column, Qt.AlignmentFlag.AlignHCenter)
        self.sentence = QLabel()
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        grid.addWidget(self.sentence, 2, 0, 1, len(CAPTIONS), Qt.AlignmentFlag.AlignHCenter)
        self.hide()
        bench.dragging.is_watched = True
        bench.dragging.changed.connect(self._show)
        self.destroyed.connect(lambda: bench.dragging.changed.disconnect(missing_ok=True))

    def _show(self) -> None:
        pictures = self._bench.dragging.pictures
        if pictures is None:
            self.hide()
            return
        for name, label in self.pictures.items():
            label.setPixmap(pixmap_of(self._bench.viewer, getattr(pictures, name), PICTURE))
        self.sentence.setText(pictures.sentence)
        # a longer sentence takes more room; one of a fixed size is not laid out anew for every text
        if not self.isVisible() or self.sentence.sizeHint().width() > self.sentence.width():
            self.sentence.setFixedSize(self.sentence.sizeHint())
            self.adjustSize()
            self.move(self._canvas.width() - self.width() - EDGE, EDGE)
            self.show()
            self.raise_()
