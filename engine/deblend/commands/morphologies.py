"""Morphologies of a person's own on the command line: Python files that register them, and decoders."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deblend.commands.errors import BadInputError, blaming_the_input


def add_morphology_argument(parser: argparse.ArgumentParser) -> None:
    """Say which files register what a session has."""
    parser.add_argument(
        "--morphology",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="Python (.py) with morphologies of your own, or a decoder (.safetensors), where the session has some",
    )


def take_morphologies(files: Sequence[Path], kind: str) -> None:
    """Run files that register morphologies, and register decoders by the names of their files.

    Raises BadInputError where a file does not run or is no decoder, or where no kind is called so.
    """
    from deblend.scene import MORPHOLOGIES

    for path in files:
        if path.suffix == ".safetensors":
            _take_decoder(path)
            continue
        spec = importlib.util.spec_from_file_location(f"deblend_morphology_{path.stem}", path)
        if spec is None or spec.loader is None or not path.is_file():
            raise BadInputError(f"{path}: there is no such file of Python (.py) to take morphologies from.")
        try:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        except Exception as error:
            # whatever a person's own code raises is about that code
            raise BadInputError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if kind not in MORPHOLOGIES:
        raise BadInputError(f"There is no kind {kind!r} for --kind; choose one of {', '.join(MORPHOLOGIES)}.")


def _take_decoder(path: Path) -> None:
    from deblend.priors import DecodedGalaxies, VaePrior, read_model
    from deblend.render import register_morphology

    with blaming_the_input():
        prior, card = read_model(path)
        if not isinstance(prior, VaePrior):
            raise BadInputError(f"{path}: a {card['kind']} draws no galaxies in a fit; give a model of kind vae.")
        register_morphology(DecodedGalaxies(prior, path.stem))


@contextmanager
def blaming_the_morphology() -> Iterator[None]:
    """Turn what is said of an undefined morphology into `BadInputError`."""
    from deblend.program.program import UndefinedMorphologyError

    try:
        yield
    except UndefinedMorphologyError as error:
        raise BadInputError(str(error)) from error
