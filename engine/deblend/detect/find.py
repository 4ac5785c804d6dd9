"""Finding sources in the images, by one of several methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from deblend.detect.extracted import peaks_of
from deblend.detect.peaks import Peaks
from deblend.detect.stack import FULL_WIDTH, Stack, stacks
from deblend.detect.starlet import starlet_peaks_of
from deblend.observe import Observation
from deblend.sky import PixelGrid

Method = Literal["sep", "starlet"]
METHODS: tuple[str, ...] = get_args(Method)
"""How sources are looked for."""
DEFAULT_METHOD: Method = "sep"


def find_peaks(observations: Sequence[Observation], threshold: float = 5.0, method: Method = DEFAULT_METHOD) -> Peaks:
    """Return the peaks whose signal to noise, as a point source over all bands, is above `threshold`.

    Peaks are local maxima of the stack that stand out of the light around them by the threshold, so that a source on
    the wing of a brighter one counts (`sep`, the library of SExtractor: Barbary 2016; Bertin & Arnouts 1996).
    Positions are refined to a fraction of a pixel. With the method "starlet" they are what stands out of the noise at
    any scale of structure (`deblend.detect.starlet`), so that large faint sources count, too.

    Raises
    ------
    ValueError
        Where the threshold is not positive, or there is no such method.
    """
    return peaks_in(stacks(observations), observations[0].grid, threshold, method)


def peaks_in(seen: Sequence[Stack], grid: PixelGrid, threshold: float, method: Method = DEFAULT_METHOD) -> Peaks:
    """Return what `find_peaks` does, for stacks that are known already, as pixels of a grid.

    What a coarser stack sees is a source of its own only where no finer one has any within its PSF.
    """
    if not threshold > 0:
        raise ValueError(f"The detection threshold must be positive, got {threshold}.")
    if method not in METHODS:
        raise ValueError(f"There is no way to detect called {method!r}; choose one of {', '.join(METHODS)}.")
    find = starlet_peaks_of if method == "starlet" else peaks_of
    found: list[Peaks] = []
    for stack in seen:
        own = find(stack, threshold)
        affine = stack.grid.affine_to(grid)
        y, x = affine(own.y, own.x)
        alone = np.ones(len(own), bool)
        for earlier in found:
            distance = np.hypot(x[:, None] - earlier.x, y[:, None] - earlier.y)
            alone &= ~np.any(distance < FULL_WIDTH * stack.psf_sigma * affine.scale, axis=1)
        found.append(replace(own, x=x, y=y).take(np.flatnonzero(alone)))
    return Peaks.joined(found)
