"""The effective PSF of one band from its stars: an elliptical Moffat, and what the stars say beyond it.

The effective PSF (Anderson & King 2000) is the PSF integrated over a pixel as a function of the offset between star
and pixel; each star samples it at offsets of its own. Here E = M + Σ_k c_k B_k: M a Moffat (1969) under a shear,
integrated over pixels and fitted first, and cubic B-splines on a grid of one or several knots per pixel for the
rest. Given the stars' places, fluxes and backgrounds the c are a linear least-squares problem, with a Gaussian prior
that holds them and their curvature to a fraction of M; given E, places, fluxes and backgrounds follow. The two steps
alternate. Pixels that no star of this profile explains (neighbours, cosmic rays) lose their weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.optimize
import scipy.sparse
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.sparse.linalg import splu

from deblend.observe.star_pixels import FittedStars, StarPixels

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(5)
BETAS = (1.2, 12.0)
FREEDOM, FLOOR = 0.3, 5e-4
"""How far E may leave M: a fraction of it there, and of its peak."""
ROUGHNESS = 2.0
"""Of the prior on curvature, relative to that on the coefficients."""
UNSURE = 0.005
"""Error of a model that is nearly right, of its own light: no pixel counts for more."""
OUTLIER = 5.0
"""Sigma beyond which a pixel holds something else."""
ROUNDS, SETTLED = 12, 1e-4
"""Alternations at most, and the move of stars below which they end [pix]."""


@dataclass(frozen=True)
class Moffat:
    """(1 + d·Q d / α²)^-β over pixels, of unit flux; Q of determinant 1 is a shear."""

    alpha: float
    """[pix]"""
    beta: float
    e1: float = 0.0
    e2: float = 0.0

    def __call__(self, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
        total = np.zeros(np.shape(dy))
        area = np.sqrt(1.0 - self.e1**2 - self.e2**2)
        for node_y, weight_y in zip(NODES, NODE_WEIGHTS, strict=True):
            for node_x, weight_x in zip(NODES, NODE_WEIGHTS, strict=True):
                y, x = dy + 0.5 * node_y, dx + 0.5 * node_x
                squared = ((1.0 - self.e1) * x**2 - 2.0 * self.e2 * x * y + (1.0 + self.e1) * y**2) / area
                total += 0.25 * weight_y * weight_x * (1.0 + squared / self.alpha**2) ** -self.beta
        return total * (self.beta - 1.0) / (np.pi * self.alpha**2)

    @property
    def numbers(self) -> Float[np.ndarray, " 4"]:
        """Unbounded numbers that stand for it."""
        size = np.hypot(self.e1, self.e2)
        stretch = np.arctanh(size) / size if size > 0 else 1.0
        share = (self.beta - BETAS[0]) / (BETAS[1] - BETAS[0])
        return np.array([np.log(self.alpha), np.log(share / (1.0 - share)), self.e1 * stretch, self.e2 * stretch])

    @classmethod
    def of(cls, numbers: Float[np.ndarray, " 4"]) -> Moffat:
        log_alpha, logit, a, b = numbers
        size = np.hypot(a, b)
        shrink = np.tanh(size) / size if size > 0 else 1.0
        beta = BETAS[0] + (BETAS[1] - BETAS[0]) / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))
        return cls(float(np.exp(log_alpha)), float(beta), float(a * shrink), float(b * shrink))


@dataclass(frozen=True, eq=False)
class SplinePsf:
    """A Moffat and a sum of cubic B-splines on `oversampling` knots per pixel."""

    base: Moffat
    coefficients: Float[np.ndarray, "knot knot"]
    oversampling: int

    def __call__(self, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
        middle = self.coefficients.shape[0] // 2
        knots = [np.ravel(d) * self.oversampling + middle for d in (dy, dx)]
        more = ndimage.map_coordinates(self.coefficients, knots, order=3, prefilter=False, mode="constant")
        result: np.ndarray = self.base(dy, dx) + more.reshape(np.shape(dy))
        return result

    def stamp(self, half: int) -> Float[np.ndarray, "side side"]:
        """Return its samples to `half` pixels on every side, of sum 1."""
        offset = np.arange(-half * self.oversampling, half * self.oversampling + 1) / self.oversampling
        samples = self(*np.meshgrid(offset, offset, indexing="ij"))
        return samples / samples.sum()


@dataclass(frozen=True, eq=False)
class EffectivePsf:
    """The profile of a band, its stars, and which pixels took part."""

    profile: SplinePsf
    stars: FittedStars
    pixels: StarPixels
    """All, those of neighbours too."""
    explained: Bool[np.ndarray, " pixel"]


def fit_effective_psf(
    pixels: StarPixels, places: Float[np.ndarray, "star 2"], half: int, oversampling: int, width: float
) -> EffectivePsf:
    """Fit one band.

    Parameters
    ----------
    places
        First places (y, x) of the stars [pix].
    half
        How far the PSF reaches [pix].
    oversampling
        Knots per pixel, along each axis.
    width
        A guess of its full width at half maximum [pix].
    """
    moffat = Moffat(width / (2.0 * np.sqrt(2.0 ** (1.0 / 3.0) - 1.0)), 3.0)
    zeros = np.zeros(len(places))
    stars = FittedStars(places, zeros, zeros).measured(pixels, moffat)
    good = np.ones(len(pixels.star), bool)
    for _ in range(4):
        stars = stars.moved(pixels.of(good), moffat)
        moffat = _shaped(moffat, pixels.of(good), stars)
        stars = stars.moved(pixels.of(good), moffat)
        good = _explained(pixels, stars, moffat, 10.0 * UNSURE)
    side = 2 * (half + 1) * oversampling + 1
    profile = SplinePsf(moffat, np.zeros((side, side)), oversampling)
    for _ in range(ROUNDS):
        before = stars.places
        profile = _with_splines(profile, _sure(pixels, stars, profile).of(good), stars)
        for _ in range(2):
            stars = stars.moved(_sure(pixels, stars, profile).of(good), profile)
        good = _explained(pixels, stars, profile, UNSURE)
        if np.abs(stars.places - before).max() < SETTLED:
            break
    return EffectivePsf(profile, stars, pixels, good)


def _sure(pixels: StarPixels, stars: FittedStars, profile: SplinePsf | Moffat, unsure: float = UNSURE) -> StarPixels:
    """Return the pixels with the error of the model itself in their weights."""
    light = stars.flux[pixels.star] * profile(*pixels.offsets(stars))
    return replace(pixels, weight=1.0 / (1.0 / pixels.weight + (unsure * light) ** 2))


def _explained(
    pixels: StarPixels, stars: FittedStars, profile: SplinePsf | Moffat, unsure: float
) -> Bool[np.ndarray, " pixel"]:
    """Tell which pixels hold what star and background say."""
    weight = _sure(pixels, stars, profile, unsure).weight
    result: Bool[np.ndarray, " pixel"] = np.abs(pixels.value - stars.model(pixels, profile)) * np.sqrt(weight) < OUTLIER
    return result


def _shaped(moffat: Moffat, pixels: StarPixels, stars: FittedStars) -> Moffat:
    """Return the Moffat that fits the stars best where they are; fluxes and backgrounds follow it."""

    def left(numbers: np.ndarray) -> np.ndarray:
        profile = Moffat.of(numbers)
        model = stars.measured(pixels, profile).model(pixels, profile)
        result: np.ndarray = (pixels.value - model) * np.sqrt(pixels.weight)
        return result

    found = scipy.optimize.least_squares(left, moffat.numbers, loss="soft_l1", f_scale=3.0, max_nfev=15)
    return Moffat.of(found.x)


def _with_splines(profile: SplinePsf, pixels: StarPixels, stars: FittedStars) -> SplinePsf:
    """Return the profile with the coefficients that fit the stars best where they are, under the prior."""
    side = profile.coefficients.shape[0]
    grid = (np.arange(side) - side // 2) / profile.oversampling
    base = profile.base(*np.meshgrid(grid, grid, indexing="ij"))
    freedom = (FREEDOM * base + FLOOR * base.max()).ravel()
    design = _design(profile, pixels, stars)
    left = pixels.value - FittedStars.model(stars, pixels, profile.base)
    line = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(side, side))
    one = scipy.sparse.eye_array(side)
    curvature = profile.oversampling**2 * (scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line))
    loose = scipy.sparse.diags_array(1.0 / freedom**2)
    normal = design.T @ scipy.sparse.diags_array(pixels.weight) @ design + loose
    normal = normal + ROUGHNESS**2 * curvature.T @ loose @ curvature
    solution = splu(scipy.sparse.csc_array(normal)).solve(design.T @ (pixels.weight * left))
    return replace(profile, coefficients=solution.reshape(side, side))


def _design(profile: SplinePsf, pixels: StarPixels, stars: FittedStars) -> scipy.sparse.csr_array:
    """Return the matrix from coefficients to pixels: values of sixteen B-splines, times the star's flux."""
    side = profile.coefficients.shape[0]
    first, values = [], []
    for offset in pixels.offsets(stars):
        knot = offset * profile.oversampling + side // 2
        whole = np.floor(knot)
        t = knot - whole
        first.append(whole.astype(int) - 1)
        cubes = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        values.append(np.stack(cubes, axis=-1) / 6.0)
    taps = np.arange(4)
    rows, columns = (np.clip(f[:, None] + taps, 0, side - 1) for f in first)
    index = rows[:, :, None] * side + columns[:, None, :]
    weight = stars.flux[pixels.star][:, None, None] * values[0][:, :, None] * values[1][:, None, :]
    count = len(pixels.star)
    where = np.broadcast_to(np.arange(count)[:, None, None], index.shape)
    return scipy.sparse.csr_array((weight.ravel(), (where.ravel(), index.ravel())), shape=(count, side * side))
