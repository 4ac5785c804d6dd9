"""Peaks by starlets: what stands out of the noise at any scale, small sources inside of larger ones.

The stack is cut into structures w_j of about 2^j pixels (`deblend.render.starlet`). Each is divided by the noise that
it has there: a structure is a linear filter of the pixels, so that its variance is the sum of their variances times
the squares of the filter. Maxima of a scale that are more than noise on something higher belong together across scales
where they lie on each other (the multiscale vision model: Bijaoui & Rué 1995, Signal Processing 46, 345); what lies
within the light that a larger scale shows of another one is its child.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.sparse import csr_array, identity

from deblend.detect.peaks import Peaks, refined
from deblend.detect.stack import FULL_WIDTH, Stack
from deblend.observe.noise import growth_behind, noise_likeness
from deblend.render.starlet import SPLINE, sparse_smoothing

MOST_SCALES = 6
LEVEL = 0.6
"""How low, of the threshold, the light of one structure is followed."""
PROMINENCE = 0.8
"""How deep, of the threshold, a valley has to be that parts a maximum from a higher one of its scale."""
CONTRAST = 0.045
"""Least significance of a structure, of the signal to noise of all light around it: arms and knots of bright galaxies
are less, most of them, and stay parts of them (those of the sample reach 0.055, with a median of 0.02)."""
SAME_OBJECT = 0.6
"""Maxima of different scales that lie nearer to each other belong together [FWHM of the PSF]."""
REACH = 1.5
"""The same, for structures larger than the PSF [2^scale pix]."""

CLEARER = 2.0
"""How much more significant a maximum is than one of a finer scale that is less to be believed on where it is."""


@dataclass(frozen=True, eq=False)
class Maxima:
    """What stands out at one scale."""

    rows: Int[np.ndarray, " maximum"]
    columns: Int[np.ndarray, " maximum"]
    significance: Float[np.ndarray, "y x"]
    islands: Int[np.ndarray, "y x"]
    """Number of the connected light that a pixel belongs to; 0 for none."""


def n_scales(shape: tuple[int, ...]) -> int:
    """Return how many scales are looked at: the filters of the last one reach over about half of the image."""
    return int(np.clip(min(shape).bit_length() - 3, 1, MOST_SCALES))


def starlet_peaks_of(stack: Stack, threshold: float) -> Peaks:
    """Return what stands out of a stack at any scale by `threshold` times its noise, brightest first."""
    light, variance = filled(stack)
    if not np.any(stack.weight > 0):
        return Peaks(*(np.zeros(0) for _ in range(3)))
    psf_width = FULL_WIDTH * stack.psf_sigma
    usable = ndimage.gaussian_filter((stack.weight > 0).astype(float), stack.psf_sigma) >= 0.5
    alike = noise_likeness(stack.signal_to_noise)
    found: list[Maxima] = []
    for scale, (structure, noise) in enumerate(zip(structures(light), deviations(variance), strict=True), 1):
        growth = growth_behind(alike, _likeness(scale))
        significance = np.where(usable, structure / (noise * growth), 0.0)
        rows, columns = prominent(significance, LEVEL * threshold, PROMINENCE * threshold)
        least = np.maximum(threshold, CONTRAST * stack.all_light_at(rows, columns))
        kept = significance[rows, columns] >= least
        islands, _ = ndimage.label(significance > LEVEL * threshold)
        found.append(Maxima(rows[kept], columns[kept], significance, islands))
    return _objects(found, psf_width)


def filled(stack: Stack) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return the light of a stack and its variance, where it is masked those of what is seen around.

    A hole would be a structure of every scale.
    """
    seen = stack.weight > 0
    light = np.where(seen, stack.light, 0.0)
    variance = np.where(seen, 1.0 / np.where(seen, stack.weight, 1.0), stack.noise**2)
    open_ = ~seen
    width = stack.psf_sigma
    while open_.any() and width < 2 * max(seen.shape):
        total, share = (ndimage.gaussian_filter(part, width) for part in (light * seen, seen.astype(float)))
        near = open_ & (share > 0.1)
        light[near] = total[near] / share[near]
        open_ &= ~near
        width *= 2.0
    return light, variance


