"""`deblend run`: the fits of a session done again, without a window."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deblend.commands.errors import blaming_the_input
from deblend.commands.export import add_result_arguments, read, write_results
from deblend.commands.output import print_results
from deblend.commands.watching import told_of

NAME = "run"
HELP = "Do the fits of a session again, with as many iterations before each edit, and write the results."
EXAMPLES = """examples:
  deblend run session.asdf --out again
      the fits of a session of the window, with every edit where it came; fluxes agree to rounding on such a machine
  deblend run fitted/session.asdf --json
      those of `deblend fit`; says how far fluxes are from those of the session"""

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_result_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it and return 0; raises BadInputError with a sentence where the session is at fault."""
    from dataclasses import replace

    import numpy as np

    from deblend import io

    session = read(arguments)
    with blaming_the_input(), told_of("states", quiet=arguments.quiet) as tell:
        try:
            ends = io.replay(session, tell)
        except ValueError as error:
            raise ValueError(f"{arguments.session}: {error}.") from error
    done = []
    for number, (before, end) in enumerate(zip(session.runs, ends, strict=True), 1):
        change = np.abs(end.fluxes - before.end.fluxes) / np.maximum(np.abs(before.end.fluxes), 1e-30)
        worst = float(change.max(initial=0.0))
        done.append({"iterations": len(before.curve) - 1, "fluxes_agree_to": worst})
        if not arguments.quiet:
            print(f"run {number}: {len(before.curve) - 1} iterations; fluxes agree to {worst:.1e}.", file=sys.stderr)
    last = session.runs[-1]
    is_end = np.array_equal(session.scene.fluxes, last.end.fluxes)
    if not is_end and not arguments.quiet:
        print("note: the session was edited after its last fit; what is written is as that left it.", file=sys.stderr)
    with blaming_the_input():
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
        again = replace(session, scene=ends[-1], observations=last.observations)
        io.write_session(arguments.out / "session.asdf", again)
    write_results(again, arguments)
    print_results(arguments, [f"Results are in {arguments.out}."], {"out": str(arguments.out), "runs": done})
    return 0
