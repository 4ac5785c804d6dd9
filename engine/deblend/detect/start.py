"""Starting scenes: sources of about the right size, before the PSF, with jointly solved fluxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from deblend.detect.find import DEFAULT_METHOD, Method, find_peaks
from deblend.detect.known import without_stars
from deblend.detect.profile import with_amplitudes
from deblend.detect.sizes import LARGEST_RADIUS, extents_on, snapped, sources_on, standing_in
from deblend.detect.stack import FULL_WIDTH, Stack, stacks
from deblend.detect.unlisted import unlisted_in
from deblend.observe import Observation, full_width_half_maximum
from deblend.observe.kernel_check import waves_beyond
from deblend.program import Program
from deblend.scene import (
    MODEL_PSF_SIGMA,
    Galaxy,
    Scene,
    Source,
    StarCatalog,
    StarField,
    make_source,
)
from deblend.sky import Cover, PixelAffine, PixelGrid, common_grid

SEEN_WELL = 5.0
"""Signal to noise with which a stack is believed to show how large a source is."""
LEAST_MODEL_SIGMA = 0.5
MODEL_TO_PSF = 0.8
WELL_SAMPLED = 0.7
"""Width from which on a model PSF is well sampled: below, stars off the middle of a pixel err by 5 % and more [pix]."""
MOST_OVERSAMPLED = 3
LOST_WAVES = 2e-3
"""Share of a PSF's peak in waves that may be too short for the scene's pixels."""
RIVAL = 0.5
"""Of the brightest source that a coarse image does not tell apart: from there on its light may be another's, too."""


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
    among: Sequence[Source] = (),
) -> Source:
    """Return a source for a place on the scene's grid, of about the size of the light there, without fluxes.

    `seen` is `stacks(observations)`, where they are known already; `among` are the sources of the scene whose light
    is in there, too, and does not count for this one.
    """
    if seen is None:
        seen = stacks(observations)
    near = [source for source in among if max(abs(source.x - x), abs(source.y - y)) <= source.radius]
    (source,) = _started(seen, scene, np.array([x]), np.array([y]), kind, box_scale, alone=True, among=near)
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
    among: Sequence[Source] = (),
) -> list[Source]:
    """Return sources for places on the scene's grid, each as the finest stack that sees it well shows it.

    With `alone`, a source is put where it was asked for, whatever else the image shows. The light of those `among`
    which it is does not count for it.
    """
    n_channels = len(scene.channels)
    places = [stack.grid.affine_to(scene.grid) for stack in seen]
    own = [affine.inverse(y, x) for affine in places]
    others = [[standing_in(source, affine) for source in among] for affine in places]
    chosen, radii = np.zeros(len(x), int), np.zeros(len(x))
    if len(seen) > 1:
        by_stack = np.stack([_significance(stack, *place) for stack, place in zip(seen, own, strict=True)])
        is_seen = by_stack >= SEEN_WELL
        chosen = np.where(is_seen.any(axis=0), is_seen.argmax(axis=0), by_stack.argmax(axis=0))
        for stack, affine, place, taken, snr in zip(seen, places, own, others, by_stack, strict=True):
            radii = np.maximum(radii, affine.scale * _reaches(stack, *place, taken, snr, by_stack[0]))
    result: dict[int, Source] = {}
    for k, (stack, affine, (rows, columns)) in enumerate(zip(seen, places, own, strict=True)):
        mine = np.flatnonzero(chosen == k)
        objects = None if alone or not mine.size else unlisted_in(stack, *_listed(scene, affine, columns, rows))
        reaches = radii[mine] / affine.scale
        here = columns[mine], rows[mine], reaches
        sources = sources_on(stack, *here, n_channels, kind, box_scale, objects, others[k])
        for i, source in zip(mine.tolist(), sources, strict=True):
            result[i] = _carried(source, affine, radii[i] * box_scale)
    return [result[i] for i in range(len(x))]


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
    others: Sequence[Source],
    snr: Float[np.ndarray, " source"],
    apart: Float[np.ndarray, " source"],
) -> Float[np.ndarray, " source"]:
    """Return how far the light of sources reaches in a stack [pix]; 0 for one that a much brighter one hides there.

    `apart` is how bright they are where they can be told apart.
    """
    told = np.zeros(len(x), bool)
    for k in np.flatnonzero(snr >= SEEN_WELL):
        near = np.hypot(y - y[k], x - x[k]) < FULL_WIDTH * stack.psf_sigma
        told[k] = apart[k] >= RIVAL * apart[near].max()
    # a place that is not told from another's has no light of its own here
    result = np.zeros(len(x))
    result[told] = extents_on(stack, x[told], y[told], others)
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
