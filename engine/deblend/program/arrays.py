"""The arrays that a compiled program works on, as pytrees with an entry per group or per observation."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Complex, Float, Int

Array = Any
"""A NumPy array outside, a JAX array inside of compiled code."""


class GroupParameters(NamedTuple):
    """What a fit may change, for every slot of a group."""

    theta: Float[Array, "slot theta"]
    """Offsets (y, x) of the centers from their boxes' middles [pix], then the shape parameters."""
    flux: Float[Array, "slot channel"]
    """Flux in units of each channel's noise."""
    pixels: Float[Array, "slot side side"] | None
    """Free-form picture, in units of the kind's envelope; None where the kind has none."""
    offset: Float[Array, "slot channel 2"]
    """How far (y, x) each channel sees the source off its center [pix]."""


class GroupData(NamedTuple):
    """What a person decides, for every slot of a group: all of it is data, so no edit of it compiles."""

    count: Int[Array, ""]
    """How many slots are used; they come first."""
    origin: Int[Array, "slot 2"]
    """Pixel (y, x) under the middle of the box."""
    radius: Int[Array, " slot"]
    """Half the side of the box in use [pix]."""
    pixel_radius: Int[Array, " slot"]
    """Half the side of the part of it where pixels are free [pix]."""
    scale: Float[Array, " slot"]
    theta_lower: Float[Array, "slot theta"]
    theta_upper: Float[Array, "slot theta"]
    theta_free: Float[Array, "slot theta"]
    theta_mean: Float[Array, "slot theta"]
    theta_precision: Float[Array, "slot theta"]
    """Inverse standard deviation of the Gaussian prior; 0 for none."""
    flux_lower: Float[Array, "slot channel"]
    flux_upper: Float[Array, "slot channel"]
    flux_free: Float[Array, "slot channel"]
    offset_free: Float[Array, "slot channel 2"]
    offset_precision: Float[Array, " slot"]
    """Inverse standard deviation of the prior of those offsets [1/pix]."""
    pixels_free: Float[Array, " slot"]
    positivity: Float[Array, " slot"]
    correction: Float[Array, " slot"]
    """What one unit of a correction's pixel means, relative to the profile there."""
    correction_precision: Float[Array, " slot"]
    """Inverse standard deviation of those units' prior; 0 for none."""
    symmetry: Float[Array, " slot"]
    monotonicity: Float[Array, " slot"]


class ObservationData(NamedTuple):
    """What a telescope saw, in units of each channel's noise."""

    images: Float[Array, "band y x"]
    weights: Float[Array, "band y x"]
    transfer: Complex[Array, "band y f"]
    """Fourier transform of the difference kernels on the canvas."""
    power: tuple[Float[Array, "band period f"], ...]
    """Squared modulus of that transform on a box and one pixel more, for every group."""
    kernel_energy: Float[Array, " band"]
    """Sum of the squared difference kernel."""


class ProblemData(NamedTuple):
    """All that a compiled step needs besides the parameters."""

    groups: tuple[GroupData, ...]
    observations: tuple[ObservationData, ...]
    psf_variance: Float[Array, ""]
    """Variance of the Gaussian model PSF [pix²]."""


Parameters = tuple[GroupParameters, ...]
