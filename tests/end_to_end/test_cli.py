"""The command line from FITS to results, on a small blend made here; exit codes and every file it writes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from deblend.cli import main
from tests.end_to_end.blend import (
    COARSE,
    FLUXES,
    NJY,
    SHAPE,
    SIGMA,
    Blend,
    X,
    Y,
    summary,
    with_companions,
)

pytestmark = pytest.mark.usefixtures("users_way")

OUTPUTS = {"catalog.ecsv", "models.fits", "residuals.fits", "components.fits", "regions.reg"}
OUTPUTS |= {"session.asdf", "summary.json"}


def test_every_file_is_there_and_nothing_else(fitted: Path) -> None:
    assert {path.name for path in fitted.iterdir()} == OUTPUTS


def test_the_summary(fitted: Path) -> None:
    found = summary(fitted)
    assert 0.85 < found["chi2"] < 1.15
    assert found["chi2_per_observation"] == {"HSC": pytest.approx(found["chi2"], rel=1e-6)}
    assert found["n_sources"] == 3 and found["converged"] is True and found["outcome"]
    assert found["uneven"] == [], "they are smooth"
    assert 1 <= found["iterations"] <= 60 and found["compilations"] >= 1
    phases = {"read", "detect", "prepare", "fit", "fit_cpu", "measure", "write"}
    assert phases <= set(found["seconds"]) and all(s >= 0 for s in found["seconds"].values())
    assert {"napari-deblend", "jax", "numpy", "python"} <= set(found["versions"])
    assert any("MAGZERO = 27" in note for note in found["notes"])
    assert found["settings"]["fit"]["solver"] and found["settings"]["arguments"]["box_scale"] == 1.0


def test_models_and_residuals_add_up_to_the_images(fitted: Path, blend: Blend) -> None:
    with fits.open(fitted / "models.fits") as models, fits.open(fitted / "residuals.fits") as residuals:
        assert [hdu.header["EXTNAME"] for hdu in models[1:]] == ["HSC"]
        model, residual = models["HSC"], residuals["HSC"]
        assert model.data.shape == residual.data.shape == (2, *SHAPE)
        assert [model.header["BAND1"], model.header["BAND2"]] == ["g", "r"]
        for plane, left, path in zip(model.data, residual.data, blend.coarse, strict=True):
            np.testing.assert_allclose(plane + left, fits.getdata(path), atol=1e-4)
            assert np.std(left) == pytest.approx(SIGMA, rel=0.1)
        chi2 = np.mean((residual.data / SIGMA) ** 2)
        assert chi2 == pytest.approx(summary(fitted)["chi2"], rel=1e-3)
        sky = WCS(model.header, naxis=2).all_pix2world(X, Y, 0)
        np.testing.assert_allclose(sky, COARSE.pixel_to_sky(X, Y), atol=1e-8)


def test_components_are_those_of_the_peaks(fitted: Path, blend: Blend) -> None:
    with fits.open(fitted / "components.fits") as hdus, fits.open(fitted / "models.fits") as models:
        assert [(h.header["SOURCE"], h.header["OBS"]) for h in hdus[1:]] == [(0, "HSC"), (1, "HSC"), (2, "HSC")]
        total = sum(hdu.data for hdu in hdus[1:])
        np.testing.assert_allclose(total, models["HSC"].data, atol=2e-3 * models["HSC"].data.max())
        for row, hdu in enumerate(hdus[1:]):
            assert hdu.data.shape == (2, *SHAPE)
            for plane, band in zip(hdu.data, "gr", strict=True):
                truth = blend.components[band][row]
                assert np.abs(plane - truth).sum() < 0.2 * truth.sum()
                assert plane.sum() == pytest.approx(truth.sum(), rel=0.1)


def test_the_catalog(fitted: Path) -> None:
    table = QTable.read(fitted / "catalog.ecsv")
    assert len(table) == 3
    np.testing.assert_allclose(table["x"].value if hasattr(table["x"], "unit") else table["x"], X, atol=0.3)
    for band in "gr":
        flux = table[f"flux_HSC_{band}"]
        np.testing.assert_allclose(flux.to_value("nJy"), np.array(FLUXES[band]) * NJY, rtol=0.1)
        assert (table[f"flux_err_HSC_{band}"].to_value("nJy") > 0).all()
    np.testing.assert_allclose(table["ra"].to_value("deg"), COARSE.pixel_to_sky(X, Y)[0], atol=0.3 * 0.168 / 3600)


def test_what_is_said(blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", *blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main([*arguments, "--out", str(tmp_path / "loud"), "--no-errors"]) == 0
    said = capsys.readouterr()
    assert "note: all 2 images from image_g.fits on: one count is" in said.err
    assert "chi2" in said.err, "the progress bar shows chi²"
    head, *rows, chi2, last = said.out.splitlines()
    assert head.split()[:3] == ["name", "x", "y"] and len(rows) == 3
    assert chi2.startswith("chi2 per pixel") and last == f"Results are in {tmp_path / 'loud'}."
    assert main([*arguments, "--out", str(tmp_path / "quiet"), "--no-errors", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert summary(tmp_path / "quiet")["notes"] == summary(tmp_path / "loud")["notes"]


def test_sources_are_detected_where_none_are_given(blend: Blend, tmp_path: Path) -> None:
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--threshold", "8", "--out", str(tmp_path)]
    assert main(["fit", *arguments]) == 0
    table = QTable.read(tmp_path / "catalog.ecsv")
    assert summary(tmp_path)["n_sources"] == len(table) >= 2
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    with fits.open(tmp_path / "components.fits") as hdus:
        assert [hdu.header["SOURCE"] for hdu in hdus[1:]] == list(range(len(table)))
        for hdu, row in zip(hdus[1:], table, strict=True):
            weight = np.clip(hdu.data.sum(0), 0, None)
            center = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
            assert np.hypot(center[0] - float(row["x"].value), center[1] - float(row["y"].value)) < 1.5


def test_a_fit_that_does_not_converge_writes_everything(blend: Blend, tmp_path: Path) -> None:
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main(["fit", *arguments, "--max-iterations", "1", "--out", str(tmp_path)]) == 1
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS
    assert summary(tmp_path)["converged"] is False and summary(tmp_path)["iterations"] == 1


def test_ctrl_c_keeps_the_best_and_writes_everything(
    blend: Blend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import deblend

    real = deblend.fit

    class Pressed:
        """The real fit, with Ctrl-C pressed while it takes its second step."""

        def __init__(self, *args: Any, **options: Any) -> None:
            self.real = real(*args, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def __next__(self) -> Any:
            if self.real.state.iteration == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return next(self.real)

    monkeypatch.setattr(deblend, "fit", Pressed)
    before = signal.getsignal(signal.SIGINT)
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main(["fit", *arguments, "--out", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS
    assert "Interrupted" in summary(tmp_path)["outcome"]
    assert summary(tmp_path)["iterations"] == 2 and summary(tmp_path)["converged"] is False
    assert "Interrupted" in capsys.readouterr().out


def test_memory_that_ends_keeps_the_best_and_writes_everything(
    blend: Blend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What XLA raises in the middle of a fit is one sentence, and status 4."""
    from deblend import Fit

    advance = Fit.__next__

    def failing(fit: Fit) -> Any:
        if fit._iteration == 2:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.")
        return advance(fit)

    monkeypatch.setattr(Fit, "__next__", failing)
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main(["fit", *arguments, "--no-errors", "-q", "--out", str(tmp_path)]) == 4
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS
    assert summary(tmp_path)["iterations"] == 2 and "not enough memory" in summary(tmp_path)["outcome"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "not enough memory" in said and "best state so far was written" in said
