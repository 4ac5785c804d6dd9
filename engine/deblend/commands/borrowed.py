"""Options of `deblend fit` that mean the same in other commands: said once."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

from deblend.commands import fit_arguments

READING: tuple[str, ...] = (
    *("--psf", "--psf-oversampling", "--psf-integrated", "--weights", "--mask", "--rescale-weights", "--bands"),
    "--epochs",
)
"""How images are read."""


def borrow(parser: argparse.ArgumentParser, names: Collection[str]) -> None:
    """Let a command take options of `deblend fit`."""
    of_fit = argparse.ArgumentParser(add_help=False)
    fit_arguments.add_arguments(of_fit)
    for action in of_fit._actions:
        if set(action.option_strings) & set(names):
            parser._add_action(action)


def reading_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `deblend.read_observations` that were given."""
    integrated = None if arguments.psf_integrated is None else arguments.psf_integrated == "yes"
    names = ("psf", "weights", "mask", "rescale_weights", "bands", "epochs", "psf_oversampling")
    options = {name: getattr(arguments, name) for name in names} | {"psf_is_integrated": integrated}
    return {name: value for name, value in options.items() if value not in (None, False)}
