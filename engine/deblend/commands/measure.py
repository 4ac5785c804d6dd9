"""`deblend measure`: the catalog of a session, and nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.export import add_data_argument
from deblend.commands.fit import check_folder, table_lines
from deblend.commands.fit_arguments import CATALOG_SUFFIXES
from deblend.commands.morphologies import add_morphology_argument, take_morphologies
from deblend.commands.output import add_json_argument, print_results, rows_of
from deblend.commands.watching import told_of

NAME = "measure"
HELP = "Measure the sources of a session as they stand, without fitting, and write the catalog."
EXAMPLES = """examples:
  deblend measure session.asdf --out catalog.fits
      the catalog of a session that the window has saved, for TOPCAT
  deblend measure deblend_output/session.asdf --out catalog.ecsv --json | jq '.catalog[0]'
      its first row, for another program"""

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("session", type=Path, metavar="SESSION", help="a session (ASDF), as the window and `deblend fit` write it")
    add(
        "--out",
        type=Path,
        default=Path("catalog.ecsv"),
        metavar="FILE",
        help=f"a table, by its ending {', '.join(CATALOG_SUFFIXES.values())} (default: %(default)s)",
    )
    add_data_argument(parser)
    add("--no-errors", action="store_true", help="leave the error bars out")
    add_morphology_argument(parser)
    add("-q", "--quiet", action="store_true", help="say nothing but what is wrong with the input")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it and return 0; raises BadInputError with a sentence where the session is at fault."""
    import deblend
    from deblend import io

    with blaming_the_input():
        if arguments.out.suffix.lower() not in CATALOG_SUFFIXES.values():
            raise ValueError(f"{arguments.out}: a table ends in {', '.join(CATALOG_SUFFIXES.values())}; name it so.")
        check_folder(arguments.out.absolute().parent)
        take_morphologies(arguments.morphology, "galaxy")
        session = io.read_session(arguments.session, arguments.data)
    if session.scene.is_empty:
        raise BadInputError(f"{arguments.session}: has no sources; there is nothing to measure.")
    program = deblend.Program(session.observations, session.scene)
    with told_of("errors", quiet=arguments.quiet or arguments.no_errors) as tell:
        with_errors = not arguments.no_errors
        catalog = deblend.measure(program.scene, session.observations, program, with_errors, progress=tell)
    with blaming_the_input():
        written = io.write_tables(arguments.out, catalog.parts)
    lines = [*table_lines(catalog.table), f"Written: {', '.join(str(path) for path in written)}."]
    print_results(arguments, lines, {"written": list(map(str, written)), "catalog": rows_of(catalog.table)})
    return 0
