"""Results to files. The jobs run in the machine's thread, since they measure and render with the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deblend import Catalog, measure
from deblend.io import write_components, write_models, write_residuals, write_tables
from napari_deblend.machine import Machine

WRITTEN, MEASURED = "written", "measured"
"""Names of the jobs."""


def catalog_job(path: Path) -> Callable[[Machine], str]:
    """Return a job that measures the scene and writes the catalog as ECSV or FITS; it gives a sentence."""

    def job(machine: Machine) -> str:
        written = write_tables(path, _measured(machine, errors=True).parts)
        beside = f", with {' and '.join(p.name for p in written[1:])} beside it" if written[1:] else ""
        return f"The catalog of {len(machine.scene)} sources is in {path}{beside}."

    return job


def folder_job(folder: Path) -> Callable[[Machine], str]:
    """Return a job that writes catalog, models, residuals and components into a folder; it gives a sentence."""

    def job(machine: Machine) -> str:
        shown, observations = machine.shown, machine.observations
        models = [shown.model(k) for k in range(len(observations))]
        names = [source.name for source in machine.scene.sources]
        write_models(folder / "models.fits", observations, models)
        write_residuals(folder / "residuals.fits", observations, models)
        write_components(folder / "components.fits", observations, names, shown.component)
        write_tables(folder / "catalog.ecsv", _measured(machine, errors=True).parts)
        return f"Catalog, models, residuals and components of {len(names)} sources are in {folder}."

    return job


def measuring_job(machine: Machine) -> Catalog:
    """Measure the scene for the table; without error bars, which take longer."""
    return _measured(machine, errors=False)


def _measured(machine: Machine, errors: bool) -> Catalog:
    return measure(
        machine.scene, machine.observations, program=machine.program, errors=errors, converged=machine.is_success
    )
