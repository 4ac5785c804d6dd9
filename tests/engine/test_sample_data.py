"""The sample blend is what its generator makes, and what its README says."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from deblend import Observation, fit, read_observations, scene_from_positions

BANDS = "GRIZY"
COUNT_NJY = 10 ** (0.4 * (31.4 - 27.0))


@pytest.fixture(scope="module")
def remade(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = run_path(str(sample_folder / "generate.py"))
    folder = tmp_path_factory.mktemp("sample")
    generator["main"](folder)
    return folder


def read(folder: Path, band: str, name: str) -> np.ndarray:
    return fits.getdata(folder / f"calexp-HSC-{band}.fits", name).astype(float)


def usable(folder: Path, band: str) -> np.ndarray:
    """Pixels that a careful reader keeps: finite, of positive variance, neither BAD nor SAT nor NO_DATA."""
    mask = fits.getdata(folder / f"calexp-HSC-{band}.fits", "MASK")
    header = fits.getheader(folder / f"calexp-HSC-{band}.fits", "MASK")
    bits = sum(1 << header[f"MP_{plane}"] for plane in ("BAD", "SAT", "NO_DATA"))
    image, variance = read(folder, band, "IMAGE"), read(folder, band, "VARIANCE")
    return np.isfinite(image) & (np.nan_to_num(variance) > 0) & (mask & bits == 0)


def test_the_generator_makes_the_files_again(sample_folder: Path, remade: Path) -> None:
    names = sorted(p.name for p in remade.iterdir())
    assert names == sorted(p.name for p in sample_folder.iterdir() if p.suffix in (".fits", ".gz", ".ecsv"))
    for name in names:
        if name.endswith(".ecsv"):
            old, new = Table.read(sample_folder / name), Table.read(remade / name)
            assert old.colnames == new.colnames
            assert list(old["name"]) == list(new["name"])
            for column in (c for c in old.colnames if old[c].dtype.kind == "f"):
                np.testing.assert_allclose(new[column], old[column], rtol=1e-3)
            continue
        with fits.open(sample_folder / name) as old, fits.open(remade / name) as new:
            assert [hdu.header for hdu in new] == [hdu.header for hdu in old]
            for old_hdu, new_hdu in zip(old, new, strict=True):
                if old_hdu.data is not None:
                    np.testing.assert_allclose(new_hdu.data, old_hdu.data, rtol=1e-3, atol=1e-4)


def test_the_folder_stays_small(sample_folder: Path) -> None:
    assert sum(p.stat().st_size for p in sample_folder.iterdir() if p.is_file()) <= 2e6


@pytest.mark.parametrize("band", BANDS)
def test_the_truth_explains_the_images_to_the_noise(sample_folder: Path, band: str) -> None:
    truth = fits.getdata(sample_folder / "truth.fits.gz")[:, BANDS.index(band)].sum(axis=0)
    keep = usable(sample_folder, band)
    residual = (read(sample_folder, band, "IMAGE") - truth)[keep]
    chi2 = np.mean(residual**2 / read(sample_folder, band, "VARIANCE")[keep])
    # the scatter of a mean of n squares of unit noise is √(2/n)
    assert chi2 == pytest.approx(1.0, abs=4 * np.sqrt(2 / keep.sum()))


def test_every_promised_blemish_is_there(sample_folder: Path) -> None:
    spoilt = {band: int(np.count_nonzero(~usable(sample_folder, band))) for band in BANDS}
    assert spoilt["G"] == 1, "a NaN without a flag"
    assert spoilt["R"] == 0, "a cosmic ray that was interpolated over"
    assert 3 <= spoilt["I"] <= 12, "a saturated core"
    assert spoilt["Z"] == 18 + 1, "a dead column and a variance of 0"
    assert spoilt["Y"] == 15, "a corner without data"


def test_catalog_and_images_of_the_truth_agree(sample_folder: Path) -> None:
    table, images = Table.read(sample_folder / "truth.ecsv"), fits.getdata(sample_folder / "truth.fits.gz")
    assert images.shape == (len(table), len(BANDS), 90, 100)
    assert table["snr"].min() > 10
    y, x = np.mgrid[:90, :100]
    for row, cube in zip(table, images, strict=True):
        for band, image in zip(BANDS, cube, strict=True):
            # what the catalog has more lies outside of the image or below the cut; a steep elliptical has far wings
            assert 0.9 < image.sum() * COUNT_NJY / row[f"flux_hsc_{band.lower()}"] < 1.001
        if row["is_star"]:
            image = cube[BANDS.index("I")]
            near = np.hypot(x - row["x"], y - row["y"]) < 8
            center = np.array([(image * x)[near].sum(), (image * y)[near].sum()]) / image[near].sum()
            np.testing.assert_allclose(center, [row["x"], row["y"]], atol=0.05)


def test_stars_look_like_the_psf(sample_folder: Path) -> None:
    """The star nearest to the middle of a pixel is its PSF stamp, up to the sub-pixel shift."""
    table, images = Table.read(sample_folder / "truth.ecsv"), fits.getdata(sample_folder / "truth.fits.gz")
    row = list(table["name"]).index("K star")
    x, y = round(table["x"][row]), round(table["y"][row])
    for index, band in enumerate(BANDS):
        stamp = fits.getdata(sample_folder / f"psf-HSC-{band}.fits").astype(float)
        assert stamp.sum() == pytest.approx(1, abs=1e-5)
        cut = images[row, index, y - 10 : y + 11, x - 10 : x + 11]
        middle = stamp[11:-11, 11:-11]
        correlation = (cut * middle).sum() / np.sqrt((cut**2).sum() * (middle**2).sum())
        assert correlation > 0.98


@pytest.fixture(scope="module")
def telescopes(sample_folder: Path) -> list[Observation]:
    folder = sample_folder / "two_telescopes"
    names = ("hsc", "hst")
    return list(read_observations([folder / f"{n}.fits" for n in names], psf=[folder / f"psf-{n}.fits" for n in names]))


def test_two_telescopes_see_one_patch_of_sky(telescopes: list[Observation], sample_folder: Path) -> None:
    """The star, from both images: centroids in world coordinates agree to a hundredth of an arcsecond."""
    ground, space = telescopes
    assert (ground.shape, space.shape) == ((60, 60), (336, 336))
    assert ground.grid.affine_to(space.grid).scale == pytest.approx(0.168 / 0.03, rel=1e-3)
    assert not any("measured" in note for o in telescopes for note in o.notes), "errors are in the files"
    truth = Table.read(sample_folder / "two_telescopes" / "truth.ecsv")
    star = truth[list(truth["name"]).index("star")]
    for observation, reach in ((ground, 4), (space, 9)):
        y, x = ground.grid.affine_to(observation.grid)(star["y"], star["x"])
        rows, columns = (slice(round(float(v)) - reach, round(float(v)) + reach + 1) for v in (y, x))
        light = observation.images[BANDS.index("I") if observation is ground else 0, rows, columns]
        light = np.where(light > 0.2 * light.max(), light, 0.0)
        up, across = np.mgrid[rows, columns]
        centroid = (light * up).sum() / light.sum(), (light * across).sum() / light.sum()
        scale = observation.wcs.pixel_scale if observation.wcs is not None else np.nan
        assert np.hypot(centroid[0] - y, centroid[1] - x) * scale < 0.01


def test_the_sample_of_two_telescopes_is_made_again(
    sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(sample_folder))
    run_path(str(sample_folder / "two_telescopes.py"))["main"](tmp_path)
    old_files = sorted((sample_folder / "two_telescopes").iterdir())
    assert [p.name for p in old_files] == sorted(p.name for p in tmp_path.iterdir())
    assert sum(p.stat().st_size for p in old_files) <= 1.5e6
    for path in old_files:
        if path.suffix == ".fits":
            with fits.open(path) as old, fits.open(tmp_path / path.name) as new:
                np.testing.assert_allclose(new[-1].data, old[-1].data, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("as_shipped")
def test_both_telescopes_are_explained_from_the_true_positions(
    telescopes: list[Observation], sample_folder: Path
) -> None:
    """A pixel's chi² is 1 within some per cent; fluxes of what both telescopes see well are right to a few per cent."""
    truth = Table.read(sample_folder / "two_telescopes" / "truth.ecsv")
    best = fit(scene_from_positions(telescopes, truth["x"], truth["y"]), telescopes).run()
    assert all(0.95 < chi2 < 1.06 for chi2 in best.chi2_per_observation.values())
    bright = np.array(truth["snr_HST"]) > 100
    for column, index in (("flux_HSC_r", 1), ("flux_HSC_i", 2), ("flux_HST_w", 5)):
        ratio = best.scene.fluxes[bright, index] / np.array(truth[column])[bright]
        assert np.median(np.abs(ratio - 1)) < 0.04
        assert np.abs(ratio - 1).max() < 0.12
