"""`deblend train score`: a small network, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from deblend import forget_morphology
from deblend.cli import BAD_INPUT, main
from deblend.observe import gaussian_psf
from deblend.priors import read_model
from tests.end_to_end.blend import Blend, with_companions

SMALL = ["--side", "16", "--galaxies", "64", "--batch", "4", "--width", "8", "--check-every", "2", "--quiet"]


def test_a_prior_is_trained_broken_off_and_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.safetensors"
    command = ["train", "score", "--generator", "--out", str(out), *SMALL]
    # the budget is used up by the first step; what it made is kept all the same
    assert main([*command, "--steps", "4", "--minutes", "0.00001"]) == 0
    assert read_model(out)[1]["steps_taken"] == 1
    assert main([*command, "--steps", "4"]) == BAD_INPUT
    assert "say --resume to go on" in capsys.readouterr().err
    assert main([*command, "--steps", "4", "--resume"]) == 0
    prior, card = read_model(out)
    assert prior.shape == (16, 16) and card["steps_taken"] == 4 and card["calibration_proved"] is False
    assert json.loads(out.with_suffix(".json").read_text()) == card
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert not out.with_suffix(".training").exists()


def test_a_decoder_is_trained_and_galaxies_are_fitted_by_it(
    blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, out = tmp_path / "mine.safetensors", tmp_path / "out"
    small = [*SMALL, "--width", "16", "--latent", "3", "--steps", "4"]
    assert main(["train", "vae", "--generator", "--out", str(mine), *small]) == 0
    given = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv"), "--quiet"]
    command = ["fit", *given, "--out", str(out), "--kind", "mine", "--max-iterations", "2", "--no-errors"]
    try:
        main([*command, "--morphology", str(mine)])
        assert set(Table.read(out / "catalog.ecsv")["kind"]) == {"mine"}
    finally:
        forget_morphology("mine")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"no model")
    capsys.readouterr()
    assert main([*command, "--morphology", str(torn)]) == BAD_INPUT
    told = capsys.readouterr().err
    assert "torn.json is missing" in told and told.count("\n") == 1


def test_what_cannot_be_learned_from_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "few.npy", np.ones((3, 16, 16)))
    out = ["--out", str(tmp_path / "m.safetensors")]
    for arguments, match in (
        (["score", *out], "Give either a cube of stamps, or --generator"),
        (["score", str(tmp_path / "few.npy"), *out], "3 stamps are too few"),
        (["score", str(tmp_path / "none.fits"), *out], "none.fits"),
        (["score", "--generator", "--out", str(tmp_path / "m.npz")], "must end in .safetensors"),
        (["score", "--generator", *out, "--resume"], "no training to go on with"),
        (["score", "--generator", *out, "--minutes", "-1"], "--minutes must be positive"),
        (["score", "--generator", *out, "--side", "18", "--galaxies", "64"], "multiple of 4"),
    ):
        assert main(["train", *arguments, "--quiet"]) == BAD_INPUT
        told = capsys.readouterr().err
        assert match in told and told.count("\n") == 1


@pytest.mark.slow
def test_a_prior_is_learned_from_what_was_observed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two laps of a few steps, from noisy stamps behind a PSF to a model, its card and nothing else."""
    rng = np.random.default_rng(0)
    y, x = np.indices((40, 16, 16)).astype(float)[1:] - 8.0
    images = 50.0 * np.exp(-0.5 * (x**2 + y**2) / rng.uniform(2.0, 6.0, (40, 1, 1))) + rng.normal(size=(40, 16, 16))
    np.save(tmp_path / "seen.npy", images)
    np.save(tmp_path / "psf.npy", gaussian_psf(2.6))
    out = tmp_path / "field.safetensors"
    command = ["train", "score", str(tmp_path / "seen.npy"), "--out", str(out), *SMALL, "--steps", "4", "--laps", "2"]
    assert main([*command, "--em", "--noise", "1"]) == BAD_INPUT
    assert "--em needs the PSF" in capsys.readouterr().err
    assert main([*command, "--em", "--noise", "1", "--psf", str(tmp_path / "psf.npy")]) == 0
    prior, card = read_model(out)
    assert prior.shape == (16, 16) and card["expectation_maximization"]["laps"] == 2 and not card["calibration_proved"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"seen.npy", "psf.npy", "field.safetensors", "field.json", "field.png"}
