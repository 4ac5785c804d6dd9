"""What the command line is told of its input: positions, pieces, weights, masks, noise, several telescopes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from deblend.cli import main
from deblend.io import read_session
from deblend.sky import TangentWcs
from tests.end_to_end.blend import (
    COARSE,
    FINE,
    FINE_SHAPE,
    FLUXES,
    NJY,
    SHAPE,
    SIGMA,
    ZERO_POINT,
    Blend,
    X,
    Y,
    summary,
    with_companions,
)

pytestmark = pytest.mark.usefixtures("users_way")


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


def test_light_over_the_whole_scene_is_fitted_and_written(
    blend: Blend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is none in this blend: what is found is faint, and has a row and a picture of its own."""
    arguments = ["fit", blend.fine, *with_companions(blend, "F814W"), "--passes", "0", "-q", "--out", str(tmp_path)]
    assert main([*arguments, "--diffuse", "1"]) == 2
    assert "must lie between 4 pixels and the side of the scene" in capsys.readouterr().err
    assert main([*arguments, "--diffuse"]) == 0
    table = QTable.read(tmp_path / "full_scene.ecsv")
    (flux,) = (name for name in table.colnames if name.startswith("flux_") and "err" not in name)
    error = table[flux.replace("flux_", "flux_err_")].value[0]
    assert table["name"][0] == "full scene" and 0.0 <= table[flux].value[0] < 5.0 * error
    with fits.open(tmp_path / "components.fits") as found, fits.open(tmp_path / "models.fits") as models:
        assert found[-1].header["NAME"] == "full scene"
        np.testing.assert_allclose(sum(hdu.data for hdu in found[1:]), models[1].data, atol=0.05 * SIGMA)


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


def test_the_pixels_that_sources_live_on_can_be_chosen(blend: Blend, tmp_path: Path) -> None:
    arguments = [*blend.coarse, blend.fine, *with_companions(blend, "g", "r", "F814W"), "-q", "--no-errors"]
    chosen = ["--oversampling", "2", "--cover", "intersection", "--max-iterations", "1", "--passes", "0"]
    assert main(["fit", *arguments, *chosen, "--out", str(tmp_path / "out")]) == 1
    grid = read_session(tmp_path / "out" / "session.asdf").scene.grid
    assert grid.shape == (2 * FINE_SHAPE[0], 2 * FINE_SHAPE[1])


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
@pytest.mark.usefixtures("as_shipped")
def test_hsc_and_hst_of_one_patch_are_fitted_to_their_noise(data_folder: Path, tmp_path: Path) -> None:
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


def test_known_stars_have_a_table_of_their_own(blend: Blend, tmp_path: Path) -> None:
    ra, dec = COARSE.pixel_to_sky(X[1:2], Y[1:2])
    table = tmp_path / "gaia.csv"
    table.write_text(f"source_id,ra,dec\n17,{ra[0]!r},{dec[0]!r}\n".replace("np.float64(", "").replace(")", ""))
    peaks = tmp_path / "peaks.csv"
    peaks.write_text("x,y\n" + "".join(f"{X[k]},{Y[k]}\n" for k in (0, 2)))
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(peaks), "--stars", str(table)]
    out = tmp_path / "out"
    assert main(["fit", *arguments, "--no-errors", "-q", "--out", str(out)]) == 0
    stars, catalog = QTable.read(out / "stars.ecsv"), QTable.read(out / "catalog.ecsv")
    assert list(stars["name"]) == ["17"] and len(catalog) == 2
    about = summary(out)
    assert about["n_stars"] == 1 and about["chi2"] == pytest.approx(1.0, abs=0.05)
    assert any("gaia.csv: no proper motions" in note for note in about["notes"])
    for band in "gr":
        assert stars[f"flux_HSC_{band}"][0].value == pytest.approx(FLUXES[band][1] * NJY, rel=0.1)
    assert main(["fit", *arguments[:-1], str(tmp_path / "none.csv"), "-q"]) == 2


def test_spectra_follow_a_law_that_is_said_in_words(blend: Blend, tmp_path: Path) -> None:
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    assert main(["fit", "-q", *arguments, "--law", "power-law:slope=-1", "--out", str(tmp_path / "free")]) == 0
    free = QTable.read(tmp_path / "free" / "catalog.ecsv")
    assert set(free["law"]) == {"power law"}
    slopes = np.array(free["law_slope"])
    # two bands and two numbers: fluxes are what they are without a law
    ratios = np.asarray(FLUXES["r"]) / np.asarray(FLUXES["g"])
    found = np.array([free[name].value for name in ("flux_HSC_r", "flux_HSC_g")])
    np.testing.assert_allclose(found[0] / found[1], ratios, rtol=0.1)
    assert np.ptp(slopes) > 0.1
    held = [*arguments, "--law", "power-law:slope=-1!", "--no-errors", "--out", str(tmp_path / "held")]
    main(["fit", "-q", *held])
    table = QTable.read(tmp_path / "held" / "catalog.ecsv")
    colors = table["flux_HSC_r"].value / table["flux_HSC_g"].value
    assert np.ptp(colors) < 1e-3 * colors[0]


def test_a_template_is_read_from_a_file(blend: Blend, tmp_path: Path) -> None:
    waves = np.linspace(1500.0, 12000.0, 200)
    template = tmp_path / "step.csv"
    rows = "\n".join(f"{w},{1.0 if w < 4000.0 else 2.5}" for w in waves)
    template.write_text(f"wavelength,flux\n{rows}\n")
    arguments = [*blend.coarse, *with_companions(blend, "g", "r"), "--peaks", str(blend.folder / "peaks.csv")]
    said = ["--law", f"template:{template}@z=0.3!", "--no-errors", "-q", "--out", str(tmp_path / "out")]
    main(["fit", *arguments, *said])
    table = QTable.read(tmp_path / "out" / "catalog.ecsv")
    assert set(table["law"]) == {"template"}
    np.testing.assert_allclose(np.asarray(table["law_redshift"], float), 0.3, atol=1e-6)
