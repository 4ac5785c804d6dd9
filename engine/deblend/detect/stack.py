"""The detection image: all bands in one, weighted by their information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy
from jaxtyping import Bool, Float
from scipy import ndimage

from deblend.observe import Observation
from deblend.sky import PixelGrid

FULL_WIDTH = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian [σ]."""
RISE = 2.0
"""Of the least light that was met so far: by so much a source of its own does not rise."""
SURROUNDINGS = 2.0
"""How far the light around a place is counted [FWHM of the PSF]."""
NEAR = 16
"""How far is looked first [pix]."""
LIMIT = 1.0
"""Signal to noise per pixel at which a source's light is taken to end."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The inverse-variance mean of all bands."""

    light: Float[np.ndarray, "y x"]
    """Mean of the bands [nJy/pix]; 0 where all of them are masked."""
    weight: Float[np.ndarray, "y x"]
    """Inverse variance of that mean; 0 where it is masked."""
    psf: Float[np.ndarray, "side side"]
    """PSF of the mean, as the first of its observations saw it."""
    grid: PixelGrid

    @cached_property
    def signal_to_noise(self) -> Float[np.ndarray, "y x"]:
        """Light of each pixel divided by its noise."""
        return self.light * np.sqrt(self.weight)

    @cached_property
    def of_stars(self) -> Float[np.ndarray, "y x"]:
        """Signal to noise of a point source in every pixel."""
        return matched(self.signal_to_noise, self.psf_sigma)

    def of_stars_at(
        self, y: Float[np.ndarray, " place"], x: Float[np.ndarray, " place"]
    ) -> tuple[Float[np.ndarray, " place"], Bool[np.ndarray, " place"]]:
        """Return the signal to noise of point sources at places [pix], and which of these are seen at all."""
        height, width = self.light.shape
        rows, columns = np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        return self.of_stars[rows, columns], inside & (self.weight[rows, columns] > 0)

    def all_light_at(
        self, y: Float[np.ndarray, " place"], x: Float[np.ndarray, " place"]
    ) -> Float[np.ndarray, " place"]:
        """Return the signal to noise of all light around places [pix], within two FWHM of the PSF."""
        reach = int(np.ceil(SURROUNDINGS * FULL_WIDTH * self.psf_sigma))
        disk = (distances(reach) <= reach).astype(float)
        total = np.maximum(scipy.signal.fftconvolve(self.signal_to_noise**2, disk, mode="same"), 0.0)
        height, width = self.light.shape
        rows, columns = (np.clip(np.floor(v + 0.5).astype(int), 0, n - 1) for v, n in ((y, height), (x, width)))
        return np.sqrt(total[rows, columns])

    @cached_property
    def noise(self) -> float:
        """Typical noise of a pixel [nJy/pix]."""
        seen = self.weight[self.weight > 0]
        return float(1.0 / np.sqrt(np.median(seen))) if seen.size else 1.0

    @property
    def psf_sigma(self) -> float:
        """Width of the PSF, as a Gaussian's [pix]: from the noise-equivalent area, 1 / Σ P² = 4π σ²."""
        return float(np.sqrt(1.0 / np.sum(self.psf**2) / (4.0 * np.pi)))


def stacks(observations: Sequence[Observation]) -> tuple[Stack, ...]:
    """Return a stack for every grid of pixels, the finest first."""
    grids: list[list[Observation]] = []
    for observation in observations:
        same = next((group for group in grids if group[0].grid.is_same_as(observation.grid)), None)
        if same is None:
            grids.append([observation])
        else:
            same.append(observation)
    first = observations[0].grid
    grids.sort(key=lambda group: group[0].grid.affine_to(first).scale)
    return tuple(stacked(group) for group in grids)


def stacked(observations: Sequence[Observation]) -> Stack:
    """Return the inverse-variance stack of all bands, on the pixels of the first observation.

    Only observations on the same pixels take part. Masked pixels have weight 0.
    """
    first = observations[0]
    weighted, weight = np.zeros(first.shape), np.zeros(first.shape)
    for observation in observations:
        if observation.grid.is_same_as(first.grid):
            weighted += (observation.weights * observation.images).sum(axis=0)
            weight += observation.weights.sum(axis=0)
    depth = first.weights.mean(axis=(1, 2))
    psf = np.tensordot(depth / depth.sum(), first.psf, axes=1)
    return Stack(weighted / np.where(weight > 0, weight, 1.0), weight, psf, first.grid)


