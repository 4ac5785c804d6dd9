"""What observations see of a program's present scene, from columns that are kept: models, sources and what is left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.observe import Observation
from deblend.program.calibration import BACKGROUND, plane
from deblend.program.columns import Column, summed
from deblend.program.drawing import parts_of
from deblend.program.goodness import chi2_per_observation, residual_sigma, total_chi2
from deblend.program.problem import PreparedObservation
from deblend.program.slots import Part
from deblend.program.star_columns import StarColumns
from deblend.scene import Scene


class AbstractSight(ABC):
    """A scene as its observations see it."""

    observations: tuple[Observation, ...]
    """As they were given, but for masks of what lies beyond the scene's grid, and of what a person has hidden."""
    _prepared: tuple[PreparedObservation, ...]
    _scene: Scene
    _terms: Float[np.ndarray, "channel 10"] | None
    """How the images are off, of the present scene."""
    _models: dict[int, Float[np.ndarray, "band y x"]]
    _chi2: dict[str, float] | None
    """What is known of the present scene."""

    @abstractmethod
    def columns(self) -> list[tuple[Column, ...]]:
        """Return each component per unit flux, as every observation sees it; only what changed is drawn."""

    @abstractmethod
    def star_columns(self) -> StarColumns | None:
        """Return the known stars per unit flux; None where there are none."""

    @abstractmethod
    def full_scene_columns(self) -> list[tuple[Column, ...]]:
        """Return each component of light over the whole scene per unit flux, as every observation sees it."""

    @property
    def parts(self) -> list[Part]:
        """The components of all sources, one source after another."""
        return parts_of(self._scene)

    def model(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the whole scene as an observation sees it [nJy/pix], float32; not to be written to."""
        if observation_index not in self._models:
            self._models[observation_index] = self._drawn_model(observation_index)
        return self._models[observation_index]

    def _drawn_model(self, observation_index: int) -> Float[np.ndarray, "band y x"]:
        prepared = self._prepared[observation_index]
        result = self.background(observation_index) + self.star_light(observation_index)
        result += self.full_scene_light(observation_index)
        for part, columns in zip(self.parts, self.columns(), strict=True):
            column = columns[observation_index]
            rows, across = column.window
            result[:, rows, across] += _flux(part, prepared)[:, None, None] * column.patch
        return result

    def background(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the light of the sky that an observation sees [nJy/pix], float32; 0 where none was asked for."""
        prepared = self._prepared[observation_index]
        result = np.zeros(prepared.images.shape, np.float32)
        result += self._background(prepared) * prepared.noise[:, None, None]
        return result

    def component(self, source_index: int, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return one source as an observation sees it, without noise [nJy/pix], float32."""
        wanted = self._scene.sources[source_index].id
        prepared = self._prepared[observation_index]
        seen = [
            columns[observation_index].times(_flux(part, prepared))
            for part, columns in zip(self.parts, self.columns(), strict=True)
            if part[0].id == wanted
        ]
        return summed(seen).on(prepared.images.shape)

    def component_plane(
        self, source_index: int, band_index: int, observation_index: int = 0
    ) -> Float[np.ndarray, "y x"]:
        """Return one source in one band of an observation [nJy/pix], float32."""
        return self.component(source_index, observation_index)[band_index]

    def sources(self) -> list[tuple[Column, ...]]:
        """Return each source, with its flux, as every observation sees it [nJy/pix]."""
        pictures: dict[str, list[tuple[Column, ...]]] = {source.id: [] for source in self._scene.sources}
        for part, columns in zip(self.parts, self.columns(), strict=True):
            seen = zip(columns, self._prepared, strict=True)
            pictures[part[0].id].append(tuple(column.times(_flux(part, p)) for column, p in seen))
        return [tuple(map(summed, zip(*parts, strict=True))) for parts in pictures.values()]

    def residual_sigma(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return (image - model) in units of each pixel's noise; 0 where it is masked."""
        return residual_sigma(self.observations[observation_index], self.model(observation_index))

    @property
    def chi2_per_observation(self) -> dict[str, float]:
        """χ² per unmasked pixel of every observation."""
        if self._chi2 is None:
            self._chi2 = chi2_per_observation(self.observations, [self.model(i) for i in range(len(self.observations))])
        return self._chi2

    @property
    def chi2(self) -> float:
        """χ² per unmasked pixel over everything."""
        return total_chi2(self.observations, self.chi2_per_observation)

    def star_light(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return all known stars as an observation sees them [nJy/pix], float32."""
        columns, field = self.star_columns(), self._scene.stars
        if columns is None or field is None:
            return np.zeros(self._prepared[observation_index].images.shape, np.float32)
        return columns.light(observation_index, np.nan_to_num(field.flux))

    def full_scenes(self) -> list[tuple[Column, ...]]:
        """Return each component of light over the whole scene, as every observation sees it [nJy/pix]."""
        return [
            tuple(
                column.times(np.nan_to_num(each.spectrum[p.layout.start : p.layout.stop]).astype(np.float32))
                for column, p in zip(columns, self._prepared, strict=True)
            )
            for each, columns in zip(self._scene.full_scenes, self.full_scene_columns(), strict=True)
        ]

    def full_scene(self, index: int, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return one component of light over the whole scene as an observation sees it [nJy/pix], float32."""
        return self.full_scenes()[index][observation_index].patch

    def full_scene_light(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return all light over the whole scene as an observation sees it [nJy/pix], float32."""
        result = np.zeros(self._prepared[observation_index].images.shape, np.float32)
        for columns in self.full_scenes():
            result += columns[observation_index].patch
        return result

    def _background(self, prepared: PreparedObservation) -> Any:
        """Return the background of an observation, in units of the noise; 0 where none was asked for."""
        if self._terms is None:
            return 0.0
        return plane(prepared.ramps, self._terms[prepared.layout.start : prepared.layout.stop, BACKGROUND])


def _flux(part: Part, prepared: PreparedObservation) -> Float[np.ndarray, " band"]:
    source, index = part
    flux = source.components[index].spectrum.value
    return flux[prepared.layout.start : prepared.layout.stop].astype(np.float32)
