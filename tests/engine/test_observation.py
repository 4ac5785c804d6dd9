"""Observations: one flux unit, nothing undefined, PSFs mended; and how noise and PSFs are measured."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
from scipy import ndimage

from deblend.observe import (
    Observation,
    centroid,
    describe_psf,
    full_width_half_maximum,
    gaussian_psf,
    measured_sigma,
    mend_psf,
)
from deblend.sky import Channel, ab_magnitude, njy_per_count, zero_point_from_fluxmag0

SHAPE = (3, 20, 31)


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 2.0, SHAPE)


def observation(images: object, **options: object) -> Observation:
    return Observation.from_arrays(images, gaussian_psf(3.0), **options)


def test_any_shape_and_a_single_band(images: np.ndarray) -> None:
    cube = observation(images, channels=["g", Channel("HST", "g"), "i"], name="HSC")
    assert cube.shape == (20, 31) and cube.grid.shape == (20, 31)
    assert cube.channels == (Channel("HSC", "g"), Channel("HST", "g"), Channel("HSC", "i"))
    assert cube.psf.shape[0] == 3 and np.allclose(cube.psf.sum(axis=(1, 2)), 1)
    plane = observation(images[0])
    assert plane.images.shape == (1, 20, 31)
    np.testing.assert_array_equal(plane.images[0], images[0])


def test_one_unit_inside_and_back(images: np.ndarray) -> None:
    scale = [2.0, 57.54, 3631.0]
    seen = observation(images, weights=np.full(SHAPE, 0.25), njy_per_unit=scale, unit="count")
    factor = np.asarray(scale)[:, None, None]
    np.testing.assert_allclose(seen.images, images * factor)
    np.testing.assert_allclose(seen.weights, np.full(SHAPE, 0.25) / factor**2)
    np.testing.assert_allclose(seen.to_input_unit(seen.images), images)
    # chi² does not know the unit
    model = np.zeros(SHAPE)
    assert seen.chi2(model) == pytest.approx(np.sum(images**2) * 0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_undefined_pixels_are_masked_and_never_leak(bad: float, images: np.ndarray) -> None:
    weights = np.full(SHAPE, 0.25)
    images[0, 0, 0] = bad
    weights[1, 0, 0] = bad
    weights[2, 0, 0] = -1.0
    weights[2, 0, 1] = 0.0
    seen = observation(images, weights=weights)
    for place in ((0, 0, 0), (1, 0, 0), (2, 0, 0), (2, 0, 1)):
        assert seen.weights[place] == 0 and seen.images[place] == 0
    assert seen.n_unmasked == images.size - 4
    assert np.isfinite(seen.chi2(np.zeros(SHAPE)))


def test_arrays_cannot_be_written_to_and_are_no_views_of_the_given(images: np.ndarray) -> None:
    seen = observation(images)
    for array in (seen.images, seen.weights, seen.psf):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1.0
    before = seen.images[0, 0, 0]
    images[0, 0, 0] = 99.0
    assert seen.images[0, 0, 0] == before


def test_noise_is_measured_where_no_weights_are_given(images: np.ndarray) -> None:
    seen = observation(images, unit="count")
    np.testing.assert_allclose(seen.weights[:, 0, 0] ** -0.5, 2.0, rtol=0.15)
    assert any("noise was measured" in note for note in seen.notes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"images": np.zeros((2, 2, 3, 4))}, r"must be \(band, y, x\)"),
        ({"channels": ["g", "r"]}, "3 bands need as many channel names, got 2"),
        ({"channels": ["g", "r", "g"]}, "every channel needs a name of its own"),
        ({"psf": [gaussian_psf(3.0)] * 2}, "3 bands need as many PSF stamps, or one for all, got 2"),
        ({"psf": np.zeros((9, 9))}, "has no positive flux"),
        ({"weights": np.zeros(SHAPE)}, "band 1 has no usable pixel"),
        ({"images": np.full(SHAPE, np.nan), "weights": np.ones(SHAPE)}, "no usable pixel"),
        ({"images": np.ones(SHAPE)}, "noise cannot be measured"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, object], says: str, images: np.ndarray) -> None:
    given = {"images": images, "psf": gaussian_psf(3.0), **options}
    with pytest.raises(ValueError, match=says):
        Observation.from_arrays(given.pop("images"), given.pop("psf"), **given)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 300.0])
def test_measured_sigma_is_not_moved_by_sources(sigma: float, rng: np.random.Generator) -> None:
    image = rng.normal(0, sigma, (120, 120))
    y, x = np.mgrid[:120, :120]
    for _ in range(12):
        cy, cx = rng.uniform(10, 110, 2)
        image += 500 * sigma * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / 2.5**2)
    image[:5] = np.nan
    assert measured_sigma(image) == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize("image", [np.zeros((9, 9)), np.full((9, 9), np.nan), np.ones((2, 2))])
def test_no_noise_to_measure(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be measured"):
        measured_sigma(image)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.31, -0.22), (-0.5, 0.5), (1.1, 0.7)])
@pytest.mark.parametrize("side", [31, 32])
def test_a_psf_off_its_middle_is_centered(shift: tuple[float, float], side: int) -> None:
    middle = (side - 1) / 2
    y, x = np.mgrid[:side, :side]
    stamp = np.exp(-0.5 * ((y - middle - shift[0]) ** 2 + (x - middle - shift[1]) ** 2) / 1.6**2)
    np.testing.assert_allclose(centroid(stamp), shift, atol=1e-3)
    cube, notes = mend_psf([7.0 * stamp], ["g"])
    assert cube.shape[1] % 2 == 1 and cube.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(centroid(cube[0]), (0, 0), atol=0.01)
    expected = np.exp(-0.5 * (np.hypot(*np.mgrid[-15:16, -15:16]) / 1.6) ** 2)
    found = cube[0][cube.shape[1] // 2 - 15 :, cube.shape[2] // 2 - 15 :][:31, :31]
    np.testing.assert_allclose(found, expected / expected.sum(), atol=2e-4)
    assert any("off the middle" in note for note in notes) == (max(map(abs, shift)) > 0.02)
    assert any("summed to" in note for note in notes)


def test_a_good_psf_is_left_alone() -> None:
    stamp = gaussian_psf(3.3)
    cube, notes = mend_psf([stamp], ["g"])
    np.testing.assert_allclose(cube[0], stamp, rtol=1e-12)
    assert notes == ()


def test_psf_stamps_of_different_sizes_are_padded_and_undefined_pixels_dropped() -> None:
    small, large = gaussian_psf(2.0), gaussian_psf(5.0).copy()
    large[0, 0] = np.nan
    cube, notes = mend_psf([small, large], ["g", "r"])
    assert cube.shape == (2, *large.shape)
    assert any("padded" in note for note in notes) and any("1 undefined" in note for note in notes)
    pad = (large.shape[0] - small.shape[0]) // 2
    np.testing.assert_allclose(cube[0][pad:-pad, pad:-pad], small, rtol=1e-9)


@pytest.mark.parametrize("fwhm", [2.5, 4.0, 7.3])
def test_full_width_of_a_gaussian(fwhm: float) -> None:
    # integration over pixels widens it a little: variance + 1/12
    widened = np.hypot(fwhm, 2.3548 / np.sqrt(12))
    assert full_width_half_maximum(gaussian_psf(fwhm)) == pytest.approx(widened, rel=0.03)


def test_gaussian_psf_is_integrated_over_pixels() -> None:
    stamp = gaussian_psf(3.0)
    fine = np.exp(
        -0.5 * (np.arange(-50 * stamp.shape[0] // 2, 50 * stamp.shape[0] // 2) + 0.5) ** 2 / (50 * 3 / 2.3548) ** 2
    )
    line = fine.reshape(stamp.shape[0], 50).sum(axis=1)
    expected = np.outer(line, line) / line.sum() ** 2
    np.testing.assert_allclose(stamp, expected, atol=1e-5)
    assert ndimage.center_of_mass(stamp) == pytest.approx([stamp.shape[0] // 2] * 2)


def test_flux_units() -> None:
    assert njy_per_count(31.4) == pytest.approx(1.0)
    assert njy_per_count(27.0) == pytest.approx(57.544, rel=1e-5)
    assert zero_point_from_fluxmag0(10**10.8) == pytest.approx(27.0)
    assert ab_magnitude(3631e9) == pytest.approx(0.0, abs=1e-4)
    assert np.isnan(ab_magnitude(-1.0))
    with pytest.raises(ValueError, match="FLUXMAG0"):
        zero_point_from_fluxmag0(0.0)


@pytest.mark.parametrize(("g1", "g2"), [(0.0, 0.0), (0.08, 0.0), (-0.03, 0.05)])
@pytest.mark.parametrize("oversampling", [1, 3])
def test_a_psf_is_described_as_galsim_does(g1: float, g2: float, oversampling: int) -> None:
    profile = galsim.Convolve(galsim.Moffat(beta=3.0, fwhm=3.4).shear(g1=g1, g2=g2), galsim.Pixel(1.0))
    side = 41 * oversampling
    side += 1 - side % 2
    offset = (0.2 * oversampling, -0.1 * oversampling)
    image = profile.drawImage(
        galsim.ImageD(side, side), scale=1 / oversampling, method="no_pixel", offset=offset, dtype=float
    )
    report = describe_psf(image.array, oversampling)
    moments = galsim.hsm.FindAdaptiveMom(image)
    shape = moments.observed_shape
    assert report.ellipticity == pytest.approx(shape.g, abs=1e-3)
    if shape.g > 0.01:
        apart = (report.angle - np.degrees(shape.beta.rad) + 90.0) % 180.0 - 90.0
        assert abs(apart) < 0.5
    np.testing.assert_allclose(report.centroid, (0.2, -0.1), atol=2e-3)
    assert "ellipticity" in str(report)


def test_calls_of_the_lsst_stack_are_told_by_the_centroid() -> None:
    """computeImage has the star between pixels, computeKernelImage in the middle of one."""
    y, x = np.mgrid[-20:21, -20:21]
    image = np.exp(-0.5 * ((y + 0.22) ** 2 + (x - 0.31) ** 2) / 1.8**2)
    for stamp, said in ((image, True), (np.exp(-0.5 * (y**2 + x**2) / 1.8**2), False), (np.roll(image, 1, 0), False)):
        _, notes = mend_psf([stamp], ["g"])
        assert any("computeImage(...)" in note and "computeKernelImage" in note for note in notes) == said


def test_even_stamps_and_noisy_wings_are_said(rng: np.random.Generator) -> None:
    even = np.exp(-0.5 * ((np.arange(32) - 15.5) / 1.7) ** 2)
    cube, notes = mend_psf([np.outer(even, even)], ["g"])
    assert cube.shape[1] == 33 and any("32×32 px (x by y) has no middle pixel" in note for note in notes)
    clean = galsim.Moffat(beta=4.0, fwhm=3.0).drawImage(galsim.ImageD(81, 81), scale=1.0).array
    cube, notes = mend_psf([clean + rng.normal(0.0, 2e-5, clean.shape)], ["g"])
    assert cube.shape[1] < 50 and any("its wings are noise beyond" in note for note in notes)
    half = cube.shape[1] // 2
    np.testing.assert_allclose(cube[0], clean[40 - half : 41 + half, 40 - half : 41 + half], atol=2e-3 * clean.max())
    assert not any("wings" in note for note in mend_psf([clean], ["g"])[1])
