"""Plain FITS: bands, units, weights, PSFs and how files form observations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend.io import read_observations
from deblend.observe import Observation, gaussian_psf
from deblend.sky import Channel

SHAPE = (30, 26)


@pytest.fixture
def psf(tmp_path: Path) -> Path:
    return save(tmp_path / "psf.fits", gaussian_psf(3.0))


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 2.0, (3, *SHAPE))


def save(path: Path, data: Any = None, **cards: Any) -> Path:
    fits.PrimaryHDU(data, fits.Header(cards)).writeto(path, overwrite=True)
    return path


def wcs_cards(scale: float = 0.168, ra: float = 150.0) -> dict[str, Any]:
    step = scale / 3600
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": 2.2, "CRPIX1": 5.0, "CRPIX2": 6.0}
    return {**cards, "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step}


def bands(observation: Observation) -> list[str]:
    return [channel.band for channel in observation.channels]


def notes(*observations: Observation) -> str:
    return "\n".join(note for observation in observations for note in observation.notes)


@pytest.mark.parametrize(
    ("cards", "given", "expected"),
    [
        ({"BANDS": "u,v,w", "BAND1": "a"}, "g,r,i", ["g", "r", "i"]),
        ({"BANDS": "g, r, i", "BAND1": "a", "BAND2": "b", "BAND3": "c"}, None, ["g", "r", "i"]),
        ({"BANDS": "xyz", "BAND1": "a", "BAND2": "b", "BAND3": "c"}, None, ["a", "b", "c"]),
        ({"BANDS": "xyz", "BAND1": "a", "BAND2": "b"}, None, ["x", "y", "z"]),
        ({"BANDS": "wxyz"}, None, ["cube_1", "cube_2", "cube_3"]),
        ({}, None, ["cube_1", "cube_2", "cube_3"]),
    ],
)
def test_bands_of_a_cube(
    cards: dict[str, str], given: str | None, expected: list[str], tmp_path: Path, psf: Path, noise: np.ndarray
) -> None:
    (observation,) = read_observations(save(tmp_path / "cube.fits", noise, **cards), psf=psf, bands=given)
    assert bands(observation) == expected
    assert ("names no band" in notes(observation)) == expected[0].startswith("cube")


@pytest.mark.parametrize(
    ("cards", "channel"),
    [
        ({"FILTER": "HSC-G"}, Channel("HSC", "g")),
        ({"FILTER": "F814W", "TELESCOP": "HST"}, Channel("HST", "F814W")),
        ({"FILTER": "r", "SURVEY": "deep", "TELESCOP": "Blanco"}, Channel("deep", "r")),
        ({"FILTER": "g DECam SDSS c0001", "INSTRUME": "DECam"}, Channel("DECam", "g")),
        ({"BANDS": "z", "FILTER": "r"}, Channel("one", "z")),
        ({"BAND1": "y", "FILTER": "r"}, Channel("one", "y")),
        ({}, Channel("one", "one_1")),
    ],
)
def test_band_and_survey_of_an_image(
    cards: dict[str, str], channel: Channel, tmp_path: Path, psf: Path, noise: np.ndarray
) -> None:
    (observation,) = read_observations(save(tmp_path / "one.fits", noise[0], **cards), psf=psf)
    assert observation.channels == (channel,)
    assert observation.name == channel.survey


def test_the_survey_can_be_named(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    (observation,) = read_observations(save(tmp_path / "one.fits", noise[0], FILTER="r"), psf=psf, survey="KiDS")
    assert observation.name == "KiDS" and observation.channels == (Channel("KiDS", "r"),)


@pytest.mark.parametrize(
    ("cards", "unit", "njy"),
    [
        ({"BUNIT": "nJy"}, "nJy", 1.0),
        ({"BUNIT": "uJy/pix"}, "uJy/pix", 1e3),
        ({"BUNIT": "Jy"}, "Jy", 1e9),
        ({"BUNIT": "nanomaggy"}, "nanomaggy", 3631.0),
        ({"BUNIT": "nmgy", "MAGZERO": 20.0}, "nmgy", 3631.0),
        ({"FLUXMAG0": 10**10.8}, "count", 10 ** (0.4 * 4.4)),
        ({"BUNIT": "electron/s", "ZP": 26.4}, "electron/s", 100.0),
        *(({card: 28.9}, "count", 10.0) for card in ("MAGZERO", "MAGZPT", "MAGZP", "ZP", "ZEROPNT", "PHOTZP")),
        ({"ABMAGZP": 31.4}, "count", 1.0),
    ],
)
def test_units_become_njy(
    cards: dict[str, Any], unit: str, njy: float, tmp_path: Path, psf: Path, noise: np.ndarray
) -> None:
    file = save(tmp_path / "one.fits", noise[0], **cards)
    (observation,) = read_observations(file, psf=psf, weights=save(tmp_path / "w.fits", np.full(SHAPE, 0.25)))
    assert observation.unit == unit
    np.testing.assert_allclose(observation.njy_per_unit, [njy], rtol=1e-6)
    np.testing.assert_allclose(observation.images[0], noise[0] * njy, rtol=1e-6)
    np.testing.assert_allclose(observation.weights[0], 0.25 / njy**2, rtol=1e-6)
    np.testing.assert_allclose(observation.to_input_unit(observation.images)[0], noise[0], rtol=1e-12)
    assert "image units" not in notes(observation)


def test_a_missing_unit_and_variance_are_said(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    (observation,) = read_observations(save(tmp_path / "one.fits", noise[0]), psf=psf)
    assert observation.unit == "image unit" and observation.njy_per_unit.tolist() == [1.0]
    said = notes(observation)
    assert "one.fits: has neither a unit (BUNIT) nor a zero point" in said
    assert "one.fits: has no variance; the noise was measured" in said
    assert "one.fits: has no WCS" in said
    np.testing.assert_allclose(observation.weights**-0.5, 2.0, rtol=0.1)


def test_a_unit_that_is_no_flux_is_said(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    (observation,) = read_observations(save(tmp_path / "one.fits", noise[0], BUNIT="ADU"), psf=psf)
    assert observation.unit == "ADU"
    assert "unit 'ADU' is no flux, and there is no zero point" in notes(observation)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", "i2", "i4", "u2", "u1"])
def test_number_formats(dtype: str, tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    data = np.clip(100 + 5 * noise[0], 0, 255).astype(dtype)
    (observation,) = read_observations(save(tmp_path / "one.fits", data), psf=psf)
    assert observation.images.dtype == np.float64 and observation.images.dtype.isnative
    np.testing.assert_array_equal(observation.images[0], data.astype(float))


def test_blank_integers_are_masked(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    data = (100 + 10 * noise[0]).astype("i2")
    data[3, 4] = -1
    (observation,) = read_observations(save(tmp_path / "one.fits", data, BLANK=-1), psf=psf)
    assert observation.weights[0, 3, 4] == 0 and observation.n_unmasked == data.size - 1


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".fits.bz2", ".fits.fz", ".FIT"])
def test_compressed_files(suffix: str, tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    path = tmp_path / f"one{suffix}"
    image = noise[0].astype("f4")
    if suffix.endswith("fz"):
        hdu = fits.CompImageHDU(image, fits.Header({"FILTER": "r"}), compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    else:
        save(path, image, FILTER="r")
    (observation,) = read_observations(path, psf=psf)
    assert observation.name == "one" and bands(observation) == ["r"]
    np.testing.assert_allclose(observation.images[0], image, atol=1e-6)


def test_an_image_in_any_hdu(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    path = tmp_path / "drz.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])])
    hdus = [fits.ImageHDU(noise[1], name="CTX"), fits.ImageHDU(noise[0], name="SCI"), fits.ImageHDU(noise[2])]
    fits.HDUList([fits.PrimaryHDU(header=fits.Header({"MAGZERO": 28.9})), table, *hdus]).writeto(path)
    (observation,) = read_observations(path, psf=psf)
    np.testing.assert_allclose(observation.images[0], noise[0] * 10, rtol=1e-6)
    assert "HDU 3 (SCI) is read and HDU 2 (CTX), HDU 4 left aside" in notes(observation)
    for name, plane in (("CTX", 1), ("4", 2)):
        (observation,) = read_observations(f"{path}[{name}]", psf=psf)
        np.testing.assert_allclose(observation.images[0], noise[plane] * 10, rtol=1e-6)
        assert "left aside" not in notes(observation)


def test_a_leading_axis_of_length_one_is_no_band_axis(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    (observation,) = read_observations(save(tmp_path / "one.fits", noise[None]), psf=psf)
    assert observation.images.shape == (3, *SHAPE)


def test_bad_weights_are_masked_and_counted(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    weights = np.full(SHAPE, 0.25)
    weights[0, :3], weights[1, :4], weights[2, :5], weights[3, 0] = -1, np.nan, 0, np.inf
    image = noise[0].copy()
    image[5, :6] = np.nan
    file = save(tmp_path / "one.fits", image)
    (observation,) = read_observations(file, psf=psf, weights=save(tmp_path / "w.fits", weights))
    assert observation.n_unmasked == image.size - 3 - 4 - 5 - 1 - 6
    assert "3 pixels of negative weight are masked (w.fits)." in notes(observation)
    assert "5 pixels of undefined weight are masked (w.fits)." in notes(observation)
    assert np.isfinite(observation.images).all() and np.isfinite(observation.weights).all()


@pytest.mark.parametrize(("factor", "is_said"), [(1.0, False), (1.2, False), (2.0, True), (0.5, True)])
def test_noise_that_disagrees_is_said(
    factor: float, is_said: bool, tmp_path: Path, psf: Path, noise: np.ndarray
) -> None:
    weights = save(tmp_path / "w.fits", np.full(noise.shape, (2.0 * factor) ** -2))
    (observation,) = read_observations(save(tmp_path / "c.fits", noise, BANDS="gri"), psf=psf, weights=weights)
    assert ("band r is" in notes(observation)) == is_said


def test_files_of_one_grid_form_one_observation(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    hsc = [save(tmp_path / f"{b}.fits", noise[i], FILTER=f"HSC-{b}", **wcs_cards()) for i, b in enumerate("GRI")]
    hst = save(tmp_path / "f814w.fits", noise[0], FILTER="F814W", TELESCOP="HST", **wcs_cards(0.03))
    other = save(tmp_path / "tile.fits", noise[1], FILTER="HSC-G", **wcs_cards(ra=150.01))
    bare = save(tmp_path / "bare.fits", noise[1], FILTER="r")
    observations = read_observations([hsc[0], hst, hsc[1], other, hsc[2], bare], psf=psf)
    assert [o.name for o in observations] == ["HSC", "HST", "HSC_2", "bare"]
    assert [bands(o) for o in observations] == [["g", "r", "i"], ["F814W"], ["g"], ["r"]]
    assert observations[2].channels == (Channel("HSC_2", "g"),), "two grids, two channels"
    np.testing.assert_allclose(observations[0].images, noise)
    assert [o.wcs is None for o in observations] == [False, False, False, True]


def test_bands_follow_the_order_of_the_files(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    first = save(tmp_path / "first.fits", noise[:2], **wcs_cards())
    second = save(tmp_path / "second.fits", noise[2], **wcs_cards(0.03))
    third = save(tmp_path / "third.fits", noise[2], **wcs_cards())
    one, two = read_observations([first, second, third], psf=psf, bands=["a", "b", "c", "d"])
    assert bands(one) == ["a", "b", "d"] and bands(two) == ["c"]
    assert one.name == "first" and two.name == "second"


def test_psfs_go_with_their_images(tmp_path: Path, noise: np.ndarray) -> None:
    stamps = [gaussian_psf(width) for width in (2.0, 3.0, 4.0)]
    side = max(s.shape[0] for s in stamps)
    cube = np.stack([np.pad(s, (side - s.shape[0]) // 2) for s in stamps])
    files = [save(tmp_path / f"{i}.fits", noise[i], FILTER="abc"[i]) for i in range(3)]
    singles = [save(tmp_path / f"psf{i}.fits", s) for i, s in enumerate(stamps)]
    together = save(tmp_path / "psfs.fits", cube)
    image_cube = save(tmp_path / "cube.fits", noise)
    for images, psf in ((files, singles), (files, together), (image_cube, together)):
        (observation,) = read_observations(images, psf=psf)
        np.testing.assert_allclose(observation.psf, cube, atol=1e-6)
    (observation,) = read_observations(image_cube, psf=singles[1])
    np.testing.assert_allclose(observation.psf, np.stack([stamps[1]] * 3), atol=1e-6)


def test_a_folder_is_read_without_its_psf_weight_and_truth_files(tmp_path: Path, noise: np.ndarray) -> None:
    folder = tmp_path / "field"
    folder.mkdir()
    for i, band in enumerate("gri"):
        save(folder / f"{band}.fits", noise[i], FILTER=band)
    for name in ("psf-g", "hst_psf", "weight", "g.weight", "truth", "x_wht"):
        save(folder / f"{name}.fits", gaussian_psf(3.0))
    (folder / "peaks.csv").write_text("x,y\n")
    (observation,) = read_observations(folder, psf=folder / "psf-g.fits")
    assert bands(observation) == ["g", "i", "r"]
    assert "hst_psf.fits" in notes(observation) and "left aside" in notes(observation)
    for pattern in ("[gri].fits", "*.fits"):
        (by_pattern,) = read_observations(str(folder / pattern), psf=folder / "psf-g.fits")
        np.testing.assert_array_equal(by_pattern.images, observation.images)
        assert ("left aside" in notes(by_pattern)) == (pattern == "*.fits")


def test_observation_read_wants_one(tmp_path: Path, psf: Path, noise: np.ndarray) -> None:
    one, two = (save(tmp_path / f"{s}.fits", noise[0], **wcs_cards(s)) for s in (1, 2))
    assert Observation.read(one, psf=psf).shape == Observation.read([one], psf=psf).shape == SHAPE
    with pytest.raises(ValueError, match="2 observations"):
        Observation.read(one, two, psf=psf)
