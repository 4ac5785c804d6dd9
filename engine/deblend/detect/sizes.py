"""Starting sizes: how large what a stack shows is, and the box it is modelled in.

What lies on the light of a larger source is sized without that light.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from deblend.detect.peaks import Peaks
from deblend.detect.profile import peeled
from deblend.detect.stack import LIMIT, NEAR, Stack, box_radius, cutout, distances, on_both_sides, rings, symmetric_part
from deblend.detect.unlisted import kept_from
from deblend.program.layout import SIDES
from deblend.scene import Source, filling, make_source
from deblend.sky import PixelAffine

LARGEST_RADIUS = SIDES[-1] // 2
SMALLEST_RADIUS = SIDES[1] // 2
"""Wings of a small source lie below the noise, and the smallest compiled box has room for them [pix]."""
LARGEST_SIZE = 40
"""Where a starting half-light radius is cut [pix]."""
PEELINGS = 2
"""How often sources are sized anew without the light of others."""
LEAST_STAND_IN = 0.3
"""Half-light radius of what stands in for a star [pix]."""
OUTSHONE = 0.05
"""Light of others in the middle of a source from which on what is around it is theirs [of its own]."""
FAINT_WIDTHS = np.geomspace(1.0, 11.3, 15)
"""Of Gaussians that faint sources are looked at through [pix]."""
WIDEST, FAR_FROM = 45, 36
"""How far these go, and from where on the light is that of others [pix]."""
FAINT_SNR = 8.0
"""Signal to noise in such a Gaussian with which it tells a size."""
WORSE = 0.5
"""Signal to noise that is lost by Gaussians that are too wide."""
FAINT_SIZE = 1.4
"""Half-light radius of an exponential galaxy [widths of the Gaussian that sees it best]."""
FAINT_REACH = 3.0
"""Radius of the box of a faint source; 4 % of an exponential's light is beyond [half-light radii]."""
FAINT_APART = 1.5
"""How far a brighter source has to be, not to be what is seen [half-light radii]."""
LESS_OF_TWO, SCATTER_OF_TWO = 0.564, 0.826
"""By how much the smaller of two noisy values is less in the mean, and its standard deviation [of that of one]."""
SNAP = 1.25
"""How much larger than a compiled box a box may be to be cut to it."""


def sources_on(
    stack: Stack,
    x: Float[np.ndarray, " source"],
    y: Float[np.ndarray, " source"],
    reaches: Float[np.ndarray, " source"],
    n_channels: int,
    kind: str,
    box_scale: float,
    objects: Peaks | None,
    others: Sequence[Source] = (),
) -> list[Source]:
    """Return sources for places of a stack, as it shows them, each without the light of the others.

    `others` are galaxies that have a size already, on the stack's pixels.
    """
    places = np.array([*zip(x, y, strict=True), *(other.center.value for other in others)])
    apart = _from_brighter(stack.signal_to_noise, places)

    def sized(i: int, picture: Float[np.ndarray, "y x"]) -> Source:
        return _sized(picture, stack.psf_sigma, n_channels, x[i], y[i], kind, box_scale, apart[i], objects, reaches[i])

    begun = [*(sized(i, stack.signal_to_noise) for i in range(len(x))), *others]
    start = peeled(stack, begun)
    for _ in range(PEELINGS):
        # what lies on the light of others is as large as it is without that
        outshone = [k for k in start.outshone(LIMIT * stack.noise) if k < len(x)]
        if not outshone:
            break
        for k, picture in start.alone(outshone):
            begun[k] = sized(k, picture)
        start = peeled(stack, begun)
    return start.sources[: len(x)]


