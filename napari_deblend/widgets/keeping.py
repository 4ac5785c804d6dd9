"""Sessions in the window: where to save, what to open, and work that was not saved."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QFrame, QPushButton, QVBoxLayout

from napari_deblend.compat import main_window
from napari_deblend.kept_work import KeptWork, not_saved
from napari_deblend.widgets.parts import prose, row
from napari_deblend.workbench import Workbench

FILTER = "Sessions (*.asdf)"
HOLDING, REFERRING = "Session with its images (*.asdf)", "Session that refers to its images (*.asdf)"
SUFFIX = ".asdf"


def ask_where_to_save(bench: Workbench) -> None:
    """Ask for the file that a person wants the session in, and whether the images go with it; then save it there."""
    keeper, window = bench.keeper, main_window(bench.viewer)
    name = keeper.path or f"{bench.document.observations[0].name}{SUFFIX}"
    ways = (HOLDING, REFERRING) if keeper.holds_images else (REFERRING, HOLDING)
    said, way = QFileDialog.getSaveFileName(window, "Save the session", str(name), ";;".join(ways))
    if said:
        keeper.holds_images = way != REFERRING
        keeper.save(Path(said if said.lower().endswith(SUFFIX) else f"{said}{SUFFIX}"))


def ask_where_images_are(bench: Workbench, path: Path) -> None:
    """Ask in which folder the images are by now that a session refers to, and open it with them."""
    window, title = main_window(bench.viewer), f"Where are the images of {path.name} now?"
    folder = QFileDialog.getExistingDirectory(window, title, str(path.parent))
    if folder:
        bench.keeper.open(path, Path(folder))


def ask_what_to_open(bench: Workbench) -> Path | None:
    """Return the session that a person wants to go on with; None for none."""
    path, _ = QFileDialog.getOpenFileName(main_window(bench.viewer), "Open a session", "", FILTER)
    return Path(path) if path else None


class KeptWorkOffer(QFrame):
    """Offers the latest work that was not saved; hidden where there is none."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self.setObjectName("kept_work")
        self.sentence = prose()
        self.restore = QPushButton("Restore")
        self.restore.setObjectName("restore_work")
        self.restore.setToolTip("Go on where that work was left, with its images and its history")
        self.restore.clicked.connect(self._restore)
        self.discard = QPushButton("Discard")
        self.discard.setObjectName("discard_work")
        self.discard.setToolTip("Delete that work; this cannot be undone")
        self.discard.clicked.connect(self._discard)
        self.later = QPushButton("Later")
        self.later.setToolTip("Leave it where it is; it is offered again")
        self.later.clicked.connect(self.hide)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 6)
        column.addWidget(self.sentence)
        column.addLayout(row(self.restore, self.discard, self.later, None))
        self._works: list[KeptWork] = [] if bench.document.is_open else not_saved()
        self._offer()

    def _offer(self) -> None:
        if not self._works:
            self.hide()
        else:
            work, n = self._works[0], len(self._works) - 1
            more = f" {n} more {'were' if n > 1 else 'was'} left before." if n else ""
            self.sentence.setText(f"Work that was not saved: {work.title}, {work.when}.{more}")

    def _restore(self) -> None:
        self._bench.keeper.open(self._works[0])
        self.hide()

    def _discard(self) -> None:
        self._works.pop(0).discard()
        self._offer()
