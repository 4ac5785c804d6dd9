"""DS9's regions as masks: the pixels that they cover, in pixels of the file or on the sky, whole images and pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from deblend import Observation, read_observations
from deblend.observe import gaussian_psf

SHAPE = (50, 60)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pytest.importorskip("regions", reason="the library regions is not installed")
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CRPIX1"], header["CRPIX2"] = 31.0, 26.0
    header["CD1_1"], header["CD2_2"] = -0.2 / 3600, 0.2 / 3600
    header["BUNIT"] = "nJy"
    path = tmp_path / "field.fits"
    fits.writeto(path, np.random.default_rng(1).normal(size=SHAPE).astype("f4"), header)
    fits.writeto(tmp_path / "field_rms.fits", np.ones(SHAPE, "f4"))
    fits.writeto(tmp_path / "field_psf.fits", gaussian_psf(3.0))
    return path


def read(image: Path, text: str, cutout: str | None = None) -> Observation:
    path = image.parent / "bad.reg"
    path.write_text(f"# Region file format: DS9\n{text}\n")
    (observation,) = read_observations([image], mask=path, cutout=cutout)
    return observation


def disk(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 < radius**2)


def test_pixels_of_the_file_are_counted_from_one(image: Path) -> None:
    observation = read(image, "image\ncircle(21,31,5.2)\nbox(50.5,10.5,4,6,0)\npoint(3,3)")
    expected = disk(20, 30, 5.2)
    expected[7:13, 48:52] = True
    np.testing.assert_array_equal(observation.weights[0] == 0, expected)
    assert any(f"{expected.sum()} pixels are masked by the regions of bad.reg" in note for note in observation.notes)


def test_regions_on_the_sky_lie_where_the_wcs_says(image: Path) -> None:
    observation = read(image, 'icrs\ncircle(150.0,2.0,1.04")')
    np.testing.assert_array_equal(observation.weights[0] == 0, disk(30, 25, 5.2))


def test_a_piece_is_masked_where_the_whole_would_be(image: Path) -> None:
    observation = read(image, "image\ncircle(21,31,5.2)", cutout="10:40,20:45")
    np.testing.assert_array_equal(observation.weights[0] == 0, disk(20, 30, 5.2)[20:45, 10:40])


def test_what_covers_nothing_is_said(image: Path) -> None:
    with pytest.raises(ValueError, match=r"bad\.reg: holds no region with an area; draw circles"):
        read(image, "image\npoint(3,3)")
    with pytest.raises(ValueError, match=r"gone\.reg: there is no such file"):
        read_observations([image], mask=image.parent / "gone.reg")
