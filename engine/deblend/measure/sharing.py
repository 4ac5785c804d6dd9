"""The data shared out among the sources: every pixel's flux goes to the sources in the proportion of their models.

F_k = D · max(M_k, 0) / Σ_j max(M_j, 0), with M_k what the telescope would see of source k (Bosch et al. 2018, section
4.4, on redistribution). Nothing is lost or made: in every pixel that sources cover the shares add up to the data, noise
included. Shares keep what models miss, arms and cores, but not better told apart than models are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend.observe import Observation
from deblend.program import Program
from deblend.program.columns import Column
from deblend.scene import Scene

COVERED = 0.01
"""Of the noise of a pixel: where all models together are fainter, they do not say whose its flux is."""


@dataclass(frozen=True, eq=False)
class Shares:
    """What each source gets of the data."""

    columns: tuple[tuple[Column, ...], ...]
    """Per source and observation [nJy/pix], on the part of the image that the source reaches; 0 where masked."""
    shapes: tuple[tuple[int, ...], ...]
    """(band, y, x) of every observation."""
    stars: tuple[Float[np.ndarray, "band y x"], ...] = ()
    """What all known stars together get, per observation [nJy/pix]; empty where there are none."""
    full_scenes: tuple[tuple[Float[np.ndarray, "band y x"], ...], ...] = ()
    """What each component of light over the whole scene gets, per observation [nJy/pix]."""

    def picture(self, source_index: int, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the share of one source in an observation [nJy/pix], float32."""
        return self.columns[source_index][observation_index].on(self.shapes[observation_index])

    @property
    def fluxes(self) -> Float[np.ndarray, "source channel"]:
        """Sum over the pixels of every share [nJy]; what is masked is missing."""
        n_channels = sum(shape[0] for shape in self.shapes)
        sums = [np.concatenate([c.patch.sum(axis=(1, 2)) for c in of_source]) for of_source in self.columns]
        return np.reshape(sums, (len(self.columns), n_channels)).astype(float)


def share(scene: Scene, observations: Sequence[Observation], program: Program | None = None) -> Shares:
    """Share the data out among the sources of a fitted scene, its known stars, and light that covers all of it.

    In every unmasked pixel where the models together exceed a hundredth of the noise the shares add up to the image
    (less the background, where the scene has one); masked pixels are 0. `program` is one of the same observations, to
    be reused warm.
    """
    if program is None:
        program = Program(observations, scene)
    else:
        program.take(scene)
    models = program.sources()
    shared: list[list[Column]] = [[] for _ in models]
    stars: list[Float[np.ndarray, "band y x"]] = []
    everywhere = program.full_scenes()
    of_everywhere: list[list[Float[np.ndarray, "band y x"]]] = [[] for _ in everywhere]
    for index, observation in enumerate(program.observations):
        total = np.zeros(observation.images.shape)
        for of_source in models:
            rows, columns = of_source[index].window
            total[:, rows, columns] += np.maximum(of_source[index].patch, 0.0)
        of_stars = None if scene.stars is None else np.maximum(program.star_light(index), 0.0)
        if of_stars is not None:
            total += of_stars
        total += program.full_scene_light(index)
        is_seen = observation.weights > 0
        covered = is_seen & (total * np.sqrt(observation.weights) > COVERED)
        data = np.where(is_seen, observation.images - program.background(index), 0.0)
        ratio = np.where(covered, data / np.where(covered, total, 1.0), 0.0)
        if of_stars is not None:
            stars.append(of_stars * ratio)
        for light, seen in zip(of_everywhere, everywhere, strict=True):
            light.append(seen[index].patch * ratio)
        for own, of_source in zip(shared, models, strict=True):
            column = of_source[index]
            rows, columns = column.window
            own.append(Column(np.maximum(column.patch, 0.0) * ratio[:, rows, columns], column.y, column.x))
    shapes, layers = tuple(o.images.shape for o in program.observations), tuple(map(tuple, of_everywhere))
    return Shares(tuple(map(tuple, shared)), shapes, tuple(stars), layers)
