"""Sources that their neighbours have hidden: where a star would lower χ², though all around give way for it.

Two galaxies that were fitted as one leave little over: the one has moved, turned and grown to what is between them, and
no peak of the residual tells. So a star is tried at every place near a source by the score test (Rao 1948, Proc. Camb.
Phil. Soc. 44, 50). With r the residual, t the PSF in one band, W the weights, and J what the image changes by with
fluxes, places, sizes and shapes of all sources there, the fluxes f that χ² would fall most by are those of

    S f = tᵀ W r - tᵀ W J (Jᵀ W J)⁻¹ Jᵀ W r,    S = tᵀ W t - tᵀ W J (Jᵀ W J)⁻¹ Jᵀ W t,

none of them negative, and the fall is fᵀ S f. That is to first order, where neighbours would have to give way by much:
a third of what it proposes is there. A fit decides which: `unneeded` tells, of sources that were tried, those that
brought too little.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from deblend.detect.known import in_star_cores
from deblend.detect.missed import Models, left_over, started_in
from deblend.detect.peaks import Peaks, clearest
from deblend.detect.stack import FULL_WIDTH, Stack, matched, stacked, stacks
from deblend.detect.starlet import CONTRAST
from deblend.observe import Observation
from deblend.program.columns import Column
from deblend.scene import Scene

LEAST_FALL = 30.0
"""Of χ², for a star to be tried, and for a source that was tried to stay."""
LEAST_SNR = 6.0
"""Of a source that was tried, to stay."""
SAME_SOURCE = 0.33
"""Nothing is tried nearer to a source than this, nor to where something was in vain [FWHM of the PSF]."""
ONE_AT_A_TIME = 1.3
"""Of places nearer to each other the clearest is tried first [FWHM]."""
REACH = 2.5
"""How far from a source others may hide in it; further out they are peaks of the residual [FWHM]."""
WINGS = 1.7
"""How much of the PSF is looked at [FWHM]."""
MOST_NEIGHBOURS = 6
"""Of those, that give way with them: the brightest ones."""
MOST_TOGETHER, MOST_EXTENT = 12, 8.0
"""Sources that are looked at in one go, and how far their centers may be from each other [FWHM]."""
PLACED_WITHIN = 2.0
"""How far off the place of what is tried may be, per axis [pix]."""
TO_SIGMA = 1.4826
"""From the median absolute deviation to the standard deviation of normal numbers."""

Pictures = Sequence[Sequence[Column]]
"""Each source of a scene, with its flux, as every observation sees it [nJy/pix]."""


@dataclass(frozen=True)
class _View:
    """What one observation tells: of those on the same pixels, the one that knows most."""

    index: int
    observation: Observation
    residual: Float[np.ndarray, "band y x"]
    """Image without model, 0 where it is masked [nJy/pix]."""
    stack: Stack
    """Of the model."""
    growth: float
    """By how much the noise of a star's flux is larger than if pixels were independent."""

    @property
    def width(self) -> float:
        """FWHM of the PSF as a Gaussian of its noise-equivalent area [pix of the image]: up to half more than that of a
        Moffat profile."""
        return FULL_WIDTH * self.stack.psf_sigma


def find_hidden(
    observations: Sequence[Observation],
    models: Models,
    pictures: Pictures,
    scene: Scene,
    apart_from: Collection[tuple[float, float]] = (),
) -> Peaks:
    """Return the places (x, y) on the scene's grid where a source may hide among those of a fitted scene, by how much.

    Parameters
    ----------
    models
        What the scene looks like to each observation [nJy/pix].
    pictures
        What each of its sources does, like `FitState.sources()`.
    apart_from
        Places (x, y) where something was tried in vain.
    """
    found = []
    for view in _views(observations, models):
        to_scene = view.observation.grid.affine_to(scene.grid)
        to_image = scene.grid.affine_to(view.observation.grid)
        rows, columns = to_image(np.array([s.y for s in scene.sources]), np.array([s.x for s in scene.sources]))
        tried = np.array(list(apart_from), float).reshape(-1, 2)
        tried_rows, tried_columns = to_image(tried[:, 1], tried[:, 0])
        taken = np.concatenate([rows, tried_rows]), np.concatenate([columns, tried_columns])
        own = [picture[view.index] for picture in pictures]
        lights = np.array([energy(column, view.observation.weights) for column in own])
        tops: list[tuple[float, float, float]] = []
        for together in _clusters(view, np.flatnonzero(lights > 0), rows, columns):
            tops += _near(view, together, own, lights, rows, columns, taken)
        if not tops:
            continue
        y, x, fall = (np.array(part) for part in zip(*tops, strict=True))
        is_clear = fall > _least_falls(view, y, x)
        at_y, at_x = to_scene(y, x)
        width = view.width * to_scene.scale
        is_seen = is_clear & scene.grid.contains(at_y, at_x) & ~in_star_cores(at_x, at_y, scene, width)
        found.append((Peaks(at_x, at_y, np.sqrt(fall)).take(np.flatnonzero(is_seen)), ONE_AT_A_TIME * width))
    peaks = clearest(found)
    if not len(peaks):
        return peaks
    x, y = (np.array([getattr(source, axis) for source in scene.sources]) for axis in "xy")
    distance = np.hypot(peaks.x[:, None] - x, peaks.y[:, None] - y)
    # two on either side of one would leave it needless
    _, first = np.unique(distance.argmin(axis=1), return_index=True)
    return peaks.take(np.sort(first))


