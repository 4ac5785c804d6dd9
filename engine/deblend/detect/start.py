"""Starting scenes: sources of about the right size, before the PSF, with jointly solved fluxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from deblend.detect.find import DEFAULT_METHOD, Method, find_peaks
from deblend.detect.known import without_stars
from deblend.detect.peaks import Peaks
from deblend.detect.profile import peeled, with_amplitudes
from deblend.detect.stack import FULL_WIDTH, LIMIT, NEAR, Stack, box_radius, rings, stacks, symmetric_part
from deblend.detect.unlisted import kept_from, unlisted_in
from deblend.observe import Observation, full_width_half_maximum
from deblend.observe.kernel_check import waves_beyond
from deblend.program import Program
from deblend.program.layout import SIDES
from deblend.scene import (
    MODEL_PSF_SIGMA,
    PROFILE_SIGMAS,
    Galaxy,
    Scene,
    Source,
    StarCatalog,
    StarField,
    make_source,
)
from deblend.sky import Cover, PixelAffine, PixelGrid, common_grid

LARGEST_RADIUS = SIDES[-1] // 2
SMALLEST_RADIUS = SIDES[1] // 2
"""Wings of a small source lie below the noise, and the smallest compiled box has room for them [pix]."""
LARGEST_SIZE = 40
"""Where a starting half-light radius is cut [pix]."""
SEEN_WELL = 5.0
"""Signal to noise with which a stack is believed to show how large a source is."""
LEAST_MODEL_SIGMA = 0.5
MODEL_TO_PSF = 0.8
WELL_SAMPLED = 0.7
"""Width from which on a model PSF is well sampled: below, stars off the middle of a pixel err by 5 % and more [pix]."""
MOST_OVERSAMPLED = 3
LOST_WAVES = 2e-3
"""Share of a PSF's peak in waves that may be too short for the scene's pixels."""
PEELINGS = 2
"""How often sources are sized anew without the light of others."""
REACH_OF_PROFILE = 2.0
"""How far a profile reaches beyond a box of the usual radius [widths of its widest Gaussian]."""
USUAL_RADIUS = 16
"""Of boxes that the profile's widths suit as they are [pix]."""
RIVAL = 0.5
"""Of the brightest source that a coarse image does not tell apart: from there on its light may be another's, too."""
SNAP = 1.25
"""How much larger than a compiled box a box may be to be cut to it."""


