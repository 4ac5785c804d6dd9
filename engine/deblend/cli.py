"""The command line: `deblend COMMAND`, the same jobs as in the window, headless.

Exit status: 0 done, 1 the fit did not converge (everything is written all the same), 2 bad input (one sentence on
stderr), 3 a fault of the program, 4 the machine could not (memory, disk, GPU: one sentence), 130 interrupted (what the
fit had reached is written).
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from deblend.commands import COMMANDS
from deblend.commands.errors import BadInputError
from deblend.faults import machine_fault

DISTRIBUTION = "napari-deblend"
BAD_INPUT = 2
FAULT = 3
MACHINE = 4
INTERRUPTED = 130
EPILOG = """`deblend COMMAND --help` has examples. Keys complete words in bash and zsh after

  eval "$(register-python-argcomplete deblend)"

Exit status: 0 done, 1 done in part (a fit that did not converge, blends that could not be fitted), 2 bad input, 3 a
fault of the program, 130 interrupted (what was reached is kept)."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, as the rest of the program does."""

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:].rstrip(".")
        self.exit(BAD_INPUT, f"deblend: {sentence}; see `{self.prog} --help`.\n")


def build_parser() -> Parser:
    """Return the parser of all commands; each sets `run`, which takes the arguments and returns the exit status."""
    parser = Parser(
        prog="deblend",
        description="Take blended stars and galaxies apart.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deblend {metadata.version(DISTRIBUTION)}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP, allow_abbrev=False)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; raises SystemExit for help and wrong arguments."""
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        # a shell asks what could come next; nothing is run then
        import argcomplete

        argcomplete.autocomplete(parser)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BadInputError as error:
        print(f"deblend: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("deblend: Interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        fault = machine_fault(error)
        if fault is not None:
            print(f"deblend: {fault}", file=sys.stderr)
            return MACHINE
        traceback.print_exc()
        print("deblend: This is a fault of the program, not of its input; please report it.", file=sys.stderr)
        return FAULT
