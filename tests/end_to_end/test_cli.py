"""The command line from FITS to results, on a small blend made here; exit codes and every file it writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from scipy.signal import fftconvolve

from deblend.cli import main
from deblend.observe import gaussian_psf
from deblend.sky import TangentWcs

SHAPE, FINE_SHAPE = (44, 40), (88, 80)
ZERO_POINT = 27.0
NJY = 10 ** (0.4 * (31.4 - ZERO_POINT))
SIGMA = 0.05
X, Y = np.array([12.3, 19.8, 28.1]), np.array([14.2, 17.9, 30.4])
WIDTHS = (1.6, 0.05, 2.3)
"""Standard deviations of round Gaussians; the second is a star."""
FLUXES = {"g": (40.0, 25.0, 60.0), "r": (80.0, 20.0, 75.0), "F814W": (90.0, 15.0, 85.0)}
COARSE = TangentWcs((150.0, 2.2), (19.5, 21.5), ((-0.168, 0.0), (0.0, 0.168)))
FINE = TangentWcs((150.0, 2.2), (39.5, 43.5), ((-0.084, 0.0), (0.0, 0.084)))
OUTPUTS = {"catalog.ecsv", "models.fits", "residuals.fits", "components.fits", "summary.json"}


@pytest.fixture(scope="module", autouse=True)
def as_users_run_it() -> Iterator[None]:
    """Run the program as it is, without the strictness that the engine's own tests ask of JAX."""
    # for every thread, not only for this one: the program compiles in others
    strict = jax.config.jax_numpy_rank_promotion
    jax.config.update("jax_numpy_rank_promotion", "allow")
    yield
    jax.config.update("jax_numpy_rank_promotion", strict)


@dataclass
class Blend:
    """Files of one patch: two bands on a coarse grid, one on a grid of half the pixel size."""

    folder: Path
    coarse: list[str]
    fine: str
    components: dict[str, np.ndarray]
    """Noiseless (source, y, x) as each band sees it [count]."""


def gaussian(shape: tuple[int, int], x: float, y: float, width: float) -> np.ndarray:
    """Return a Gaussian of flux 1, integrated over pixels by sampling them nine times finer."""
    fine = (np.arange(9) - 4) / 9
    yy = (np.arange(shape[0])[:, None] + fine).ravel()
    xx = (np.arange(shape[1])[:, None] + fine).ravel()
    width = max(width, 0.15)
    row = np.exp(-0.5 * ((yy - y) / width) ** 2).reshape(-1, 9).sum(1)
    column = np.exp(-0.5 * ((xx - x) / width) ** 2).reshape(-1, 9).sum(1)
    return np.outer(row / row.sum(), column / column.sum())


@pytest.fixture(scope="module")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Blend:
    folder = tmp_path_factory.mktemp("blend")
    rng = np.random.default_rng(11)
    components, files = {}, {}
    for band, survey, wcs, shape, scale, fwhm in (
        ("g", "HSC-G", COARSE, SHAPE, 1.0, 4.0),
        ("r", "HSC-R", COARSE, SHAPE, 1.0, 3.6),
        ("F814W", "F814W", FINE, FINE_SHAPE, 2.0, 2.6),
    ):
        psf = gaussian_psf(fwhm)
        x, y = wcs.sky_to_pixel(*COARSE.pixel_to_sky(X, Y))
        seen = [
            flux * fftconvolve(gaussian(shape, cx, cy, width * scale), psf, mode="same")
            for flux, cx, cy, width in zip(FLUXES[band], x, y, WIDTHS, strict=True)
        ]
        components[band] = np.stack(seen)
        image = components[band].sum(0) + rng.normal(0, SIGMA, shape)
        header = wcs.to_header()
        header["FILTER"], header["MAGZERO"] = survey, ZERO_POINT
        if band == "F814W":
            header["TELESCOP"] = "HST"
        files[band] = str(folder / f"image_{band}.fits")
        fits.PrimaryHDU(image.astype("f4"), header).writeto(files[band])
        fits.PrimaryHDU(np.full(shape, SIGMA**-2, "f4")).writeto(folder / f"weight_{band}.fits")
        fits.PrimaryHDU(psf).writeto(folder / f"psf_{band}.fits")
    rows = "\n".join(f"{i},{x},{y}" for i, (x, y) in enumerate(zip(X, Y, strict=True)))
    (folder / "peaks.csv").write_text(f"id,x,y\n{rows}\n")
    return Blend(folder, [files["g"], files["r"]], files["F814W"], components)


