"""The static shape of a compiled program: everything that, when it changes, costs a compilation.

Sources are grouped by kind and by the side of their box, padded to a bucket; a group has a capacity. The layout
depends on nothing else, so that edits within slots and buckets leave it, and with it the compiled code, alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import scipy.fft

from deblend.observe.resampling import ResamplingLayout
from deblend.render import KINDS

SIDES = (15, 31, 63, 127, 255)
"""Sides of boxes that are compiled for; a smaller box is masked inside of the next one [pix]."""
FIRST_CAPACITY = 16
"""Slots of a new group. Loops run over the used ones only, so free slots cost little."""
SPARE_SLOTS = 4
"""Slots that are free at least when a group is made or made larger, so that the next additions compile nothing."""
STAR_SIDE = 15
"""Side of the patch that a known star is drawn on: the model PSF is nothing beyond [pix]."""
STAR_BLOCK = 32
"""How many neighbouring stars are preconditioned together."""
RADIUS_STEP = 4
"""Radii of kernels that are compiled for are multiples of it [pix]."""
NEAR_RADIUS = 7
"""How far the core of a kernel reaches: about twice the seeing's half width on well sampled images [pix]."""
CENTER_SLACK = 3
"""How far outside of the image a center may lie [pix]."""


@dataclass(frozen=True)
class GroupLayout:
    """Sources of one kind in boxes of one side."""

    kind: str
    side: int
    capacity: int = FIRST_CAPACITY
    has_flux_ties: bool = False
    """Whether fluxes of several channels are tied: by epochs of one passband, or by a law of the spectrum."""
    is_split: bool = False
    """Whether operators ask something of its sources, or have: then they may, and nothing compiles."""
    is_absorbing: bool = False
    """Whether it is of dust, which dims the light of others."""
    has_beliefs: bool = False
    """Whether a person has said what to believe of a number of its sources, or had: then it may change, and nothing
    compiles."""
    definition: str = field(init=False, default="")
    """Of a morphology of a person's own: another one of that label is another program."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "definition", KINDS[self.kind].definition)


@dataclass(frozen=True)
class StarLayout:
    """A layer of known stars."""

    capacity: int
    """Of stars; a whole number of blocks."""
    entries: int
    """How many patches there may be: one for each star, or more where some move far."""


@dataclass(frozen=True)
class FullSceneLayout:
    """Light that covers the whole scene."""

    capacity: int
    """Of components."""
    rows: int
    """How many coefficients there may be along y, and along x."""
    columns: int


@dataclass(frozen=True)
class ObservationLayout:
    """One observation: which channels of the scene it holds, and the sizes of its convolution."""

    start: int
    stop: int
    shape: tuple[int, int]
    """(height, width) that is compiled for; a smaller image has no weight beyond its own [pix]."""
    radius: int
    """Radius of its difference kernels, in pixels of the model."""
    corner: tuple[int, int]
    """Pixel (y, x) of the model where the sky begins that it needs, kernels' reach included."""
    extent: tuple[int, int]
    """(height, width) of that sky [pix of the model]."""
    fft_shape: tuple[int, int] = (0, 0)
    resampling: ResamplingLayout | None = None
    """For one whose pixels are not those of the model; the others have an `fft_shape`."""
    n_cells: int = 1
    """How many PSFs are mixed for each source, where the PSF varies over the image."""
    is_correlated: bool = False
    """Whether its noise is."""

    @property
    def near(self) -> ObservationLayout:
        """The same with no more sky around the image than the core of the kernels reaches."""
        if self.resampling is not None:
            return self
        first = (self.corner[0] + self.radius, self.corner[1] + self.radius)
        near = aligned_layout(self.start, self.stop, self.shape, min(self.radius, NEAR_RADIUS), first)
        return replace(near, n_cells=self.n_cells, is_correlated=self.is_correlated)


