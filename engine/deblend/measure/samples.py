"""What draws from a posterior say: pictures with their scatter, and quantities with percentiles and covariances."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.infer import Draw
from deblend.measure.kept_draws import KeptDraws
from deblend.measure.naming import column_key
from deblend.measure.quantities import shapes_of, significance_of
from deblend.measure.regularized import biases_of, is_flux, said_of, widened_percentiles
from deblend.measure.running import RunningPicture
from deblend.program import Program
from deblend.program.columns import Column
from deblend.sky import AB_ZERO_POINT_NJY

PERCENTILES = (16, 50, 84)
"""Of a Gaussian: one deviation to either side of its middle."""
PER_PICTURE = "x", "y", "half_light_radius", "blendedness"
UNITS: dict[str, u.Unit] = {"x": u.pix, "y": u.pix, "half_light_radius": u.pix, "blendedness": u.one}


class Samples:
    """Draws as they arrive, in units of a catalog; pictures are kept as mean and deviation only."""

    def __init__(self, program: Program, *, with_model: bool = False, is_calibrated: bool = True) -> None:
        """Hold no draws yet, of the scene that the program has; `with_model` keeps pictures of the whole model, too.

        Of draws whose scatter is not known to be an error bar, `is_calibrated` off, the catalog tells medians alone.
        """
        self.is_calibrated = is_calibrated
        self._program, self._scene = program, program.scene
        self._observations = program.observations
        self._to_image = program.scene.grid.affine_to(program.observations[0].grid)
        self._pictures = [[RunningPicture() for _ in self._observations] for _ in program.scene.sources]
        self._models = [RunningPicture() for _ in self._observations] if with_model else []
        self._fluxes: list[Float[np.ndarray, "source channel"]] = []
        self._chains: list[int] = []
        self._others: list[Float[np.ndarray, "source 4"]] = []

    def __len__(self) -> int:
        return len(self._fluxes)

    def add(self, draw: Draw) -> None:
        """Take one more draw; as the program's own methods, from one thread at a time."""
        program, scene = self._program, draw.scene
        with program.standing_at(scene):
            pictures = program.sources()
            shapes = shapes_of(program)
            _, blendedness = significance_of(program)
            models = [Column(program.model(k), 0, 0) for k in range(len(self._models))]
        for running, own in zip(self._pictures, pictures, strict=True):
            for of_observation, column in zip(running, own, strict=True):
                of_observation.add(column)
        for of_model, model in zip(self._models, models, strict=True):
            of_model.add(model)
        row, column_of = self._to_image(np.array([s.y for s in scene.sources]), np.array([s.x for s in scene.sources]))
        size = shapes[:, 2] * self._to_image.scale
        self._fluxes.append(scene.fluxes)
        self._chains.append(draw.chain)
        self._others.append(np.stack([column_of, row, size, blendedness], axis=1))

    # -- pictures ----------------------------------------------------------------------------------------------

    def mean(self, source_index: int | None, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the mean picture of a source as an observation sees it [nJy/pix], float32; None is the whole model.

        Raises ValueError for the whole model where that was not kept.
        """
        shape = self._observations[observation_index].images.shape
        return self._running(source_index, observation_index).mean(shape)

    def deviation(self, source_index: int | None, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the standard deviation of that picture, pixel by pixel [nJy/pix], float32."""
        shape = self._observations[observation_index].images.shape
        return self._running(source_index, observation_index).deviation(shape)

    def _running(self, source_index: int | None, observation_index: int) -> RunningPicture:
        if source_index is not None:
            return self._pictures[source_index][observation_index]
        if not self._models:
            raise ValueError("Pictures of the whole model were not kept; make Samples(program, with_model=True).")
        return self._models[observation_index]

    # -- quantities --------------------------------------------------------------------------------------------

    @property
    def fluxes(self) -> Float[np.ndarray, "draw source channel"]:
        """[nJy]"""
        shape = len(self), len(self._scene), len(self._scene.channels)
        return np.reshape(np.array(self._fluxes, np.float64), shape)

    def flux_ratio(self, first: int, second: int) -> Float[np.ndarray, "draw channel"]:
        """Return the flux of one source over that of another one, by their rows; NaN where that has none."""
        above, below = self.fluxes[:, first], self.fluxes[:, second]
        return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)

    def flux_covariance(self, channel: int) -> Float[np.ndarray, "source source"]:
        """Return the covariance of the fluxes of all sources in a channel [nJy²]: what neighbours trade."""
        if len(self) < 2:
            return np.full((len(self._scene), len(self._scene)), np.nan)
        return np.cov(self.fluxes[:, :, channel], rowvar=False).reshape(len(self._scene), len(self._scene))

    @property
    def quantities(self) -> Mapping[str, u.Quantity]:
        """Every quantity, (draw, source), by the name of its column, with its unit.

        `flux_…` per channel and `flux_total`, the sum over the channels; `color_…_…` [mag] of each channel less the
        next one, NaN where a flux is not positive; `flux_fraction_…`, of the flux of all sources together; `x`, `y` on
        the first image (0-based); `half_light_radius` of the model before the PSF; `blendedness`.
        """
        fluxes, keys = self.fluxes, [column_key(channel) for channel in self._scene.channels]
        result: dict[str, u.Quantity] = {f"flux_{key}": fluxes[:, :, k] * u.nJy for k, key in enumerate(keys)}
        result["flux_total"] = fluxes.sum(axis=2) * u.nJy
        magnitudes = AB_ZERO_POINT_NJY - 2.5 * np.log10(np.where(fluxes > 0, fluxes, np.nan))
        for k, (bluer, redder) in enumerate(itertools.pairwise(keys)):
            result[f"color_{bluer}_{redder}"] = (magnitudes[:, :, k] - magnitudes[:, :, k + 1]) * u.mag
        total = fluxes.sum(axis=1, keepdims=True)
        fractions = np.where(total > 0, fluxes / np.where(total > 0, total, 1.0), np.nan)
        result |= {f"flux_fraction_{key}": fractions[:, :, k] * u.one for k, key in enumerate(keys)}
        others = np.reshape(np.array(self._others, np.float64), (len(self), len(self._scene), len(PER_PICTURE)))
        return result | {name: others[:, :, k] * UNITS[name] for k, name in enumerate(PER_PICTURE)}

    # -- tables ------------------------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> tuple[Sequence[str], Sequence[str]]:
        return [s.id for s in self._scene.sources], [s.name for s in self._scene.sources]

    def table(self) -> QTable:
        """Return one row per draw and source: `draw`, `chain`, `id`, `name` and every quantity."""
        n = len(self._scene)
        ids, names = self._names
        counted = {"draw": np.repeat(np.arange(len(self)), n), "chain": np.repeat(np.array(self._chains, int), n)}
        columns = counted | {"id": [*ids] * len(self), "name": [*names] * len(self)}
        result = QTable(columns | {name: values.ravel() for name, values in self.quantities.items()})
        return _described(result)

    def kept(self, method: str = "", seed: int = 0, said: Sequence[str] = ()) -> KeptDraws:
        """Return the numbers of all draws so far, for a session or for ArviZ."""
        quantities = self.quantities
        return KeptDraws(
            self._scene,
            method,
            seed,
            np.array(self._chains, np.int32),
            {name: np.asarray(values.value, np.float64) for name, values in quantities.items()},
            {name: str(values.unit) for name, values in quantities.items()},
            tuple(said),
            self.is_calibrated,
        )

    def to_arviz(self) -> Any:
        """Return the draws as `arviz.InferenceData`; see `KeptDraws.to_arviz`."""
        return self.kept().to_arviz()

    def catalog(self) -> QTable:
        """Return one row per source: of every quantity the percentiles, `…_p16`, `…_p50`, `…_p84`, and `…_std`; and
        `covariance`, that of its fluxes [nJy] and of x, y [pix], in this order.

        What is not known in all draws, as a color where a flux was negative, is that of the draws where it is; NaN
        where there is none. Percentiles and deviations of fluxes of galaxies are wider than the draws by what the
        belief about their shapes biases them by (see `deblend.measure.regularized`). Of draws that are not calibrated
        all but the medians are NaN.
        """
        ids, names = self._names
        result = QTable({"id": ids, "name": names})
        quantities = self.quantities
        shares = biases_of(self._scene, quantities["blendedness"].value)
        for name, values in quantities.items():
            percentiles, deviation = _told(values.value)
            if is_flux(name):
                deviation = np.hypot(deviation, shares * np.nan_to_num(percentiles[1]))
                percentiles = widened_percentiles(percentiles, shares)
            if not self.is_calibrated:
                percentiles[[0, 2]], deviation = np.nan, np.full_like(deviation, np.nan)
            for percent, row in zip(PERCENTILES, percentiles, strict=True):
                result[f"{name}_p{percent}"] = row * values.unit
            result[f"{name}_std"] = deviation * values.unit
        chosen = [*(f"flux_{column_key(c)}" for c in self._scene.channels), "x", "y"]
        drawn = np.stack([quantities[name].value for name in chosen], axis=2)
        off = drawn - drawn.sum(axis=0) / max(len(self), 1)
        # of one draw alone nothing is known
        count = len(self) - 1 if len(self) > 1 and self.is_calibrated else np.nan
        result["covariance"] = np.einsum("dsi,dsj->sij", off, off) / count
        result["covariance"].info.description = "of " + ", ".join(chosen)
        said = said_of(self._scene)
        more = {"widened": said} if said else {}
        return _described(result, n_draws=len(self), **more, **({} if self.is_calibrated else {"calibrated": False}))


def _told(values: Float[np.ndarray, "draw source"]) -> tuple[Float[np.ndarray, "percentile source"], np.ndarray]:
    """Return percentiles and standard deviation of what is known; NaN where nothing is."""
    percentiles = np.full((len(PERCENTILES), values.shape[1]), np.nan)
    deviation = np.full(values.shape[1], np.nan)
    for k, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if len(known):
            percentiles[:, k] = np.percentile(known, PERCENTILES)
        if len(known) > 1:
            deviation[k] = known.std(ddof=1)
    return percentiles, deviation


def _described(table: QTable, **more: object) -> QTable:
    table.meta["software"] = f"napari-deblend {version('napari-deblend')}"
    table.meta["zp_ab"] = AB_ZERO_POINT_NJY
    table.meta["pixels"] = "of the first image; x, y are 0-based: the middle of the first pixel is (0, 0)"
    table.meta.update(more)
    return table
