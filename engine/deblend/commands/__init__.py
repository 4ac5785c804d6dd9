"""What the command line can do, a module each: NAME, HELP, `add_arguments` and `run`.

Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from deblend.commands import fit, view

COMMANDS = (fit, view)

__all__ = ["COMMANDS"]
