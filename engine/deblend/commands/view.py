"""`deblend view`: images, or a session, in the window."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys

from deblend.commands.errors import BadInputError
from deblend.commands.export import add_data_argument

NAME = "view"
HELP = "Open images, or a session, in the window."
WINDOW = "napari_deblend"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        metavar="FILE",
        nargs="*",
        help="FITS images or folders of them, or the session of a former work (ASDF); none for an empty window",
    )
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Open the window in a process of its own, since the engine knows none, and wait until it is closed."""
    if importlib.util.find_spec(WINDOW) is None:
        raise BadInputError("The window is not installed here; install napari-deblend with an extra for Qt, as pyqt5.")
    data = [] if arguments.data is None else ["--data", str(arguments.data)]
    return subprocess.run([sys.executable, "-m", WINDOW, *data, *arguments.paths], check=False).returncode
