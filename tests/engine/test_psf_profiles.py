"""PSFs from a few numbers and from PSFEx, against GalSim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import galsim
import galsim.des
import numpy as np
import pytest
from astropy.io import fits

from deblend.io import read_observations
from deblend.io.given_psf import GivenPsf
from deblend.io.psf import profile_psf
from deblend.io.psfex import is_psfex, read_psfex
from deblend.observe import double_gaussian_psf, gaussian_psf, moffat_psf
from deblend.observe.psf import mend_psf, native_psf
from deblend.sky import TangentWcs

Make = Callable[[float], Any]


@pytest.mark.parametrize("width", [1.4, 2.5, 4.3])
@pytest.mark.parametrize(
    ("make", "same"),
    [
        (gaussian_psf, lambda w: galsim.Gaussian(fwhm=w)),
        (moffat_psf, lambda w: galsim.Moffat(beta=3.0, fwhm=w)),
        (lambda w: moffat_psf(w, 4.7), lambda w: galsim.Moffat(beta=4.7, fwhm=w)),
        (
            lambda w: double_gaussian_psf(w, 2 * w, 0.3),
            lambda w: 0.7 * galsim.Gaussian(fwhm=w) + 0.3 * galsim.Gaussian(fwhm=2 * w),
        ),
    ],
)
def test_profiles_are_those_of_galsim(make: Make, same: Make, width: float) -> None:
    stamp = make(width)
    side = len(stamp)
    exact = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7)
    expected = same(width).withGSParams(exact).drawImage(galsim.ImageD(side, side), scale=1.0).array
    assert stamp.sum() == pytest.approx(1.0) and side % 2 == 1
    np.testing.assert_allclose(stamp, expected / expected.sum(), atol=2e-4 * expected.max())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gaussian_psf(0.0), "a width above 0"),
        (lambda: moffat_psf(3.0, 1.0), "a beta above 1"),
        (lambda: double_gaussian_psf(2.0, 4.0, 1.2), "between 0 and 1"),
    ],
)
def test_what_is_no_psf_is_refused(make: Callable[[], np.ndarray], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_profiles_in_words() -> None:
    np.testing.assert_allclose(profile_psf("gaussian:0.7", 0.2), gaussian_psf(3.5))
    np.testing.assert_allclose(profile_psf("Moffat:3.5px, 2.5", None), moffat_psf(3.5, 2.5))
    np.testing.assert_allclose(profile_psf("double-gaussian:0.6,1.2,0.25", 0.2), double_gaussian_psf(3.0, 6.0, 0.25))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("gaussian:wide", "'wide' is no number"),
        ("gaussian:0.7,2,3", "takes 1 numbers, got 3"),
        ("gaussian:0.7", "the image has no WCS; say the width in pixels"),
        ("moffat:3px,0.5", "a beta above 1"),
        ("airy:0.7", "say gaussian:FWHM"),
    ],
)
def test_words_that_say_no_psf(said: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^--psf {said}: .*{sentence}"):
        profile_psf(said, None)


def psfex(path: Path, names: tuple[str, str] = ("X_IMAGE", "Y_IMAGE"), step: float = 0.6) -> Path:
    """Write a PSFEx model of degree 2 whose width and place vary over an image of 200 × 100 px."""
    grid = (np.arange(41) - 20) * step
    y, x = np.meshgrid(grid, grid, indexing="ij")
    base = np.exp(-0.5 * (x**2 + y**2) / 1.6**2)
    factors = (1.0, 0.1 * x, 0.05, 0.08 * y, 0.03, -0.015 * (x**2 - y**2))
    images = np.stack([base * factor for factor in factors])
    column = fits.Column("PSF_MASK", f"{images.size}E", dim=str(images.shape[::-1]), array=images[None].astype("f4"))
    table = fits.BinTableHDU.from_columns([column], name="PSF_DATA")
    cards = {"POLNAXIS": 2, "POLGRP1": 1, "POLGRP2": 1, "POLNGRP": 1, "POLDEG1": 2, "PSF_SAMP": step, "PSFNAXIS": 3}
    cards |= {"POLNAME1": names[0], "POLZERO1": 100.5, "POLSCAL1": 200.0}
    cards |= {"POLNAME2": names[1], "POLZERO2": 50.5, "POLSCAL2": 100.0}
    cards |= {"PSFAXIS1": 41, "PSFAXIS2": 41, "PSFAXIS3": 6}
    table.header.update(cards)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def native_of(path: Path, x: float, y: float) -> np.ndarray:
    """Return a model's PSF at a place, on pixels of the image."""
    model = read_psfex(path)
    finely = GivenPsf(([model.at(x, y)],), step=model.step)
    return native_psf(finely.sampled(finely.least_oversampling)[0][0], finely.least_oversampling)


