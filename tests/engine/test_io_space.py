"""Files as Hubble's and Webb's pipelines write them: units, errors and exposures of one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from deblend import Observation
from deblend.sky import TangentWcs

WCS = TangentWcs((150.0, 2.0), (40.0, 40.0), ((-0.05, 0.0), (0.0, 0.05)))
SHAPE = (80, 84)
PSF = "gaussian:0.12"


def images(path: Path, cards: dict[str, object], **hdus: np.ndarray) -> Path:
    header = WCS.to_header()
    header.update(cards)
    science = [fits.ImageHDU(data.astype("f4"), header, name=name) for name, data in hdus.items()]
    fits.HDUList([fits.PrimaryHDU(), *science]).writeto(path)
    return path


def notes(observation: Observation) -> str:
    return "\n".join(observation.notes)


def test_webb_errors_and_surface_brightness(tmp_path: Path, rng: np.random.Generator) -> None:
    """[MJy/sr] with PIXAR_SR: one is 1e15 nJy/sr times the area; weights are 1/ERR², undefined ones are masked."""
    area = (0.05 / 206264.80625) ** 2
    image, error = rng.normal(size=SHAPE), np.full(SHAPE, 0.5)
    image[3, 4], error[5, 6], error[7, 8] = np.nan, np.nan, 0.0
    hdus = {"SCI": image, "ERR": error, "CON": np.ones(SHAPE), "WHT": np.full(SHAPE, 1e4)}
    seen = Observation.read(images(tmp_path / "jw_i2d.fits", {"BUNIT": "MJy/sr", "PIXAR_SR": area}, **hdus), psf=PSF)
    size = 1e15 * area
    np.testing.assert_allclose(seen.images[0, 10], image[10] * size, rtol=1e-6)
    np.testing.assert_allclose(seen.weights[0, 10], (0.5 * size) ** -2.0, rtol=1e-6)
    assert [seen.weights[0, y, x] for y, x in ((3, 4), (5, 6), (7, 8))] == [0.0, 0.0, 0.0]
    assert "PIXAR_SR" in notes(seen) and "1/error² of HDU 2 (ERR)" in notes(seen)
    assert "HDU 3 (CON), HDU 4 (WHT) left aside" in notes(seen)


def test_hubble_zero_point_and_exposure(tmp_path: Path, rng: np.random.Generator) -> None:
    """AB zero point -2.5 log PHOTFLAM - 5 log PHOTPLAM - 2.408; noise is measured, and varies as 1/√WHT."""
    exposure = np.where(np.arange(SHAPE[1]) < 42, 1000.0, 4000.0) * np.ones(SHAPE)
    exposure[:3] = 0.0
    image = rng.normal(size=SHAPE) * 0.02 * np.sqrt(1000.0 / np.maximum(exposure, 1.0))
    cards = {"BUNIT": "ELECTRONS/S", "PHOTFLAM": 7.033e-20, "PHOTPLAM": 8045.5, "FILTER": "F814W", "TELESCOP": "HST"}
    seen = Observation.read(images(tmp_path / "drz.fits", cards, SCI=image, WHT=exposure), psf=PSF)
    size = 10 ** (0.4 * (31.4 - (-2.5 * np.log10(7.033e-20) - 5 * np.log10(8045.5) - 2.408)))
    np.testing.assert_allclose(seen.njy_per_unit, size, rtol=1e-6)
    noise = 1.0 / np.sqrt(seen.weights[0, 10, [5, 70]]) / size
    # the noise of 6,500 pixels is known to a few hundredths; its ratio is that of the exposures
    assert noise[0] == pytest.approx(0.02, rel=0.08) and noise[0] / noise[1] == pytest.approx(2.0, rel=1e-6)
    assert not seen.weights[0, :3].any()
    assert "HDU 2 (WHT) is taken for exposure" in notes(seen) and "pixels without exposure are masked" in notes(seen)
    assert [c.band for c in seen.channels] == ["F814W"]


def test_weights_of_a_file_of_their_own_come_first(tmp_path: Path, rng: np.random.Generator) -> None:
    path = images(tmp_path / "drz.fits", {"MAGZERO": 31.4}, SCI=rng.normal(size=SHAPE), WHT=np.ones(SHAPE))
    fits.PrimaryHDU(np.full(SHAPE, 4.0, "f4")).writeto(tmp_path / "ivm.fits")
    seen = Observation.read(path, psf=PSF, weights=tmp_path / "ivm.fits")
    np.testing.assert_allclose(seen.weights, 4.0)
