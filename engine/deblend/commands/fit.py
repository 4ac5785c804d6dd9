"""`deblend fit`: from images to catalog, models, residuals and components."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblend.commands.borrowed import reading_of
from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.fit_arguments import CATALOG_SUFFIXES, add_arguments
from deblend.commands.fitting import STOPPED, Fitting
from deblend.commands.laws import following, read_law
from deblend.commands.morphologies import take_morphologies
from deblend.commands.notes import noting
from deblend.commands.output import print_results, rows_of
from deblend.commands.sentences import NOT_AGAIN, about_classes, about_faded, about_uneven, about_unlisted
from deblend.commands.watching import Clock, told_of

if TYPE_CHECKING:
    from astropy.table import Table

    from deblend import Catalog, FitState, Observation, Scene, Source
    from deblend.measure import Shares

NAME = "fit"
HELP = "Fit the sources of one patch of sky in all its images at once."

__all__ = ["HELP", "NAME", "add_arguments", "run"]

CONVERGED, NOT_CONVERGED, MACHINE, INTERRUPTED = 0, 1, 4, 130
PACKAGES = ("napari-deblend", "numpy", "scipy", "jax", "jaxlib", "equinox", "astropy", "sep")


def run(arguments: argparse.Namespace) -> int:
    """Do the job and return the exit status; raises BadInputError with a sentence where the input is at fault."""
    with noting(quiet=arguments.quiet) as (note, notes):
        return _run(arguments, note, notes)


def _run(arguments: argparse.Namespace, note: Callable[[str], None], notes: list[str]) -> int:
    import deblend
    from deblend import io
    from deblend.measure import calibration_lines, motion_lines, share
    from deblend.observe.kernel_check import kernel_notes

    clock = Clock()
    with blaming_the_input():
        check_folder(arguments.out)
        take_morphologies(arguments.morphology, arguments.kind)
        law = None if arguments.law is None else read_law(arguments.law, arguments.solver)
    with blaming_the_input(), clock.phase("read"):
        observations = io.read_observations(arguments.images, cutout=arguments.cutout, **reading_of(arguments))
        observations = _corrected(observations, arguments)
        if arguments.correlated_noise:
            observations = deblend.observe.with_measured_noise(observations)
        positions = None
        if arguments.peaks:
            positions = io.read_positions(arguments.peaks, observations[0], arguments.peaks_origin)
        peaks = None if positions is None else (positions.x, positions.y)
        if peaks is not None and (arguments.cutout is not None or arguments.cover != "union"):
            peaks, aside = deblend.positions_within(observations, *peaks, arguments.cover)
            if aside:
                whole = "the cut-out" if arguments.cover == "union" else "what all images share"
                note(f"{arguments.peaks}: {aside} of its positions lie outside of {whole} and are left aside.")
        stars = io.read_stars(arguments.stars, observations) if arguments.stars else None
    for sentence in (sentence for observation in observations for sentence in observation.notes):
        note(sentence)
    for sentence in (*(positions.notes if positions else ()), *(stars.notes if stars else ())):
        note(sentence)
    with blaming_the_input(), clock.phase("detect"):
        options: dict[str, Any] = {"kind": arguments.kind, "box_scale": arguments.box_scale}
        given: dict[str, Any] = {"oversampling": arguments.oversampling, "cover": arguments.cover, "stars": stars}
        given |= {"solve": False, **options}
        if peaks is None:
            scene = deblend.detect(observations, arguments.threshold, method=arguments.detect, **given)
        else:
            scene = deblend.scene_from_positions(observations, *peaks, **given)
            if objects := deblend.unlisted(observations, *_listed(scene, observations, *peaks)):
                note(about_unlisted(objects))
    finer = min(o.grid.affine_to(scene.grid).scale for o in observations)
    if finer > 1.5 and arguments.oversampling is None:
        note(
            f"Sources live on pixels {finer:.0f} times finer than those of the sharpest image, which its PSF asks for."
        )
    for sentence in kernel_notes(observations, scene.grid, scene.model_psf_sigma):
        note(sentence)
    if not len(scene) and scene.stars is None:
        raise BadInputError(
            f"No source was found {arguments.threshold:g} sigma above the noise; lower --threshold or give --peaks."
        )
    scene = following(scene, law)
    scene = deblend.with_transients(scene, observations, arguments.transient).calibrating(*arguments.calibrate)
    with blaming_the_input():
        scene = _constrained(scene, arguments)
        if arguments.diffuse is not None:
            scene = scene.with_full_scene(arguments.diffuse or None)
    limits = {} if arguments.max_iterations is None else {"max_iterations": arguments.max_iterations}
    settings = deblend.FitSettings(solver=deblend.Solver(arguments.solver), **limits)
    rounds = arguments.passes if peaks is None else 0

    def prepared(scene: Scene, new: Sequence[Source]) -> Sequence[Source]:
        """Ask of new sources what is asked of all others."""
        known = len(scene)
        return _constrained(following(scene.add(*new), law, known), arguments).sources[known:]

    search = deblend.Search(scene, rounds, **options, prepare=prepared)
    fitting = Fitting(observations, clock, quiet=arguments.quiet)
    with blaming_the_input(), clock.phase("prepare"):
        if rounds:
            fitting.prepare(search.start, replace(settings, stop=deblend.StopRule.ROUGH))
        else:
            fitting.prepare(scene, settings)
    with blaming_the_input():
        # only now, so that bad input leaves no empty folder behind
        arguments.out.mkdir(parents=True, exist_ok=True)
    # galaxies show that they are uneven long before a fit is at rest, and begin anew then
    may_begin_anew = not (arguments.keep_kinds or arguments.classify)
    fitting.run(pauses=may_begin_anew and not rounds)
    if rounds:
        fitting.search(search, note)
        fitting.fit.settings = settings
        if not fitting.interrupted:
            fitting.carry_on(search.freed(fitting.best.scene), pauses=may_begin_anew)
    if arguments.classify and not fitting.interrupted:
        with clock.phase("classify"):
            classes = deblend.classify(fitting.best.scene, observations)
            settled = deblend.classified(fitting.best.scene, classes)
        note(about_classes(classes))
        fitting.carry_on(settled)
    anew = () if arguments.keep_kinds else _uneven(fitting)
    first = fitting.best.scene
    if anew:
        note(about_uneven(len(anew), sum(source.kind == "galaxy" for source in first.sources)))
        if not fitting.again(deblend.begun_anew(first, anew, observations)):
            note(NOT_AGAIN)
    if fitting.is_success and (faded := search.faded(fitting.best.scene, observations, fitting.best.sources())):
        note(about_faded(len(faded)))
        fitting.carry_on(fitting.best.scene.remove(*faded))
    fitting.end()
    fit, last, interrupted = fitting.fit, fitting.last, fitting.interrupted
    best = fit.best
    with blaming_the_input(), clock.phase("write"):
        # first of all: whatever happens from here on, the fit is not lost
        read = (*io.find_images(arguments.images)[0], *(arguments.psf or ()), *(arguments.weights or ()))
        files = io.files_of((*read, *(arguments.mask or ())))
        session = io.Session(
            best.scene, observations, settings=settings, files=files, runs=tuple(fitting.recording.runs)
        )
        io.write_session(arguments.out / "session.asdf", session)
    with clock.phase("measure"), told_of("errors", quiet=arguments.quiet or arguments.no_errors) as tell:
        shares = share(best.scene, observations, fit.program) if arguments.shares else None
        catalog = deblend.measure(
            best.scene,
            observations,
            fit.program,
            errors=not arguments.no_errors,
            progress=tell,
            converged=last.outcome.is_success and not interrupted,
            shares=shares,
            list_stars=arguments.list_stars,
        )
    with blaming_the_input(), clock.phase("write"):
        _write(arguments.out, observations, best, catalog, shares, CATALOG_SUFFIXES[arguments.catalog_format])
    outcome = f"{interrupted} the best state so far was kept." if interrupted else last.outcome.value
    summary = {
        "chi2": best.chi2,
        "chi2_per_observation": best.chi2_per_observation,
        "n_sources": len(best.scene),
        "n_stars": 0 if best.scene.stars is None else len(best.scene.stars),
        "iterations": fitting.iterations,
        "compilations": fit.program.compilations,
        "converged": last.outcome.is_success,
        "outcome": outcome,
        "uneven": [source.name for source in best.scene.sources if source.id in anew and source.kind == "learned"],
        "seconds": clock.seconds,
        "observations": [_about(observation) for observation in observations],
        "notes": notes,
        "settings": {"arguments": _said(arguments), "fit": asdict(fit.settings)},
        "versions": versions(),
    }
    io.write_summary(arguments.out / "summary.json", summary)
    lines = table_lines(catalog.table)
    if catalog.calibration is not None:
        lines += calibration_lines(catalog.calibration)
    if catalog.motions is not None:
        lines += motion_lines(catalog.motions)
    lines.append(f"chi2 per pixel {best.chi2:.4f} after {fitting.iterations} iterations. {outcome}")
    lines.append(f"Results are in {arguments.out}.")
    print_results(arguments, lines, {"out": str(arguments.out), **summary, "catalog": rows_of(catalog.table)})
    if interrupted not in ("", STOPPED):
        print(f"deblend: {interrupted} the best state so far was written.", file=sys.stderr)
        return MACHINE
    if interrupted:
        return INTERRUPTED
    return CONVERGED if last.outcome.is_success else NOT_CONVERGED


def _uneven(fitting: Fitting) -> tuple[str, ...]:
    """Name the galaxies to be begun anew: by a fit that has slowed, or else by one that has come to rest."""
    import deblend

    if fitting.is_paused:
        if anew := deblend.uneven(fitting.best.scene, fitting.observations):
            return anew
        fitting.go_on()
    return deblend.uneven(fitting.best.scene, fitting.observations) if fitting.is_success else ()


def _listed(scene: Scene, observations: Sequence[Observation], x: Any, y: Any) -> tuple[Any, Any]:
    """Return positions in the first image, with those of the known stars of a scene behind them."""
    if scene.stars is None:
        return x, y
    to_image = scene.grid.affine_to(observations[0].grid)
    rows, columns = to_image(scene.stars.y.mean(axis=1), scene.stars.x.mean(axis=1))
    return (*x, *columns), (*y, *rows)


def _corrected(observations: Sequence[Observation], arguments: argparse.Namespace) -> tuple[Observation, ...]:
    """Return the observations as a person understands them; raises ValueError where that makes no sense."""
    from deblend.io import Interpretation

    given = {"zero_point": arguments.zero_point, "noise_scale": arguments.noise_scale}
    said = {name: f"{value:g}" for name, value in given.items() if value is not None}
    corrected = (Interpretation.from_dict({**Interpretation.of(o).to_dict(), **said}) for o in observations)
    return tuple(wanted.applied(o) for wanted, o in zip(corrected, observations, strict=True))


def _constrained(scene: Scene, arguments: argparse.Namespace) -> Scene:
    """Return the scene with what is asked of every source; raises ValueError for a strength that cannot be."""
    from deblend import Constraint, ConstraintKind

    for kind, strength in arguments.constraint:
        scene = scene.with_constraint(Constraint(ConstraintKind(kind), strength))
    return scene


def _write(
    out: Path,
    observations: Sequence[Observation],
    state: FitState,
    catalog: Catalog,
    shares: Shares | None,
    suffix: str,
) -> None:
    from deblend import io

    io.write_tables(out / f"catalog{suffix}", catalog.parts)
    io.write_pictures(out, observations, state)
    io.write_regions(out / "regions.reg", state.scene, observations[0].grid)
    if shares is not None:
        io.write_components(out / "shares.fits", observations, [s.name for s in state.scene.sources], shares.picture)


def check_folder(folder: Path) -> None:
    """Raise ValueError where the folder for the results can be neither made nor written to."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{folder}: results cannot be written there; give another --out.")


def table_lines(table: Table) -> list[str]:
    """Return name, x, y and the fluxes [nJy] of a catalog as lines of text."""
    fluxes = [name for name in table.colnames if name.startswith("flux_") and not name.startswith("flux_err_")]
    rows = [["name", "x", "y", *(f"{name.removeprefix('flux_')} [nJy]" for name in fluxes)]]
    for row in table:
        numbers = [f"{_bare(row[name]):.2f}" for name in ("x", "y")]
        rows.append([str(row["name"]), *numbers, *(f"{_bare(row[name]):.4g}" for name in fluxes)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def _bare(value: Any) -> float:
    return float(getattr(value, "value", value))


def _about(observation: Observation) -> dict[str, Any]:
    return {
        "name": observation.name,
        "bands": [channel.band for channel in observation.channels],
        "shape": observation.shape,
        "unmasked_pixels": observation.n_unmasked,
        "noise": "white" if observation.noise_correlation is None else "correlated",
        "unit": observation.unit,
    }


def _said(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if name not in ("run", "command")}
