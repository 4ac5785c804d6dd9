"""Objects without a source: seen in the image, but missing in a list of positions.

No source is there to take their light, so a wide, faint part of any neighbour's profile would. A neighbour is
therefore started without the Gaussians that reach such an object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from deblend.detect.extracted import peaks_of
from deblend.detect.find import peaks_in
from deblend.detect.peaks import Peaks
from deblend.detect.profile import with_amplitudes
from deblend.detect.stack import FULL_WIDTH, Stack, stacks
from deblend.observe import Observation
from deblend.scene import PROFILE_SIGMAS, Galaxy, Source

CERTAIN = 10.0
"""Signal to noise from which on an object is worth naming."""
SAME_OBJECT = 1.5
"""How far from a given position a peak is still taken for the same object [widths of the PSF]."""
REACH = 5.0
"""How far a Gaussian reaches [σ]: its light has fallen to a few millionths of its peak."""
LEAST_GAUSSIANS = 3
"""The narrowest ones are kept in any case."""


def unlisted(
    observations: Sequence[Observation],
    x: Sequence[float] | Float[np.ndarray, " source"],
    y: Sequence[float] | Float[np.ndarray, " source"],
) -> Peaks:
    """Return the certain objects that none of these positions (0-based [pix of the first observation]) stands for."""
    seen, grid = stacks(observations), observations[0].grid
    reach = max(stack.psf_sigma * stack.grid.affine_to(grid).scale for stack in seen)
    return _far_from(peaks_in(seen, grid, CERTAIN), x, y, SAME_OBJECT * FULL_WIDTH * reach)


def unlisted_in(stack: Stack, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> Peaks:
    """Return what `unlisted` does, for one stack and positions on its pixels."""
    return _far_from(peaks_of(stack, CERTAIN), x, y, SAME_OBJECT * FULL_WIDTH * stack.psf_sigma)


def _far_from(peaks: Peaks, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, reach: float) -> Peaks:
    """Return the peaks further than `reach` [pix] from all positions."""
    if not len(x) or not len(peaks):
        return peaks
    distance = np.hypot(peaks.x[:, None] - np.asarray(x, float), peaks.y[:, None] - np.asarray(y, float))
    alone = distance.min(axis=1) > reach
    return peaks.take(np.flatnonzero(alone))


def kept_from(source: Source, objects: Peaks, extent: float) -> Source:
    """Return a galaxy without the Gaussians that reach an object beyond its own extent [pix]; others as they are.

    What lies within the extent may be a part of the galaxy.
    """
    galaxy = source.components[0].morphology
    if not isinstance(galaxy, Galaxy) or not len(objects):
        return source
    distance = np.hypot(objects.x - source.x, objects.y - source.y)
    beyond = distance[distance > extent]
    if not beyond.size:
        return source
    reaching = REACH * np.asarray(PROFILE_SIGMAS) * galaxy.scale > beyond.min()
    reaching[:LEAST_GAUSSIANS] = False
    return with_amplitudes(source, np.where(reaching, 0.0, galaxy.amplitudes.value))
