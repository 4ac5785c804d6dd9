"""Stars among the objects of an image: of one small size whatever their brightness, not saturated, and alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from deblend.observe.observation import Observation

THRESHOLD = 3.0
"""Of the objects, per pixel [sigma]."""
LEAST_SNR = 30.0
"""Within its half-light radius a star needs as much."""
MOST_STARS = 40
SAME_SIZE = 0.1
"""Half-light radii of stars differ by no more [relative]."""
SAME_SHAPE = 0.15
"""Ellipticities of stars differ from their median by no more."""
FAINT_NEIGHBOUR = 0.02
"""Light of a neighbour that does not disturb [of the star's]."""
ALONE = 4.0
"""How near a neighbour disturbs [full widths of a star]."""
FULL_WIDTH = 1.8
"""Full width at half maximum of a star [half-light radii]: 2 for a Gaussian, 1.6 for a Moffat of β = 3."""


@dataclass(frozen=True, eq=False)
class Objects:
    """What an image holds, by pixels above the noise."""

    x: Float[np.ndarray, " object"]
    y: Float[np.ndarray, " object"]
    flux: Float[np.ndarray, " object"]
    radius: Float[np.ndarray, " object"]
    """Within which half of the light lies [pix]."""
    ellipticity: Float[np.ndarray, " object"]
    snr: Float[np.ndarray, " object"]
    """Of the light within that radius."""
    is_whole: Bool[np.ndarray, " object"]
    """Neither masked nor cut by the edge near its middle."""
    segments: Int[np.ndarray, "y x"]
    """Number of the object in each pixel, from 1 on; 0 is sky."""


@dataclass(frozen=True, eq=False)
class Stars:
    """Stars, the brightest first."""

    x: Float[np.ndarray, " star"]
    """0-based [pix]."""
    y: Float[np.ndarray, " star"]
    width: float
    """Their full width at half maximum, roughly [pix]."""
    n_objects: int
    """Among how many they were chosen."""

    def __len__(self) -> int:
        return len(self.x)


def find_stars(observation: Observation) -> Stars:
    """Return the stars of an observation that are fit to make a PSF of, over all its bands.

    Raises ValueError where there are none.
    """
    return stars_in(observation.images, observation.weights, observation.name)


def stars_in(
    images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"], name: str = "image"
) -> Stars:
    """Return what `find_stars` does, for images and their inverse variances."""
    objects = objects_in(*stacked(images, weights))
    bright = objects.is_whole & (objects.snr > LEAST_SNR) & (objects.radius > 0)
    if not bright.any():
        raise ValueError(
            f"{name}: no star is bright enough to make a PSF of ({len(objects.x)} objects, none of S/N above "
            f"{LEAST_SNR:.0f} that is whole); give a PSF, or the stars' places."
        )
    size = locus(objects.radius[bright], objects.snr[bright])
    alike = bright & (np.abs(objects.radius / size - 1.0) < SAME_SIZE)
    if alike.any():
        alike &= np.abs(objects.ellipticity - np.median(objects.ellipticity[alike])) < SAME_SHAPE
    width = FULL_WIDTH * size
    chosen = np.flatnonzero(alike & alone(objects, ALONE * width))
    if not chosen.size:
        raise ValueError(
            f"{name}: of {np.count_nonzero(alike)} objects of a star's size none stands alone; give a PSF, or the "
            "stars' places."
        )
    chosen = chosen[np.argsort(-objects.snr[chosen], kind="stable")][:MOST_STARS]
    return Stars(objects.x[chosen], objects.y[chosen], float(width), len(objects.x))


def stacked(
    images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"]
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return the inverse-variance mean of the bands and its inverse variance; 0 where any band is masked.

    A star that is saturated in one band is of no use in it.
    """
    total = weights.sum(axis=0) * (weights > 0).all(axis=0)
    mean = (weights * images).sum(axis=0) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, 0.0), total


def objects_in(image: Float[np.ndarray, "y x"], weight: Float[np.ndarray, "y x"]) -> Objects:
    """Return the objects of an image, found by `sep` (Barbary 2016) above its own background."""
    masked = ~(weight > 0)
    sigma = np.where(masked, 1.0, 1.0 / np.sqrt(np.where(masked, 1.0, weight)))
    image = np.ascontiguousarray(image, dtype=np.float64)
    size = max(min(64, min(image.shape) // 2), 8)
    image = image - sep.Background(image, mask=masked, bw=size, bh=size).back()
    sep.set_extract_pixstack(max(300_000, image.size))
    found, segments = sep.extract(
        image, THRESHOLD, err=sigma, mask=masked, minarea=5, deblend_cont=0.005, segmentation_map=True
    )
    x, y = found["x"], found["y"]
    if not len(found):
        empty = np.zeros(0)
        return Objects(empty, empty, empty, empty, empty, empty, np.zeros(0, bool), segments)
    reach = np.clip(6.0 * found["a"], 5.0, 0.25 * max(image.shape))
    flux, _, _ = sep.sum_circle(image, x, y, reach, mask=masked)
    radius, flags = sep.flux_radius(image, x, y, reach, 0.5, normflux=flux, mask=masked, subpix=5)
    inner, error, _ = sep.sum_circle(image, x, y, np.maximum(radius, 1.0), err=sigma, mask=masked)
    near_edge = np.minimum.reduce([x, y, image.shape[1] - 1 - x, image.shape[0] - 1 - y]) < 3.0 * radius
    holes, _, _ = sep.sum_circle(masked.astype(float), x, y, np.maximum(2.0 * radius, 2.0))
    return Objects(
        x,
        y,
        flux,
        np.where(flags == 0, radius, 0.0),
        (found["a"] - found["b"]) / (found["a"] + found["b"]),
        inner / np.maximum(error, 1e-300),
        ~near_edge & (holes < 0.5) & (flux > 0),
        segments,
    )


def locus(radius: Float[np.ndarray, " object"], snr: Float[np.ndarray, " object"]) -> float:
    """Return the half-light radius at which most objects lie, of those that are small [pix].

    Galaxies are of all sizes above it, so it is the densest place of the smaller half: the mode of log r, each
    object spread over its own error. Cosmic rays are smaller, and few.
    """
    log_radius = np.log(radius)
    spread = np.sqrt(0.03**2 + 1.0 / snr**2)
    places = np.linspace(log_radius.min(), log_radius.max(), 400)
    density = (np.exp(-0.5 * ((places[:, None] - log_radius) / spread) ** 2) / spread).sum(axis=1)
    peaks = np.flatnonzero((density >= np.roll(density, 1)) & (density >= np.roll(density, -1)))
    high = peaks[density[peaks] >= 0.4 * density[peaks].max()]
    return float(np.exp(places[high[0]]))


def alone(objects: Objects, reach: float) -> Bool[np.ndarray, " object"]:
    """Tell which objects have no neighbour within `reach` [pix] that would disturb them."""
    distance = np.hypot(objects.x[:, None] - objects.x, objects.y[:, None] - objects.y)
    disturbs = (distance < reach) & (objects.flux[None] > FAINT_NEIGHBOUR * np.abs(objects.flux[:, None]))
    np.fill_diagonal(disturbs, False)
    result: Bool[np.ndarray, " object"] = ~disturbs.any(axis=1)
    return result


def foreign_pixels(
    segments: Int[np.ndarray, "y x"], places: Float[np.ndarray, "star 2"], half: int
) -> Bool[np.ndarray, "star side side"]:
    """Return which pixels within `half` of stars at (y, x) belong to other objects, and those next to them."""
    side = 2 * half + 1
    result = np.zeros((len(places), side, side), bool)
    wide = np.pad(segments, half)
    for mask, (y, x) in zip(result, np.floor(places + 0.5).astype(int), strict=True):
        if 0 <= y < segments.shape[0] and 0 <= x < segments.shape[1]:
            piece = wide[y : y + side, x : x + side]
            own = piece[half, half]
            mask[...] = ndimage.binary_dilation((piece > 0) & (piece != own), iterations=2) & (piece != own)
    return result