def detect(
    observations: Sequence[Observation],
    threshold: float = 5.0,
    *,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    solve: bool = True,
    method: Method = DEFAULT_METHOD,
    stars: StarCatalog | StarField | None = None,
    oversampling: int | None = None,
    cover: Cover = "union",
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
    method
        How sources are looked for, as in `find_peaks`.
    stars
        Known stars, that the scene is to have besides its sources; no source is placed on them.
    oversampling, cover
        Of the pixels that sources live on, as in `empty_scene`. Peaks elsewhere are left aside.
    """
    options: dict[str, Any] = {"oversampling": oversampling, "cover": cover}
    empty = empty_scene(observations, **options)
    peaks = find_peaks(observations, threshold, method)
    if cover != "union":
        _, _, is_inside = on_scene(empty, observations[0].grid, peaks.x, peaks.y)
        peaks = peaks.take(np.flatnonzero(is_inside))
    if stars is not None:
        peaks = without_stars(peaks, observations[0].grid, empty.with_stars(stars), stacks(observations))
    options |= {"kind": kind, "box_scale": box_scale, "solve": solve, "stars": stars}
    return scene_from_positions(observations, peaks.x, peaks.y, **options)


def scene_from_positions(
    observations: Sequence[Observation],
    x: Sequence[float] | Float[np.ndarray, " source"],
    y: Sequence[float] | Float[np.ndarray, " source"],
    *,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    solve: bool = True,
    stars: StarCatalog | StarField | None = None,
    oversampling: int | None = None,
    cover: Cover = "union",
) -> Scene:
    """Return a scene with a source at each position (0-based pixels of the first observation), fluxes solved jointly.

    Parameters as in `detect`. Raises ValueError where a position is on no image.
    """
    scene = empty_scene(observations, oversampling=oversampling, cover=cover).with_stars(stars)
    first = observations[0].grid
    row_x, row_y, is_inside = on_scene(scene, first, x, y)
    where = "" if cover == "union" else "what all images share of "
    for row in range(len(row_x)):
        if not is_inside[row]:
            raise ValueError(
                f"Position {row} (x {x[row]:.1f}, y {y[row]:.1f}) is not on {where}the image of "
                f"{first.shape[1]}×{first.shape[0]} px (x by y); positions are 0-based pixels of the first image."
            )
    scene = scene.add(*_started(stacks(observations), scene, row_x, row_y, kind, box_scale))
    return Program(observations, scene).scene if solve and (len(scene) or scene.stars is not None) else scene


def positions_within(
    observations: Sequence[Observation],
    x: Sequence[float] | Float[np.ndarray, " source"],
    y: Sequence[float] | Float[np.ndarray, " source"],
    cover: Cover = "union",
) -> tuple[tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"]], int]:
    """Return those positions (0-based pixels of the first observation) that are on an image, or on what all images
    share, and how many are not."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    _, _, is_inside = on_scene(empty_scene(observations, cover=cover), observations[0].grid, x, y)
    return (x[is_inside], y[is_inside]), int(np.count_nonzero(~is_inside))


def on_scene(
    scene: Scene, first: PixelGrid, x: Any, y: Any
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"], Bool[np.ndarray, " source"]]:
    """Return positions (x, y) of the first grid in pixels of the scene, and which of them are on it."""
    row_y, row_x = first.affine_to(scene.grid)(np.asarray(y, float), np.asarray(x, float))
    return row_x, row_y, scene.grid.contains(row_y, row_x)


def empty_scene(
    observations: Sequence[Observation], *, oversampling: int | None = None, cover: Cover = "union"
) -> Scene:
    """Return a scene without sources on the finest pixels, over all images (or what they share).

    `oversampling` cuts each of these pixels into so many ones along both axes; without it they are cut where the
    sharpest PSF is too narrow for them: the model PSF must be narrower still, and would be undersampled, or finer
    samples of a PSF show waves that they cannot carry.

    Raises ValueError where the images cannot be laid on one another.
    """
    channels = tuple(channel for o in observations for channel in o.channels)
    grids = [o.grid for o in observations]
    try:
        grid = common_grid(grids, cover=cover)
    except ValueError as error:
        raise ValueError(f"{', '.join(o.name for o in observations)}: {error}") from error
    if oversampling is None:
        # without a place on the sky, finer pixels could not be told from the image's
        oversampling = 1 if grid.wcs is None else _asked_for(observations, grid)
    grid = grid.refined(oversampling)
    return Scene(grid, channels, model_psf_sigma=model_psf_sigma(observations, grid))


def _asked_for(observations: Sequence[Observation], grid: PixelGrid) -> int:
    """Return the oversampling that the PSFs ask for."""
    narrow = MODEL_TO_PSF * sharpest_sigma(observations, grid)
    least = int(np.clip(np.ceil(WELL_SAMPLED / narrow), 1, MOST_OVERSAMPLED))
    known = [
        (psf, o.grid.affine_to(grid), o.psf_oversampling)
        for o in observations
        for psf in o.psf_samples
        if o.psf_oversampling > 1
    ]
    for oversampling in range(least, MOST_OVERSAMPLED):
        # on pixels so much smaller, a pixel has so many fewer samples
        if all(waves_beyond(psf, affine, n / oversampling) <= LOST_WAVES for psf, affine, n in known):
            return oversampling
    return MOST_OVERSAMPLED


def model_psf_sigma(observations: Sequence[Observation], grid: PixelGrid) -> float:
    """Return the width of the model PSF [pix of `grid`]: well sampled, and narrower than the sharpest PSF."""
    return float(np.clip(MODEL_TO_PSF * sharpest_sigma(observations, grid), LEAST_MODEL_SIGMA, MODEL_PSF_SIGMA))


def sharpest_sigma(observations: Sequence[Observation], grid: PixelGrid) -> float:
    """Return the width of the sharpest PSF, as a Gaussian's [pix of `grid`]."""
    widths = [
        full_width_half_maximum(psf) / o.psf_oversampling * o.grid.affine_to(grid).scale
        for o in observations
        for psf in o.psf_samples
    ]
    return min(widths) / FULL_WIDTH


def start_source(
    observations: Sequence[Observation],
    scene: Scene,
    x: float,
    y: float,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    seen: Sequence[Stack] | None = None,
) -> Source:
    """Return a source for a place on the scene's grid, of about the size of the light there, without fluxes.

    `seen` is `stacks(observations)`, where they are known already.
    """
    if seen is None:
        seen = stacks(observations)
    (source,) = _started(seen, scene, np.array([x]), np.array([y]), kind, box_scale, alone=True)
    return source


def start_sources(
    observations: Sequence[Observation],
    scene: Scene,
    x: Float[np.ndarray, " source"],
    y: Float[np.ndarray, " source"],
    kind: str = "galaxy",
    box_scale: float = 1.0,
) -> list[Source]:
    """Return sources for places on the scene's grid, as `scene_from_positions` starts them, without fluxes."""
    return _started(stacks(observations), scene, x, y, kind, box_scale)


def _started(
    seen: Sequence[Stack],
    scene: Scene,
    x: Float[np.ndarray, " source"],
    y: Float[np.ndarray, " source"],
    kind: str,
    box_scale: float,
    *,
    alone: bool = False,
) -> list[Source]:
    """Return sources for places on the scene's grid, each as the finest stack that sees it well shows it.

    With `alone`, a source is put where it was asked for, whatever else the image shows.
    """
    n_channels = len(scene.channels)
    places = [stack.grid.affine_to(scene.grid) for stack in seen]
    own = [affine.inverse(y, x) for affine in places]
    chosen, radii = np.zeros(len(x), int), np.zeros(len(x))
    if len(seen) > 1:
        by_stack = np.stack([_significance(stack, *place) for stack, place in zip(seen, own, strict=True)])
        is_seen = by_stack >= SEEN_WELL
        chosen = np.where(is_seen.any(axis=0), is_seen.argmax(axis=0), by_stack.argmax(axis=0))
        for stack, affine, place, snr in zip(seen, places, own, by_stack, strict=True):
            radii = np.maximum(radii, affine.scale * _reaches(stack, *place, snr, by_stack[0]))
    result: dict[int, Source] = {}
    for k, (stack, affine, (rows, columns)) in enumerate(zip(seen, places, own, strict=True)):
        mine = np.flatnonzero(chosen == k)
        objects = None if alone or not mine.size else unlisted_in(stack, *_listed(scene, affine, columns, rows))
        reaches = radii[mine] / affine.scale
        sources = _seen_on(stack, columns[mine], rows[mine], reaches, n_channels, kind, box_scale, objects)
        for i, source in zip(mine.tolist(), sources, strict=True):
            result[i] = _carried(source, affine, radii[i] * box_scale)
    return [result[i] for i in range(len(x))]


def _seen_on(
    stack: Stack,
    x: Float[np.ndarray, " source"],
    y: Float[np.ndarray, " source"],
    reaches: Float[np.ndarray, " source"],
    n_channels: int,
    kind: str,
    box_scale: float,
    objects: Peaks | None,
) -> list[Source]:
    """Return sources for places of a stack, as it shows them, each without the light of the others."""

    def sized(i: int, picture: Float[np.ndarray, "y x"]) -> Source:
        return _sized(picture, stack.psf_sigma, n_channels, x[i], y[i], kind, box_scale, objects, reaches[i])

    start = peeled(stack, [sized(i, stack.signal_to_noise) for i in range(len(x))])
    for _ in range(PEELINGS):
        # what lies on the light of others is as large as it is without that
        anew = {i: sized(i, picture) for i, picture in start.alone(start.outshone(LIMIT * stack.noise))}
        if not anew:
            break
        start = peeled(stack, [anew.get(i, source) for i, source in enumerate(start.sources)])
    return start.sources


def _listed(scene: Scene, affine: PixelAffine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places of a stack, with those of known stars after them."""
    if scene.stars is None:
        return x, y
    rows, columns = affine.inverse(scene.stars.y.mean(axis=1), scene.stars.x.mean(axis=1))
    return np.concatenate([x, columns]), np.concatenate([y, rows])


def _significance(
    stack: Stack, y: Float[np.ndarray, " source"], x: Float[np.ndarray, " source"]
) -> Float[np.ndarray, " source"]:
    """Return the signal to noise of point sources at places of a stack; -1 where it is blind."""
    snr, is_seen = stack.of_stars_at(y, x)
    result: Float[np.ndarray, " source"] = np.where(is_seen, snr, -1.0)
    return result


def _reaches(
    stack: Stack,
    y: Float[np.ndarray, " source"],
    x: Float[np.ndarray, " source"],
    snr: Float[np.ndarray, " source"],
    apart: Float[np.ndarray, " source"],
) -> Float[np.ndarray, " source"]:
    """Return how far the light of sources reaches in a stack [pix]; 0 for one that a much brighter one hides there.

    `apart` is how bright they are where they can be told apart.
    """
    result = np.zeros(len(x))
    for k in np.flatnonzero(snr >= SEEN_WELL):
        near = np.hypot(y - y[k], x - x[k]) < FULL_WIDTH * stack.psf_sigma
        if apart[k] >= RIVAL * apart[near].max():
            result[k] = box_radius(stack.signal_to_noise, x[k], y[k])
    return result


def _carried(source: Source, affine: PixelAffine, reach: float = 0.0) -> Source:
    """Return a new source on another grid of pixels, in a box of at least a radius `reach` there [pix]."""
    if affine == PixelAffine() and reach <= source.radius:
        return source
    component = source.components[0]
    morphology, scale = component.morphology, affine.scale
    (y, x), (anchor_y, anchor_x) = affine(source.y, source.x), affine(*source.anchor[::-1])
    carried = make_source(
        source.kind,
        float(anchor_x),
        float(anchor_y),
        n_channels=len(component.spectrum.value),
        half_light_radius=(morphology.half_light_radius_guess or 1.0) * scale,
        radius=int(np.clip(snapped(round(max(component.radius * scale, reach))), 3, LARGEST_RADIUS)),
        scale=getattr(morphology, "scale", 1.0) * scale,
        center_scatter=source.center_scatter * scale,
    )
    carried = replace(carried, center=carried.center.at((float(x), float(y))))
    return with_amplitudes(carried, morphology.amplitudes.value) if isinstance(morphology, Galaxy) else carried


def _sized(
    picture: Float[np.ndarray, "y x"],
    psf_sigma: float,
    n_channels: int,
    x: float,
    y: float,
    kind: str,
    box_scale: float,
    unlisted: Peaks | None = None,
    reach: float = 0.0,
) -> Source:
    """Return a round source of about the size of the light there, that reaches no object without a source.

    `picture` is of signal to noise per pixel; `reach` is how far its light is known to go from elsewhere [pix].
    """
    extent = box_radius(picture, x, y)
    size = half_light_radius(picture, x, y, psf_sigma)
    radius = int(np.clip(round(max(snapped(extent), SMALLEST_RADIUS) * box_scale), 3, LARGEST_RADIUS))
    # the profile's widths suit galaxies of a few pixels; larger ones stretch them, also those that reach far beyond a
    # sharp core
    beyond = max(radius, reach * box_scale) - USUAL_RADIUS
    scale = max(size / 3.0, beyond / (REACH_OF_PROFILE * PROFILE_SIGMAS[-1]), 1.0)
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
