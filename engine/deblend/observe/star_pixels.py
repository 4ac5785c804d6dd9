"""Pixels around stars, and how each star's place, flux and background follow from them for a given profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

Profile = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Share of a star's light in a pixel that lies (dy, dx) [pix] from it."""
STEP = 0.02
"""For slopes of a profile [pix]."""
FURTHEST = 0.5
"""A star's place moves by no more at once [pix]."""


@dataclass(frozen=True, eq=False)
class StarPixels:
    """The pixels of all stars' stamps in one band, one after the other; those without weight are left out."""

    star: Int[np.ndarray, " pixel"]
    y: Float[np.ndarray, " pixel"]
    x: Float[np.ndarray, " pixel"]
    value: Float[np.ndarray, " pixel"]
    weight: Float[np.ndarray, " pixel"]
    """Inverse variance."""

    @classmethod
    def around(
        cls,
        image: Float[np.ndarray, "y x"],
        weight: Float[np.ndarray, "y x"],
        places: Float[np.ndarray, "star 2"],
        half: int,
        foreign: Bool[np.ndarray, "star side side"] | None = None,
    ) -> StarPixels:
        """Cut the pixels to `half` [pix] around places (y, x); `foreign` marks those that belong to neighbours."""
        height, width = image.shape
        offset = np.arange(-half, half + 1)
        rows, columns = np.meshgrid(offset, offset, indexing="ij")
        middle = np.floor(places + 0.5).astype(int)
        y, x = middle[:, 0, None, None] + rows, middle[:, 1, None, None] + columns
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        at = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        usable = inside & (weight[at] > 0)
        if foreign is not None:
            usable &= ~foreign
        star = np.broadcast_to(np.arange(len(places))[:, None, None], y.shape)
        return cls(star[usable], y[usable] * 1.0, x[usable] * 1.0, image[at][usable], weight[at][usable])

    def of(self, chosen: Bool[np.ndarray, " pixel"]) -> StarPixels:
        """Return some of the pixels."""
        return StarPixels(*(getattr(self, name)[chosen] for name in ("star", "y", "x", "value", "weight")))

    def offsets(self, stars: FittedStars) -> tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, " pixel"]]:
        """Return how far (dy, dx) [pix] each pixel lies from its star."""
        return self.y - stars.places[self.star, 0], self.x - stars.places[self.star, 1]


@dataclass(frozen=True, eq=False)
class FittedStars:
    """What is known of each star."""

    places: Float[np.ndarray, "star 2"]
    """(y, x) [pix]."""
    flux: Float[np.ndarray, " star"]
    background: Float[np.ndarray, " star"]
    """Of one pixel."""

    def model(self, pixels: StarPixels, profile: Profile) -> Float[np.ndarray, " pixel"]:
        """Return what the pixels hold of star and background."""
        star = pixels.star
        result: Float[np.ndarray, " pixel"] = self.flux[star] * profile(*pixels.offsets(self)) + self.background[star]
        return result

    def measured(self, pixels: StarPixels, profile: Profile) -> FittedStars:
        """Return the stars with flux and background that fit best where they are."""
        n = len(self.flux)
        share = profile(*pixels.offsets(self))
        sums = _sums(pixels, n, [share, np.ones_like(share)])
        solution = _solved(sums)
        return replace(self, flux=solution[:, 0], background=solution[:, 1])

    def moved(self, pixels: StarPixels, profile: Profile) -> FittedStars:
        """Return the stars after one Gauss-Newton step in place, flux and background."""
        n, star = len(self.flux), pixels.star
        dy, dx = pixels.offsets(self)
        share, flux = profile(dy, dx), self.flux[star]
        slope_y = (profile(dy - STEP, dx) - profile(dy + STEP, dx)) / (2.0 * STEP)
        slope_x = (profile(dy, dx - STEP) - profile(dy, dx + STEP)) / (2.0 * STEP)
        left = replace(pixels, value=pixels.value - self.model(pixels, profile))
        step = _solved(_sums(left, n, [share, np.ones_like(share), flux * slope_y, flux * slope_x]))
        places = self.places + np.clip(step[:, 2:], -FURTHEST, FURTHEST)
        return replace(self, places=places).measured(pixels, profile)

    def only(self, chosen: Bool[np.ndarray, " star"]) -> FittedStars:
        return FittedStars(self.places[chosen], self.flux[chosen], self.background[chosen])


def _sums(pixels: StarPixels, n_stars: int, columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return every star's normal equations."""
    count = len(columns)
    matrix, right = np.zeros((n_stars, count, count)), np.zeros((n_stars, count))
    for i, one in enumerate(columns):
        weighted = pixels.weight * one
        right[:, i] = np.bincount(pixels.star, weighted * pixels.value, n_stars)
        for j in range(i + 1):
            matrix[:, i, j] = matrix[:, j, i] = np.bincount(pixels.star, weighted * columns[j], n_stars)
    return matrix, right


def _solved(sums: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the solutions; what a star's pixels say nothing of stays 0."""
    matrix, right = sums
    scale = np.sqrt(np.maximum(np.einsum("sii->si", matrix), 1e-300))
    scaled = matrix / scale[:, :, None] / scale[:, None, :]
    scaled += 1e-10 * np.eye(matrix.shape[-1])
    result: np.ndarray = np.linalg.solve(scaled, (right / scale)[..., None])[..., 0] / scale
    return result
