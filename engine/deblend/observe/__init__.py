"""How a telescope sees the sky: observations, PSF, noise."""

from deblend.observe.noise import measured_sigma, measured_weights
from deblend.observe.observation import Observation
from deblend.observe.psf import centroid, full_width_half_maximum, mend_psf
from deblend.observe.psf_field import PsfField
from deblend.observe.psf_profiles import double_gaussian_psf, gaussian_psf, moffat_psf

__all__ = [
    "Observation",
    "PsfField",
    "centroid",
    "double_gaussian_psf",
    "full_width_half_maximum",
    "gaussian_psf",
    "measured_sigma",
    "measured_weights",
    "mend_psf",
    "moffat_psf",
]
