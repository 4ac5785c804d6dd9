"""A blend as a task: all that is needed to fit it, cut out of the images, and what comes back.

Tasks know nothing of files or of each other, so that they can go to another process or machine, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from deblend.batch.blends import Blend, shared_out
from deblend.batch.survey import Sources
from deblend.detect import empty_scene
from deblend.infer import FitSettings
from deblend.observe import Observation
from deblend.program.problem import prepare_observations
from deblend.sky import Channel, PixelBox

PSF_SLACK = 2
"""How much further kernels may reach elsewhere where the PSF varies [pix of the model]."""
PROBE = 64
"""Side of the piece that tells what a field's programs look like [pix]."""


@dataclass(frozen=True)
class Frame:
    """What all blends of a field share."""

    channels: tuple[Channel, ...]
    model_psf_sigma: float
    """[pix of the model]"""
    oversampling: int
    """Pixels of the model per pixel of the images, along each axis."""
    reach: int
    """Radius of the kernels [pix of the model]."""
    kind: str = "galaxy"
    settings: FitSettings = field(default_factory=FitSettings)
    with_errors: bool = True
    with_shapes: bool = False
    """Whether errors of fluxes have shapes and places marginalised over."""
    with_shares: bool = False
    passes: int = 0
    """How often more sources are looked for in what plain profiles leave over."""


@dataclass(frozen=True, eq=False)
class Task:
    """One blend."""

    number: int
    tile: int
    box: PixelBox
    """In pixels of its tile."""
    observations: tuple[Observation, ...]
    """Images of the box; what lies beyond the tile, and what belongs to other blends, has weight 0."""
    sources: tuple[int, ...]
    """Rows of its sources, its own first."""
    n_owned: int
    x: Float[np.ndarray, " source"]
    """[pix of the box]"""
    y: Float[np.ndarray, " source"]
    snr: Float[np.ndarray, " source"]
    mine: Bool[np.ndarray, "y x"] | None = None
    """Pixels on which another source would be its own; None where that is not known."""
    failure: str = ""
    """Why it cannot be fitted; empty where it can."""

    @classmethod
    def failed(cls, blend: Blend, reason: str) -> Task:
        """Return a blend whose images could not be read."""
        nowhere = np.zeros(0)
        return cls(
            blend.number, blend.tile, blend.box, (), blend.rows, len(blend.owned), *(nowhere,) * 3, failure=reason
        )


@dataclass(frozen=True, eq=False)
class Result:
    """What came of a blend: numbers of its own sources, or the reason why there are none."""

    number: int
    tile: int
    corner: tuple[int, int]
    """(x, y) of the first pixel of its box, in its tile."""
    side: int
    sources: tuple[int, ...]
    """Rows of its own sources."""
    second: tuple[int, ...] = ()
    """Numbers of its sources that were found in what a first fit had left over; they come behind those rows."""
    all_second: tuple[int, ...] = ()
    """The same before a person took any of them away; empty where nobody did."""
    added: int = 0
    """How many sources a person has added, behind all of these."""
    is_mended: bool = False
    """Whether it is as a person has left it."""
    failure: str = ""
    """A sentence; empty where the fit went through."""
    outcome: str = ""
    chi2: float = np.nan
    """Per pixel that counts."""
    iterations: int = 0
    seconds: float = np.nan
    """Of the processor."""
    compilations: int = 0
    """Of its process so far."""
    memory: float = 0.0
    """The most that its process has held so far [MB]."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of the catalog, an entry per source of its own."""
    guests: Mapping[str, np.ndarray] = field(default_factory=dict)
    """`source` and `flux` (source, channel) [nJy] of its guests, to compare with what their own blends say."""
    model: Float[np.ndarray, "channel y x"] | None = None
    """Light of its own sources [nJy/pix], on the box."""

    @property
    def n_sources(self) -> int:
        """How many sources of its own it has."""
        return len(self.sources) + len(self.second) + self.added


def frame_of(observations: Sequence[Observation], **fields: object) -> Frame:
    """Return what blends of a field have in common that looks as this piece of it does."""
    height, width = observations[0].shape
    box = PixelBox.around(width / 2.0, height / 2.0, PROBE).within((height, width))
    assert box is not None
    varies = any(o.psf_field is not None for o in observations)
    probe = [_seen_everywhere(local(o, box)) for o in observations]
    scene = empty_scene(probe)
    prepared = prepare_observations(probe, scene, np.dtype(np.float32))
    reach = max(p.layout.radius for p in prepared) + (PSF_SLACK if varies else 0)
    oversampling = scene.grid.shape[0] // probe[0].shape[0]
    return Frame(scene.channels, scene.model_psf_sigma, oversampling, reach, **fields)  # type: ignore[arg-type]


def together(frames: Sequence[Frame]) -> Frame:
    """Return what blends have in common whose pieces of a field look differently; raises ValueError where they were
    not seen in the same bands."""
    channels = frames[0].channels
    for other in frames[1:]:
        if other.channels != channels:
            seen = [", ".join(map(str, each)) for each in (channels, other.channels)]
            raise ValueError(
                f"Tiles were seen in {seen[0]}, and others in {seen[1]}; give those of other bands a batch."
            )
    return replace(
        frames[0],
        model_psf_sigma=min(f.model_psf_sigma for f in frames),
        oversampling=max(f.oversampling for f in frames),
        reach=max(f.reach for f in frames),
    )


def task_of(blend: Blend, sources: Sources, observations: Sequence[Observation], read: PixelBox) -> Task:
    """Return a blend as a task, cut out of observations of the box `read` of its tile."""
    rows = np.array(blend.rows)
    box = blend.box
    near = np.flatnonzero(
        (sources.tile == blend.tile)
        & (np.abs(sources.x - 0.5 * sum(box.x)) < 0.5 * blend.side + sources.reach)
        & (np.abs(sources.y - 0.5 * sum(box.y)) < 0.5 * blend.side + sources.reach)
    )
    of_near = sources.x[near], sources.y[near], sources.reach[near].astype(float)
    others, mine = shared_out(box, *of_near, np.isin(near, rows), np.isin(near, blend.owned))
    (x0, _), (y0, _) = box.x, box.y
    inside = PixelBox((box.x[0] - read.x[0], box.x[1] - read.x[0]), (box.y[0] - read.y[0], box.y[1] - read.y[0]))
    cut = tuple(local(observation, inside).without(others) for observation in observations)
    places = sources.x[rows] - x0, sources.y[rows] - y0
    return Task(blend.number, blend.tile, box, cut, blend.rows, len(blend.owned), *places, sources.snr[rows], mine)


def local(observation: Observation, box: PixelBox) -> Observation:
    """Return what an observation shows in a box that may reach over its edge, through the PSF of the box's middle."""
    within = box.within(observation.shape)
    if within is None:
        raise ValueError(f"{observation.name}: the box {box} lies beyond its edge.")
    piece = observation.piece(within)
    if piece.psf_field is not None:
        # one PSF per blend, that of its middle
        piece = replace(piece, psf_field=None)
    lost = [(w[0] - b[0], b[1] - w[1]) for w, b in ((within.y, box.y), (within.x, box.x))]
    wcs = None if piece.wcs is None else piece.wcs.shifted(-lost[1][0], -lost[0][0])
    images, weights = (np.pad(cube, ((0, 0), *lost)) for cube in (piece.images, piece.weights))
    return replace(piece, images=images, weights=weights, wcs=wcs, notes=())


def _seen_everywhere(observation: Observation) -> Observation:
    """Return an observation whose pixels all count: how it is prepared depends on its PSF alone."""
    return replace(observation, weights=np.ones_like(observation.weights))
