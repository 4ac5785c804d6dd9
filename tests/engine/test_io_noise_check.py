"""Weights against the noise of blank sky: said where they differ by more than 15 %, and rescaled where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter

from deblend.io import read_observations
from deblend.io.noise_check import blank_sky_sigma

SHAPE = (160, 150)
PSF = "gaussian:3px"


def sources(rng: np.random.Generator) -> np.ndarray:
    """Return bright blobs on a tenth of the image."""
    light = np.zeros(SHAPE)
    light[rng.integers(0, SHAPE[0], 25), rng.integers(0, SHAPE[1], 25)] = 3000.0
    return gaussian_filter(light, 2.0)


def lsst(path: Path, planes: np.ndarray, variance: np.ndarray) -> Path:
    hdus = [fits.ImageHDU(planes.astype("f4"), name="IMAGE"), fits.ImageHDU(variance.astype("f4"), name="VARIANCE")]
    fits.HDUList([fits.PrimaryHDU(header=fits.Header({"BUNIT": "nJy"})), *hdus]).writeto(path)
    return path


def webb(path: Path, planes: np.ndarray, variance: np.ndarray) -> Path:
    hdus = [fits.ImageHDU(planes, fits.Header({"BUNIT": "nJy"}), name="SCI"), fits.ImageHDU(variance**0.5, name="ERR")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def plain(path: Path, planes: np.ndarray, variance: np.ndarray) -> Path:
    fits.PrimaryHDU(planes, fits.Header({"BUNIT": "nJy"})).writeto(path)
    fits.PrimaryHDU(1.0 / variance).writeto(path.with_name(f"{path.stem}_ivar.fits"))
    return path


@pytest.mark.parametrize("layout", [lsst, webb, plain])
@pytest.mark.parametrize(("ratio", "is_said"), [(1.0, False), (1.08, False), (1.25, True), (0.8, True), (3.0, True)])
def test_every_layout_is_checked(
    layout: Any, ratio: float, is_said: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    light = sources(rng)
    variance = 4.0 + light / 100.0
    image = light + rng.normal(size=SHAPE) * np.sqrt(variance) * ratio
    file = layout(tmp_path / "a.fits", image, variance)
    (seen,) = read_observations(file, psf=PSF)
    note = next((n for n in seen.notes if "measured in blank sky" in n), None)
    assert (note is not None) == is_said, seen.notes
    if note is not None:
        found = float(note.split(" is ")[1].split(" times")[0])
        assert found == pytest.approx(ratio, rel=0.05) and "--rescale-weights" in note
    (mended,) = read_observations(file, psf=PSF, rescale_weights=True)
    np.testing.assert_allclose(mended.weights / seen.weights, ratio**-2, rtol=0.05)
    assert "weights were multiplied so that they agree" in "\n".join(mended.notes)
    assert blank_sky_sigma(mended.images[0] * np.sqrt(mended.weights[0])) == pytest.approx(1.0, abs=1e-6)


def test_measured_noise_needs_no_check(tmp_path: Path, rng: np.random.Generator) -> None:
    fits.PrimaryHDU(rng.normal(size=SHAPE), fits.Header({"BUNIT": "nJy"})).writeto(tmp_path / "a.fits")
    (seen,) = read_observations(tmp_path / "a.fits", psf=PSF, rescale_weights=True)
    assert "multiplied" not in "\n".join(seen.notes) and "noise was measured" in "\n".join(seen.notes)


def test_right_weights_of_small_images_raise_no_alarm(tmp_path: Path, rng: np.random.Generator) -> None:
    """Of 60 images of 30² pixels, whose measured noise scatters by several percent, at most one is complained of."""
    files = []
    for i in range(60):
        files.append(lsst(tmp_path / f"a{i}.fits", rng.normal(size=(30, 30)), np.ones((30, 30))))
    (seen,) = read_observations(files, psf=PSF, bands=[str(i) for i in range(60)])
    assert sum("measured in blank sky" in note for note in seen.notes) <= 1