def with_companions(blend: Blend, *bands: str) -> list[str]:
    options = []
    for band in bands:
        options += ["--psf", str(blend.folder / f"psf_{band}.fits")]
        options += ["--weights", str(blend.folder / f"weight_{band}.fits")]
    return options


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def fitted(blend: Blend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The results of a fit with given peaks."""
    out = tmp_path_factory.mktemp("fitted") / "new" / "folder"
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main(["fit", *arguments, "--out", str(out)]) == 0
    yield out


def test_every_file_is_there_and_nothing_else(fitted: Path) -> None:
    assert {path.name for path in fitted.iterdir()} == OUTPUTS


def test_the_summary(fitted: Path) -> None:
    found = summary(fitted)
    assert 0.85 < found["chi2"] < 1.15
    assert found["chi2_per_observation"] == {"HSC": pytest.approx(found["chi2"], rel=1e-6)}
    assert found["n_sources"] == 3 and found["converged"] is True and found["outcome"]
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


def test_correlated_noise_is_measured_where_it_is_asked_for(blend: Blend, tmp_path: Path) -> None:
    """White noise is: what is measured is next to nothing, and said."""
    arguments = [blend.fine, *with_companions(blend, "F814W"), "--correlated-noise", "--no-errors", "-q"]
    assert main(["fit", *arguments, "--out", str(tmp_path)]) == 0
    about = summary(tmp_path)
    assert about["observations"][0]["noise"] == "correlated"
    assert about["chi2"] == pytest.approx(1.0, abs=0.05)
    (note,) = [note for note in about["notes"] if "correlation of neighbours" in note]
    # of 5000 pixels: to 0.014 and rounding
    assert all(abs(float(number)) < 0.07 for number in re.findall(r"(\S+) in [xy]", note))


def test_sky_positions_give_the_same_as_pixels(blend: Blend, fitted: Path, tmp_path: Path) -> None:
    ra, dec = COARSE.pixel_to_sky(X, Y)
    peaks = tmp_path / "sky.csv"
    peaks.write_text("ra,dec\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(ra.tolist(), dec.tolist(), strict=True)))
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(peaks), "--no-errors"]
    assert main(["fit", *arguments, "--out", str(tmp_path / "out")]) == 0
    with fits.open(tmp_path / "out" / "models.fits") as found, fits.open(fitted / "models.fits") as expected:
        np.testing.assert_allclose(found[1].data, expected[1].data, atol=0.1 * SIGMA)


def test_a_cutout_is_fitted_alone_with_corrections(
    blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a catalog of the whole, positions outside are left aside; a zero point 2.5 mag lower is ten times the flux."""
    ra, dec = COARSE.pixel_to_sky(X, Y)
    peaks = tmp_path / "sky.csv"
    peaks.write_text("ra,dec\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(ra.tolist(), dec.tolist(), strict=True)))
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(peaks), "--no-errors"]
    fluxes = []
    for extra in ([], ["--zero-point", str(ZERO_POINT - 2.5)]):
        out = tmp_path / f"out{len(extra)}"
        assert main(["fit", *arguments, "--cutout", "1:27,2:28", *extra, "--out", str(out)]) in (0, 1)
        table = QTable.read(out / "catalog.ecsv")
        np.testing.assert_allclose((table["x"].value, table["y"].value), (X[:2] - 1, Y[:2] - 2), atol=0.5)
        column = next(name for name in table.colnames if name.startswith("flux_") and "err" not in name)
        fluxes.append(table[column].value)
        assert summary(out)["observations"][0]["shape"] == [26, 26]
    np.testing.assert_allclose(fluxes[1], 10 * fluxes[0], rtol=0.05)
    said = capsys.readouterr().err
    assert "1 of its positions lie outside of the cut-out" in said
    assert "only a piece is read" in said and "corrected by hand: zero point" in said
    assert main(["fit", *blend.coarse, *with_companions(blend, "g", "r"), "--cutout", "5 5 5"]) == 2
    assert "misses this image" in capsys.readouterr().err


def test_what_is_said_of_weights_masks_and_peaks(
    blend: Blend, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard deviations in place of inverse variances, twice too large, and 1-based peaks: the same fluxes."""
    files = [tmp_path / f"given_{band}.fits" for band in "gr"]
    for file in files:
        fits.writeto(file, np.full(SHAPE, 2.0 * SIGMA, "f4"))
    bad = np.zeros(SHAPE, "i2")
    bad[0, :5] = 1
    fits.writeto(tmp_path / "bad.fits", bad)
    (tmp_path / "peaks.csv").write_text("x,y\n" + "".join(f"{x + 1},{y + 1}\n" for x, y in zip(X, Y, strict=True)))
    arguments = [*blend.coarse, "--mask", str(tmp_path / "bad.fits"), "--peaks", str(tmp_path / "peaks.csv")]
    arguments += ["--peaks-origin", "1", "--rescale-weights", "--no-errors"]
    for band, file in zip("gr", files, strict=True):
        arguments += ["--psf", str(blend.folder / f"psf_{band}.fits"), "--weights", f"rms:{file}"]
    assert main(["fit", *arguments, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "its weights are 1/error² of given_g.fits" in said and "5 pixels are masked where bad.fits" in said
    assert "weights were multiplied" in said and "pixels counted from 1" in said
    ours, theirs = (QTable.read(out / "catalog.ecsv") for out in (tmp_path / "out", fitted))
    for column in ("x", "y"):
        np.testing.assert_allclose(ours[column], theirs[column], atol=0.02)
    assert summary(tmp_path / "out")["chi2"] == pytest.approx(1.0, abs=0.1)


def test_two_telescopes_are_fitted_together_each_on_its_own_pixels(blend: Blend, tmp_path: Path) -> None:
    arguments = [*blend.coarse, blend.fine, *with_companions(blend, "g", "r", "F814W"), "-q"]
    peaks, out = str(blend.folder / "peaks.csv"), tmp_path / "out"
    assert main(["fit", *arguments, "--peaks", peaks, "--out", str(out)]) == 0
    assert summary(out)["chi2_per_observation"] == {name: pytest.approx(1.0, abs=0.15) for name in ("HSC", "HST")}
    table = QTable.read(out / "catalog.ecsv")
    # positions are told in pixels of the first image
    np.testing.assert_allclose(table["x"].to_value("pix"), X, atol=0.3)
    np.testing.assert_allclose(table["y"].to_value("pix"), Y, atol=0.3)
    for column, band in (("HSC_g", "g"), ("HSC_r", "r"), ("HST_F814W", "F814W")):
        np.testing.assert_allclose(table[f"flux_{column}"].to_value("nJy"), np.array(FLUXES[band]) * NJY, rtol=0.12)
    with fits.open(out / "models.fits") as models, fits.open(out / "components.fits") as components:
        assert [hdu.header["EXTNAME"] for hdu in models[1:]] == ["HSC", "HST"]
        assert models["HST"].data.shape == (1, *FINE_SHAPE)
        assert [(h.header["SOURCE"], h.header["OBS"]) for h in components[1:]] == [
            (row, name) for row in range(3) for name in ("HSC", "HST")
        ]
        for hdu in components[1:]:
            if hdu.header["OBS"] == "HST":
                truth = blend.components["F814W"][hdu.header["SOURCE"]]
                assert np.abs(hdu.data[0] - truth).sum() < 0.25 * truth.sum()


@pytest.mark.parametrize("fault", ["elsewhere", "no WCS"])
def test_images_that_cannot_be_laid_on_one_another_are_refused_in_a_sentence(
    blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    image = fits.getdata(blend.fine)
    header = (
        TangentWcs((151.0, 2.2), FINE.reference, FINE.matrix).to_header() if fault == "elsewhere" else fits.Header()
    )
    header["FILTER"], header["MAGZERO"] = "F814W", ZERO_POINT
    fits.PrimaryHDU(image, header).writeto(tmp_path / "other.fits")
    arguments = [*blend.coarse, str(tmp_path / "other.fits"), *with_companions(blend, "g", "r", "F814W"), "-q"]
    assert main(["fit", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert ("share no sky" if fault == "elsewhere" else "by their WCS, and one of them has none") in said
    assert said.startswith("deblend: ") and said.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_hsc_and_hst_of_one_patch_converge(data_folder: Path, tmp_path: Path) -> None:
    """Real images without variances; the noise that was measured in them is that of the residual in the end."""
    folder = data_folder / "cosmos_hsc_hst"
    images = [str(folder / name) for name in ("hsc_grizy.fits", "hst_f814w.fits")]
    psfs = [argument for name in ("hsc_psf.fits", "hst_psf.fits") for argument in ("--psf", str(folder / name))]
    options = ["--bands", "g,r,i,z,y,F814W", "--no-errors", "-q", "--out", str(tmp_path)]
    assert main(["fit", *images, *psfs, *options]) == 0
    found = summary(tmp_path)
    assert 0.8 < found["chi2"] < 1.3
    assert all(0.8 < chi2 < 1.3 for chi2 in found["chi2_per_observation"].values())
    assert 20 <= found["n_sources"] <= 60


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.fits"], "gone.fits: there is no such file"),
        (["{lonely}"], "its PSF is not known; give --psf FILE"),
        (["{g}", "--psf", "{peaks}"], "peaks.csv: cannot be read as FITS"),
        (["{g}", "--psf", "{psf}", "--bands", "g,r"], "--bands names 2"),
        (["{g}", "--psf", "{psf}", "--peaks", "gone.csv"], "gone.csv: there is no such table"),
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


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    # the package is stood in for by its bare folder, so that only what the parser needs is imported
    code = """
import importlib.util, sys, types
package = types.ModuleType("deblend")
package.__path__ = importlib.util.find_spec("deblend").submodule_search_locations
sys.modules["deblend"] = package
from deblend.cli import build_parser
build_parser()
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"jax", "numpy", "astropy", "tqdm"} & set(done.stdout.split())


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "deblend", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("deblend ")
    done = subprocess.run(
        [sys.executable, "-m", "deblend", "fit", "gone.fits"], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 2