def structures(picture: Float[np.ndarray, "y x"]) -> list[Float[np.ndarray, "y x"]]:
    """Return w_1, w_2, … of a picture of any size, by sparse matrices."""
    result = []
    for scale in range(n_scales(picture.shape)):
        smooth = _along_both(picture, *(sparse_smoothing(n, scale) for n in picture.shape))
        result.append(picture - smooth)
        picture = smooth
    return result


def deviations(variance: Float[np.ndarray, "y x"]) -> list[Float[np.ndarray, "y x"]]:
    """Return the standard deviation of w_1, w_2, … for independent pixels of these variances, exact to the edges.

    With A and B the smoothings before and behind a scale, w = A p Aᵀ - B p Bᵀ along rows and columns, and so the
    variance is (A∘A) v (A∘A)ᵀ - 2 (A∘B) v (A∘B)ᵀ + (B∘B) v (B∘B)ᵀ. On white noise of 1, far from edges: 0.891, 0.201,
    0.086, 0.041, …
    """
    result = []
    for scale in range(1, n_scales(variance.shape) + 1):
        total = np.zeros_like(variance)
        for sign, before, behind in ((1.0, 1, 1), (-2.0, 1, 0), (1.0, 0, 0)):
            along = (_product(n, scale - before, scale - behind) for n in variance.shape)
            total += sign * _along_both(variance, *along)
        result.append(np.sqrt(total))
    return result


