"""What the command line can do, a module each: NAME, HELP, `add_arguments` and `run`.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from deblend.commands import batch, detect, export, fit, measure, run, sample, train, view

COMMANDS = (fit, batch, view, detect, measure, export, run, sample, train)

__all__ = ["COMMANDS"]