def with_hidden(
    scene: Scene,
    observations: Sequence[Observation],
    models: Models,
    pictures: Pictures,
    *,
    apart_from: Collection[tuple[float, float]] = (),
    kind: str = "galaxy",
    box_scale: float = 1.0,
) -> Scene:
    """Return a fitted scene with a source at every place where one may hide, to be fitted and judged by `unneeded`.

    Their fluxes are NaN. Parameters as in `find_hidden` and `detect`.
    """
    peaks = find_hidden(observations, models, pictures, scene, apart_from)
    if not len(peaks):
        return scene
    residuals = left_over(observations, models)
    seen, empty = stacks(residuals), replace(scene, sources=(), stars=None)
    new = (
        started_in(residuals, empty, float(x), float(y), kind, box_scale, seen, PLACED_WITHIN)
        for x, y in zip(peaks.x, peaks.y, strict=True)
    )
    return scene.add(*(source.renamed("") for source in new))


def unneeded(
    scene: Scene,
    observations: Sequence[Observation],
    models: Models,
    pictures: Pictures,
    before: Models,
    tried: Collection[str],
) -> tuple[str, ...]:
    """Return the ids of those sources that were `tried` in a fitted scene and are not worth it.

    χ² has to fall around them by what would make it worth while to try them, they have to be brighter than noise, and
    to keep apart from all others. `before` are the models of the scene without them.
    """
    worth = np.zeros(len(scene.sources), bool)
    for view in _views(observations, before):
        worth |= _are_worth(view, scene, models[view.index], [picture[view.index] for picture in pictures])
    return tuple(s.id for s, is_worth in zip(scene.sources, worth, strict=True) if s.id in tried and not is_worth)


def _are_worth(
    view: _View, scene: Scene, model: Float[np.ndarray, "band y x"], own: Sequence[Column]
) -> Bool[np.ndarray, " source"]:
    """Tell which sources one observation shows to be there, next to how it looked `before`."""
    weights = view.observation.weights
    to_image = scene.grid.affine_to(view.observation.grid)
    x, y = (np.array([getattr(source, axis) for source in scene.sources]) for axis in "xy")
    apart = np.hypot(x[:, None] - x, y[:, None] - y) + np.diag(np.full(len(x), np.inf))
    rows, columns = to_image(y, x)
    left = np.where(weights > 0, view.observation.images - model, 0.0)
    fall = (weights * (view.residual**2 - left**2)).sum(axis=0) / view.growth**2
    reach = ONE_AT_A_TIME * view.width

    def around(center: float) -> slice:
        return slice(max(int(center - reach), 0), max(int(center + reach) + 1, 0))

    falls = np.array([fall[around(r), around(c)].sum() for r, c in zip(rows, columns, strict=True)])
    energies = np.array([energy(column, weights) for column in own]) / view.growth**2
    is_apart = apart.min(axis=1) >= SAME_SOURCE * view.width / to_image.scale
    return is_apart & (energies >= LEAST_SNR**2) & (falls >= _least_falls(view, rows, columns))


def _least_falls(
    view: _View, y: Float[np.ndarray, " place"], x: Float[np.ndarray, " place"]
) -> Float[np.ndarray, " place"]:
    """Return by how much χ² has to fall at places for a source to be there."""
    return np.maximum(LEAST_FALL, (CONTRAST * view.stack.all_light_at(y, x)) ** 2)


