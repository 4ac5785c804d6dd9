"""`deblend export`: the results of a session, without fitting again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.fit import check_folder
from deblend.commands.fit_arguments import CATALOG_SUFFIXES
from deblend.commands.morphologies import add_morphology_argument, take_morphologies
from deblend.commands.output import add_json_argument, print_results
from deblend.commands.watching import told_of

if TYPE_CHECKING:
    from deblend.io import Session

NAME = "export"
HELP = "Write the results of a session: catalog, models, residuals, components, DS9 regions."
EXAMPLES = """examples:
  deblend export session.asdf --out results --catalog-format fits
      catalog, models, residuals, components and regions of a session, as it stands
  deblend export session.asdf --report pdf --script
      with a page to show around, and a Python script that does the work again"""

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_result_arguments(parser)
    parser.add_argument(
        "--report",
        action="append",
        choices=("pdf", "png"),
        default=[],
        help="write report.pdf or report.png, too: pictures, curve, catalog and what was assumed; may be repeated",
    )
    parser.add_argument(
        "--script",
        action="store_true",
        help="write session.py, too: a Python script that does the same edits and fits again",
    )


def add_result_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which session is meant, and what is written where."""
    add = parser.add_argument
    add("session", type=Path, metavar="SESSION", help="a session (ASDF), as the window and `deblend fit` write it")
    add("--out", type=Path, default=Path("deblend_output"), metavar="DIR", help="(default: %(default)s)")
    add(
        "--catalog-format",
        choices=tuple(CATALOG_SUFFIXES),
        default="ecsv",
        help="of the catalog and the tables beside it (default: %(default)s)",
    )
    add_data_argument(parser)
    add("--no-errors", action="store_true", help="leave the error bars out")
    add_morphology_argument(parser)
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Say where images are by now that a session refers to."""
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where the images are, of a session that refers to them, if moved"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the results and return 0; raises BadInputError with a sentence where the session is at fault."""
    from deblend import io

    session = read(arguments)
    write_results(session, arguments, arguments.report)
    if arguments.script:
        with blaming_the_input():
            io.write_script(arguments.out / "session.py", session)
    told = {"out": str(arguments.out), "n_sources": len(session.scene)}
    print_results(arguments, [f"Results are in {arguments.out}."], told)
    return 0


def read(arguments: argparse.Namespace) -> Session:
    """Return the session; raises BadInputError where it cannot be read, or has nothing to write."""
    from deblend import io

    with blaming_the_input():
        check_folder(arguments.out)
        take_morphologies(arguments.morphology, "galaxy")
        session = io.read_session(arguments.session, arguments.data)
        if not arguments.quiet:
            for change in io.changes_of(session.files):
                print(f"note: {change}", file=sys.stderr)
    if session.scene.is_empty:
        raise BadInputError(f"{arguments.session}: has no sources; there is nothing to write.")
    return session


def write_results(session: Session, arguments: argparse.Namespace, reports: Sequence[str] = ()) -> None:
    """Write what the options ask for into the folder, with reports of these suffixes."""
    import deblend
    from deblend import io

    out, observations = arguments.out, session.observations
    program = deblend.Program(observations, session.scene)
    quiet = arguments.quiet or arguments.no_errors
    with told_of("errors", quiet=quiet) as tell:
        catalog = deblend.measure(program.scene, observations, program, not arguments.no_errors, progress=tell)
    with blaming_the_input(), told_of("pictures", quiet=arguments.quiet) as tell:
        out.mkdir(parents=True, exist_ok=True)
        io.write_tables(out / f"catalog{CATALOG_SUFFIXES[arguments.catalog_format]}", catalog.parts)
        io.write_pictures(out, observations, program, tell)
        io.write_regions(out / "regions.reg", program.scene, observations[0].grid)
        curve = session.runs[-1].curve if session.runs else ()
        for suffix in reports:
            io.write_report(out / f"report.{suffix}", observations, program, catalog.table, curve)
    for sentence in (note for observation in observations for note in observation.notes):
        if not arguments.quiet:
            print(f"note: {sentence}", file=sys.stderr)
