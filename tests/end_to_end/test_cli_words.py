"""What the command line refuses, in one sentence and an exit code, and what it needs to say so."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend.cli import build_parser, main
from deblend.commands import COMMANDS
from deblend.commands.completion import CONSTRAINTS, KINDS
from deblend.scene import offered_constraints
from deblend.scene.morphologies import MORPHOLOGIES
from tests.end_to_end.blend import (
    SHAPE,
    Blend,
    with_companions,
)

pytestmark = pytest.mark.usefixtures("users_way")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.fits"], "gone.fits: there is no such file"),
        (["{lonely}"], "its PSF is not known; give --psf FILE"),
        (["{g}", "--psf", "{peaks}"], "peaks.csv: cannot be read as FITS"),
        (["{g}", "--psf", "{psf}", "--bands", "g,r"], "--bands names 2"),
        (["{g}", "--psf", "{psf}", "--peaks", "gone.csv"], "gone.csv: there is no such table"),
        (["{g}", "--law", "rainbow"], "there is no law 'rainbow'; write power-law"),
        (["{g}", "--law", "power-law:-2"], "write slope=NUMBER behind the colon"),
        (["{g}", "--law", "black-body:T=hot"], "'hot' is no number"),
        (["{g}", "--law", "black-body:T=1"], "the temperature lies between 300 and 200000, got 1"),
        (["{g}", "--law", "break:0"], "a wavelength is a positive number"),
        (["{g}", "--law", "power-law@z=1"], "there is no law 'power-law@z=1'"),
        (["{g}", "--law", "break:4000@z=1"], "a break has no redshift"),
        (["{g}", "--law", "template:"], "name the file of the template"),
        (["{g}", "--law", "template:gone.dat@z=0.5"], "gone.dat: there is no such file"),
        (["{g}", "--law", "power-law", "--solver", "adaprox"], "the solver adaprox takes no laws"),
        (["{g}", "--psf", "{psf}", "--out", "{peaks}"], "peaks.csv: results cannot be written there"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], says: str, blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = blend.folder
    lonely = shutil.copy(blend.coarse[0], tmp_path / "lonely.fits")
    names = {"g": blend.coarse[0], "psf": folder / "psf_g.fits", "peaks": folder / "peaks.csv", "lonely": lonely}
    given = [argument.format(**names) for argument in arguments]
    out = [] if "--out" in given else ["--out", str(tmp_path)]
    assert main(["fit", "-q", *given, *out]) == 2
    said = capsys.readouterr()
    assert said.out == "" and says in said.err
    assert said.err.startswith("deblend: ") and said.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fut"],
        ["fit"],
        ["fit", "a", "--threshold", "-1"],
        ["fit", "a", "--max-iterations", "0"],
        ["fit", "a", "--no"],
    ],
)
def test_wrong_arguments_are_one_sentence_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("deblend: ") and said.count("\n") == 1


def test_nothing_above_the_threshold_is_said(blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "empty.fits"
    fits.PrimaryHDU(np.random.default_rng(0).normal(size=SHAPE)).writeto(image)
    assert (
        main(
            [
                "fit",
                str(image),
                "--psf",
                str(blend.folder / "psf_g.fits"),
                "--threshold",
                "50",
                "--out",
                str(tmp_path / "o"),
                "-q",
            ]
        )
        == 2
    )
    assert "lower --threshold or give --peaks" in capsys.readouterr().err


def test_a_fault_of_the_program_is_no_bad_input(
    blend: Blend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import deblend

    def broken(*args: Any, **options: Any) -> None:
        raise ValueError("shapes do not fit")

    monkeypatch.setattr(deblend.Fit, "__next__", broken)
    given = [blend.coarse[0], *with_companions(blend, "g"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main(["fit", "-q", *given, "--out", str(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert "shapes do not fit" in said and said.endswith("please report it.\n")


def test_the_package_and_the_command_line_import_nothing_heavy() -> None:
    code = """
import sys
import deblend
from deblend.cli import build_parser
build_parser()
print(*sys.modules)
from deblend.observe import Observation  # libraries of files and of the sky, but no machine yet
assert deblend.Observation is Observation
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    at_first, with_images = (set(line.split()) for line in done.stdout.splitlines())
    assert not {"jax", "numpy", "scipy", "astropy", "tqdm"} & at_first
    assert "astropy" in with_images and "jax" not in with_images


def test_every_name_of_the_package_is_found() -> None:
    import deblend

    assert all(hasattr(deblend, name) for name in deblend.__all__)
    # packages of the same names are long imported, and do not stand before the functions
    assert callable(deblend.detect) and callable(deblend.measure)


@pytest.mark.parametrize("command", [command.NAME for command in COMMANDS])
def test_help_has_examples_that_can_be_read(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith(f"  deblend {command} ")]
    examples = [line.split("|")[0].split(";")[0] for line in lines]
    assert "examples:" in said and len(examples) >= 2
    for line in examples:
        build_parser().parse_args(shlex.split(line)[1:])
    assert ("--json" in said) == (command != "view")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("deblend batch field.fits --errors f", ["full"]),
        ("deblend fit image.fits --kind sp", ["spergel", "spline"]),
        ("deblend fit image.fits --constraint mono", ["monotonicity", "monotonic", "monotonic-cut"]),
    ],
)
def test_keys_complete_words(line: str, words: list[str], tmp_path: Path) -> None:
    said = tmp_path / "said"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    environment = {**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(said)}
    subprocess.run([sys.executable, "-m", "deblend"], env=environment, check=False)
    assert sorted(said.read_text().replace("\013", " ").split()) == sorted(words)


def test_words_are_those_of_the_engine() -> None:
    assert tuple(MORPHOLOGIES)[: len(KINDS)] == KINDS, "those of a person come behind"
    assert tuple(kind.value for kind in offered_constraints()) == CONSTRAINTS


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "deblend", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("deblend ")
    done = subprocess.run(
        [sys.executable, "-m", "deblend", "fit", "gone.fits"], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 2
