"""Starting sizes: how large what a stack shows is, and the box it is modelled in.

What lies on the light of a larger source is sized without that light.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from deblend.detect.peaks import Peaks
from deblend.detect.profile import peeled
from deblend.detect.stack import LIMIT, NEAR, Stack, box_radius, rings, symmetric_part
from deblend.detect.unlisted import kept_from
from deblend.program.layout import SIDES
from deblend.scene import PROFILE_SIGMAS, Source, make_source
from deblend.sky import PixelAffine

LARGEST_RADIUS = SIDES[-1] // 2
SMALLEST_RADIUS = SIDES[1] // 2
"""Wings of a small source lie below the noise, and the smallest compiled box has room for them [pix]."""
LARGEST_SIZE = 40
"""Where a starting half-light radius is cut [pix]."""
PEELINGS = 2
"""How often sources are sized anew without the light of others."""
REACH_OF_PROFILE = 2.0
"""How far a profile reaches beyond a box of the usual radius [widths of its widest Gaussian]."""
USUAL_RADIUS = 16
"""Of boxes that the profile's widths suit as they are [pix]."""
LEAST_STAND_IN = 0.3
"""Half-light radius of what stands in for a star [pix]."""
OUTSHONE = 0.05
"""Light of others in the middle of a source from which on what is around it is theirs [of its own]."""
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

    def sized(i: int, picture: Float[np.ndarray, "y x"]) -> Source:
        return _sized(picture, stack.psf_sigma, n_channels, x[i], y[i], kind, box_scale, objects, reaches[i])

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
    unlisted: Peaks | None = None,
    reach: float = 0.0,
) -> Source:
    """Return a round source of about the size of the light there, that reaches no object without a source.

    `picture` is of signal to noise per pixel; `reach` is how far its light is known to go from elsewhere [pix].
    """
    extent = box_radius(picture, x, y)
    size = half_light_radius(picture, x, y, psf_sigma)
    radius = int(np.clip(round(max(snapped(extent), SMALLEST_RADIUS) * box_scale), 3, LARGEST_RADIUS))
    scale = _scale(size, max(radius, reach * box_scale))
    source = make_source(kind, x, y, n_channels=n_channels, half_light_radius=size, radius=radius, scale=scale)
    return source if unlisted is None else kept_from(source, unlisted, extent)


def _scale(size: float, reach: float) -> float:
    """Return by how much the widths of a profile are stretched, for a half-light radius and how far light goes [pix].

    They suit galaxies of a few pixels; larger ones stretch them, also those that reach far beyond a sharp core.
    """
    return max(size / 3.0, (reach - USUAL_RADIUS) / (REACH_OF_PROFILE * PROFILE_SIGMAS[-1]), 1.0)


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
