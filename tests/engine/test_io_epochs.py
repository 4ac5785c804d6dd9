"""Images of one band at several times: told apart by their headers, or by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend import Channel, empty_scene, read_observations, with_transients
from deblend.observe import gaussian_psf

SHAPE = (40, 44)


def write(path: Path, **cards: Any) -> Path:
    """Write an image of a star on a sky, with these cards."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    star = 300.0 * np.exp(-0.5 * ((x - 20.0) ** 2 + (y - 18.0) ** 2) / 1.5**2)
    image = star + np.random.default_rng(len(path.name)).normal(size=SHAPE)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CRPIX1"], header["CRPIX2"] = 22.0, 20.0
    header["CD1_1"], header["CD2_2"] = -0.2 / 3600, 0.2 / 3600
    header["BUNIT"], header["TELESCOP"], header["FILTER"] = "nJy", "LSST", "r"
    for name, value in cards.items():
        header[name.replace("_", "-")] = value
    fits.writeto(path, image.astype("f4"), header)
    return path


@pytest.fixture
def psf(tmp_path: Path) -> Path:
    path = tmp_path / "stars.psf.fits"
    fits.writeto(path, gaussian_psf(3.5))
    return path


def test_headers_tell_epochs_apart(tmp_path: Path, psf: Path) -> None:
    """A date and a modified Julian date of the same kind; noon of 2026-11-21 is MJD 61365.5."""
    paths = [
        write(tmp_path / "a.fits", MJD_OBS=61360.25),
        write(tmp_path / "b.fits", DATE_OBS="2026-11-21T12:00:00"),
    ]
    (observation,) = read_observations(paths, psf=psf)
    assert observation.channels == (Channel("LSST", "r", "61360.25000"), Channel("LSST", "r", "61365.50000"))
    assert [channel.time for channel in observation.channels] == [61360.25, 61365.5]


def test_one_image_of_a_band_needs_no_epoch(tmp_path: Path, psf: Path) -> None:
    paths = [write(tmp_path / "a.fits", MJD_OBS=61360.25), write(tmp_path / "g.fits", MJD_OBS=61361.0, FILTER="g")]
    (observation,) = read_observations(paths, psf=psf)
    assert observation.channels == (Channel("LSST", "r"), Channel("LSST", "g"))


def test_a_person_says_what_headers_do_not(tmp_path: Path, psf: Path) -> None:
    paths = [write(tmp_path / "a.fits"), write(tmp_path / "b.fits")]
    with pytest.raises(ValueError, match=r"r comes more than once; .*, or say with --epochs when each was taken"):
        read_observations(paths, psf=psf)
    (observation,) = read_observations(paths, psf=psf, epochs="61000, 2026-11-21")
    assert [channel.epoch for channel in observation.channels] == ["61000", "2026-11-21"]
    with pytest.raises(ValueError, match="There are 2 images, and --epochs names 1"):
        read_observations(paths, psf=psf, epochs="61000")
    with pytest.raises(ValueError, match="'soon' of LSST r is no date"):
        read_observations(paths, psf=psf, epochs="61000,soon")


def test_epochs_of_other_pixels_are_of_the_same_survey(tmp_path: Path, psf: Path) -> None:
    paths = [
        write(tmp_path / "a.fits", MJD_OBS=61360.25),
        write(tmp_path / "b.fits", MJD_OBS=61363.25, CRPIX1=22.4),
    ]
    first, second = read_observations(paths, psf=psf)
    assert first.channels == (Channel("LSST", "r", "61360.25000"),)
    assert second.channels == (Channel("LSST", "r", "61363.25000"),)


def test_transients_vary(tmp_path: Path, psf: Path) -> None:
    paths = [write(tmp_path / "a.fits", MJD_OBS=61360.25), write(tmp_path / "b.fits", MJD_OBS=61361.25)]
    observations = read_observations(paths, psf=psf)
    scene = with_transients(empty_scene(observations), observations, [(20.0, 18.0), (30.0, 10.0)])
    assert [(s.name, s.kind, s.is_variable) for s in scene.sources] == [
        ("transient 1", "point", True),
        ("transient 2", "point", True),
    ]
    with pytest.raises(ValueError, match="The transient at x 90, y 5 is not on the images"):
        with_transients(scene, observations, [(90.0, 5.0)])
