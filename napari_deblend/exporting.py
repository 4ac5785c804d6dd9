"""What leaves the window: files of results. One at a time, with how far it is told, and Stop for all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deblend.io import write_script
from deblend.measure.catalog import FORMATS
from napari_deblend.export import WRITTEN, Job, Task, catalog_job, folder_job, in_words, regions_job, report_job
from napari_deblend.machine import Machine

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

PROGRESS = "progress"
"""Name under which a job says how far it is."""
CATALOGS = "ECSV (*.ecsv);;FITS table (*.fits);;VOTable (*.vot *.votable *.xml);;Parquet (*.parquet)"
REPORT = "PDF (*.pdf);;PNG (*.png)"
SCRIPT = "Python (*.py)"
REGIONS = "DS9 regions (*.reg)"
TABLES = "Catalogs and regions (*.ecsv *.csv *.fits *.vot *.xml *.parquet *.reg *.ds9);;All files (*)"


class Exporting:
    """Has the machine write, and lets a person stop it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._task: Task | None = None
        bench.result.connect(self._on_result)

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def stop(self) -> None:
        if self._task is not None:
            self._task.stop()

    def submit(self, job_of: Callable[[Task], Job], said: str = "Measuring and writing…") -> None:
        """Have a job done; raises ValueError with a sentence where there is nothing to write, or another one goes."""
        bench = self._bench
        runner = bench.runner
        if runner is None or not bench.document.scene.sources:
            raise ValueError("There is nothing to write yet: open images and detect or add sources first.")
        if self.is_busy:
            raise ValueError("Something is being written already; wait for it, or stop it with Shift-G.")
        self._task = Task(lambda sentence: runner.mailbox.post(PROGRESS, sentence))
        bench.tell(said)
        runner.submit(WRITTEN, job_of(self._task))

    def _on_result(self, name: str, outcome: object) -> None:
        if name == PROGRESS and self.is_busy:
            self._bench.tell(str(outcome))
        elif name == WRITTEN:
            self._task = None
            self._bench.tell(str(outcome))


# actions -----------------------------------------------------------------------------------------------------------


def write_catalog(bench: Workbench, path: Path) -> None:
    """Measure the scene and write the catalog, as the path's suffix says."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path.name}: a catalog is written as {', '.join(FORMATS)}; give one of these endings.")
    bench.exporting.submit(lambda task: catalog_job(path, task))


def write_all(bench: Workbench, folder: Path) -> None:
    """Write all results into a folder."""
    bench.exporting.submit(lambda task: folder_job(folder, task))


def ask_catalog(bench: Workbench) -> None:
    """Ask where the catalog is to be, and write it."""
    if path := ask_path(bench, "Write the catalog", "catalog.ecsv", CATALOGS):
        write_catalog(bench, path)


def ask_folder(bench: Workbench) -> None:
    """Ask for a folder, and write all results into it."""
    from qtpy.QtWidgets import QFileDialog

    if folder := QFileDialog.getExistingDirectory(None, "Write all results into this folder"):
        write_all(bench, Path(folder))


def ask_regions(bench: Workbench) -> None:
    """Ask where DS9 regions of the sources are to be, and write them."""
    if path := ask_path(bench, "Write DS9 regions", "sources.reg", REGIONS):
        bench.exporting.submit(lambda _: regions_job(path), "Writing…")


def ask_report(bench: Workbench) -> None:
    """Ask where a report is to be, and write it."""
    if path := ask_path(bench, "Write a report", "report.pdf", REPORT):
        write_report_of(bench, path)


def write_report_of(bench: Workbench, path: Path) -> None:
    """Write a report of the present scene, with the curve of the last fit, as PDF or PNG."""
    curve = () if bench.frame is None else bench.frame.curve
    if not curve and bench.history.runs:
        curve = bench.history.runs[-1].run.curve
    bench.exporting.submit(lambda task: report_job(path, curve, task))


def ask_script(bench: Workbench) -> None:
    """Ask where a script that does the work again is to be, and write it."""
    if path := ask_path(bench, "Write a Python script of the session", "session.py", SCRIPT):
        write_session_script(bench, path)


def write_session_script(bench: Workbench, path: Path) -> None:
    """Write a script that does all edits and fits again, with its images and arrays beside it."""
    session = bench.keeper.session()
    if bench.runner is not None and bench.runner.is_running:
        raise ValueError("A fit is running; a script says those that have ended. Stop it, or wait.")

    def job(machine: Machine) -> str:
        written = write_script(path, session)
        return f"The script is {path}; it needs {written[1].name} and {written[2].name} beside it."

    bench.exporting.submit(lambda _: in_words(job), "Writing the script…")


def ask_path(bench: Workbench, title: str, name: str, kinds: str) -> Path | None:
    """Return where a person wants a file, with the ending of the kind that was chosen where none was typed."""
    from qtpy.QtWidgets import QFileDialog

    if not bench.document.is_open:
        raise ValueError("There is nothing to write yet: open images and detect or add sources first.")
    said, kind = QFileDialog.getSaveFileName(None, title, name, kinds)
    if not said:
        return None
    path = Path(said)
    if path.suffix:
        return path
    ending = (kind or kinds).split("*", 1)[1].split(")")[0].split()[0]
    return path.with_name(path.name + ending)
