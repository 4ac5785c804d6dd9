"""The program: a scene and its observations as the machine runs them.

A program is built once and kept. Every edit of the scene is written into its slots as data; only a new kind, a new
bucket or a full group changes the layout and compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from deblend.observe import Observation
from deblend.program.arrays import ObservationData, Parameters, ProblemData
from deblend.program.calibration import BACKGROUND, SHIFT, TURN, plane
from deblend.program.calibration_terms import freedom_of, terms_of, units_of, with_terms
from deblend.program.columns import CHUNK, Column, ColumnLayout, ColumnTables, clipped, compiled_columns
from deblend.program.compiled import compilations, on_device, side_by_side
from deblend.program.fluxes import NormalEquations, Ties
from deblend.program.layout import GroupLayout, Layout, capacity_for
from deblend.program.problem import (
    PreparedObservation,
    is_turning,
    make_layout,
    noise_units,
    prepare_observations,
    rotation_of,
)
from deblend.program.slots import GroupSlots, box_origin, group_key, raise_component, same_shape
from deblend.program.ties import has_epochs, passband_means
from deblend.scene import Scene, Source
from deblend.sky import same_passbands

REGISTERED_OFFSET_SCATTER = 0.02
"""How far a channel is believed to see a source off its center where the shift of images is fitted, per axis [pix]."""
STANDARD_GROUPS = (("point", 15), ("galaxy", 31))
"""Groups of stars and of galaxies of usual size."""


class UndefinedMorphologyError(ValueError):
    """A morphology of a person's own is no number where a source of it stands."""