def of_band(observation: Observation, band: int) -> Stack:
    """Return one band of an observation as a stack of its own."""
    weight = observation.weights[band]
    light = np.where(weight > 0, observation.images[band], 0.0)
    return Stack(light, weight, observation.psf[band], observation.grid)


def signal_to_noise(observations: Sequence[Observation]) -> Float[np.ndarray, "y x"]:
    """Return the inverse-variance stack of all bands divided by its noise; 0 where all bands are masked."""
    return stacked(observations).signal_to_noise


def matched(picture: Float[np.ndarray, "y x"], sigma: float) -> Float[np.ndarray, "y x"]:
    """Return the picture correlated with a Gaussian of a width [pix], scaled so that white noise keeps its sigma."""
    smooth = ndimage.gaussian_filter(picture, sigma, mode="constant", truncate=4.0)
    return smooth * np.sqrt(4.0 * np.pi) * sigma


def cutout(picture: Float[np.ndarray, "y x"], x: float, y: float, reach: int) -> Float[np.ndarray, "side side"]:
    """Return the box around the pixel of (x, y), to `reach` [pix] on every side; NaN off the image."""
    row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
    side = 2 * reach + 1
    result = np.full((side, side), np.nan)
    height, width = picture.shape
    top, left = row - reach, column - reach
    rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        place = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        result[place] = picture[rows, columns]
    return result


def symmetric_part(picture: Float[np.ndarray, "y x"], x: float, y: float, reach: int) -> Float[np.ndarray, "side side"]:
    """Return the light around (x, y) that is there on both sides: min(S, S turned by 180°), to `reach` [pix].

    What a source's neighbour adds on one side is not in it. Off the image the other side counts by itself.
    """
    return on_both_sides(cutout(picture, x, y, reach))


def on_both_sides(box: Float[np.ndarray, "side side"], less: float = 0.0) -> Float[np.ndarray, "side side"]:
    """Return the smaller of a box and the box turned by 180°, of what is known, plus `less` where both sides are.

    By so much the noise of two makes the smaller one less.
    """
    turned = box[::-1, ::-1]
    smaller = np.nan_to_num(np.fmin(box, turned))
    return smaller + less * np.isfinite(box + turned) if less else smaller


@dataclass(frozen=True)
class Rings:
    """The pixels of a centered box, by their distance from its middle."""

    order: np.ndarray
    """Ring of each pixel: its distance, to the next whole number [pix]."""
    counts: Float[np.ndarray, " ring"]
    """How many pixels lie on each ring that the box holds as a whole."""
    radius: Float[np.ndarray, " ring"]
    """Median distance of its pixels [pix]."""

    def medians(self, box: Float[np.ndarray, "side side"]) -> Float[np.ndarray, " ring"]:
        """Return the median of a picture on every ring."""
        values = box.ravel()
        values = values[np.lexsort((values, self.order))]
        ends = np.cumsum(self.counts).astype(int)
        starts = ends - self.counts.astype(int)
        return 0.5 * (values[(starts + ends - 1) // 2] + values[(starts + ends) // 2])


@lru_cache(maxsize=64)
def rings(reach: int) -> Rings:
    """Return the rings of a box to every whole radius up to `reach` [pix]."""
    distance = distances(reach).ravel()
    order = np.floor(distance + 0.5).astype(int)
    inside = order <= reach
    counts = np.bincount(order[inside]).astype(float)
    whole = Rings(order, counts, np.zeros(0))
    return Rings(order, counts, whole.medians(distance))


def distances(reach: int) -> Float[np.ndarray, "side side"]:
    """Return how far from the middle each pixel of a box lies [pix]."""
    index = np.arange(-reach, reach + 1)
    result: Float[np.ndarray, "side side"] = np.hypot(index[:, None], index)
    return result


def box_radius(picture: Float[np.ndarray, "y x"], x: float, y: float, *, smallest: int = 7, largest: int = 127) -> int:
    """Return how far the light of a source reaches [pix], for a picture of signal to noise per pixel.

    Walks outward until a ring holds no light of its own: the median of the part that is there on both sides falls
    below `LIMIT`, or rises again, by neighbours on two sides; then 2 px more.
    """
    height, width = picture.shape
    furthest = min(largest, max(height, width))
    # most sources are small, and to sort a large box takes as long as all else
    for reach in (min(NEAR, furthest), furthest):
        least = np.inf
        for radius, light in enumerate(rings(reach).medians(symmetric_part(picture, x, y, reach))):
            if radius >= 2 and (light < LIMIT or light > RISE * least):
                return int(np.clip(radius + 2, smallest, largest))
            least = min(least, light)
    return largest