def _from_brighter(
    picture: Float[np.ndarray, "y x"], places: Float[np.ndarray, "source 2"]
) -> Float[np.ndarray, " source"]:
    """Return how far it is from each place (x, y) to the next that is brighter [pix]; infinite where it is far."""
    result = np.full(len(places), np.inf)
    if len(places) < 2:
        return result
    pairs = cKDTree(places).query_pairs(FAINT_APART * FAINT_SIZE * FAINT_WIDTHS[-1], output_type="ndarray")
    peaks = np.array([np.nanmax(cutout(picture, x, y, 1), initial=0.0) for x, y in places])
    fainter = np.where(peaks[pairs[:, 0]] < peaks[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    np.minimum.at(result, fainter, np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T))
    return result


def extents_on(
    stack: Stack, x: Float[np.ndarray, " source"], y: Float[np.ndarray, " source"], others: Sequence[Source] = ()
) -> Float[np.ndarray, " source"]:
    """Return how far the light at places of a stack reaches [pix]; that of much larger ones does not count."""
    sources = sources_on(stack, x, y, np.zeros(len(x)), 1, "galaxy", 1.0, None, others)
    apart = peeled(stack, [*sources, *others])
    result = np.array([box_radius(stack.signal_to_noise, *place) for place in zip(x, y, strict=True)], float)
    for k, picture in apart.alone([k for k in apart.outshone(LIMIT * stack.noise, OUTSHONE) if k < len(x)]):
        result[k] = box_radius(picture, x[k], y[k])
    return result


def standing_in(source: Source, affine: PixelAffine) -> Source:
    """Return a round galaxy on a stack's pixels that can take the light of a source of the scene, whatever it is."""
    widest = max(source.components, key=lambda component: component.radius)
    size = max(widest.morphology.half_light_radius_guess / affine.scale, LEAST_STAND_IN)
    radius = int(np.clip(round(widest.radius / affine.scale), 3, LARGEST_RADIUS))
    y, x = affine.inverse(source.y, source.x)
    return make_source(
        "galaxy", float(x), float(y), n_channels=1, half_light_radius=size, radius=radius, scale=_scale(size, radius)
    )


def _sized(
    picture: Float[np.ndarray, "y x"],
    psf_sigma: float,
    n_channels: int,
    x: float,
    y: float,
    kind: str,
    box_scale: float,
    apart: float = np.inf,
    unlisted: Peaks | None = None,
    reach: float = 0.0,
) -> Source:
    """Return a round source of about the size of the light there, that reaches no object without a source.

    `picture` is of signal to noise per pixel; `apart` is how far the next brighter source is, and `reach` how far its
    own light is known to go from elsewhere [pix].
    """
    extent = box_radius(picture, x, y)
    size = half_light_radius(picture, x, y, psf_sigma)
    faint = faint_half_light_radius(picture, x, y)
    if FAINT_REACH * faint > max(extent, SMALLEST_RADIUS) and FAINT_APART * faint < apart:
        extent, size = int(np.ceil(FAINT_REACH * faint)), max(before_psf(faint, psf_sigma), size)
    radius = int(np.clip(round(max(snapped(extent), SMALLEST_RADIUS) * box_scale), 3, LARGEST_RADIUS))
    scale = _scale(size, max(radius, reach * box_scale))
    source = make_source(kind, x, y, n_channels=n_channels, half_light_radius=size, radius=radius, scale=scale)
    return source if unlisted is None else kept_from(source, unlisted, extent)


def _scale(size: float, reach: float) -> float:
    """Return by how much the widths of a profile are stretched, for a half-light radius and how far light goes [pix].

    They suit galaxies of a few pixels; larger ones stretch them, also those that reach far beyond a sharp core.
    """
    return max(size / 3.0, filling(reach), 1.0)


def faint_half_light_radius(picture: Float[np.ndarray, "y x"], x: float, y: float) -> float:
    """Return about the half-light radius of a source whose light may lie below the noise of each pixel [pix].

    From the Gaussian that sees it best, of the light that is there on both sides; 0 where none sees it well.
    """
    box = cutout(picture, x, y, WIDEST)
    # masked pixels are 0, and the other side tells what is there
    light = on_both_sides(np.where(box == 0, np.nan, box), LESS_OF_TWO)
    # others lie around it, and their light on two sides is no part of it
    light -= max(float(light[distances(WIDEST) > FAR_FROM].mean()), 0.0)
    snr = _gaussians() @ light.ravel()
    # what others add to still wider ones makes these no better
    ends = np.flatnonzero(snr < np.maximum.accumulate(snr) - WORSE)
    best = int(snr[: ends[0] if ends.size else None].argmax())
    is_told = snr[best] > FAINT_SNR and best < len(snr) - 1
    return FAINT_SIZE * float(FAINT_WIDTHS[best]) if is_told else 0.0


@lru_cache
def _gaussians() -> Float[np.ndarray, "width pixel"]:
    """Return filters that give a Gaussian's signal to noise in the light that is there on both sides."""
    gaussians = np.exp(-0.5 * (distances(WIDEST).ravel() / FAINT_WIDTHS[:, None]) ** 2)
    # half of the pixels say what the other half does
    noise = SCATTER_OF_TWO * np.sqrt(2.0 * (gaussians**2).sum(axis=1))
    result: Float[np.ndarray, "width pixel"] = gaussians / noise[:, None]
    return result


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
    return before_psf(half, psf_sigma)


def before_psf(half_light_radius: float, psf_sigma: float) -> float:
    """Return a half-light radius as it is before the PSF [pix]; a Gaussian of width s has 1.18 s."""
    return float(np.sqrt(max(half_light_radius**2 - (1.1774 * psf_sigma) ** 2, psf_sigma**2)))
