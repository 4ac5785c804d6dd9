"""Images of the Roman telescope, made with asdf: units, errors, data quality, and the WCS that is a gwcs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblend.io import read_observations
from deblend.observe import Observation
from deblend.sky import Channel

SHAPE = (50, 44)
AREA = (0.11 / 206264.80625) ** 2
"""Of a pixel [sr]."""
SIZE = 1e15 * AREA
"""1 MJy/sr in a pixel [nJy]."""
PSF = "gaussian:3px"

try:
    import asdf
    import gwcs
    from astropy import coordinates, units
    from astropy.modeling import models
except ImportError:
    asdf = None

needs_asdf = pytest.mark.skipif(asdf is None, reason="asdf and gwcs are not installed (napari-deblend[roman])")


def transform(distortion: float = 0.0) -> Any:
    """Return a gwcs: pixels of 0.11 arcsec, turned by 30°, with a quadratic distortion."""
    angle = np.radians(30.0)
    matrix = 0.11 / 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = models.Shift(-20.0) & models.Shift(-25.0)
    bend = models.Polynomial2D(2, c1_0=1.0, c2_0=distortion) & models.Polynomial2D(2, c0_1=1.0)
    bent = models.Mapping((0, 1, 0, 1)) | bend
    plane = models.AffineTransformation2D(matrix)
    sky = models.Pix2Sky_TAN() | models.RotateNative2Celestial(270.1, -30.2, 180.0)
    detector = gwcs.coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    world = gwcs.coordinate_frames.CelestialFrame(reference_frame=coordinates.ICRS(), name="world")
    return gwcs.WCS([(detector, shift | bent | plane | sky), (world, None)])


def write(path: Path, meta: dict[str, Any] | None = None, **arrays: np.ndarray) -> Path:
    base = {"instrument": {"optical_element": "F158"}, "photometry": {"pixel_area": AREA}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asdf.AsdfFile({"roman": {"meta": {**base, **(meta or {})}, **arrays}}).write_to(path)
    return path


def said(seen: Observation) -> str:
    return "\n".join(seen.notes)


@needs_asdf
def test_an_exposure_in_counts_per_second(tmp_path: Path, rng: np.random.Generator) -> None:
    image, error = rng.normal(size=SHAPE).astype("f4"), np.full(SHAPE, 0.9, "f4")
    image[3, 3] = np.nan
    quality = np.zeros(SHAPE, "u4")
    quality[0, :4] = [1, 2, 4, 3]
    meta = {"photometry": {"pixel_area": AREA, "conversion_megajanskys": 0.4}, "wcs": transform()}
    path = write(tmp_path / "r_cal.asdf", meta, data=image, err=error, dq=quality)
    (seen,) = read_observations(path, psf=PSF)
    assert seen.channels == (Channel("Roman", "F158"),)
    np.testing.assert_allclose(seen.images[0, 9], image[9] * 0.4 * SIZE, rtol=1e-6)
    np.testing.assert_allclose(seen.weights[0, 9], (np.float64(np.float32(0.9)) * 0.4 * SIZE) ** -2, rtol=1e-6)
    assert (seen.weights[0, 0, :4] > 0).tolist() == [False, True, True, False] and seen.weights[0, 3, 3] == 0
    assert "conversion_megajanskys" in said(seen) and "DO_NOT_USE 0" in said(seen) and "roman.err" in said(seen)


@needs_asdf
def test_a_mosaic_with_its_variances(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.normal(size=SHAPE)
    arrays = {"data": image, "var_poisson": np.full(SHAPE, 0.3), "var_rnoise": np.full(SHAPE, 0.7)}
    meta = {"resample": {"pixfrac": 1.0}, "wcs": transform()}
    (seen,) = read_observations(write(tmp_path / "r_coadd.asdf", meta, **arrays), psf=PSF)
    np.testing.assert_allclose(seen.images[0], image * SIZE, rtol=1e-6)
    np.testing.assert_allclose(seen.weights, SIZE**-2, rtol=1e-6)
    assert "MJy/sr is assumed" in said(seen) and "var_poisson + var_rnoise" in said(seen)


@needs_asdf
@pytest.mark.parametrize("distortion", [0.0, 1e-5, 2e-3])
def test_the_wcs_is_the_best_affine_map(distortion: float, tmp_path: Path, rng: np.random.Generator) -> None:
    wcs = transform(distortion)
    path = write(tmp_path / "r_cal.asdf", {"wcs": wcs, "resample": {}}, data=rng.normal(size=SHAPE))
    (seen,) = read_observations(path, psf=PSF)
    assert seen.wcs is not None and seen.wcs.pixel_scale == pytest.approx(0.11, rel=0.01)
    y, x = (axis.ravel() for axis in np.mgrid[0 : SHAPE[0] - 1 : 9j, 0 : SHAPE[1] - 1 : 9j])
    found = np.stack(seen.wcs.sky_to_pixel(*wcs(x, y)))
    distance = np.hypot(*(found - np.stack([x, y]))).max()
    assert distance == pytest.approx(seen.wcs.residual, abs=1e-6)
    assert ("WARNING" in said(seen)) == (distance > 0.1) == (distortion == 2e-3)
    assert distance < 1e-6 or distortion > 0


@needs_asdf
def test_a_folder_with_roman_and_fits(tmp_path: Path, rng: np.random.Generator) -> None:
    from astropy.io import fits

    write(tmp_path / "r_coadd.asdf", {"resample": {}, "wcs": transform()}, data=rng.normal(size=SHAPE))
    fits.PrimaryHDU(rng.normal(size=SHAPE), fits.Header({"FILTER": "HSC-R", "BUNIT": "nJy"})).writeto(
        tmp_path / "h.fits"
    )
    assert [o.name for o in read_observations(tmp_path, psf=PSF)] == ["HSC", "Roman"]


@needs_asdf
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"x,y\n1,2\n", r"a\.asdf: cannot be read as an image of Roman"),
        (None, r"a\.asdf: cannot be read as an image of Roman \(it has no roman\.data\); give another file"),
    ],
)
def test_bad_files_are_one_sentence(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.asdf"
    if content is None:
        asdf.AsdfFile({"other": 1}).write_to(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as raised:
        read_observations(path, psf=PSF)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(asdf is not None, reason="asdf is installed")
def test_without_the_libraries_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.asdf").write_bytes(b"#ASDF 1.0.0\n")
    with pytest.raises(ValueError, match=r"needs the libraries asdf and gwcs; install napari-deblend\[roman\]\."):
        read_observations(tmp_path / "a.asdf", psf=PSF)