def prominent(
    picture: Float[np.ndarray, "y x"], floor: float, prominence: float
) -> tuple[Int[np.ndarray, " maximum"], Int[np.ndarray, " maximum"]]:
    """Return (rows, columns) of the maxima above a floor that rise by `prominence` above any way to a higher one.

    The highest of everything that hangs together above the floor counts in any case.
    """
    width = picture.shape[1] + 2
    padded = np.pad(picture, 1, constant_values=-np.inf).ravel()
    high = np.flatnonzero(padded > floor)
    order = high[np.argsort(-padded[high], kind="stable")]
    around = [dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    # pixels join what is higher, from the highest down: where two hills meet is the way between their tops
    top: dict[int, int] = {}
    kept: set[int] = set()

    def top_of(pixel: int) -> int:
        while top[pixel] != pixel:
            top[pixel] = top[top[pixel]]
            pixel = top[pixel]
        return pixel

    for pixel in order.tolist():
        hills = sorted({top_of(pixel + step) for step in around if pixel + step in top}, key=lambda t: -padded[t])
        if not hills:
            top[pixel] = pixel
            kept.add(pixel)
            continue
        top[pixel] = hills[0]
        for lower in hills[1:]:
            top[lower] = hills[0]
            if padded[lower] - padded[pixel] < prominence:
                kept.discard(lower)
    places = np.array(sorted(kept, key=lambda t: -padded[t]), int)
    return places // width - 1, places % width - 1


@dataclass
class _Object:
    """Maxima of several scales that lie on each other."""

    x: float
    y: float
    at: float
    """Significance of the maximum that gave it its place."""
    snr: float
    """The highest significance of all of them, and the scale of that one."""
    scale: int


def _objects(found: list[Maxima], psf_width: float) -> Peaks:
    """Join maxima across scales, from the finest on, and tell which object lies within which."""
    objects: list[_Object] = []
    owners: list[dict[int, int]] = []
    """Of each scale, the object of every island that has one."""
    for scale, maxima in enumerate(found, 1):
        known_x, known_y = np.array([o.x for o in objects]), np.array([o.y for o in objects])
        reach = max(SAME_OBJECT * psf_width, REACH * 2.0**scale)
        owner: dict[int, int] = {}
        places = refined(maxima.significance, maxima.columns.astype(float), maxima.rows.astype(float))
        for row, column, at_x, at_y in zip(maxima.rows, maxima.columns, *places, strict=True):
            value = float(maxima.significance[row, column])
            distance = np.hypot(at_x - known_x, at_y - known_y)
            if distance.size and distance.min() < reach:
                index = int(distance.argmin())
                _join(objects[index], float(at_x), float(at_y), value, scale)
            else:
                index = len(objects)
                objects.append(_Object(float(at_x), float(at_y), value, value, scale))
            # the highest maximum of an island, which comes first, says whose it is
            owner.setdefault(int(maxima.islands[row, column]), index)
        owners.append(owner)
    x, y, snr = (np.array([getattr(o, name) for o in objects]) for name in ("x", "y", "snr"))
    scales = np.array([o.scale for o in objects], int)
    parents = np.array([_parent(index, objects, found, owners) for index in range(len(objects))], int)
    return Peaks.joined([Peaks(x, y, snr, scales, parents)])


def _join(known: _Object, x: float, y: float, value: float, scale: int) -> None:
    """Take one more maximum for an object's, which tells its place where it is so much clearer than a finer one."""
    if value > CLEARER * known.at:
        known.x, known.y, known.at = x, y, value
    if value > known.snr:
        known.snr, known.scale = value, scale


def _parent(index: int, objects: list[_Object], found: list[Maxima], owners: list[dict[int, int]]) -> int:
    """Return the object in whose light, at the finest scale larger than its own, an object lies; -1 for none."""
    own = objects[index]
    row, column = int(np.floor(own.y + 0.5)), int(np.floor(own.x + 0.5))
    for maxima, owner in zip(found[own.scale :], owners[own.scale :], strict=True):
        around = owner.get(int(maxima.islands[row, column]), index)
        if around != index:
            return around
    return -1


def _along_both(picture: Float[np.ndarray, "y x"], rows: csr_array, columns: csr_array) -> Float[np.ndarray, "y x"]:
    result: Float[np.ndarray, "y x"] = (columns @ (rows @ picture).T).T
    return result


@lru_cache(maxsize=64)
def _smoothed_before(length: int, scale: int) -> csr_array:
    """Return h_{scale-1} … h_0 along a line of pixels: what c_scale is made with."""
    result = csr_array(identity(length, format="csr"))
    for before in range(scale):
        result = sparse_smoothing(length, before) @ result
    return csr_array(result)


@lru_cache(maxsize=128)
def _product(length: int, scale: int, other: int) -> csr_array:
    """Return A∘B, elementwise, of what c_scale is made with along a line of pixels and what another one is."""
    return csr_array(_smoothed_before(length, scale).multiply(_smoothed_before(length, other)))


@lru_cache(maxsize=MOST_SCALES)
def _autocorrelation(scale: int) -> Float[np.ndarray, "y x"]:
    """Return how alike a filter of a scale makes white noise in pixels some way apart; no way is in the middle."""
    line, lines = np.ones(1), [np.ones(1)]
    for before in range(scale):
        taps = np.zeros(4 * 2**before + 1)
        taps[:: 2**before] = SPLINE
        line = np.convolve(line, taps)
        lines.append(line)
    fine = np.pad(lines[-2], (len(line) - len(lines[-2])) // 2)
    kernel = np.outer(fine, fine) - np.outer(line, line)
    result: Float[np.ndarray, "y x"] = scipy.signal.correlate(kernel, kernel, method="fft")
    return result / result.max()


def _likeness(scale: int) -> Callable[[int, int], float]:
    """Return the function that tells it for a lag (y, x)."""
    alike = _autocorrelation(scale)
    middle = len(alike) // 2
    return lambda dy, dx: float(alike[middle + dy, middle + dx])