@dataclass(frozen=True)
class Layout:
    """Groups and observations of one program, on one model grid."""

    groups: tuple[GroupLayout, ...]
    observations: tuple[ObservationLayout, ...]
    shape: tuple[int, int]
    """(height, width) of the model grid, as it is compiled for [pix]."""
    is_calibrated: bool = False
    """Whether images may be off what their files say."""
    has_ties: bool = False
    """Whether centers of several slots may be one, or lie on a line."""
    has_links: bool = False
    """Whether shape parameters of several slots may be one number."""
    stars: StarLayout | None = None
    """None where there never were any."""
    full_scene: FullSceneLayout | None = None
    """None where no light covers the whole scene, nor ever did."""

    @property
    def has_dust(self) -> bool:
        """Whether anything may be dimmed."""
        return any(group.is_absorbing for group in self.groups)

    @property
    def near(self) -> Layout:
        """The same where the far wings of the kernels need not be followed off the image."""
        return replace(self, observations=tuple(o.near for o in self.observations))

    @property
    def n_channels(self) -> int:
        return self.observations[-1].stop

    @property
    def planes(self) -> tuple[int, ...]:
        """The channel of every plane of the canvas: all of an observation for its first PSF, for its second…"""
        return tuple(c for o in self.observations for _ in range(o.n_cells) for c in range(o.start, o.stop))

    @property
    def has_varying_psfs(self) -> bool:
        return any(o.n_cells > 1 for o in self.observations)

    def planes_of(self, observation: ObservationLayout) -> slice:
        """Return the planes of the canvas that an observation sees."""
        before = sum(o.n_cells * (o.stop - o.start) for o in self.observations if o.start < observation.start)
        return slice(before, before + observation.n_cells * (observation.stop - observation.start))

    @property
    def pad(self) -> int:
        """Pixels of sky kept around the image, from where light still reaches it [pix]."""
        return max(o.radius for o in self.observations)

    @property
    def margin(self) -> int:
        """Further pixels around that, so that every box fits; light there is dropped [pix]."""
        largest = max((g.side for g in self.groups), default=1)
        largest = max(largest, STAR_SIDE) if self.stars is not None else largest
        return max(largest // 2 + CENTER_SLACK - self.pad, 0) + 1

    @property
    def canvas_shape(self) -> tuple[int, int]:
        """(height, width) of the sky that is rendered [pix]."""
        return self.shape[0] + 2 * self.pad, self.shape[1] + 2 * self.pad

    @property
    def scratch_shape(self) -> tuple[int, int]:
        """(height, width) of the array that boxes are added to [pix]."""
        return self.canvas_shape[0] + 2 * self.margin, self.canvas_shape[1] + 2 * self.margin


def capacity_for(members: int) -> int:
    """Return how many slots a group is made with: a power of two, with some to spare."""
    capacity = FIRST_CAPACITY
    while capacity < members + SPARE_SLOTS:
        capacity *= 2
    return capacity


def roomy(length: int) -> int:
    """Return the side of the smallest compiled image that holds one of this side [pix]: there are few, so that images
    share what is compiled, and an eighth of a side is wasted on the average."""
    step = max(2 ** (max(length - 1, 1).bit_length() - 3), 16)
    return -(-length // step) * step


def bucket(radius: int, least: int = SIDES[0]) -> int:
    """Return the side of the smallest compiled box, of at least `least`, that holds a box of this radius [pix]."""
    for side in SIDES:
        if side >= max(2 * radius + 1, least):
            return side
    raise ValueError(f"A box of radius {radius} px is larger than the largest, {SIDES[-1] // 2} px; make it smaller.")


def aligned_layout(
    start: int, stop: int, shape: tuple[int, int], radius: int, first: tuple[int, int] = (0, 0)
) -> ObservationLayout:
    """Return the layout of an observation on the model's pixels, its first one at `first` (y, x).

    `radius` is that of its difference kernels [pix].
    """
    extent = (shape[0] + 2 * radius, shape[1] + 2 * radius)
    fft_shape = tuple(scipy.fft.next_fast_len(n, real=True) for n in extent)
    corner = (first[0] - radius, first[1] - radius)
    return ObservationLayout(start, stop, shape, radius, corner, extent, (fft_shape[0], fft_shape[1]))
