"""The arrays that a compiled program works on, as pytrees with an entry per group or per observation."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Complex, Float, Int, UInt8

from deblend.observe.resampling import ResamplingTables
from deblend.render.tables import GalaxyTables

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
    aspect: Float[Array, "slot channel 3"]
    """How each channel sees the source other than the mean does: off its center in y and in x [pix], and tilted."""


class FullSceneParameters(NamedTuple):
    """Light that covers the whole scene."""

    spectrum: Float[Array, "component passband"]
    """Only its direction counts; how much light there is, coefficients say."""
    coefficients: Float[Array, "component row column"]
    """Of B-splines, in units of the noise of a pixel, all channels together."""


class Parameters(NamedTuple):
    """All that a fit may change."""

    groups: tuple[GroupParameters, ...]
    calibration: Float[Array, "channel 10"] | None = None
    """How the images are off, in the order of `program.calibration`; None where nothing of it is asked for."""
    stars: Float[Array, "star passband"] | None = None
    """Fluxes of known stars, in units of each passband's noise; None where there is no layer of stars."""
    full_scene: FullSceneParameters | None = None
    """None where no light covers the whole scene, nor ever did."""


class Asked(NamedTuple):
    """What operators ask of every slot of a group; kinds in the order of `program.asked`."""

    strength: Float[Array, "slot kind"]
    """Of each kind that changes pixels; 0 where it is off."""
    order: Int[Array, "slot kind"]
    """Places of the kinds, in the order in which they act."""
    tolerance: Float[Array, "slot kind"]
    weights: Int[Array, "slot kind"]
    """A place in `INWARD_WEIGHTS`."""
    pixel_bounds: Float[Array, "slot 2"]
    """As fractions of the light of the source."""
    of_spectrum: Float[Array, "slot kind"]
    """Strength of each kind that changes fluxes."""
    reference: Int[Array, " slot"]
    ratio_bounds: Float[Array, "slot 2 channel"]
    """Of fluxes in units of the noise."""
    ratios: Float[Array, "slot channel"]


class Tether(NamedTuple):
    """What holds every slot of a group to what its operators allow: a splitting, in units of the noise."""

    light: Float[Array, "slot side side"] | None
    """Light that meets the constraints; None for kinds without pixels."""
    multiplier: Float[Array, "slot side side"] | None
    """Scaled: how far light is pushed beyond that, so that it is met."""
    stiffness: Float[Array, " slot"]
    """0 where nothing is asked."""
    flux: Float[Array, "slot channel"]
    flux_multiplier: Float[Array, "slot channel"]
    flux_stiffness: Float[Array, "slot channel"]


class Beliefs(NamedTuple):
    """Closed-form priors of the numbers of every slot of a group, a row for each entry of theta and each flux; see
    `program.beliefs`."""

    linear: Float[Array, "slot row number"]
    """a"""
    logarithmic: Float[Array, "slot row number"]
    """b"""
    mean: Float[Array, "slot row"]
    """m"""
    measure: Float[Array, "slot number"]
    """How many times ln u the energy of chains has besides."""


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
    aspect_free: Float[Array, "slot channel 3"]
    aspect_precision: Float[Array, "slot 3"]
    """Inverse standard deviation of the prior of each aspect."""
    pixels_free: Float[Array, " slot"]
    support: UInt8[Array, "slot side side"] | None
    """What light a source may have in each pixel of its box, of `program.support`; None for kinds without pixels."""
    positivity: Float[Array, " slot"]
    correction: Float[Array, " slot"]
    """What one unit of a correction's pixel means, relative to the profile there."""
    correction_precision: Float[Array, " slot"]
    """Inverse standard deviation of those units' prior; 0 for none."""
    symmetry: Float[Array, " slot"]
    monotonicity: Float[Array, " slot"]
    psf_share: Float[Array, "slot plane"] | None = None
    """How much of the light is seen through the PSF of each plane of the canvas; None where no PSF varies."""
    flux_tie: Float[Array, "slot channel channel"] | None = None
    """Projection onto fluxes that are tied, over the epochs of a passband or by a law; None where none are."""
    flux_root: Float[Array, "slot channel channel"] | None = None
    """Symmetric root of what priors of laws add to the normal matrix of the fluxes; None where none are tied."""
    unit: Float[Array, "slot channel"] | None = None
    """Optical depth, all pixels together, that one unit of a dust layer's fluxes is; None for what shines."""
    screen: Int[Array, "slot 2"] | None = None
    """Which layer of dust dims each slot: the number of its group among those that absorb, -1 for none, and its slot;
    None where there is no dust, nor ever was."""
    asked: Asked | None = None
    """None where no operator acts on the group, or ever has."""
    beliefs: Beliefs | None = None
    """None where a person has said nothing of what to believe, nor ever did."""
    tether: Tether | None = None
    """The only part that a solver writes."""


