"""What a command prints when it is done: lines for a person, or one JSON object for a program."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astropy.table import Table


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Say that results may be printed for programs."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print what came of it as one JSON object, and nothing else, on standard output; notes and progress go to "
        "standard error",
    )


def print_results(arguments: argparse.Namespace, lines: Sequence[str], told: Mapping[str, Any]) -> None:
    """Print lines, unless they are not wanted, or what they tell as JSON."""
    if arguments.json:
        from deblend.io.results import json_text

        print(json_text(told))
    elif not arguments.quiet:
        print("\n".join(lines))


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Return a table as mappings, a row each, with numbers in the units of its columns."""
    columns = {name: getattr(table[name], "value", table[name]).tolist() for name in table.colnames}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