@pytest.mark.parametrize(("x", "y"), [(99.5, 49.5), (12.0, 81.0), (190.0, 5.0)])
def test_a_psfex_model_is_what_galsim_makes_of_it(tmp_path: Path, x: float, y: float) -> None:
    path = psfex(tmp_path / "field.psf")
    assert is_psfex(path)
    stamp = native_of(path, x, y)
    side = len(stamp)
    model = galsim.des.DES_PSFEx(str(path)).getPSF(galsim.PositionD(x + 1, y + 1))
    expected = model.drawImage(galsim.ImageD(side, side), scale=1.0, method="no_pixel").array
    # it interpolates samples by Lanczos' kernel, which is off by some thousandths
    np.testing.assert_allclose(stamp, expected / expected.sum(), atol=4e-3 * expected.max())


@pytest.mark.parametrize(("x", "y"), [(99.5, 49.5), (12.0, 81.0), (190.0, 5.0)])
def test_a_psfex_model_is_the_function_that_its_samples_are_of(tmp_path: Path, x: float, y: float) -> None:
    stamp = native_of(psfex(tmp_path / "field.psf"), x, y)
    u, v = (x + 1 - 100.5) / 200.0, (y + 1 - 50.5) / 100.0
    rows, columns = np.indices(stamp.shape) - len(stamp) // 2
    factor = 1 + 0.1 * columns * u + 0.05 * u**2 + 0.08 * rows * v + 0.03 * u * v
    expected = np.exp(-0.5 * (rows**2 + columns**2) / 1.6**2) * (factor - 0.015 * (columns**2 - rows**2) * v**2)
    np.testing.assert_allclose(stamp, expected / expected.sum(), atol=1e-5 * expected.max())


def test_a_psfex_model_of_more_than_places_is_refused(tmp_path: Path) -> None:
    path = psfex(tmp_path / "odd.psf", ("X_IMAGE", "MAG"))
    with pytest.raises(ValueError, match=r"odd\.psf\[PSF_DATA\]: depends on X_IMAGE, MAG"):
        read_psfex(path)


def test_a_damaged_psfex_model_is_named(tmp_path: Path) -> None:
    path = psfex(tmp_path / "cut.psf")
    with fits.open(path, mode="update") as file:
        del file["PSF_DATA"].header["PSF_SAMP"]
    with pytest.raises(ValueError, match=r"cut\.psf\[PSF_DATA\]: is no whole PSFEx model"):
        read_psfex(path)


def test_images_are_read_with_any_of_them(tmp_path: Path) -> None:
    wcs = TangentWcs((150.0, 2.0), (15.0, 15.0), ((-0.2, 0.0), (0.0, 0.2)))
    noise = np.random.default_rng(2).normal(size=(30, 32)).astype("f4")
    files = []
    for band in "gr":
        header = wcs.to_header()
        header["FILTER"] = band
        files.append(tmp_path / f"image_{band}.fits")
        fits.PrimaryHDU(noise, header).writeto(files[-1])
    model = psfex(tmp_path / "field.psf")
    (seen,) = read_observations(files, psf=["moffat:0.8,2.5", model])
    np.testing.assert_allclose(seen.psf[0].max(), moffat_psf(4.0, 2.5).max(), rtol=1e-6)
    (both,) = read_observations(files, psf="gaussian:0.7")
    np.testing.assert_allclose(both.psf[0], both.psf[1])
    (from_model,) = read_observations(files, psf=model)
    np.testing.assert_allclose(from_model.psf[0].max(), native_of(model, 15.5, 14.5).max(), rtol=1e-2)
    assert from_model.psf_field is not None and from_model.psf_oversampling == 2
    for x, y in ((0.0, 0.0), (31.0, 29.0), (8.0, 20.0)):
        told = from_model.psf_field.native_at(x, y)[0]
        # the star of a model may wander off the middle; as a kernel it is centered
        expected = mend_psf([native_of(model, x, y)], ["g"])[0][0]
        extra = (len(told) - len(expected)) // 2
        inner = slice(extra, extra + len(expected))
        np.testing.assert_allclose(told[inner, inner], expected, atol=4e-3 * expected.max())
