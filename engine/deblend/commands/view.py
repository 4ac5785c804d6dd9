"""`deblend view`: images, or a session, in the window."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from deblend.commands.errors import BadInputError, blaming_the_input
from deblend.commands.export import add_data_argument

NAME = "view"
HELP = "Open images, or a session, in the window."
EXAMPLES = """examples:
  deblend view coadd-*.fits
      images, to place and fit sources live
  deblend view session.asdf --data /new/place
      a session that refers to its images, which have moved
  deblend view field --blend 291
      a blend of a batch, as its report names it: mend it, save it, and run the batch again"""
WINDOW = "napari_deblend"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "paths",
        metavar="FILE",
        nargs="*",
        help="FITS images or folders of them, or the session of a former work (ASDF); none for an empty window",
    )
    add_data_argument(parser)
    parser.add_argument(
        "--blend", type=int, metavar="N", help="open blend N of the batch whose folder is given, as its report names it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Open the window in a process of its own, since the engine knows none, and wait until it is closed."""
    if importlib.util.find_spec(WINDOW) is None:
        raise BadInputError("The window is not installed here; install napari-deblend with an extra for Qt, as pyqt5.")
    paths = arguments.paths if arguments.blend is None else [_blend(arguments.paths, arguments.blend)]
    data = [] if arguments.data is None else ["--data", str(arguments.data)]
    return subprocess.run([sys.executable, "-m", WINDOW, *data, *paths], check=False).returncode


def _blend(paths: list[str], number: int) -> str:
    """Return the session of a blend of a batch: the one that is there, else one of a fit that is done now."""
    from deblend.batch import session_of

    if len(paths) != 1:
        raise BadInputError("--blend needs the folder of one batch, as `deblend batch` wrote it.")
    with blaming_the_input():
        return str(session_of(Path(paths[0]), number))
