"""Section: results to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_deblend.export import WRITTEN, catalog_job, folder_job
from napari_deblend.machine import Machine
from napari_deblend.widgets.parts import Section, row
from napari_deblend.workbench import Workbench


class ExportSection(Section):
    """The catalog, or everything into a folder."""

    title = "Export"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        catalog = QPushButton("Catalog…")
        catalog.setToolTip("Positions, fluxes with error bars and shapes, as ECSV or FITS")
        catalog.clicked.connect(self._ask_catalog)
        everything = QPushButton("All results…")
        everything.setToolTip("Catalog, models, residuals and components into a folder, in the unit of the input")
        everything.clicked.connect(self._ask_folder)
        self.column.addLayout(row(catalog, everything, None))
        self.listen(bench.result, self._on_result)

    def write_catalog(self, path: Path) -> None:
        """Measure the scene and write the catalog."""
        self._submit(catalog_job(path))

    def write_all(self, folder: Path) -> None:
        """Write all results into a folder."""
        self._submit(folder_job(folder))

    def _ask_catalog(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Write the catalog", "catalog.ecsv", "ECSV (*.ecsv);;FITS table (*.fits)"
        )
        if path:
            self.write_catalog(Path(path))

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write all results into this folder")
        if folder:
            self.write_all(Path(folder))

    def _submit(self, job: Callable[[Machine], str]) -> None:
        runner = self.bench.runner
        if runner is None or not self.bench.document.scene.sources:
            self.bench.tell("There is nothing to write yet: open images and detect or add sources first.")
            return
        self.bench.tell("Measuring and writing…")
        runner.submit(WRITTEN, job)

    def _on_result(self, name: str, outcome: Any) -> None:
        if name == WRITTEN:
            self.bench.tell(outcome)
