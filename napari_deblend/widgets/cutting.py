"""Section: a piece of a large file, or of what is open, by a box or by words."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton

from napari_deblend.actions import perform
from napari_deblend.widgets.ink import Ink, write_in
from napari_deblend.widgets.parts import Section, action_button, prose, row
from napari_deblend.workbench import Workbench

WHAT_IT_TAKES = (
    "Right ascension, declination and size: 150.1 2.2 30 (degrees, arcsec), 10:00:24 +02:12:00 1arcmin, "
    "150.1 2.2 300px; or pixels X0:X1,Y0:Y1 of the first image, 0-based, ends not included"
)


class CuttingSection(Section):
    """Where the box is, as words that can be typed; Enter cuts it out."""

    title = "Cut out"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.about = prose()
        self.words = QLineEdit()
        self.words.setPlaceholderText("RA Dec size, or X0:X1,Y0:Y1")
        self.words.setToolTip(WHAT_IT_TAKES)
        self.words.textEdited.connect(bench.cutting.set_text)
        self.words.returnPressed.connect(lambda: perform(bench, "cut_out"))
        self.description = prose()
        self.overview = QPushButton("Overview")
        self.overview.setCheckable(True)
        self.overview.setToolTip("Look at the whole of the large file, to cut another piece out of it")
        self.overview.clicked.connect(bench.cutting.look_at_overview)
        self.cut_button = action_button(bench, "cut_out", "Cut out")
        self.draw_button = action_button(bench, "draw_box", "Draw box")
        self.column.addWidget(self.about)
        self.column.addLayout(row(QLabel("Where"), self.words))
        self.column.addWidget(self.description)
        self.column.addLayout(row(self.draw_button, self.overview, None, self.cut_button))
        self.listen(bench.cutting.changed, self.show_cutting)
        self.show_cutting()

    def show_cutting(self) -> None:
        """Write what the box is, where it is not being typed."""
        cutting = self.bench.cutting
        if self.words.text() != cutting.text:
            self.words.setText(cutting.text)
        self.description.setText(cutting.description)
        write_in(self.description, Ink.DOUBT if cutting.mistake else None)
        self.description.setVisible(bool(cutting.description))
        self.cut_button.setEnabled(cutting.box is not None)
        self.draw_button.setEnabled(cutting.grid is not None)
        self.words.setEnabled(cutting.grid is not None)
        self.overview.setVisible(cutting.picture is not None)
        self.overview.setChecked(cutting.is_of_file)
        self.about.setText(self._about())

    def _about(self) -> str:
        cutting = self.bench.cutting
        if cutting.request is not None and cutting.overview is None:
            return f"Reading an overview of {cutting.request.first.name}…"
        if cutting.is_of_file and cutting.overview is not None:
            height, width = cutting.overview.grid.shape
            growing = "" if cutting.overview.is_whole else " The overview is still growing."
            return f"{cutting.name} has {width} × {height} px: choose the piece to work on.{growing}"
        if self.bench.document.is_open:
            return "Go on with a piece of what is open; Undo brings the whole back."
        return "Open images first."
