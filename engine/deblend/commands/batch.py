"""`deblend batch`: a whole field, blend by blend, to one catalog."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblend.commands.borrowed import READING, borrow, reading_of
from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.fit import check_folder, versions
from deblend.commands.morphologies import take_morphologies
from deblend.commands.notes import noting
from deblend.commands.output import add_json_argument, print_results
from deblend.commands.watching import Clock, interruptible, told_of

if TYPE_CHECKING:
    from deblend.batch import AbstractWorkers, Batch, Result, Settings

NAME = "batch"
HELP = "Fit all sources of a whole field, or of many tiles, blend by blend, into one catalog."
EXAMPLES = """examples:
  deblend batch coadd-g.fits coadd-r.fits coadd-i.fits --psf gaussian:0.7 --out field
      one field in three bands; sources whose light touches are fitted together
  deblend batch tiles/* --out survey --workers 8
      every folder is a tile; what several tiles see counts once
  deblend batch tiles/* --out survey --cluster tcp://head:8786
      fitted by the workers of a Dask cluster, which need none of the files
  deblend batch coadd-*.fits --out field
      the same again after an interruption: goes on where it stopped

Ctrl-C finishes the blends that are in work; the same command goes on from there. Into the folder go catalog.fits (and
catalog.parquet where pyarrow is installed), blends.fits with how each fit ended, models.fits, report.html and
summary.json. Exit status 1 says that some blends could not be fitted; why is in blends.fits."""
AS_IN_FIT = (*READING, "--kind", "--threshold", "--detect", "--max-iterations", "--shares", "--no-errors", "--passes")
ERRORS = ("held", "full", "none")
DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add(
        "field",
        nargs="+",
        metavar="FIELD",
        help="FITS images or cubes of one field on one grid of pixels, or folders, each with the images of a tile",
    )
    borrow(parser, AS_IN_FIT)
    parser.set_defaults(passes=0)
    add(
        "--errors",
        choices=ERRORS,
        default=ERRORS[0],
        help="of fluxes: held, for the shapes that were fitted; full, with shapes and places marginalised over, and "
        "errors of places, too, for half as much time again or more; none (default: %(default)s)",
    )
    add("--no-models", action="store_true", help="leave the model images out")
    add("--workers", type=_count, metavar="N", help="processes on this machine (default: one per processor)")
    add(
        "--cluster",
        metavar="WHERE",
        help="fit on a Dask cluster instead: tcp://HOST:PORT of its scheduler, local, or slurm; --workers says how "
        "many the latter two have",
    )
    add("--out", type=Path, default=Path("deblend_batch"), metavar="DIR", help="(default: %(default)s)")
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Do the job and return the exit status; raises BadInputError with a sentence where the input is at fault."""
    with noting(quiet=arguments.quiet) as (note, notes):
        return _run(arguments, note, notes)


def _run(arguments: argparse.Namespace, note: Callable[[str], None], notes: list[str]) -> int:
    from deblend.batch import Batch, tiles_of

    clock = Clock()
    with blaming_the_input():
        check_folder(arguments.out)
        take_morphologies((), arguments.kind)
        settings = _settings(arguments)
        tiles = tiles_of(arguments.field, reading_of(arguments))
        batch = Batch(tiles, arguments.out, settings, note)
    with blaming_the_input(), clock.phase("detect"), told_of("detect", quiet=arguments.quiet) as tell:
        plan = batch.plan(tell)
    if not plan.n_owned:
        raise BadInputError(f"No source was found {arguments.threshold:g} sigma above the noise; lower --threshold.")
    before = len(batch.done())
    if before and not arguments.quiet:
        print(f"{arguments.out} holds {before} of {len(plan.blends)} blends; going on.", file=sys.stderr)
    with clock.phase("fit"), _workers(arguments, len(plan.blends) - before, note) as workers:
        is_whole, compilations, memory = _fit(batch, workers, before, quiet=arguments.quiet)
    if not is_whole:
        done = len(batch.done())
        print(
            f"deblend: Interrupted with {done} of {len(plan.blends)} blends done; the same command goes on from there.",
            file=sys.stderr,
        )
        return INTERRUPTED
    return _collect(batch, arguments, clock, notes, {"compilations": compilations, "memory_mb": memory})


def _settings(arguments: argparse.Namespace) -> Settings:
    from deblend import FitSettings
    from deblend.batch import Settings

    limits = {} if arguments.max_iterations is None else {"max_iterations": arguments.max_iterations}
    return Settings(
        threshold=arguments.threshold,
        method=arguments.detect,
        kind=arguments.kind,
        fit=FitSettings(**limits),
        with_errors=not arguments.no_errors and arguments.errors != "none",
        with_shapes=arguments.errors == "full",
        passes=arguments.passes,
        with_shares=arguments.shares,
    )


def _workers(arguments: argparse.Namespace, n_blends: int, note: Callable[[str], None]) -> AbstractWorkers:
    from deblend.batch import Here, Processes

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if arguments.cluster is not None:
        from deblend.batch import Cluster

        with blaming_the_input():
            cluster = Cluster(arguments.cluster, arguments.workers or available)
        if cluster.dashboard:
            note(f"What the workers do is shown at {cluster.dashboard} (where bokeh is installed).")
        return cluster
    number = min(arguments.workers or available, n_blends)
    return Processes(number) if number > 1 else Here()


def _fit(batch: Batch, workers: AbstractWorkers, before: int, *, quiet: bool) -> tuple[bool, int, float]:
    """Fit what is left; return whether all is done, and the most compilations and memory [MB] of any process."""
    from tqdm import tqdm

    total, n_sources = len(batch.plan().blends), 0
    first: float | None = None
    most = {"compilations": 0, "memory": 0.0}
    bar = tqdm(total=total, initial=before, desc="fit", unit="blend", disable=quiet, file=sys.stderr)
    with bar, interruptible() as is_interrupted:

        def progress(result: Result) -> None:
            nonlocal n_sources, first
            if first is None:
                # the pace is that of fitting, not of what is compiled before the first blend is done
                first = time.perf_counter()
            else:
                n_sources += result.n_sources
                bar.set_postfix_str(f"{n_sources / (time.perf_counter() - first):.1f} sources/s", refresh=False)
            most["compilations"] = max(most["compilations"], result.compilations)
            most["memory"] = max(most["memory"], result.memory)
            bar.update()

        is_whole = batch.run(workers, progress, is_interrupted)
    return is_whole, int(most["compilations"]), most["memory"]


def _collect(batch: Batch, arguments: argparse.Namespace, clock: Clock, notes: list[str], said: dict[str, Any]) -> int:
    from deblend import io
    from deblend.batch import collect

    quiet = arguments.quiet or arguments.no_models
    with blaming_the_input(), clock.phase("write"), told_of("models", quiet=quiet) as tell:
        gathered = collect(batch, with_models=not arguments.no_models, progress=tell, note=notes.append)
    summary = {
        **gathered.numbers,
        **said,
        "seconds": clock.seconds,
        "notes": notes,
        "settings": asdict(batch.settings),
        "versions": versions(),
    }
    io.write_summary(arguments.out / "summary.json", summary)
    numbers = gathered.numbers
    lines = [
        f"{numbers['n_sources']} sources in {numbers['n_blends']} blends; median chi2 per pixel "
        f"{numbers['median_chi2']:.3f}; {numbers['n_not_converged']} blends did not converge, "
        f"{numbers['n_failed']} could not be fitted.",
        f"Results are in {arguments.out}; {arguments.out / 'report.html'} is the page to begin with.",
    ]
    print_results(arguments, lines, {"out": str(arguments.out), **summary})
    return SOME_FAILED if gathered.numbers["n_failed"] else DONE
