"""What the command line can do, a module each: NAME, HELP, `add_arguments` and `run`.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from deblend.commands import batch, export, fit, run, sample, train, view

COMMANDS = (fit, batch, view, export, run, sample, train)

__all__ = ["COMMANDS"]