class ObservationData(NamedTuple):
    """What a telescope saw, in units of each channel's noise."""

    images: Float[Array, "band y x"]
    weights: Float[Array, "band y x"]
    transfer: Complex[Array, "band y f"]
    """Fourier transform of the difference kernels on the canvas, or for the waves that a resampling keeps; where the
    PSF varies one for each of its cells, (cell, band, y, f)."""
    near_transfer: Complex[Array, "band y f"]
    """The same on the smaller canvas of `near`: wings that leave it come back on the other side."""
    power: tuple[Float[Array, "band period f"], ...]
    """Squared modulus of that transform on a box and one pixel more, for every group."""
    kernel_energy: Float[Array, " band"]
    """Sum over its pixels of the squared picture of a pixel of the model."""
    place: Float[Array, "2 3"]
    """From pixels (y, x, 1) of the model to its own (y, x)."""
    tables: ResamplingTables | None
    """For one whose pixels are not those of the model."""
    whitening: Float[Array, "neighbour band y x"] | None
    """For one whose noise is correlated."""
    ramps: tuple[Float[Array, " y"], Float[Array, " x"]]
    """-1 to 1 along y, and along x, over the image."""


class CenterTies(NamedTuple):
    """Projections of numbers of all slots of all groups, one group after another."""

    centers: Float[Array, "all all"]
    """Onto centers that components share, and that lie on straight lines in time."""
    offsets: Float[Array, "all all"]
    """Onto numbers that the components of a source share."""


class CalibrationData(NamedTuple):
    """What a person decides of how the images may be off."""

    free: Float[Array, "channel 10"]
    lower: Float[Array, "channel 10"]
    upper: Float[Array, "channel 10"]
    mean: Float[Array, "channel 10"]
    precision: Float[Array, "channel 10"]
    """Inverse standard deviation of the Gaussian prior; 0 for none."""
    pivot: Float[Array, "channel 3"]
    """What the image turns about, (y, x) [pix of the model], and one over how far its corner lies from there."""
    turn_tie: Float[Array, "channel channel"]
    """Projection onto turns that are one rotation for all that a survey saw at one time."""


class StarData(NamedTuple):
    """Known stars. They are drawn by entries: a star that moves far between epochs has several."""

    count: Int[Array, ""]
    """How many entries are used; they come first."""
    owner: Int[Array, " entry"]
    """The star that each one is a picture of."""
    origin: Int[Array, "entry 2"]
    """Pixel (y, x) under the middle of its patch."""
    along_y: Float[Array, "entry plane side"]
    """A star per unit flux is the product of a column and a row: the model PSF is a Gaussian. Planes of the canvas that
    do not see it there are 0."""
    along_x: Float[Array, "entry plane side"]
    spectra: Float[Array, "passband channel"]
    """Fluxes, in units of each channel's noise, of one unit of each passband."""
    free: Float[Array, "star passband"]
    mean: Float[Array, "star passband"]
    """Of the Gaussian prior."""
    precision: Float[Array, "star passband"]
    """Its inverse standard deviation; 0 for none."""
    gram: Float[Array, "block passband n n"]
    """Jᵀ W J of the stars of each block: of neighbours."""


class FullSceneData(NamedTuple):
    """What is known of light that covers the whole scene."""

    along_y: Float[Array, "component y row"]
    """Values of the B-splines on the rows of the canvas; 0 for what is not used."""
    along_x: Float[Array, "component x column"]
    spectra: Float[Array, "passband channel"]
    """Fluxes, in units of each channel's noise, of one unit of each passband."""
    share: Float[Array, " plane"]
    """How much of the light is seen through the PSF of each plane of the canvas."""
    spectrum_free: Float[Array, "component passband"]
    coefficients_free: Float[Array, "component row column"]
    used: Float[Array, "component row column"]
    precision: Float[Array, " component"]
    """Inverse standard deviation of how far neighbouring coefficients are off a line."""
    stiffness: Float[Array, "component n n"]
    """Jᵀ J of the prior, for all coefficients of a component."""
    weights: Float[Array, "channel y x"]
    """Of light on the pixels of the canvas, about: for preconditioning."""


class ProblemData(NamedTuple):
    """All that a compiled step needs besides the parameters."""

    groups: tuple[GroupData, ...]
    observations: tuple[ObservationData, ...]
    psf_variance: Float[Array, ""]
    """Variance of the Gaussian model PSF [pix²]."""
    calibration: CalibrationData | None = None
    passbands: Float[Array, "channel channel"] | None = None
    """Mean over the epochs of each passband; None where none has several."""
    links: tuple[Int[Array, "slot theta"], ...] | None = None
    """Of every shape parameter of every group the number that it is; None where each is one of its own."""
    center_ties: CenterTies | None = None
    """None where every source has one component and stands still."""
    stars: StarData | None = None
    """None where there is no layer of stars."""
    full_scene: FullSceneData | None = None
    """None where no light covers the whole scene, nor ever did."""
    learned: GalaxyTables | None = None
    """What galaxies look like; None where no source is believed to look so."""

    @property
    def near(self) -> ProblemData:
        """The same for the layout's `near`: enough for a direction, at half the cost on a small image."""
        return self._replace(observations=tuple(o._replace(transfer=o.near_transfer) for o in self.observations))
