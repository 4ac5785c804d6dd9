"""Starting scenes: sources of about the right size, before the PSF, with jointly solved fluxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from deblend.detect.peaks import Peaks, find_peaks
from deblend.detect.profile import with_profiles
from deblend.detect.stack import NEAR, Stack, box_radius, rings, stacked, symmetric_part
from deblend.detect.unlisted import kept_from, unlisted_in
from deblend.observe import Observation, full_width_half_maximum
from deblend.program import Program
from deblend.program.layout import SIDES
from deblend.scene import MODEL_PSF_SIGMA, Scene, Source, make_source
from deblend.sky import PixelGrid, common_grid

LARGEST_RADIUS = SIDES[-1] // 2
SMALLEST_RADIUS = SIDES[1] // 2
"""Wings of a small source lie below the noise, and the smallest compiled box has room for them [pix]."""
LARGEST_SIZE = 40
"""Where a starting half-light radius is cut [pix]."""
LEAST_MODEL_SIGMA = 0.5
MODEL_TO_PSF = 0.8
SNAP = 1.25
"""How much larger than a compiled box a box may be to be cut to it."""


def detect(
    observations: Sequence[Observation],
    threshold: float = 5.0,
    *,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    solve: bool = True,
) -> Scene:
    """Find sources and return a scene that is ready to be fitted.

    Parameters
    ----------
    threshold
        Signal to noise of a point source, over all bands.
    kind
        What every source is taken for: the label of a morphology.
    box_scale
        Factor on the size of the boxes.
    solve
        Whether to solve for the fluxes at once; else they are NaN, and whatever is done next with the scene does it.
    """
    peaks = find_peaks(observations, threshold)
    return scene_from_positions(observations, peaks.x, peaks.y, kind=kind, box_scale=box_scale, solve=solve)


def scene_from_positions(
    observations: Sequence[Observation],
    x: Sequence[float] | Float[np.ndarray, " source"],
    y: Sequence[float] | Float[np.ndarray, " source"],
    *,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    solve: bool = True,
) -> Scene:
    """Return a scene with a source at each position (0-based pixels of the first observation), fluxes solved jointly.

    Parameters as in `detect`. Raises ValueError where a position is not on the image.
    """
    scene = empty_scene(observations)
    height, width = scene.grid.shape
    stack = stacked(observations)
    for row, (px, py) in enumerate(zip(x, y, strict=True)):
        if not (-0.5 <= px <= width - 0.5 and -0.5 <= py <= height - 0.5):
            raise ValueError(
                f"Position {row} (x {px:.1f}, y {py:.1f}) is not on the image of {width}×{height} px (x by y); "
                "positions are 0-based pixels of the first image."
            )
    objects = unlisted_in(stack, x, y)
    sources = [
        _sized(stack, len(scene.channels), float(px), float(py), kind, box_scale, objects)
        for px, py in zip(x, y, strict=True)
    ]
    scene = scene.add(*with_profiles(stack, sources, recenter=True))
    return Program(observations, scene).scene if solve and len(scene) else scene


def empty_scene(observations: Sequence[Observation]) -> Scene:
    """Return a scene without sources on the pixels of the first observation."""
    channels = tuple(channel for o in observations for channel in o.channels)
    grid = common_grid([o.grid for o in observations])
    return Scene(grid, channels, model_psf_sigma=model_psf_sigma(observations, grid))


def model_psf_sigma(observations: Sequence[Observation], grid: PixelGrid) -> float:
    """Return the width of the model PSF [pix of `grid`]: well sampled, and narrower than the sharpest PSF."""
    sharpest = min(full_width_half_maximum(psf) * o.grid.affine_to(grid).scale for o in observations for psf in o.psf)
    return float(np.clip(MODEL_TO_PSF * sharpest / 2.3548, LEAST_MODEL_SIGMA, MODEL_PSF_SIGMA))


def start_source(
    observations: Sequence[Observation],
    scene: Scene,
    x: float,
    y: float,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    stack: Stack | None = None,
) -> Source:
    """Return a source for a place on the image, of about the size of the light there; its fluxes are to be solved for.

    `stack` is `stacked(observations)`, where it is known already.
    """
    if stack is None:
        stack = stacked(observations)
    (source,) = with_profiles(stack, [_sized(stack, len(scene.channels), x, y, kind, box_scale)])
    return source


def _sized(
    stack: Stack, n_channels: int, x: float, y: float, kind: str, box_scale: float, unlisted: Peaks | None = None
) -> Source:
    """Return a round source of about the size of the light there, that reaches no object without a source."""
    picture = stack.signal_to_noise
    extent = box_radius(picture, x, y)
    size = half_light_radius(picture, x, y, stack.psf_sigma)
    radius = int(np.clip(round(max(snapped(extent), SMALLEST_RADIUS) * box_scale), 3, LARGEST_RADIUS))
    # the profile's widths suit galaxies of a few pixels; larger ones stretch them
    scale = max(size / 3.0, 1.0)
    source = make_source(kind, x, y, n_channels=n_channels, half_light_radius=size, radius=radius, scale=scale)
    return source if unlisted is None else kept_from(source, unlisted, extent)


def snapped(radius: int) -> int:
    """Return a box's radius, cut to a compiled box's where it is hardly larger: the next costs four times as much."""
    for side in SIDES:
        if side // 2 <= radius <= SNAP * (side // 2):
            return side // 2
    return radius


def half_light_radius(picture: Float[np.ndarray, "y x"], x: float, y: float, psf_sigma: float) -> float:
    """Return about the half-light radius of a source before the PSF [pix].

    From where the median around it, of the light that is there on both sides, has fallen to half of the peak.
    """
    for reach in (NEAR, LARGEST_SIZE):
        medians = rings(reach).medians(symmetric_part(picture, x, y, reach))
        peak = max(medians[:2])
        if not peak > 0:
            return psf_sigma
        falls = np.flatnonzero(medians[1:] < 0.5 * peak) + 1
        if falls.size:
            break
    outer = int(falls[0]) if falls.size else reach
    inner_value, outer_value = medians[outer - 1], medians[outer]
    half = outer - (0.5 * peak - outer_value) / max(inner_value - outer_value, 1e-9)
    # a Gaussian of width s falls to half at 1.18 s, which is its half-light radius
    return float(np.sqrt(max(half**2 - (1.1774 * psf_sigma) ** 2, psf_sigma**2)))
