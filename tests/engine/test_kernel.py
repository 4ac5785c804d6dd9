"""Difference kernels: what is blurred by the model PSF and then by the kernel is blurred by the telescope's PSF."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
import scipy.signal

from deblend.observe import gaussian_psf
from deblend.observe.kernel import difference_kernel, kernel_radius, transfer, trimmed
from deblend.scene import MODEL_PSF_SIGMA


def model_psf(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    return np.exp(-0.5 * (x**2 + y**2) / MODEL_PSF_SIGMA**2) / (2 * np.pi * MODEL_PSF_SIGMA**2)


def moffat_psf(fwhm: float) -> np.ndarray:
    profile = galsim.Moffat(beta=3.0, fwhm=fwhm)
    image: np.ndarray = profile.drawImage(nx=43, ny=43, scale=1.0, dtype=float).array
    return image / image.sum()


@pytest.mark.parametrize(
    "psf", [gaussian_psf(2.6), gaussian_psf(4.5), moffat_psf(3.2)], ids=["sharp", "soft", "Moffat"]
)
def test_the_kernel_takes_the_model_psf_to_that_of_the_telescope(psf: np.ndarray) -> None:
    kernel = difference_kernel(psf, MODEL_PSF_SIGMA)
    assert kernel.sum() == pytest.approx(1.0)
    assert kernel.shape[0] % 2 == 1
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-4 * kernel.max())
    seen = scipy.signal.fftconvolve(kernel, model_psf(41), mode="same")
    extra = (kernel.shape[0] - psf.shape[0]) // 2
    # where the model PSF has no power left, the sharpest PSF still has a trace
    np.testing.assert_allclose(seen[extra:-extra, extra:-extra], psf, atol=5e-3 * psf.max())


@pytest.mark.parametrize("psf", [gaussian_psf(2.6), moffat_psf(3.2)], ids=["Gaussian", "Moffat"])
def test_trimming_loses_a_trace_only(psf: np.ndarray) -> None:
    kernels = difference_kernel(psf, MODEL_PSF_SIGMA)[None]
    radius = kernel_radius(kernels)
    cut = trimmed(kernels, radius)
    assert cut.shape == (1, 2 * radius + 1, 2 * radius + 1)
    assert cut.sum() == pytest.approx(1.0)
    middle = kernels.shape[-1] // 2
    inner = slice(middle - radius, middle + radius + 1)
    np.testing.assert_allclose(cut[0], kernels[0, inner, inner], atol=1e-3 * kernels.max())


def test_the_transform_convolves_without_moving_anything() -> None:
    kernel = gaussian_psf(3.0)[None]
    shape = (45, 54)
    picture = np.zeros(shape)
    picture[20, 31] = 1.0
    seen = np.fft.irfft2(np.fft.rfft2(picture) * transfer(kernel, shape)[0], s=shape)
    reach = kernel.shape[-1] // 2
    cut = seen[20 - reach : 21 + reach, 31 - reach : 32 + reach]
    np.testing.assert_allclose(cut, kernel[0], atol=1e-6)


def test_a_kernel_larger_than_its_canvas_is_folded() -> None:
    """Folding in space is taking every second frequency; no light is lost."""
    kernel = gaussian_psf(5.0)[None]
    assert kernel.shape[-1] > 16
    small, large = transfer(kernel, (16, 16)), transfer(kernel, (32, 32))
    np.testing.assert_allclose(small, large[:, ::2, ::2], atol=1e-6)
    assert small[0, 0, 0] == pytest.approx(1.0, abs=1e-6)


def test_the_kernel_of_a_psf_no_wider_than_the_models_stays_finite() -> None:
    kernel = difference_kernel(gaussian_psf(1.6), MODEL_PSF_SIGMA)
    assert np.all(np.isfinite(kernel)) and kernel.sum() == pytest.approx(1.0)
