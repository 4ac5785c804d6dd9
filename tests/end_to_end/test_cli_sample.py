"""`deblend sample`: from a session to draws, and what is kept where it is stopped."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from deblend.cli import main
from deblend.infer import Sampling
from deblend.io import read_session
from deblend.priors import packaged_path, read_model

FILES = {
    "samples.fits",
    "mean.fits",
    "std.fits",
    "covariances.fits",
    "percentiles.ecsv",
    "sampling.json",
    "sampled.asdf",
}


@pytest.mark.parametrize("method", ["gaussian", "rto"])
def test_draws_of_a_fit(fitted: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Their middles lie at the fluxes of the fit, and spread as its errors say; 12 draws know a deviation to 20 %, and
    the errors are known to 12 %."""
    command = ["sample", str(fitted / "session.asdf"), "--method", method, "--draws", "12", "--out", str(tmp_path)]
    assert main(command) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES
    captured = capsys.readouterr()
    assert "12 draws" in captured.out and "draws: 100%" in captured.err
    fit, found = QTable.read(fitted / "catalog.ecsv"), QTable.read(tmp_path / "percentiles.ecsv")
    assert list(found["name"]) == list(fit["name"])
    samples = QTable.read(tmp_path / "samples.fits")
    assert len(samples) == 12 * len(fit)
    for name in [c for c in fit.colnames if c.startswith("flux_") and not c.startswith("flux_err")]:
        error = fit[name.replace("flux_", "flux_err_")].to_value(u.nJy)
        ratio = found[f"{name}_std"].to_value(u.nJy) / error
        assert np.all(ratio > 0.2) and np.all(ratio < 2.2)
        off = (found[f"{name}_p50"] - fit[name]).to_value(u.nJy) / error
        assert np.all(np.abs(off) < 3.0)
    with fits.open(tmp_path / "std.fits") as deviation, fits.open(fitted / "components.fits") as components:
        assert [hdu.name for hdu in deviation] == [hdu.name for hdu in components]
        assert deviation[1].header.get("CTYPE1") == components[1].header.get("CTYPE1")
        assert deviation[1].data.max() > 0
    said = json.loads((tmp_path / "sampling.json").read_text())
    assert (said["draws"], said["method"], said["interrupted"]) == (12, method, False)
    kept = read_session(tmp_path / "sampled.asdf").draws
    assert kept is not None and (len(kept), kept.method) == (12, method)
    x = samples["x"].to_value(u.pix).reshape(12, len(fit))
    np.testing.assert_allclose(kept.quantities["x"], x, rtol=1e-6)
    pytest.importorskip("arviz")
    posterior = kept.to_arviz().posterior
    assert posterior["x"].shape == (1, 12, len(fit)) and list(posterior["name"].values) == list(fit["name"])


@pytest.mark.slow
def test_pictures_under_a_learned_prior(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Draws of the same numbers and files, and without error bars as long as its card says that they are not proved."""
    session = fitted / "session.asdf"
    assert main(["sample", str(session), "--prior", "mine.safetensors", "--out", str(tmp_path)]) == 2
    assert "--prior is for --method diffusion" in capsys.readouterr().err
    assert main(["sample", str(session), "--method", "diffusion", "--draws", "3", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"data_share.fits"}
    with fits.open(tmp_path / "data_share.fits") as shares:
        middle = shares[1].data[15, 15]
        assert shares[1].data.shape == (31, 31) and 0.5 < middle <= 1.0 and shares[1].header["X0"] == -3
    fit, found = QTable.read(fitted / "catalog.ecsv"), QTable.read(tmp_path / "percentiles.ecsv")
    said = json.loads((tmp_path / "sampling.json").read_text())
    is_proved = read_model(packaged_path())[1]["calibration_proved"]
    assert said["calibrated"] is is_proved and any("No error bars" in note for note in said["notes"]) is not is_proved
    assert np.all(np.isnan(found["flux_total_std"])) != is_proved
    names = [c for c in fit.colnames if c.startswith("flux_") and not c.startswith("flux_err")]
    for name in names:
        np.testing.assert_allclose(found[f"{name}_p50"], fit[name], rtol=0.3)
    before, after = read_session(session), read_session(tmp_path / "sampled.asdf")
    assert after.draws is not None and after.draws.is_calibrated is is_proved
    assert [s.kind for s in after.draws.scene.sources] == [s.kind for s in before.scene.sources]


def test_ctrl_c_keeps_what_there_is(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    following = Sampling.__next__

    def interrupted(self: Sampling) -> object:
        draw = following(self)
        if draw.index == 2:
            signal.raise_signal(signal.SIGINT)
        return draw

    monkeypatch.setattr(Sampling, "__next__", interrupted)
    assert main(["sample", str(fitted / "session.asdf"), "--draws", "50", "--out", str(tmp_path)]) == 130
    assert "3 draws" in capsys.readouterr().out
    assert len(np.unique(QTable.read(tmp_path / "samples.fits")["draw"])) == 3
    assert json.loads((tmp_path / "sampling.json").read_text())["interrupted"] is True


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.asdf"], "nowhere.asdf: there is no such session"),
        (["SESSION", "--draws", "0"], "at least 1"),
        (["SESSION", "--draws", "many"], "whole number"),
        (["SESSION", "--seed", "-3"], "at least 0"),
        (["SESSION", "--method", "metropolis"], "gaussian"),
    ],
)
def test_bad_input_is_one_sentence(
    fitted: Path, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [str(fitted / "session.asdf") if word == "SESSION" else word for word in arguments]
    out = tmp_path / "out"
    try:
        status = main(["sample", *said, "--out", str(out)])
    except SystemExit as ended:
        status = int(str(ended.code))
    captured = capsys.readouterr()
    assert status == 2 and not out.exists()
    assert captured.err.count("\n") == 1 and sentence in captured.err
