"""PSFs on samples finer than pixels: what lies between pixels is exact, and what is not is told."""

from __future__ import annotations

import re

import galsim
import numpy as np
import pytest

from deblend import Observation, Program, TangentWcs, empty_scene, make_source
from deblend.observe import gaussian_psf, mend_psf
from deblend.observe.kernel import difference_kernel
from deblend.observe.kernel_check import kernel_notes, ringing, waves_at_the_end, waves_beyond
from deblend.observe.psf import native_psf
from deblend.sky import PixelAffine

EXACT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7)
SIDE = 51
WCS = TangentWcs((150.0, 2.0), (25.0, 25.0), ((-0.1, 0.0), (0.0, 0.1)))


def optics(width: float) -> galsim.GSObject:
    return galsim.Moffat(beta=3.5, fwhm=width, gsparams=EXACT)


def stamp_of(width: float, oversampling: int, *, is_integrated: bool = True) -> np.ndarray:
    """Return samples of a Moffat, over pixels of the detector or without them."""
    side = 41 * oversampling
    side += 1 - side % 2
    profile = galsim.Convolve(optics(width), galsim.Pixel(1.0)) if is_integrated else optics(width)
    stamp = profile.drawImage(galsim.ImageD(side, side), scale=1.0 / oversampling, method="no_pixel")
    array: np.ndarray = stamp.array
    return array


def telescope(width: float, oversampling: int, wcs: TangentWcs | None = WCS) -> Observation:
    images = np.zeros((1, SIDE, SIDE))
    return Observation.from_arrays(
        images,
        stamp_of(width, oversampling),
        np.ones_like(images),
        channels=["i"],
        name="sharp",
        wcs=wcs,
        psf_oversampling=oversampling,
    )


def star_error(seen: Observation, width: float) -> float:
    """Return by how much a star between pixels errs [peak], where it is drawn as sources are by themselves."""
    expected = optics(width).drawImage(galsim.ImageD(SIDE, SIDE), scale=1.0, offset=(0.3, -0.2)).array
    scene = empty_scene([seen])
    y, x = seen.grid.affine_to(scene.grid)(24.8, 25.3)
    scene = scene.add(make_source("point", float(x), float(y), n_channels=1, flux=[1.0], radius=25))
    return float(np.abs(Program([seen], scene).model()[0] - expected).max() / expected.max())


@pytest.mark.parametrize("width", [1.0, 1.3, 1.6, 2.0])
def test_stars_between_pixels_are_exact_with_a_finer_psf(width: float) -> None:
    """Without, they err by 9, 4.5, 2.3 and 0.9 %."""
    assert star_error(telescope(width, 4), width) < 6e-4


def test_any_finer_psf_serves() -> None:
    errors = [star_error(telescope(1.6, oversampling), 1.6) for oversampling in (1, 2, 3)]
    assert errors[0] > 0.02 and errors[1] < 3e-3 and errors[2] < 6e-4


@pytest.mark.parametrize("oversampling", [2, 3, 4, 5])
def test_a_finer_psf_on_pixels_is_what_the_detector_sees(oversampling: int) -> None:
    seen = telescope(1.4, oversampling)
    expected = optics(1.4).drawImage(galsim.ImageD(41, 41), scale=1.0).array
    assert seen.psf.shape[1] % 2 == 1 and seen.fine_psf is not None and seen.psf_samples is seen.fine_psf
    extra = (41 - seen.psf.shape[1]) // 2
    inner = slice(extra, 41 - extra)
    np.testing.assert_allclose(seen.psf[0], expected[inner, inner] / expected.sum(), atol=1e-3 * expected.max())


@pytest.mark.parametrize("oversampling", [3, 4])
def test_an_image_of_the_optics_is_integrated_over_pixels(oversampling: int) -> None:
    bare = stamp_of(1.6, oversampling, is_integrated=False)
    cube, notes = mend_psf([bare / bare.sum()], ["i"], oversampling=oversampling, is_integrated=False)
    expected = stamp_of(1.6, oversampling)
    extra = (cube.shape[1] - len(expected)) // 2
    found = cube[0, extra:-extra, extra:-extra]
    np.testing.assert_allclose(found, expected / expected.sum(), atol=3e-4 * found.max())
    assert notes == ()


def test_a_native_psf_is_itself() -> None:
    stamp = gaussian_psf(3.0)
    assert native_psf(stamp, 1) is stamp
    assert Observation.from_arrays(np.ones((9, 9)), stamp, np.ones((9, 9))).fine_psf is None


@pytest.mark.parametrize("oversampling", [0, -1, 1.5])
def test_samples_per_pixel_are_counted(oversampling: float) -> None:
    with pytest.raises(ValueError, match="a whole number of samples per pixel"):
        mend_psf([gaussian_psf(3.0)], ["i"], oversampling=oversampling)


def test_an_off_center_finer_psf_is_said_in_pixels_of_the_detector() -> None:
    shifted = np.roll(stamp_of(2.0, 4), (2, -4), (0, 1))
    cube, notes = mend_psf([shifted], ["i"], oversampling=4)
    assert "(-1.00, +0.50) px" in " ".join(notes)
    np.testing.assert_allclose(cube[0], cube[0][::-1, ::-1], atol=1e-3 * cube.max())


@pytest.mark.parametrize("width", [1.0, 1.6, 2.5])
def test_waves_that_pixels_cannot_carry_tell_how_much_stars_err(width: float) -> None:
    """Within a factor of 2, for a star on the image's own pixels."""
    seen = telescope(width, 4, wcs=None)
    beyond = waves_beyond(seen.psf_samples[0], PixelAffine(), 4)
    assert 0.5 < star_error(seen, width) / beyond < 2.0
    assert waves_beyond(seen.psf[0], PixelAffine()) == 0.0
    assert 0.5 < waves_at_the_end(seen.psf[0]) / beyond < 3.0


def test_a_narrow_psf_asks_for_pixels_as_fine_as_its_waves() -> None:
    sides = [empty_scene([telescope(width, 4)]).grid.shape[0] // SIDE for width in (1.0, 1.6, 4.0)]
    assert sides == [3, 2, 1]


def test_kernels_that_ring_are_told_with_the_remedy() -> None:
    for seen, said in (
        (telescope(1.3, 1), r"waves at the limit of its own pixels, and its kernel rings by .* an oversampled PSF"),
        (telescope(1.3, 4, wcs=None), r"too short for the pixels that sources live on.*finer ones"),
        (telescope(1.3, 4), None),
        (telescope(3.0, 1), None),
    ):
        scene = empty_scene([seen])
        notes = kernel_notes([seen], scene.grid, scene.model_psf_sigma)
        assert len(notes) == (said is not None), notes
        if said is not None:
            assert notes[0].startswith("sharp: the PSF of band i is narrow")
            assert re.search(said, notes[0]), notes[0]
    kernel = difference_kernel(stamp_of(1.0, 1), 0.85, PixelAffine(((2.0, 0.0), (0.0, 2.0))))
    assert ringing(kernel) > 0.1
