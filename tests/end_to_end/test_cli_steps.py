"""The steps of a fit as commands of their own: where sources are, and what they measure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from deblend.cli import main
from tests.end_to_end.blend import Blend, X, Y, summary, with_companions
from tests.engine.conftest import Systems
from tests.engine.test_learned import irregular_blend

pytestmark = pytest.mark.usefixtures("users_way")


def test_detect_writes_what_fit_takes(blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from deblend import io

    images = [*blend.coarse, *with_companions(blend, "g", "r")]
    out = tmp_path / "found" / "peaks.ecsv"
    assert main(["detect", *images, "--threshold", "8", "--out", str(out)]) == 0
    table = QTable.read(out)
    assert f"{len(table)} sources 8 sigma above the noise" in capsys.readouterr().out
    assert main(["detect", *images, "--threshold", "8", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["out"] == str(out) and [row["x"] for row in said["sources"]] == table["x"].value.tolist()
    near = np.hypot(table["x"].value[:, None] - X, table["y"].value[:, None] - Y).min(axis=1)
    assert len(table) >= 2 and near.max() < 1.5 and np.all(np.diff(table["snr"]) <= 0)
    observations = io.read_observations(blend.coarse, psf=[str(blend.folder / f"psf_{b}.fits") for b in "gr"])
    read = io.read_positions(out, observations[0], None)
    np.testing.assert_allclose(read.x, table["x"].value, atol=1e-3)
    assert main(["detect", *images, "--out", str(tmp_path / "peaks.txt")]) == 2
    assert "a table ends in" in capsys.readouterr().err


def test_measure_writes_the_catalog_of_a_session(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again.fits"
    assert main(["measure", str(fitted / "session.asdf"), "--out", str(out), "-q", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["written"] == [str(out)] and {"x", "flux_HSC_g", "covariance"} <= set(said["catalog"][0])
    before, table = QTable.read(fitted / "catalog.ecsv"), QTable.read(out)
    for band in "gr":
        np.testing.assert_allclose(table[f"flux_HSC_{band}"], before[f"flux_HSC_{band}"], rtol=1e-4)
        np.testing.assert_allclose(table[f"flux_err_HSC_{band}"], before[f"flux_err_HSC_{band}"], rtol=0.05)


def test_run_does_the_fits_of_a_command_again(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", str(fitted / "session.asdf"), "--no-errors", "-q", "--json"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert runs and all(run["iterations"] > 1 and run["fluxes_agree_to"] < 1e-6 for run in runs)
    before, after = (QTable.read(folder / "catalog.ecsv") for folder in (fitted, tmp_path))
    np.testing.assert_allclose(after["flux_HSC_r"], before["flux_HSC_r"], rtol=1e-6)


def test_uneven_galaxies_begin_anew_before_the_first_fit_is_at_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observation, places, fluxes = irregular_blend(Systems(), 3)
    images, options = [], []
    for k, band in enumerate("gr"):
        header = fits.Header({"FILTER": band, "BUNIT": "nJy", "SURVEY": "HSC"})
        image, psf, weight = (tmp_path / f"{what}_{band}.fits" for what in ("image", "psf", "weight"))
        fits.PrimaryHDU(observation.images[k], header).writeto(image)
        fits.PrimaryHDU(observation.psf[k]).writeto(psf)
        fits.PrimaryHDU(observation.weights[k]).writeto(weight)
        images.append(str(image))
        options += ["--psf", str(psf), "--weights", f"ivar:{weight}"]
    peaks = tmp_path / "peaks.csv"
    peaks.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in places))
    words = ["fit", *images, *options, "--peaks", str(peaks), "--no-errors", "-q", "--out"]
    found = {}
    for name, more in (("anew", []), ("kept", ["--keep-kinds"])):
        assert main([*words, str(tmp_path / name), *more]) == 0
        found[name] = summary(tmp_path / name)
    capsys.readouterr()
    assert len(found["anew"]["uneven"]) == 2 and found["kept"]["uneven"] == []
    assert found["anew"]["converged"] and any("uneven" in note for note in found["anew"]["notes"])
    errors = {
        name: np.abs(
            np.array([QTable.read(tmp_path / name / "catalog.ecsv")[f"flux_HSC_{b}"].value for b in "gr"]).T / fluxes
            - 1.0
        )
        for name in found
    }
    assert errors["anew"].mean() < errors["kept"].mean()
    again = ["run", str(tmp_path / "anew" / "session.asdf"), "--no-errors", "-q", "--json", "--out"]
    assert main([*again, str(tmp_path / "again")]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len(runs) == 2 and all(run["fluxes_agree_to"] < 1e-6 for run in runs)
    assert runs[0]["iterations"] < found["kept"]["iterations"], "it was left as soon as it had told"
