"""Single galaxies of a fitted field as a telescope sees them: the data without the models of all others.

A prior is learned from such stamps by expectation and maximization (`deblend.infer.diffusion.expectation`). What is
taken off is as good as the fit, so that only galaxies are taken that have little of others on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend.program import Program
from deblend.scene import Point, Source

MOST_BLENDED = 0.1
"""Blendedness, 1 - Σ own² / Σ own · all (Bosch et al. 2018), above which a galaxy is left out."""
LEAST_SIGNAL = 10.0
"""Signal to noise of a galaxy in the band below which it is left out."""
LEAST_INSIDE = 0.9
"""Part of its light that a galaxy must have on its stamp."""


@dataclass(frozen=True, eq=False)
class GalaxyStamps:
    """Stamps of single galaxies, each on pixel `side // 2`, and how many were left out."""

    images: Float[np.ndarray, "stamp side side"]
    """In units of the noise of a pixel of each, so that all have a noise of 1."""
    ids: tuple[str, ...]
    left_out: Mapping[str, int]
    """How many are left out, by why."""


def galaxy_stamps(program: Program, observation: int, band: int, side: int) -> GalaxyStamps:
    """Return stamps [pix] of all galaxies of a fitted scene that are bright, whole and hardly blended in a band.

    Raises ValueError where the observation has other pixels than the scene, on which a prior knows galaxies.
    """
    seen, scene = program.observations[observation], program.scene
    if not seen.grid.is_same_as(scene.grid):
        raise ValueError(f"{seen.name} has other pixels than the scene; look through the telescope that the scene has.")
    model, image, weights = program.model(observation)[band], seen.images[band], seen.weights[band]
    sky = program.background(observation)[band]
    images, ids, left_out = [], [], Counter[str]()
    for source, columns in zip(scene.sources, program.sources(), strict=True):
        window = _window(source, side, seen.shape)
        if all(isinstance(component.morphology, Point) for component in source.components):
            continue
        if window is None:
            left_out["too near to the edge"] += 1
            continue
        if np.any(weights[window] <= 0):
            left_out["with masked pixels"] += 1
            continue
        light = np.zeros(seen.shape)
        column = columns[observation]
        light[column.window] += column.patch[band]
        own, everything, galaxies = light[window], model[window], (model - sky)[window]
        if np.sum(weights[window] * own**2) < LEAST_SIGNAL**2:
            left_out["too faint"] += 1
        elif own.sum() < LEAST_INSIDE * light.sum():
            left_out["too large"] += 1
        elif np.sum(own**2) < (1.0 - MOST_BLENDED) * np.sum(own * galaxies):
            left_out["blended"] += 1
        else:
            noise = float(np.median(weights[window] ** -0.5))
            images.append((image[window] - (everything - own)) / noise)
            ids.append(source.id)
    cube = np.array(images, np.float32).reshape(-1, side, side)
    return GalaxyStamps(cube, tuple(ids), dict(left_out.most_common()))


def _window(source: Source, side: int, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the pixels around a source; None where not all of them are on the image."""
    starts = [round(float(place)) - side // 2 for place in (source.y, source.x)]
    if any(start < 0 or start + side > length for start, length in zip(starts, shape, strict=True)):
        return None
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)
