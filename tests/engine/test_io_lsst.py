"""The LSST and HSC layout: planes by name, variance, zero points, PSFs beside the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend.io import read_observations
from deblend.observe import gaussian_psf
from deblend.sky import Channel

SHAPE = (22, 30)
SIGMA = 0.5


def calexp(
    path: Path,
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    variance: np.ndarray | None = None,
    planes: dict[str, int] | None = None,
    primary: dict[str, Any] | None = None,
    compressed: bool = False,
) -> Path:
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    hdus = [fits.PrimaryHDU(header=fits.Header(primary or {})), kind(image.astype("f4"), name="IMAGE")]
    if mask is not None:
        header = fits.Header({f"HIERARCH MP_{name}": bit for name, bit in (planes or {}).items()})
        hdus.append(kind(mask.astype("i4"), header, name="MASK"))
    if variance is not None:
        hdus.append(kind(variance.astype("f4"), name="VARIANCE"))
    fits.HDUList(hdus).writeto(path)
    fits.PrimaryHDU(gaussian_psf(3.0)).writeto(path.with_name(path.name.replace("calexp", "psf")), overwrite=True)
    return path


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, SIGMA, SHAPE)


@pytest.fixture
def variance() -> np.ndarray:
    return np.full(SHAPE, SIGMA**2)


@pytest.fixture
def mask() -> np.ndarray:
    """One pixel per bit, 0 to 9, in the first row."""
    mask = np.zeros(SHAPE, int)
    mask[0, :10] = 1 << np.arange(10)
    return mask


def said(observation: Any) -> str:
    return "\n".join(observation.notes)


def test_the_hsc_default_planes(tmp_path: Path, image: np.ndarray, variance: np.ndarray, mask: np.ndarray) -> None:
    path = calexp(
        tmp_path / "calexp-HSC-R.fits",
        image,
        mask=mask,
        variance=variance,
        primary={"FILTER": "HSC-R", "FLUXMAG0": 10**10.8},
    )
    (observation,) = read_observations(path)
    assert observation.channels == (Channel("HSC", "r"),) and observation.name == "HSC"
    assert np.flatnonzero(observation.weights[0, 0] == 0).tolist() == [0, 1, 8]
    assert observation.n_unmasked == image.size - 3
    njy = 10 ** (0.4 * (31.4 - 27.0))
    np.testing.assert_allclose(observation.images[0, 1:], image[1:] * njy, rtol=1e-6)
    np.testing.assert_allclose(observation.weights[0, 1:], (SIGMA * njy) ** -2, rtol=1e-6)
    for sentence in (
        "the HSC default is assumed: BAD 0, SAT 1, NO_DATA 8",
        "3 pixels are masked by BAD, SAT, NO_DATA",
        "AB zero point 27.000",
        "No PSF given; psf-HSC-R.fits",
    ):
        assert sentence in said(observation)


def test_planes_by_name(tmp_path: Path, image: np.ndarray, variance: np.ndarray, mask: np.ndarray) -> None:
    planes = {"SAT": 5, "BAD": 3, "NO_DATA": 9, "DETECTED": 0}
    path = calexp(tmp_path / "calexp-a.fits", image, mask=mask, variance=variance, planes=planes)
    (observation,) = read_observations(path)
    assert np.flatnonzero(observation.weights[0, 0] == 0).tolist() == [3, 5, 9]
    assert "HSC default" not in said(observation)


def test_bad_variance_is_masked_and_counted(tmp_path: Path, image: np.ndarray, variance: np.ndarray) -> None:
    variance[0, 0], variance[0, 1:3], variance[0, 3:6], variance[0, 6] = np.nan, -1.0, 0.0, np.inf
    image[1, 1] = np.nan
    path = calexp(tmp_path / "calexp-a.fits", image, variance=variance, mask=np.zeros(SHAPE))
    (observation,) = read_observations(path)
    assert observation.n_unmasked == image.size - 8
    assert (observation.weights[0, 0, :7] == 0).all() and observation.weights[0, 1, 1] == 0
    assert observation.images[0, 1, 1] == 0
    for sentence in ("2 pixels of undefined variance", "2 pixels of negative variance", "3 pixels of zero variance"):
        assert sentence in said(observation)


def test_a_missing_variance_or_mask_is_said(tmp_path: Path, image: np.ndarray, variance: np.ndarray) -> None:
    (one,) = read_observations(calexp(tmp_path / "calexp-a.fits", image, mask=np.zeros(SHAPE)))
    assert "has no variance; the noise was measured" in said(one)
    np.testing.assert_allclose(one.weights**-0.5, SIGMA, rtol=0.1)
    (two,) = read_observations(calexp(tmp_path / "calexp-b.fits", image, variance=variance))
    assert "has no MASK" in said(two)


def test_njy_files_and_compression(tmp_path: Path, image: np.ndarray, variance: np.ndarray, mask: np.ndarray) -> None:
    path = calexp(
        tmp_path / "calexp-a.fits",
        image,
        mask=mask,
        variance=variance,
        primary={"BUNIT": "nJy", "FLUXMAG0": 1e9},
        compressed=True,
    )
    (observation,) = read_observations(path)
    assert observation.unit == "nJy" and observation.njy_per_unit.tolist() == [1.0]
    # the default compression rounds to a fraction of the noise
    np.testing.assert_allclose(observation.images[0, 1:], image[1:], atol=0.3 * SIGMA)


def test_given_weights_and_psf_come_first(
    tmp_path: Path, image: np.ndarray, variance: np.ndarray, mask: np.ndarray
) -> None:
    path = calexp(tmp_path / "calexp-a.fits", image, mask=mask, variance=variance)
    weights, psf = tmp_path / "w.fits", tmp_path / "mine.fits"
    fits.PrimaryHDU(np.full(SHAPE, 3.0)).writeto(weights)
    fits.PrimaryHDU(gaussian_psf(5.0)).writeto(psf)
    (observation,) = read_observations(path, weights=weights, psf=psf)
    assert set(np.unique(observation.weights)) == {0.0, 3.0}
    assert np.flatnonzero(observation.weights[0, 0] == 0).tolist() == [0, 1, 8]
    np.testing.assert_allclose(observation.psf[0], gaussian_psf(5.0), atol=1e-6)
    assert "weights from w.fits stand in for VARIANCE" in said(observation)
    assert "No PSF given" not in said(observation)


def test_a_psf_beside_some_images_only_is_not_used(tmp_path: Path, image: np.ndarray, variance: np.ndarray) -> None:
    files = [
        calexp(tmp_path / f"calexp-{b}.fits", image, variance=variance, primary={"FILTER": f"HSC-{b}"}) for b in "GR"
    ]
    assert len(read_observations(files)[0].channels) == 2
    (tmp_path / "psf-R.fits").unlink()
    with pytest.raises(ValueError, match=r"calexp-R\.fits: its PSF is not known; give --psf FILE"):
        read_observations(files)