class Program:
    """A scene with its observations, lowered to arrays; its present scene has a flux everywhere.

    Its methods are to be called from one thread at a time.
    """

    def __init__(
        self,
        observations: Sequence[Observation],
        scene: Scene,
        *,
        dtype: Any = np.float32,
        standard_groups: bool = False,
        solve: bool = True,
    ) -> None:
        """Lower a scene; raises ValueError where it does not fit the observations.

        With `standard_groups` the program has room for stars and galaxies of usual size even where the scene has
        none yet: it compiles longer, and the first that are added compile nothing. With `solve` off, fluxes that
        are not known stay so until the first `update`.
        """
        if not observations:
            raise ValueError("A program needs at least one observation.")
        self.dtype = np.dtype(dtype)
        self._prepared = prepare_observations(observations, scene, self.dtype)
        self.observations = tuple(p.observation for p in self._prepared)
        """As they were given, but for masks of what lies beyond the scene's grid."""
        self.noise = noise_units(self._prepared)
        """Unit of flux of every channel [nJy]."""
        self._has_epochs = has_epochs(scene.channels)
        self._sizes = len(self.noise), len(same_passbands(scene.channels))
        varies = any(p.layout.n_cells > 1 for p in self._prepared)
        self._n_planes = sum(p.layout.n_cells * len(p.noise) for p in self._prepared) if varies else 0
        self._passbands = passband_means(scene.channels).astype(self.dtype) if self._has_epochs else None
        self._groups = [
            GroupSlots(GroupLayout(*key, has_epochs=self._has_epochs), *self._sizes, self.dtype, self._n_planes)
            for key in STANDARD_GROUPS
            if standard_groups
        ]
        self._terms: Float[np.ndarray, "channel 10"] | None = None
        """How the images are off, of the present scene."""
        self._normal: NormalEquations | None = None
        """Of the present background; None until they are asked for."""
        self._columns: dict[str, tuple[Source, tuple[Column, ...]]] = {}
        self._seen: tuple[ObservationData, ...] | None = None
        """What the telescopes saw, where programs run; None where a group has come or grown since."""
        self._column_tables: dict[int, tuple[ColumnTables, ...]] = {}
        """What columns are drawn with, per observation, where programs run, by the side of the box."""
        self._models: dict[int, Float[np.ndarray, "band y x"]] = {}
        self._chi2: dict[str, float] | None = None
        """What is known of the present scene."""
        self._scene = scene
        if solve:
            self.update(scene, solve=not scene.is_solved)
        else:
            self.take(scene)

    # -- the scene ---------------------------------------------------------------------------------------------

    @property
    def scene(self) -> Scene:
        """The present scene."""
        return self._scene

    @property
    def compilations(self) -> int:
        """How many compilations this process has asked for so far."""
        return compilations()

    def update(self, scene: Scene, *, solve: bool = True) -> Scene:
        """Take an edited scene, solve all free fluxes again jointly, and return the scene with them.

        With `solve` off, fluxes stay as they are where all of them are known. Raises UndefinedMorphologyError, and
        keeps the scene that it has, where a morphology of a person's own is undefined.
        """
        before = self._scene
        self._lower(scene)
        if (solve or not scene.is_solved) and scene.sources:
            try:
                fluxes = self._solved_fluxes(scene)
            except UndefinedMorphologyError:
                self._lower(before)
                raise
            self._scene = self._with_fluxes(scene, fluxes)
            self._lower(self._scene)
        return self._scene

    def take(self, scene: Scene) -> None:
        """Take a scene as it is, for instance a fitted one."""
        self._lower(scene)

    def _lower(self, scene: Scene) -> None:
        if scene.model_psf_sigma != self._scene.model_psf_sigma or scene.channels != self._scene.channels:
            raise ValueError("A program keeps its channels and its model PSF; make a new one for another scene.")
        members: dict[tuple[str, int], list[tuple[Source, int]]] = {}
        for source in scene.sources:
            if len(source.components) != 1:
                raise ValueError(
                    f"Source {source.name or source.id} has {len(source.components)} components; "
                    "this version fits sources of one component."
                )
            members.setdefault(group_key(source.components[0]), []).append((source, 0))
        known = {(g.layout.kind, g.layout.side): i for i, g in enumerate(self._groups)}
        for key, group in members.items():
            index = known.setdefault(key, len(self._groups))
            layout = self._groups[index].layout if index < len(self._groups) else None
            moves = any(source.track is not None for source, _ in group)
            if layout is not None and layout.capacity >= len(group) and layout.has_tracks >= moves:
                continue
            capacity = capacity_for(len(group)) if layout is None or layout.capacity < len(group) else layout.capacity
            layout = GroupLayout(*key, capacity, self._has_epochs, moves or (layout is not None and layout.has_tracks))
            slots = GroupSlots(layout, *self._sizes, self.dtype, self._n_planes)
            self._groups[index : index + 1] = [slots]
            self._seen = None
        self._turn(scene)
        shape = scene.grid.shape
        for slots in self._groups:
            own = members.get((slots.layout.kind, slots.layout.side), [])
            slots.fill(own, shape, self.noise, scene.channels, self._psf_share)
        self._scene, self._models, self._chi2 = scene, {}, None
        self._calibrate(terms_of(scene, self.calibration_units, self.dtype) if scene.calibrations else None)

    def _psf_share(self, source: Source) -> Float[np.ndarray, " plane"]:
        """Return how much of a source's light is seen through the PSF of each plane of the canvas."""
        return np.concatenate([np.repeat(p.psf_share(source.x, source.y), len(p.noise)) for p in self._prepared])

    def _turn(self, scene: Scene) -> None:
        """Make the geometry what the rotations of a scene say."""
        channels = [slice(p.layout.start, p.layout.stop) for p in self._prepared]
        if any(
            p.layout.resampling is None and is_turning(scene, c) for p, c in zip(self._prepared, channels, strict=True)
        ):
            # pixels that were those of the model are so no more
            turned = prepare_observations(self.observations, scene, self.dtype)
        else:
            turned = tuple(p.turned(rotation_of(scene, c)) for p, c in zip(self._prepared, channels, strict=True))
        if all(new is old for new, old in zip(turned, self._prepared, strict=True)):
            return
        self._prepared, self._seen = turned, None
        self._forget_drawn()

    def _forget_drawn(self) -> None:
        self._columns, self._column_tables = {}, {}
        self._normal = None

    def _calibrate(self, terms: Float[np.ndarray, "channel 10"] | None) -> None:
        """Take how the images are off; what was drawn before is of no use where that has changed."""
        if (terms is None and self._terms is None) or (
            terms is not None and self._terms is not None and np.array_equal(terms, self._terms)
        ):
            return
        self._terms = terms
        self._forget_drawn()

    def _background(self, prepared: PreparedObservation) -> Any:
        """Return the background of an observation, in units of the noise; 0 where none was asked for."""
        if self._terms is None:
            return 0.0
        return plane(prepared.layout.shape, self._terms[prepared.layout.start : prepared.layout.stop, BACKGROUND], np)

    def snapshot(self) -> Callable[[Parameters], Scene]:
        """Return the function that turns parameters of the present slots into a scene, whatever is edited later."""
        scene, noise, members = self._scene, self.noise, self.members
        units = self.calibration_units if scene.calibrations else None
        plain = scene.with_sources(())

        def raised(parameters: Parameters) -> Scene:
            fitted: dict[str, Source] = {}
            for slots, p in zip(members, parameters.groups, strict=True):
                for slot, (source, index) in enumerate(slots):
                    pixels = None if p.pixels is None else np.asarray(p.pixels[slot])
                    theta, flux, aspect = (np.asarray(values[slot]) for values in (p.theta, p.flux, p.aspect))
                    fitted[source.id] = raise_component(
                        source, index, theta, flux, pixels, aspect, scene.grid.shape, noise
                    )
            calibrated = plain
            if units is not None and parameters.calibration is not None:
                calibrated = with_terms(plain, parameters.calibration, units)
            return calibrated.with_sources(fitted[source.id] for source in scene.sources)

        return raised

    @cached_property
    def calibration_units(self) -> Float[np.ndarray, "channel 10"]:
        """What one of each number of a scene's calibrations is in the program."""
        return units_of(self.noise, np.concatenate([p.psf_variance for p in self._prepared]), self._pivot)

    @cached_property
    def _pivot(self) -> Float[np.ndarray, "channel 3"]:
        """What the image of each channel turns about, and one over how far its corner lies from there."""
        return np.concatenate([np.tile(p.pivot, (len(p.noise), 1)) for p in self._prepared])

    def turned_by(self, parameters: Parameters) -> float:
        """Return how far parameters have turned any image's corner off the program's geometry [pix of the model]."""
        return 0.0 if parameters.calibration is None else float(np.abs(parameters.calibration[:, TURN]).max())

    # -- for solvers -------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        """The static shape; a new one compiles anew."""
        return make_layout(
            self._prepared, [g.layout for g in self._groups], self._scene.grid.shape, self._terms is not None
        )

    @property
    def parameters(self) -> Parameters:
        """What a fit may change, as it stands; fresh arrays."""
        groups = tuple(jax.tree.map(np.copy, g.parameters) for g in self._groups)
        return Parameters(groups, None if self._terms is None else self._terms.copy())

    @property
    def data(self) -> ProblemData:
        """All else that a compiled step needs; fresh arrays where an edit may write."""
        if self._seen is None:
            layouts = [g.layout for g in self._groups]
            # on the device once: they are as large as the images
            self._seen = jax.device_put(tuple(p.data(layouts) for p in self._prepared))
        groups = tuple(jax.tree.map(np.copy, g.data) for g in self._groups)
        freedom = None
        if self._scene.calibrations:
            freedom = freedom_of(self._scene, self.calibration_units, self._pivot, self.dtype)
        if freedom is not None and np.any(freedom.free[:, SHIFT]):
            for group in groups:
                # what moves all sources of an image alike is its shift: less is left to each of them
                group.aspect_precision[:, :2] = 1.0 / REGISTERED_OFFSET_SCATTER
        return ProblemData(groups, self._seen, self._psf_variance, freedom, self._passbands)

    @property
    def _psf_variance(self) -> np.ndarray:
        return np.asarray(self._scene.model_psf_sigma**2, self.dtype)

    @property
    def members(self) -> list[list[tuple[Source, int]]]:
        """The source and the index of its component in every used slot of every group."""
        return [list(g.members) for g in self._groups]

    @property
    def noise_per_observation(self) -> list[Float[np.ndarray, " band"]]:
        """Unit of flux of the channels of every observation [nJy], float32."""
        return [p.noise.astype(np.float32) for p in self._prepared]

    @property
    def point_source_errors(self) -> Float[np.ndarray, " channel"]:
        """Error of the flux of an isolated star in every channel, in units of the noise."""
        return np.concatenate([1.0 / np.sqrt(p.observation.star_information) for p in self._prepared])

    @property
    def rows(self) -> list[list[int]]:
        """Row of the scene for every used slot of every group."""
        row = {source.id: i for i, source in enumerate(self._scene.sources)}
        return [[row[source.id] for source, _ in g.members] for g in self._groups]

    # -- fluxes and columns ------------------------------------------------------------------------------------

    def columns(self) -> list[tuple[Column, ...]]:
        """Return each source per unit flux, as every observation sees it; only what changed is drawn."""
        stale = {
            source.id
            for source in self._scene.sources
            if source.id not in self._columns or not same_shape(self._columns[source.id][0], source)
        }
        self._columns = {s.id: self._columns[s.id] for s in self._scene.sources if s.id in self._columns}
        if stale:
            self._draw(stale)
        return [self._columns[source.id][1] for source in self._scene.sources]

    def make_ready(self) -> None:
        """Compile what draws sources of the groups that there are, so that the first edit need not."""
        if self._groups:
            side_by_side(*(partial(self._draw_chunk, group, []) for group in self._groups))

    def _draw(self, stale: set[str]) -> None:
        for group in self._groups:
            todo = [k for k, (source, _) in enumerate(group.members) if source.id in stale]
            for chunk in (todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)):
                self._draw_chunk(group, chunk)

    def _draw_chunk(self, group: GroupSlots, chunk: list[int]) -> None:
        side = group.layout.side
        if side not in self._column_tables:
            self._column_tables[side] = on_device(tuple(p.column_tables(side, self._terms) for p in self._prepared))
        slots = np.array((chunk + [0] * CHUNK)[:CHUNK])
        parameters = jax.tree.map(lambda stack: stack[slots], group.parameters)
        alone = group.data._replace(psf_share=None, flux_tie=None, center_tie=None)
        data = jax.tree.map(lambda stack: stack[slots], alone._replace(count=np.zeros(len(alone.radius), np.int32)))
        data = data._replace(count=np.int32(len(chunk)))
        layout = ColumnLayout.of(group.layout, (p.column_view(side) for p in self._prepared))
        shape = self._scene.grid.shape
        origins = [box_origin(group.members[slot][0], shape) for slot in chunk]
        places = [[p.column_place(origin, side) for origin in origins] for p in self._prepared]
        moves = tuple(np.zeros((CHUNK, 2), self.dtype) for _ in self._prepared)
        for move, of_sources in zip(moves, places, strict=True):
            for k, (_, off) in enumerate(of_sources):
                move[k] = off
        sources = [group.members[slot][0] for slot in chunk]
        shares = tuple(self._shares(p, sources) for p in self._prepared)
        drawn = compiled_columns(layout, data, parameters, self._psf_variance, self._column_tables[side], moves, shares)
        patches = [np.asarray(stack) for stack in drawn]
        for k, slot in enumerate(chunk):
            source = group.members[slot][0]
            if group.kind.is_own and not all(np.all(np.isfinite(stack[k])) for stack in patches):
                raise UndefinedMorphologyError(_undefined(source))
            columns = tuple(
                clipped(stack[k], of_sources[k][0], p.layout.shape)
                for stack, of_sources, p in zip(patches, places, self._prepared, strict=True)
            )
            self._columns[source.id] = (source, columns)

    def _shares(self, prepared: PreparedObservation, sources: Sequence[Source]) -> np.ndarray | None:
        """Return how much each cell of a PSF that varies counts for sources, (slot, cell)."""
        if prepared.layout.n_cells == 1:
            return None
        result = np.zeros((CHUNK, prepared.layout.n_cells), self.dtype)
        for k, source in enumerate(sources):
            result[k] = prepared.psf_share(source.x, source.y)
        return result

    def normal_equations(self) -> NormalEquations:
        """Return the linear problem of the fluxes, given the present morphologies."""
        if self._normal is None:
            images = [p.images if self._terms is None else p.images - self._background(p) for p in self._prepared]
            noise = ([getattr(p, name) for p in self._prepared] for name in ("weights", "whitening"))
            self._normal = NormalEquations(images, *noise)
        self._normal.update(self.columns())
        return self._normal

    def _solved_fluxes(self, scene: Scene) -> Float[np.ndarray, "source channel"]:
        spectra = [s.components[0].spectrum for s in scene.sources]
        flux = np.nan_to_num(np.stack([p.value for p in spectra])) / self.noise
        shape = flux.shape
        unsolved = np.array([not np.all(np.isfinite(p.value)) for p in spectra])
        free = np.broadcast_to(np.array([p.is_free for p in spectra])[:, None], shape) | unsolved[:, None]
        free = free & np.array([np.broadcast_to(s.components[0].shines_in or True, shape[1:]) for s in scene.sources])
        lower = np.broadcast_to(np.array([p.lower for p in spectra])[:, None], shape) / self.noise
        upper = np.broadcast_to(np.array([p.upper for p in spectra])[:, None], shape) / self.noise
        ties = None
        if self._has_epochs:
            constant = ~np.array([s.is_variable for s in scene.sources])
            ties = Ties(same_passbands(scene.channels), constant, self.noise)
        return self.normal_equations().solve(flux, free.astype(float), lower, upper, ties) * self.noise

    @staticmethod
    def _with_fluxes(scene: Scene, fluxes: Float[np.ndarray, "source channel"]) -> Scene:
        sources = []
        for source, flux in zip(scene.sources, fluxes, strict=True):
            component = source.components[0]
            spectrum = component.spectrum.at(flux)
            sources.append(replace(source, components=(replace(component, spectrum=spectrum),)))
        return scene.with_sources(sources)

    # -- pictures ----------------------------------------------------------------------------------------------

    def model(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the whole scene as an observation sees it [nJy/pix], float32; not to be written to."""
        if observation_index not in self._models:
            self._models[observation_index] = self._drawn_model(observation_index)
        return self._models[observation_index]

    def _drawn_model(self, observation_index: int) -> Float[np.ndarray, "band y x"]:
        prepared = self._prepared[observation_index]
        result = self.background(observation_index)
        for source, columns in zip(self._scene.sources, self.columns(), strict=True):
            column = columns[observation_index]
            rows, across = column.window
            result[:, rows, across] += self._flux(source, prepared)[:, None, None] * column.patch
        return result

    def background(self, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return the light of the sky that an observation sees [nJy/pix], float32; 0 where none was asked for."""
        prepared = self._prepared[observation_index]
        result = np.zeros(prepared.images.shape, np.float32)
        result += self._background(prepared) * prepared.noise[:, None, None]
        return result

    def component(self, source_index: int, observation_index: int = 0) -> Float[np.ndarray, "band y x"]:
        """Return one source as an observation sees it, without noise [nJy/pix], float32."""
        prepared = self._prepared[observation_index]
        result = np.zeros(prepared.images.shape, np.float32)
        column = self.columns()[source_index][observation_index]
        rows, across = column.window
        flux = self._flux(self._scene.sources[source_index], prepared)
        result[:, rows, across] = flux[:, None, None] * column.patch
        return result

    def component_plane(
        self, source_index: int, band_index: int, observation_index: int = 0
    ) -> Float[np.ndarray, "y x"]:
        """Return one source in one band of an observation [nJy/pix], float32."""
        prepared = self._prepared[observation_index]
        result = np.zeros(prepared.layout.shape, np.float32)
        column = self.columns()[source_index][observation_index]
        flux = self._flux(self._scene.sources[source_index], prepared)
        result[column.window] = flux[band_index] * column.patch[band_index]
        return result

    def pictures_of(self, scene: Scene) -> list[tuple[Column, ...]]:
        """Return each source of a scene, with its flux, as every observation sees it [nJy/pix]; the program's own
        scene stays as it is."""
        mine, drawn, normal = self._scene, self._columns, self._normal
        try:
            self._lower(scene)
            return [
                tuple(
                    Column(self._flux(source, p)[:, None, None] * column.patch, column.y, column.x)
                    for column, p in zip(columns, self._prepared, strict=True)
                )
                for source, columns in zip(scene.sources, self.columns(), strict=True)
            ]
        finally:
            self._lower(mine)
            # what was known of it is no less true, though images may have been off otherwise meanwhile
            self._columns, self._normal = drawn, normal

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

    def _flux(self, source: Source, prepared: PreparedObservation) -> Float[np.ndarray, " band"]:
        return source.flux[prepared.layout.start : prepared.layout.stop].astype(np.float32)


def _undefined(source: Source) -> str:
    """Return a sentence about a source whose morphology is no number."""
    parameters = source.components[0].morphology.parameters
    values = ", ".join(f"{name} = {np.round(p.value, 4)}" for name, p in parameters.items())
    return (
        f"The morphology {source.kind!r} of source {source.name or source.id} is undefined at {values}; give its "
        "parameters bounds that leave this out, or mend its surface brightness. The scene is as it was."
    )


def residual_sigma(observation: Observation, model: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "band y x"]:
    """Return (image - model) in units of each pixel's noise, float32; 0 where it is masked."""
    return ((observation.images - model) * np.sqrt(observation.weights)).astype(np.float32)


def chi2_per_observation(observations: Sequence[Observation], models: Sequence[np.ndarray]) -> dict[str, float]:
    """Return χ² per unmasked pixel of every observation, by name."""
    return {o.name: o.chi2(m) / max(o.n_unmasked, 1) for o, m in zip(observations, models, strict=True)}


def total_chi2(observations: Sequence[Observation], each: dict[str, float]) -> float:
    """Return χ² per unmasked pixel over everything."""
    counts = [o.n_unmasked for o in observations]
    return float(np.dot(list(each.values()), counts) / max(sum(counts), 1))
