"""Section: results to files."""

from __future__ import annotations

from pathlib import Path

from napari_deblend import exporting
from napari_deblend.widgets.parts import Section, action_button, row
from napari_deblend.workbench import Workbench


class ExportSection(Section):
    """The catalog, regions, or everything into a folder."""

    title = "Export"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        catalog = action_button(bench, "export_catalog", "Catalog…")
        everything = action_button(bench, "export_all", "All results…")
        regions = action_button(bench, "export_regions", "Regions…")
        script = action_button(bench, "export_script", "Script…")
        report = action_button(bench, "export_report", "Report…")
        self.column.addLayout(row(catalog, everything, regions, None))
        table = action_button(bench, "send_catalog", "Send catalog")
        image = action_button(bench, "send_image", "Send image")
        listen = action_button(bench, "toggle_samp", "SAMP")
        self.column.addLayout(row(report, script, None))
        self.column.addLayout(row(table, image, listen, None))

    def write_catalog(self, path: Path) -> None:
        """Measure the scene and write the catalog."""
        exporting.write_catalog(self.bench, path)

    def write_all(self, folder: Path) -> None:
        """Write all results into a folder."""
        exporting.write_all(self.bench, folder)
