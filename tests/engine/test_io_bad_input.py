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
