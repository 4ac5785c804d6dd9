"""Bad input is one sentence that names the file and HDU and says what to do; one row per case."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend.detect import detect
from deblend.io import read_observations
from deblend.observe import gaussian_psf

SHAPE = (20, 24)
Folder = Path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape or SHAPE).astype("f4")


def save(path: Path, data: Any = None, **cards: Any) -> Path:
    """Write data to the primary HDU of a file."""
    fits.PrimaryHDU(data, fits.Header(cards)).writeto(path, overwrite=True)
    return path


def save_lsst(path: Path, **parts: np.ndarray) -> Path:
    """Write parts to HDUs of their names."""
    hdus = [fits.ImageHDU(data, name=name) for name, data in parts.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


@dataclass
class Case:
    """What to read, and what the sentence must say."""

    name: str
    images: Callable[[Folder], Any]
    says: str
    """A regular expression."""
    options: Callable[[Folder], dict[str, Any]] = field(default=lambda folder: {"psf": folder / "psf.fits"})


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def text(path: Path) -> Path:
    path.write_text("x,y\n1,2\n")
    return path


def packed(path: Path) -> Path:
    whole = save(path.with_suffix(""), noise()).read_bytes()
    path.write_bytes(gzip.compress(whole)[:900])
    return path


def table(path: Path) -> Path:
    fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])]).writeto(path)
    return path


def with_nan_band(folder: Folder) -> Path:
    cube = noise(2, *SHAPE)
    cube[1] = np.nan
    return save(folder / "a.fits", cube, BANDS="gr")


def psf_named(name: str, data: Any) -> Callable[[Folder], dict[str, Any]]:
    return lambda folder: {"psf": save(folder / name, data)}


def weights_named(data: Any) -> Callable[[Folder], dict[str, Any]]:
    return lambda folder: {"psf": folder / "psf.fits", "weights": save(folder / "w.fits", data)}


CASES = [
    Case("no image at all", lambda f: [], r"No image was given"),
    Case("missing file", lambda f: f / "gone.fits", r"gone\.fits: there is no such file; check the path"),
    Case("pattern without a file", lambda f: f / "gone*.fits", r"gone\*\.fits: no image fits this pattern"),
    Case("folder without an image", lambda f: f, r"the folder holds no FITS image"),
    Case("not FITS", lambda f: text(f / "a.fits"), r"a\.fits: cannot be read as FITS .*give a FITS file"),
    Case("empty file", lambda f: cut(text(f / "a.fits"), 0), r"a\.fits: cannot be read as FITS"),
    Case("truncated header", lambda f: cut(save(f / "a.fits", noise()), 1000), r"a\.fits: cannot be read as FITS"),
    Case("truncated data", lambda f: cut(save(f / "a.fits", noise(90, 90)), 9000), r"a\.fits: is cut short or damaged"),
    Case("truncated gzip", lambda f: packed(f / "a.fits.gz"), r"a\.fits\.gz: cannot be read as FITS"),
    Case(
        "truncated between HDUs",
        lambda f: cut(save_lsst(f / "a.fits", IMAGE=noise(), MASK=np.zeros(SHAPE, "i4"), VARIANCE=noise()), 15000),
        r"a\.fits: is cut short or damaged",
    ),
    Case("table only", lambda f: table(f / "a.fits"), r"a\.fits: none of its 2 HDUs holds an image"),
    Case("1-D data", lambda f: save(f / "a.fits", noise(30)), r"a\.fits, HDU 0 \(PRIMARY\): holds 1-D data"),
    Case("4-D data", lambda f: save(f / "a.fits", noise(2, 3, *SHAPE)), r"HDU 0 \(PRIMARY\): holds 4-D data"),
    Case("no such HDU", lambda f: f"{save(f / 'a.fits', noise())}[7]", r"a\.fits: has no HDU 7; it has HDU 0"),
    Case("no HDU of that name", lambda f: f"{save(f / 'a.fits', noise())}[SCI]", r"a\.fits: has no HDU SCI"),
    Case("HDU of a table", lambda f: f"{table(f / 'a.fits')}[1]", r"a\.fits, HDU 1: holds no image"),
    Case("all-NaN image", lambda f: save(f / "a.fits", noise() * np.nan), r"a\.fits, HDU 0 .*band a_1: every pixel is"),
    Case("all-NaN band", with_nan_band, r"a\.fits, HDU 0 \(PRIMARY\), band r: every pixel is undefined"),
    Case("constant image", lambda f: save(f / "a.fits", np.ones(SHAPE)), r"a\.fits, HDU 0 .*noise cannot be measured"),
    Case(
        "all masked",
        lambda f: save_lsst(f / "a.fits", IMAGE=noise(), MASK=np.ones(SHAPE, "i4"), VARIANCE=np.ones(SHAPE, "f4")),
        r"a\.fits, HDU 1 \(IMAGE\), band a_1: every pixel is masked",
    ),
    Case(
        "no positive variance",
        lambda f: save_lsst(f / "a.fits", IMAGE=noise(), VARIANCE=np.zeros(SHAPE, "f4")),
        r"a\.fits, HDU 1 \(IMAGE\), band a_1: every pixel is masked or without weight",
    ),
    Case(
        "variance of another shape",
        lambda f: save_lsst(f / "a.fits", IMAGE=noise(), VARIANCE=noise(9, 9)),
        r"a\.fits, HDU 2 \(VARIANCE\): its shape \(9, 9\) is not that of HDU 1",
    ),
    Case(
        "mask of floats",
        lambda f: save_lsst(f / "a.fits", IMAGE=noise(), MASK=noise()),
        r"a\.fits, HDU 2 \(MASK\): bit planes must be integers",
    ),
    Case(
        "BANDS of another number",
        lambda f: save(f / "a.fits", noise(2, *SHAPE), BANDS="g,r,i"),
        r"a\.fits, HDU 0 .*BANDS = 'g,r,i' does not name the 2 planes",
    ),
    Case(
        "a band twice",
        lambda f: [save(f / "a.fits", noise(), FILTER="r"), save(f / "b.fits", noise(), FILTER="r", SURVEY="a")],
        r"a\.fits, .*b\.fits: band r comes more than once; .*--bands",
    ),
    Case(
        "unusable WCS",
        lambda f: save(f / "a.fits", noise(), CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CD1_1=0.0, CD2_2=0.0),
        r"a\.fits, HDU 0 \(PRIMARY\): its WCS cannot be used \(.*singular\)",
    ),
    Case("no PSF", lambda f: save(f / "a.fits", noise()), r"a\.fits: its PSF is not known; give --psf", lambda f: {}),
    Case(
        "missing PSF",
        lambda f: save(f / "a.fits", noise()),
        r"gone\.fits: there is no such file",
        lambda f: {"psf": f / "gone.fits"},
    ),
    Case(
        "PSF without flux",
        lambda f: save(f / "a.fits", noise()),
        r"p\.fits, HDU 0 \(PRIMARY\): a PSF needs positive flux",
        psf_named("p.fits", np.zeros((9, 9))),
    ),
    Case(
        "one PSF plane without flux",
        lambda f: save(f / "a.fits", noise(2, *SHAPE)),
        r"p\.fits, HDU 0 \(PRIMARY\), plane 2: a PSF needs positive flux",
        psf_named("p.fits", np.stack([gaussian_psf(3.0), -gaussian_psf(3.0)])),
    ),
    Case(
        "PSF cube of another number",
        lambda f: save(f / "a.fits", noise(3, *SHAPE)),
        r"p\.fits: has 2 PSF stamps and .*a\.fits has 3 bands",
        psf_named("p.fits", np.stack([gaussian_psf(3.0)] * 2)),
    ),
    Case(
        "number of PSF files",
        lambda f: [save(f / f"{c}.fits", noise()) for c in "abc"],
        r"3 images need one PSF file each .* got 2; repeat --psf",
        lambda f: {"psf": [f / "psf.fits"] * 2},
    ),
    Case(
        "number of weight files",
        lambda f: [save(f / f"{c}.fits", noise()) for c in "ab"],
        r"2 images need as many weight files .* got 1; repeat --weights",
        weights_named(np.ones(SHAPE)),
    ),
    Case(
        "weights of another shape",
        lambda f: save(f / "a.fits", noise()),
        r"w\.fits, HDU 0 \(PRIMARY\): weights of shape 9 × 9 do not fit the image of shape 20 × 24 in .*a\.fits",
        weights_named(np.ones((9, 9))),
    ),
    Case(
        "weights all zero",
        lambda f: save(f / "a.fits", noise()),
        r"a\.fits, HDU 0 \(PRIMARY\), band a_1: every pixel is masked or without weight",
        weights_named(np.zeros(SHAPE)),
    ),
    Case(
        "number of bands",
        lambda f: save(f / "a.fits", noise(3, *SHAPE)),
        r"3 planes in all, and --bands names 2 \(g, r\)",
        lambda f: {"psf": f / "psf.fits", "bands": "g,r"},
    ),
    Case(
        "an empty band",
        lambda f: save(f / "a.fits", noise(2, *SHAPE)),
        r"--bands names 2 \(g, \)",
        lambda f: {"psf": f / "psf.fits", "bands": "g,"},
    ),
]


def flipped(path: Path) -> Path:
    """Write a file whose header says another HDU size than its data have."""
    raw = save(path, noise(90, 90)).read_bytes()
    path.write_bytes(raw.replace(b"NAXIS1  =                   90", b"NAXIS1  =                  900"))
    return path


def broken_fz(path: Path) -> Path:
    hdu = fits.CompImageHDU(noise(90, 90), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return cut(path, 9000)


def given(key: str, said: str, data: Any) -> Callable[[Folder], dict[str, Any]]:
    """Return options that name a file of data, with a word before it."""
    return lambda folder: {"psf": folder / "psf.fits", key: f"{said}{save(folder / 'given.fits', data)}"}


MORE = [
    Case("header of more data than there are", lambda f: flipped(f / "a.fits"), r"a\.fits: is cut short or damaged"),
    Case("truncated .fz", lambda f: broken_fz(f / "a.fits.fz"), r"a\.fits\.fz.*(cut short|cannot be read)"),
    Case(
        "negative variance everywhere",
        lambda f: save_lsst(f / "a.fits", IMAGE=noise(), VARIANCE=np.full(SHAPE, -1.0, "f4")),
        r"a\.fits, HDU 1 \(IMAGE\), band a_1: every pixel is masked or without weight",
    ),
    Case(
        "all-NaN rms",
        lambda f: save(f / "a.fits", noise()),
        r"a\.fits, HDU 0 .*every pixel is masked or without weight",
        given("weights", "rms:", np.full(SHAPE, np.nan)),
    ),
    Case(
        "rms of another shape",
        lambda f: save(f / "a.fits", noise()),
        r"given\.fits, HDU 0 \(PRIMARY\): weights of shape 9 × 9 do not fit",
        given("weights", "rms:", np.ones((9, 9))),
    ),
    Case(
        "missing weights",
        lambda f: save(f / "a.fits", noise()),
        r"rms:gone\.fits: there is no such file|gone\.fits: there is no such file",
        lambda f: {"psf": f / "psf.fits", "weights": "rms:gone.fits"},
    ),
    Case(
        "exposure of nothing",
        lambda f: save(f / "a.fits", noise()),
        r"a\.fits, HDU 0 \(PRIMARY\), band a_1: The noise cannot be measured",
        given("weights", "exposure:", np.zeros(SHAPE)),
    ),
    Case(
        "mask of another shape",
        lambda f: save(f / "a.fits", noise()),
        r"given\.fits, HDU 0 \(PRIMARY\): a mask of shape 9 × 9 does not fit the image of shape 20 × 24",
        given("mask", "", np.ones((9, 9), "i2")),
    ),
    Case(
        "mask of everything",
        lambda f: save(f / "a.fits", noise()),
        r"a\.fits, HDU 0 \(PRIMARY\), band a_1: every pixel is masked",
        given("mask", "", np.ones(SHAPE, "i2")),
    ),
    Case(
        "missing mask",
        lambda f: save(f / "a.fits", noise()),
        r"gone\.fits: there is no such file",
        lambda f: {"psf": f / "psf.fits", "mask": f / "gone.fits"},
    ),
    Case(
        "number of masks",
        lambda f: [save(f / f"{c}.fits", noise()) for c in "abc"],
        r"3 images need one mask each .* got 2; repeat --mask",
        lambda f: {"psf": f / "psf.fits", "mask": [f / "psf.fits"] * 2},
    ),
    Case(
        "no width in a map of widths",
        lambda f: save(f / "a.fits", noise()),
        r"a-psfsize\.fits, HDU 0 \(PRIMARY\): no width in it is above 0",
        lambda f: {"psf": save(f / "a-psfsize.fits", np.zeros(SHAPE))},
    ),
    Case(
        "integers at the end of their range",
        lambda f: save(f / "a.fits", np.full(SHAPE, 32767, "i2")),
        r"a\.fits, HDU 0 \(PRIMARY\), band a_1: every pixel is masked",
    ),
]
CASES += MORE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_sentence(case: Case, tmp_path: Path) -> None:
    save(tmp_path / "psf.fits", gaussian_psf(3.0))
    images = case.images(tmp_path)
    with pytest.raises(ValueError) as raised:
        read_observations(images, **case.options(tmp_path))
    sentence = str(raised.value)
    assert re.search(case.says, sentence), sentence
    assert "\n" not in sentence and sentence.endswith("."), sentence


def test_files_are_closed_also_where_they_are_broken(tmp_path: Path) -> None:
    fd = Path("/proc/self/fd")
    if not fd.is_dir():
        pytest.skip("open files can be counted on Linux only")
    psf = save(tmp_path / "psf.fits", gaussian_psf(3.0))
    good = save(tmp_path / "a.fits", noise())
    bad = cut(save(tmp_path / "b.fits", noise(90, 90)), 9000)

    def open_files() -> list[str]:
        return [
            str(link.readlink()) for link in fd.iterdir() if link.is_symlink() and str(tmp_path) in str(link.readlink())
        ]

    read_observations(good, psf=psf)
    with pytest.raises(ValueError):
        read_observations(bad, psf=psf)
    assert open_files() == []


def test_images_without_common_sky_are_named(tmp_path: Path) -> None:
    psf = save(tmp_path / "psf.fits", gaussian_psf(3.0))
    step = 0.2 / 3600
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": 2.0, "CRPIX1": 9.0, "CRPIX2": 9.0}
    cards |= {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step, "FILTER": "r"}
    files = [
        save(tmp_path / f"{ra}.fits", noise(), CRVAL1=ra, SURVEY=name, **cards)
        for ra, name in ((150.0, "here"), (151.0, "there"))
    ]
    observations = read_observations(files, psf=psf)
    with pytest.raises(ValueError, match=r"^here, there: The images share no sky; .* give the right WCS\.$"):
        detect(observations)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "i4"])
def test_numbers_are_those_of_the_file_whatever_their_byte_order(kind: str, order: str, tmp_path: Path) -> None:
    data = (1000 * noise()).astype(f"{order}{kind}")
    (seen,) = read_observations(
        save(tmp_path / "a.fits", data, BUNIT="nJy"), psf=save(tmp_path / "p.fits", gaussian_psf(3.0))
    )
    assert seen.images.dtype == np.float64 and seen.images.dtype.isnative and seen.weights.dtype.isnative
    np.testing.assert_array_equal(seen.images[0], data.astype(float))


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "uint32", "int16 scaled", "int32 scaled", "uint8"])
def test_integers_do_not_overflow(kind: str, is_compressed: bool, tmp_path: Path) -> None:
    """Numbers come out as they went in; those at the end of the range, and BLANK ones, are masked."""
    rng = np.random.default_rng(5)
    dtype = np.dtype(kind.split()[0])
    limits = np.iinfo(dtype)
    counts = rng.integers(limits.max // 4 + 1, limits.max // 2, SHAPE).astype(np.int64)
    counts[3, 4], counts[5, 6], counts[7, 8] = limits.max, limits.max - 1, limits.min
    header, expected = fits.Header({"BUNIT": "nJy"}), counts.astype(float)
    data: np.ndarray = counts.astype(dtype)
    make: Any = fits.CompImageHDU if is_compressed else fits.ImageHDU
    hdu = make(data, header)
    if kind.endswith("scaled") and is_compressed:
        pytest.skip("astropy writes no scaled integers into compressed images")
    if kind != "uint8":
        # of signed integers, before the zero point that makes them unsigned
        hdu.header["BLANK"] = int(np.iinfo(f"i{dtype.itemsize}").min)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    if kind.endswith("scaled"):
        with fits.open(tmp_path / "a.fits", do_not_scale_image_data=True, mode="update") as hdus:
            hdus[1].header["BSCALE"], hdus[1].header["BZERO"] = 0.25, 10.0
        expected = 10.0 + 0.25 * expected
    (seen,) = read_observations(tmp_path / "a.fits", psf=save(tmp_path / "p.fits", gaussian_psf(3.0)))
    is_good = seen.weights[0] > 0
    assert not is_good[3, 4] and is_good[5, 6]
    assert is_good[7, 8] == (kind == "uint8"), "BLANK"
    np.testing.assert_allclose(seen.images[0][is_good], expected[is_good], rtol=1e-6 if "scaled" in kind else 0)
    assert "1 saturated pixels are masked" in "\n".join(seen.notes)


def test_saturate_counts_for_readings_only(tmp_path: Path) -> None:
    psf = save(tmp_path / "p.fits", gaussian_psf(3.0))
    data = np.random.default_rng(2).integers(100, 200, SHAPE).astype("i2")
    data[2, 2:5] = [600, 599, 601]
    (seen,) = read_observations(save(tmp_path / "a.fits", data, SATURATE=600.0, BUNIT="nJy"), psf=psf)
    assert (seen.weights[0, 2, 2:5] > 0).tolist() == [False, True, False]
    assert "2 saturated pixels are masked (SATURATE = 600)" in "\n".join(seen.notes)
    calibrated = save(tmp_path / "b.fits", data.astype("f4"), SATURATE=600.0, BUNIT="nJy")
    assert read_observations(calibrated, psf=psf)[0].n_unmasked == data.size