def _views(observations: Sequence[Observation], models: Models) -> list[_View]:
    """Return a view of every grid of pixels."""
    best: list[int] = []
    for k, observation in enumerate(observations):
        same = next((i for i, j in enumerate(best) if observations[j].grid.is_same_as(observation.grid)), None)
        if same is None:
            best.append(k)
        elif observation.star_information.sum() > observations[best[same]].star_information.sum():
            best[same] = k
    result = []
    for k in best:
        observation, model = observations[k], np.asarray(models[k], float)
        residual = np.where(observation.weights > 0, observation.images - model, 0.0)
        left = stacked([replace(observation, images=residual)])
        scatter = matched(left.signal_to_noise, left.psf_sigma)[left.weight > 0]
        growth = max(TO_SIGMA * float(np.median(np.abs(scatter))), 1.0) if scatter.size else 1.0
        result.append(_View(k, observation, residual, stacked([replace(observation, images=model)]), growth))
    return result


def energy(column: Column, weights: Float[np.ndarray, "band y x"]) -> float:
    """Return the square of the signal to noise of a source, were it alone."""
    return float(np.sum(weights[:, *column.window] * column.patch**2))


def _clusters(
    view: _View,
    lit: Int[np.ndarray, " lit"],
    rows: Float[np.ndarray, " source"],
    columns: Float[np.ndarray, " source"],
) -> list[list[int]]:
    """Return the sources that are lit, those together that one box of a bounded size holds."""
    clusters: list[list[int]] = []
    for k in lit.tolist():
        for members in clusters:
            extent = max(np.ptp(rows[[*members, k]]), np.ptp(columns[[*members, k]]))
            if len(members) < MOST_TOGETHER and extent <= MOST_EXTENT * view.width:
                members.append(k)
                break
        else:
            clusters.append([k])
    return clusters


def _near(
    view: _View,
    together: Sequence[int],
    own: Sequence[Column],
    lights: Float[np.ndarray, " source"],
    rows: Float[np.ndarray, " source"],
    columns: Float[np.ndarray, " source"],
    taken: tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]],
) -> list[tuple[float, float, float]]:
    """Return the tops (y, x, fall of χ²) of what a star would bring around some sources."""
    reach, wing = int(np.ceil(REACH * view.width)), int(np.ceil(WINGS * view.width))
    centers = np.stack([rows[together], columns[together]])
    first = np.maximum(np.floor(centers.min(axis=1)).astype(int) - reach - wing, 0)
    last = np.minimum(np.ceil(centers.max(axis=1)).astype(int) + reach + wing + 1, view.observation.shape)
    if np.any(last - first < 3):
        return []
    box = slice(first[0], last[0]), slice(first[1], last[1])
    near = _neighbours(own, lights, together, box)
    fall = _falls(view, box, [_on_box(own[j], box) for j in near]) / view.growth**2
    y, x = np.indices(fall.shape) + first[:, None, None]
    is_near = np.zeros(fall.shape, bool)
    for row, column in centers.T:
        is_near |= (np.abs(y - row) <= reach) & (np.abs(x - column) <= reach)
    is_near &= (fall >= ndimage.maximum_filter(fall, 3)) & (fall > LEAST_FALL)
    for other_y, other_x in zip(*taken, strict=True):
        is_near &= np.hypot(y - other_y, x - other_x) > SAME_SOURCE * view.width
    return [(float(y[place]), float(x[place]), float(fall[place])) for place in zip(*np.nonzero(is_near), strict=True)]


def _neighbours(
    own: Sequence[Column], lights: Float[np.ndarray, " source"], together: Sequence[int], box: tuple[slice, slice]
) -> list[int]:
    """Return some sources and the brightest others that reach into a box."""
    rows, columns = box
    whole = Column(np.zeros((0, rows.stop - rows.start, columns.stop - columns.start)), rows.start, columns.start)
    others = set(np.flatnonzero(lights > 0).tolist()) - set(together)
    there = [j for j in others if own[j].overlap(whole) is not None]
    return [*together, *sorted(there, key=lambda j: -lights[j])[:MOST_NEIGHBOURS]]


def _on_box(column: Column, box: tuple[slice, slice]) -> Float[np.ndarray, "band y x"]:
    """Return a source on a box, with a pixel more on every side for its slopes."""
    shape = [s.stop - s.start + 2 for s in box]
    result = np.zeros((len(column.patch), *shape))
    moved = Column(column.patch, column.y - box[0].start + 1, column.x - box[1].start + 1)
    both = moved.overlap(Column(result, 0, 0))
    if both is not None:
        result[:, *both] = moved.cut(*both)
    return result


