"""Results to files. The jobs run in the machine's thread, since they measure and render with the program.

Each tells how far it is, can be stopped, and leaves a fit that runs alone; what goes wrong is a sentence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from deblend import Catalog, Program, measure
from deblend.io import write_pictures, write_regions, write_report, write_tables
from napari_deblend.machine import Machine

WRITTEN, MEASURED = "written", "measured"
"""Names of the jobs."""

Job = Callable[[Machine], str]


class StoppedError(Exception):
    """A person does not want it any more."""


class Task:
    """How far a job is, and whether it is still wanted; any thread may ask."""

    def __init__(self, tell: Callable[[str], None] = lambda sentence: None) -> None:
        self._tell = tell
        self._stop = threading.Event()

    def stop(self) -> None:
        """Have the job end soon; what was not written whole is not there."""
        self._stop.set()

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Return the function that a job calls with how many of how many parts are done."""

        def tell(done: int, total: int) -> None:
            if self._stop.is_set():
                raise StoppedError
            self._tell(f"{what}: {done} of {total}")

        return tell


def catalog_job(path: Path, task: Task | None = None) -> Job:
    """Return a job that measures the scene and writes the catalog as the path's suffix says; it gives a sentence."""
    task = task or Task()

    def job(machine: Machine) -> str:
        written = write_tables(path, _measured(machine, task).parts)
        beside = f", with {' and '.join(p.name for p in written[1:])} beside it" if written[1:] else ""
        return f"The catalog of {len(machine.scene)} sources is in {path}{beside}."

    return in_words(job)


def folder_job(folder: Path, task: Task | None = None) -> Job:
    """Return a job that writes catalog, models, residuals, components and regions into a folder; it gives a
    sentence."""
    task = task or Task()

    def job(machine: Machine) -> str:
        program = _program(machine)
        write_pictures(folder, machine.observations, program, task.progress("Pictures"))
        write_regions(folder / "regions.reg", machine.scene, machine.observations[0].grid)
        write_tables(folder / "catalog.ecsv", _measured(machine, task).parts)
        count = len(machine.scene)
        return f"Catalog, models, residuals, components and regions of {count} sources are in {folder}."

    return in_words(job)


def regions_job(path: Path) -> Job:
    """Return a job that writes the sources as DS9 regions; it gives a sentence."""

    def job(machine: Machine) -> str:
        write_regions(path, machine.scene, machine.observations[0].grid)
        return f"{len(machine.scene)} sources are regions in {path}."

    return in_words(job)


def report_job(path: Path, curve: Sequence[float], task: Task | None = None) -> Job:
    """Return a job that writes a report as PDF or PNG; it gives a sentence."""
    task = task or Task()

    def job(machine: Machine) -> str:
        table = _measured(machine, task).table
        written = write_report(path, machine.observations, _program(machine), table, curve)
        more = f" and {len(written) - 1} more pages beside it" if written[1:] else ""
        return f"The report is {path}{more}."

    return in_words(job)


def measuring_job(machine: Machine) -> Catalog:
    """Measure the scene for the table; without error bars, which take longer."""
    return _measured(machine, None)


def _program(machine: Machine) -> Program:
    """Return a program at the present scene; while a fit runs, another one than the fit's."""
    return machine.beside(machine.scene) if machine.is_fitting else machine.at_rest()


def _measured(machine: Machine, task: Task | None) -> Catalog:
    """Measure the scene, with error bars where there is a task to tell how far it is: these are drawn once for all that
    is written of one state."""
    scene, how_it_ended = machine.scene, machine.is_success
    if machine.measured is not None and machine.measured[:2] == (scene, how_it_ended):
        return machine.measured[2]
    catalog = measure(
        scene,
        machine.observations,
        program=_program(machine),
        errors=task is not None,
        progress=None if task is None else task.progress("Error bars"),
        converged=how_it_ended,
    )
    if task is not None:
        machine.measured = scene, how_it_ended, catalog
    return catalog


def in_words(job: Job) -> Job:
    """Return the job with a sentence for what goes wrong: an error of a job would end the fit that runs."""

    def careful(machine: Machine) -> str:
        try:
            return job(machine)
        except StoppedError:
            return "Stopped; what was written before is whole."
        except (ValueError, OSError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return f"Nothing could be written: {lines[0]}"

    return careful
