"""How a telescope sees the sky: observations, PSF, noise."""

from deblend.observe.correlation import NoiseCorrelation
from deblend.observe.noise import measured_sigma, measured_weights
from deblend.observe.observation import Observation, with_measured_noise, with_white_noise
from deblend.observe.passbands import find_passband, find_passbands, passband_notes
from deblend.observe.psf import centroid, full_width_half_maximum, mend_psf
from deblend.observe.psf_field import PsfField
from deblend.observe.psf_profiles import double_gaussian_psf, gaussian_psf, moffat_psf
from deblend.observe.psf_report import PsfReport, describe_psf
from deblend.observe.star_psf import StarPsf, psf_from_stars
from deblend.observe.stars import Stars, find_stars
from deblend.observe.weight_form import NoiseForm, WeightOrigin

__all__ = [
    "NoiseCorrelation",
    "NoiseForm",
    "Observation",
    "PsfField",
    "PsfReport",
    "StarPsf",
    "Stars",
    "WeightOrigin",
    "centroid",
    "describe_psf",
    "double_gaussian_psf",
    "find_passband",
    "find_passbands",
    "find_stars",
    "full_width_half_maximum",
    "gaussian_psf",
    "measured_sigma",
    "measured_weights",
    "mend_psf",
    "moffat_psf",
    "passband_notes",
    "psf_from_stars",
    "with_measured_noise",
    "with_white_noise",
]