def _falls(
    view: _View, box: tuple[slice, slice], lights: Sequence[Float[np.ndarray, "band y x"]]
) -> Float[np.ndarray, "y x"]:
    """Return by how much a star at every place of a box lowers χ²."""
    weights, residual = view.observation.weights[:, *box], view.residual[:, *box]
    if not np.any(weights > 0):
        return np.zeros(residual.shape[1:])
    wing = int(np.ceil(WINGS * view.width))
    side = view.observation.psf.shape[-1]
    inner = slice(max(side // 2 - wing, 0), side // 2 + wing + 1)
    psf = view.observation.psf[:, inner, inner]
    ways = np.concatenate([_ways(light) for light in lights])
    length = np.sqrt(np.einsum("jbyx,byx->j", ways**2, weights))
    ways = ways[length > 0] / length[length > 0][:, None, None, None]

    def through(picture: Float[np.ndarray, "*n band y x"]) -> Float[np.ndarray, "*n band y x"]:
        # one transform of the PSF for all pictures
        turned = psf[:, ::-1, ::-1].reshape((1,) * (picture.ndim - 3) + psf.shape)
        result: Float[np.ndarray, "*n band y x"] = scipy.signal.fftconvolve(picture, turned, "same", axes=(-2, -1))
        return result

    alone = scipy.signal.fftconvolve(weights, psf[:, ::-1, ::-1] ** 2, "same", axes=(-2, -1))
    alone = np.maximum(alone, 1e-12 * alone.max())
    flat = (ways * np.sqrt(weights)).reshape(len(ways), -1)
    gram = flat @ flat.T + 1e-6 * np.eye(len(ways))
    factor = scipy.linalg.cholesky(gram, lower=True)
    shared = through(weights * ways)
    seen = scipy.linalg.solve_triangular(factor, shared.reshape(len(ways), -1), lower=True).reshape(shared.shape)
    told = scipy.linalg.solve_triangular(factor, flat @ (np.sqrt(weights) * residual).ravel(), lower=True)
    gradient = np.moveaxis(through(weights * residual) - np.einsum("jbyx,j->byx", seen, told), 0, -1)
    matrix = -np.einsum("jbyx,jcyx->yxbc", seen, seen)
    bands = np.arange(len(weights))
    matrix[..., bands, bands] += (1.0 + 1e-6) * np.moveaxis(alone, 0, -1)
    return most_fall(matrix, gradient)


def _ways(light: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "way band y x"]:
    """Return what the image changes by with a source, whose picture has a pixel more on every side: with its flux in
    every band, its place, its size along two axes and across them, and how its light is spread."""
    inner = light[:, 1:-1, 1:-1]
    per_band = np.eye(len(light))[:, :, None, None] * inner
    slope_y, slope_x = (np.gradient(light, axis=axis)[:, 1:-1, 1:-1] for axis in (1, 2))
    total = np.maximum(inner.sum(axis=0), 0.0)
    y, x = np.indices(total.shape)
    whole = max(float(total.sum()), 1e-30)
    y, x = y - (y * total).sum() / whole, x - (x * total).sum() / whole
    square = x**2 + y**2
    size = max(float((square * total).sum()) / whole, 1e-3)
    together = [
        slope_x,
        slope_y,
        x * slope_x - y * slope_y,
        x * slope_y + y * slope_x,
        x * slope_x + y * slope_y,
        _laplacian(light),
        inner * np.exp(-0.5 * square / size),
        inner * np.log1p(square / size),
    ]
    return np.concatenate([per_band, np.stack(together)])


def _laplacian(light: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "band y-2 x-2"]:
    around = light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:]
    return around - 4.0 * light[:, 1:-1, 1:-1]


def most_fall(
    matrix: Float[np.ndarray, "*place band band"], gradient: Float[np.ndarray, "*place band"]
) -> Float[np.ndarray, " *place"]:
    """Return 2 fᵀ g - fᵀ S f for f ≥ 0 that makes it large: bands are left out until none is negative."""
    free: Bool[np.ndarray, "*place band"] = np.ones(gradient.shape, bool)
    fluxes = np.zeros_like(gradient)
    for _ in range(gradient.shape[-1]):
        held = np.where(free[..., :, None] & free[..., None, :], matrix, np.eye(gradient.shape[-1]))
        fluxes = np.linalg.solve(held, np.where(free, gradient, 0.0)[..., None])[..., 0]
        if not np.any(fluxes < 0):
            break
        free &= fluxes >= 0
    fluxes = np.maximum(np.where(free, fluxes, 0.0), 0.0)
    fall: Float[np.ndarray, " *place"] = 2.0 * (fluxes * gradient).sum(axis=-1)
    return fall - np.einsum("...b,...bc,...c->...", fluxes, matrix, fluxes)
