"""States of a fit: what it hands to whoever watches. Immutable, NumPy only, safe to give to another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float

from deblend.infer.settings import Outcome
from deblend.observe import Observation
from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.columns import Column
from deblend.program.goodness import chi2_per_observation, residual_sigma, total_chi2
from deblend.program.laws import Laws
from deblend.scene import Scene


class FitState:
    """One state of a fit."""

    def __init__(
        self,
        iteration: int,
        loss: float,
        outcome: Outcome,
        parameters: Parameters,
        models: Sequence[Float[np.ndarray, "band y x"]],
        program: Program,
        columns_lock: threading.Lock,
        laws: Laws | None = None,
    ) -> None:
        self.iteration = iteration
        """How many steps were taken to come here."""
        self.loss = loss
        """½ χ² plus priors and soft constraints, a pure number."""
        self.outcome = outcome
        self.parameters = parameters
        self._models = tuple(models)
        self._raise: Callable[[Parameters], Scene] = program.snapshot(laws)
        self._program = program
        self._observations: tuple[Observation, ...] = program.observations
        self._lock = columns_lock

    @cached_property
    def scene(self) -> Scene:
        """The scene with the values of this state."""
        return self._raise(self.parameters)

    def model(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the whole scene as an observation sees it [nJy/pix], float32."""
        return self._models[observation_index]

    def residual_sigma(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return (image - model) in units of each pixel's noise, float32; 0 where it is masked."""
        return residual_sigma(self._observations[observation_index], self._models[observation_index])

    @cached_property
    def chi2_per_observation(self) -> dict[str, float]:
        """χ² per unmasked pixel of every observation, by name."""
        return chi2_per_observation(self._observations, self._models)

    @cached_property
    def chi2(self) -> float:
        """χ² per unmasked pixel over everything."""
        return total_chi2(self._observations, self.chi2_per_observation)

    @cached_property
    def _columns(self) -> list[tuple[Column, ...]]:
        with self._lock:
            return self._program.pictures_of(self.scene)

    def sources(self) -> list[tuple[Column, ...]]:
        """Return each source, with its flux, as every observation sees it [nJy/pix]."""
        return self._columns

    @cached_property
    def _full_scenes(self) -> list[tuple[Column, ...]]:
        with self._lock:
            return self._program.full_scenes_of(self.scene)

    def full_scene(self, index: int, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return one component of light over the whole scene as an observation sees it [nJy/pix], float32."""
        return self._full_scenes[index][observation_index].patch

    def component(self, source_index: int, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return one source as an observation sees it, without noise [nJy/pix], float32."""
        return self._columns[source_index][observation_index].on(self._models[observation_index].shape)

    def component_plane(
        self, source_index: int, band_index: int, observation_index: int = 0
    ) -> Float[np.ndarray, "y x"]:
        """Return one source in one band of an observation [nJy/pix], float32."""
        return self.component(source_index, observation_index)[band_index]
