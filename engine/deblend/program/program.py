"""The program: a scene and its observations as the machine runs them.

A program is built once and kept. Every edit of the scene is written into its slots as data; only a new kind, a new
bucket or a full group changes the layout and compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from operator import is_not
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from deblend.observe import Observation, find_passbands
from deblend.program.arrays import CenterTies, ObservationData, Parameters, ProblemData
from deblend.program.calibration import SHIFT, TURN
from deblend.program.calibration_terms import freedom_of, terms_of, units_of
from deblend.program.columns import Column
from deblend.program.compiled import compilations
from deblend.program.drawing import Drawing, UndefinedMorphologyError
from deblend.program.dust_slots import Sighting, change_of_total, with_screens
from deblend.program.flux_problem import flux_problem, with_fluxes
from deblend.program.fluxes import NormalEquations
from deblend.program.full_scene_slots import FullSceneSlots, drawn
from deblend.program.galaxy_tables import device_tables
from deblend.program.grouping import GroupKey, key_of, parts_by_group, room_for
from deblend.program.laws import Laws, lawful_members
from deblend.program.layout import GroupLayout, Layout
from deblend.program.links import with_links
from deblend.program.origins import origins
from deblend.program.problem import (
    canvas_for,
    is_turning,
    make_layout,
    noise_units,
    prepare_observations,
    rotation_of,
)
from deblend.program.raising import Snapshot
from deblend.program.sight import AbstractSight
from deblend.program.slots import GroupSlots, Part
from deblend.program.star_columns import StarColumns
from deblend.program.star_fluxes import JointEquations, StarNumbers
from deblend.program.star_slots import StarSlots
from deblend.program.support import painted_in
from deblend.program.ties import center_ties, has_epochs, has_ties, passband_means
from deblend.render.extinction import extinction_in
from deblend.render.spectra import Passbands
from deblend.scene import CHANNEL_OFFSET_SCATTER, Dust, Scene, Source
from deblend.sky import Passband, same_passbands

REGISTERED_OFFSET_SCATTER = 0.02
"""How far a channel is believed to see a source off its center where the shift of images is fitted, per axis [pix]."""
STANDARD_GROUPS = (GroupLayout("point", 15), GroupLayout("galaxy", 31))
"""Groups of stars and of galaxies of usual size."""


class Program(AbstractSight):
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
        room: Sequence[GroupLayout] = (),
        reach: int | None = None,
    ) -> None:
        """Lower a scene; raises ValueError where it does not fit the observations.

        With `standard_groups` the program has room for stars and galaxies of usual size even where the scene has
        none yet: it compiles longer, and the first that are added compile nothing. With `solve` off, fluxes that
        are not known stay so until the first `update`.

        Programs of many scenes share what is compiled where images have one shape, `room` names the same groups and
        `reach` is one radius of the kernels [pix of the model]; without it each program takes the least that its PSFs
        ask for.
        """
        if not observations:
            raise ValueError("A program needs at least one observation.")
        self.dtype = np.dtype(dtype)
        self._reach = reach
        self._prepared = prepare_observations(observations, scene, self.dtype, reach)
        self.observations = tuple(p.observation for p in self._prepared)
        """As they were given, but for masks of what lies beyond the scene's grid, and of what a person has hidden."""
        self.noise = noise_units(self._prepared)
        """Unit of flux of every channel [nJy]."""
        self._has_epochs = has_epochs(scene.channels)
        self._sizes = len(self.noise), len(same_passbands(scene.channels))
        varies = any(p.layout.n_cells > 1 for p in self._prepared)
        self._n_planes = sum(p.layout.n_cells * len(p.noise) for p in self._prepared) if varies else 0
        self._passbands = passband_means(scene.channels).astype(self.dtype) if self._has_epochs else None
        self._groups = [
            GroupSlots(replace(group, has_flux_ties=self._has_epochs), *self._sizes, self.dtype, self._n_planes)
            for group in (*(STANDARD_GROUPS if standard_groups else ()), *room)
        ]
        self.laws: Laws | None = None
        """The components whose fluxes follow a law, as the present scene says they stand; None where there are none."""
        self._known_passbands: tuple[Any, Passbands] | None = None
        self._terms: Float[np.ndarray, "channel 10"] | None = None
        """How the images are off, of the present scene."""
        self._normal: NormalEquations | None = None
        """Of the present background; None until they are asked for."""
        self._drawing = Drawing(self._prepared)
        self._seen: tuple[ObservationData, ...] | None = None
        """What the telescopes saw, where programs run; None where a group has come or grown since."""
        self._stars: StarSlots | None = None
        """Known stars; None where there never were any."""
        self._joint: JointEquations | None = None
        """Of the fluxes of sources and known stars; None until they are asked for."""
        self._full: FullSceneSlots | None = None
        """Light that covers the whole scene; None where there never was any."""
        self._everywhere: tuple[list[np.ndarray], list[tuple[Column, ...]]] | None = None
        """Its columns, and the coefficients that they are of; None where they are not known."""
        self._has_ties = False
        """Whether some centers are tied, or have been: then they may be, and nothing compiles."""
        self._has_links = False
        """Whether shape parameters are linked, or have been."""
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
        if (solve or not scene.is_solved) and not scene.is_empty:
            try:
                self._scene = self._solved(scene)
            except UndefinedMorphologyError:
                self._lower(before)
                raise
            self._lower(self._scene, has_same_parts=True)
        return self._scene

    def take(self, scene: Scene) -> None:
        """Take a scene as it is, for instance a fitted one."""
        self._lower(scene)

    def _lower(self, scene: Scene, *, has_same_parts: bool = False) -> None:
        """Write a scene into the slots; with `has_same_parts` it differs from the present one by fluxes at most."""
        if scene.model_psf_sigma != self._scene.model_psf_sigma or scene.channels != self._scene.channels:
            raise ValueError("A program keeps its channels and its model PSF; make a new one for another scene.")
        members = parts_by_group(scene)
        if not has_same_parts:
            self._house(members)
        self._take_passbands(scene)
        self._turn(scene)
        self._hide(scene)
        shape, painted = scene.grid.shape, painted_in(scene)
        for slots in self._groups:
            own = members.get(key_of(slots.layout), [])
            of_source = self._psf_share, partial(self._sighting, scene), painted
            slots.fill(own, shape, self.noise, scene.channels, *of_source)
        self._take_laws(scene)
        self._take_stars(scene)
        self._take_full_scenes(scene)
        self._scene, self._models, self._chi2 = scene, {}, None
        self._has_ties |= has_ties(scene.sources)
        self._has_links |= bool(scene.links)
        self._calibrate(terms_of(scene, self.calibration_units, self.dtype) if scene.calibrations else None)

    def _house(self, members: Mapping[GroupKey, list[Part]]) -> None:
        """Have room for parts, by their groups."""
        known = {key_of(g.layout): i for i, g in enumerate(self._groups)}
        for key, parts in members.items():
            index = known.setdefault(key, len(self._groups))
            slots = self._groups[index] if index < len(self._groups) else None
            present = None if slots is None else slots.layout
            held = set() if slots is None else {(id(source), k) for source, k in slots.members}
            layout = room_for(key, parts, self._has_epochs, present, held)
            if layout is not present:
                slots = GroupSlots(layout, *self._sizes, self.dtype, self._n_planes)
                self._groups[index : index + 1] = [slots]
                self._seen = None

    def _take_passbands(self, scene: Scene) -> None:
        """Have dust, and what is seen through it, anew where passbands are others: it dims each by its own."""
        layers = [slots for slots in self._groups if slots.layout.is_absorbing]
        if layers and scene.passbands is not self._scene.passbands:
            for slots in layers:
                slots.forget()
            self._forget_drawn()

    def _take_laws(self, scene: Scene) -> None:
        """Write fluxes that follow a law, and what ties them, into the slots."""
        known = {m.key: m for m in self.laws.members} if self.laws is not None else {}
        self.laws = lawful_members(self.members, scene.channels, lambda: self._bands(scene), self.noise, known)
        if self.laws is None:
            return
        for m in self.laws.members:
            self._groups[m.group].parameters.flux[m.slot] = m.fluxes

    def _take_stars(self, scene: Scene) -> None:
        """Make a layer for the known stars of a scene, unless it is there."""
        if scene.stars is None and self._stars is None:
            return
        if self._stars is None or not self._stars.fits(scene.stars, self._prepared):
            room = None if self._stars is None else self._stars.layout
            self._stars = StarSlots(scene, self._prepared, self.noise, self.dtype, room)

    def _take_full_scenes(self, scene: Scene) -> None:
        """Make a layer for the light that covers a scene, unless it is there."""
        if not scene.full_scenes and self._full is None:
            return
        layout = self.layout
        if self._full is None or not self._full.fits(scene, layout, self._prepared):
            room = None if self._full is None else self._full.layout
            self._full = FullSceneSlots(scene, layout, self._prepared, self.noise, self.dtype, room)
            self._everywhere = None

    def _bands(self, scene: Scene) -> Passbands:
        """Return the passbands of a scene, ready for use."""
        if self._known_passbands is None or self._known_passbands[0] is not scene.passbands:
            self._known_passbands = scene.passbands, Passbands(find_passbands(scene.channels, scene.passbands))
        return self._known_passbands[1]

    @property
    def passbands(self) -> tuple[Passband, ...]:
        """The passband of every channel; each says where it is from."""
        return self._bands(self._scene).passbands

    def _extinction(self, scene: Scene, dust: Dust) -> Float[np.ndarray, " channel"]:
        return extinction_in(dust.extinction, self._bands(scene).passbands)

    def _sighting(self, scene: Scene, source: Source) -> Sighting:
        assert source.dust is not None
        seen = np.concatenate([p.brightness_at(*source.anchor) for p in self._prepared])
        return Sighting(self._extinction(scene, source.dust), seen)

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
            whole = [p.observation if p.whole is None else p.whole for p in self._prepared]
            turned = prepare_observations(whole, scene, self.dtype, self._reach)
        else:
            turned = tuple(p.turned(rotation_of(scene, c)) for p, c in zip(self._prepared, channels, strict=True))
        if all(new is old for new, old in zip(turned, self._prepared, strict=True)):
            return
        self._prepared, self._seen = turned, None
        for slots in self._groups:
            # how much of each PSF they are seen through, and how bright the image is there
            slots.forget()
        self._forget_drawn()

    def _hide(self, scene: Scene) -> None:
        """Leave the pixels out that a person has hidden: other weights, which are data."""
        seen = tuple(p.without(scene.hidden_in(p.observation.channels[0])) for p in self._prepared)
        if all(new is old for new, old in zip(seen, self._prepared, strict=True)):
            return
        self._prepared, self._seen, self._joint = seen, None, None
        self.observations = tuple(p.observation for p in seen)
        self._forget_drawn()

    def _forget_drawn(self) -> None:
        self._drawing, self._normal, self._everywhere = Drawing(self._prepared, self._terms), None, None

    def _calibrate(self, terms: Float[np.ndarray, "channel 10"] | None) -> None:
        """Take how the images are off; what was drawn before is of no use where that has changed."""
        if (terms is None and self._terms is None) or (
            terms is not None and self._terms is not None and np.array_equal(terms, self._terms)
        ):
            return
        self._terms = terms
        self._forget_drawn()

    def snapshot(self, laws: Laws | None = None) -> Callable[[Parameters], Scene]:
        """Return the function that turns parameters of the present slots into a scene, whatever is edited later.

        `laws` are where those of the scene stand.
        """
        scene, parts = self._scene, [list(g.members) for g in self._groups]
        depth_units = [None if g.data.unit is None else g.data.unit.copy() for g in self._groups]
        units = self.calibration_units if scene.calibrations else None
        extinction = partial(self._extinction, scene)
        return Snapshot(scene, self.noise, parts, depth_units, extinction, units, laws, self._stars, self._full)

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

    def have_left_boxes(self, parameters: Parameters) -> bool:
        """Tell whether any center has gone so far that its boxes stand elsewhere in the scene of these parameters."""
        shape = self._scene.grid.shape
        for slots, p in zip(self._groups, parameters.groups, strict=True):
            n, now = len(slots.members), slots.data.origin[: len(slots.members)]
            centers = now[:, ::-1] + np.asarray(p.theta)[:n, 1::-1].astype(float)
            anchors = np.array([source.anchor for source, _ in slots.members], float).reshape(n, 2)
            if np.any(origins(anchors, centers, shape) != now):
                return True
        return False

    # -- for solvers -------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        """The static shape; a new one compiles anew."""
        groups, shape = [g.layout for g in self._groups], canvas_for(self._prepared, self._scene.grid.shape)
        has = {"has_ties": self._has_ties, "has_links": self._has_links}
        stars = None if self._stars is None else self._stars.layout
        everywhere = None if self._full is None else self._full.layout
        return make_layout(self._prepared, groups, shape, self._terms is not None, stars, everywhere, **has)

    @property
    def parameters(self) -> Parameters:
        """What a fit may change, as it stands; fresh arrays."""
        groups = tuple(jax.tree.map(np.copy, g.parameters) for g in self._groups)
        stars = None if self._stars is None else self._stars.numbers(self._scene.stars)
        everywhere = None if self._full is None else self._full.numbers(self._scene.full_scenes)
        return Parameters(groups, None if self._terms is None else self._terms.copy(), stars, everywhere)

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
        if freedom is not None and np.any(freedom.free[:, [*range(SHIFT.stop), TURN]]):
            for group in groups:
                # what moves all sources of an image alike is its shift or turn: less is left to each of them
                group.aspect_precision[:, :2] *= CHANNEL_OFFSET_SCATTER / REGISTERED_OFFSET_SCATTER
        parts = [g.members for g in self._groups]
        if any(g.layout.is_absorbing for g in self._groups):
            groups = with_screens(groups, [g.layout for g in self._groups], parts)
        ties = center_ties(parts, [g.layout.capacity for g in self._groups]) if self._has_ties else None
        if ties is not None:
            ties = CenterTies(*(part.astype(self.dtype) for part in ties))
        links = None
        if self._has_links:
            groups, links = with_links(groups, self.members, self._scene.links)
        stars = None if self._stars is None else self._stars.data(self._scene.stars, self._terms)
        learned = device_tables(self.dtype, (g.kind for g in self._groups))
        layers = stars, None if self._full is None else self._full.data(), learned
        return ProblemData(groups, self._seen, self._psf_variance, freedom, self._passbands, links, ties, *layers)

    @property
    def _psf_variance(self) -> np.ndarray:
        return np.asarray(self._scene.model_psf_sigma**2, self.dtype)

    @property
    def members(self) -> list[list[Part]]:
        """The source and the index of its component in every used slot of every group; none of those of dust."""
        return [[] if g.layout.is_absorbing else list(g.members) for g in self._groups]

    @property
    def noise_per_observation(self) -> list[Float[np.ndarray, " band"]]:
        """Unit of flux of the channels of every observation [nJy], float32."""
        return [p.noise.astype(np.float32) for p in self._prepared]

    def seen(self, models: Sequence[Any]) -> list[Float[np.ndarray, "band y x"]]:
        """Return models of what is compiled, in units of the noise, as the observations see them [nJy/pix]."""
        return [
            np.asarray(model)[:, : p.shape[0], : p.shape[1]] * p.noise.astype(np.float32)[:, None, None]
            for model, p in zip(models, self._prepared, strict=True)
        ]

    @property
    def point_source_errors(self) -> Float[np.ndarray, " channel"]:
        """Error of the flux of an isolated star in every channel, in units of the noise."""
        return np.concatenate([1.0 / np.sqrt(p.observation.star_information) for p in self._prepared])

    @property
    def rows(self) -> list[list[int]]:
        """Row of the scene for every used slot of every group."""
        row = {source.id: i for i, source in enumerate(self._scene.sources)}
        return [[row[source.id] for source, _ in members] for members in self.members]

    # -- fluxes and columns ------------------------------------------------------------------------------------

    def columns(self) -> list[tuple[Column, ...]]:
        """Return each component per unit flux, as every observation sees it; only what changed is drawn."""
        return self._drawing.columns(self._scene, self._groups, self._psf_variance)

    @property
    def rooms(self) -> tuple[GroupLayout, ...]:
        """The groups that there is room for, in their order; any thread may ask."""
        return tuple(group.layout for group in self._groups)

    def make_room(self, rooms: Sequence[GroupLayout]) -> None:
        """Have room as another program has, or will have: what is compiled for one is then compiled for both."""
        if tuple(rooms) != self.rooms:
            self._groups = [GroupSlots(room, *self._sizes, self.dtype, self._n_planes) for room in rooms]
            self._seen = None
            self.take(self._scene)

    def make_ready(self) -> None:
        """Compile what draws sources of the groups that there are, so that the first edit need not."""
        self._drawing.make_ready(self._groups, self._scene.grid.shape, self._psf_variance)

    def normal_equations(self) -> NormalEquations:
        """Return the linear problem of the fluxes of all components, and behind them of light over the whole scene,
        given the present morphologies."""
        if self._normal is None:
            images = [p.images if self._terms is None else p.images - self._background(p) for p in self._prepared]
            noise = ([getattr(p, name) for p in self._prepared] for name in ("weights", "whitening"))
            self._normal = NormalEquations(images, *noise)
        self._normal.update(self.columns() + self.full_scene_columns())
        return self._normal

    def normal_equations_of(
        self, images: Sequence[Float[np.ndarray, "band y x"]], columns: Sequence[tuple[Column, ...]]
    ) -> NormalEquations:
        """Return the linear problem of the fluxes of given columns in other images of these observations [nJy/pix]."""
        scaled = [
            np.where(p.observation.weights > 0, image, 0.0) / p.noise[:, None, None]
            for image, p in zip(images, self._prepared, strict=True)
        ]
        result = NormalEquations(scaled, [p.weights for p in self._prepared], [p.whitening for p in self._prepared])
        result.update(columns)
        return result

    def star_columns(self) -> StarColumns | None:
        """Return the known stars per unit flux; None where there are none."""
        if self._stars is None or self._scene.stars is None:
            return None
        return self._stars.columns_with(self._terms)

    def star_fluxes(self, parameters: Parameters) -> Float[np.ndarray, "star channel"]:
        """Return the fluxes of known stars that parameters, or changes of them, stand for [nJy]."""
        if self._stars is None or parameters.stars is None:
            return np.zeros((0, len(self.noise)))
        return self._stars.to_fluxes(parameters.stars)

    def full_scene_columns(self) -> list[tuple[Column, ...]]:
        """Return each component of light over the whole scene per unit flux, as every observation sees it."""
        if self._full is None or not self._scene.full_scenes:
            return []
        # new spectra leave pictures as they are
        pictures, known = [each.coefficients for each in self._scene.full_scenes], self._everywhere
        if known is None or len(known[0]) != len(pictures) or any(map(is_not, known[0], pictures)):
            shapes = [p.shape for p in self._prepared]
            columns = drawn(self.layout, self.data, self.parameters, self._scene.full_scenes, shapes)
            self._everywhere = known = pictures, columns
        return known[1]

    def full_scene_change(self, change: Parameters) -> Float[np.ndarray, "component channel"]:
        """Return how the light over the whole scene changes with a change of the parameters [nJy]."""
        if self._full is None or change.full_scene is None:
            return np.zeros((0, len(self.noise)))
        return self._full.flux_change(self._full.numbers(self._scene.full_scenes), change.full_scene)

    def depth_change(self, change: Parameters) -> dict[str, np.ndarray]:
        """Return how the total optical depths of dust change with the parameters, by the id of its source."""
        result, extinction = {}, partial(self._extinction, self._scene)
        for slots, v in zip(self._groups, change.groups, strict=True):
            units = slots.data.unit
            for slot, (source, _) in enumerate(slots.members if units is not None else ()):
                if source.dust is not None and units is not None:
                    flux, unit = np.asarray(v.flux[slot]), units[slot]
                    result[source.id] = change_of_total(source.dust, flux, unit, extinction(source.dust))
        return result

    def _solved(self, scene: Scene) -> Scene:
        """Return the scene with all its free fluxes solved for."""
        columns, field = self.star_columns(), scene.stars
        problem = flux_problem(scene, self.noise, self._has_epochs, self.laws)
        if columns is None or field is None or self._stars is None:
            return with_fluxes(scene, self.normal_equations().solve(*problem) * self.noise)
        if self._joint is None or self._joint.stars is not columns:
            self._joint = JointEquations(columns)
        slots = self._stars
        present = slots.to_numbers(np.nan_to_num(field.flux))
        numbers = StarNumbers(slots.spectra, present, *slots.prior(field))
        fluxes, found = self._joint.solve(self.normal_equations(), numbers, *problem)
        scene = scene.with_stars(field.with_flux(found @ slots.spectra * self.noise))
        return with_fluxes(scene, fluxes * self.noise)

    def pictures_of(self, scene: Scene) -> list[tuple[Column, ...]]:
        """Return each source of a scene, with its flux, as every observation sees it [nJy/pix]; the program's own
        scene stays as it is."""
        with self.standing_at(scene):
            return self.sources()

    def full_scenes_of(self, scene: Scene) -> list[tuple[Column, ...]]:
        """Return each component of light that covers a whole scene as every observation sees it [nJy/pix], as
        `pictures_of` does sources."""
        with self.standing_at(scene):
            return self.full_scenes()

    @contextmanager
    def standing_at(self, scene: Scene) -> Iterator[None]:
        """Take another scene for a while; what was known of the present one is known afterwards."""
        mine, drawing, normal, everywhere = self._scene, copy(self._drawing), self._normal, self._everywhere
        try:
            self._lower(scene)
            yield
        finally:
            self._lower(mine)
            # what was known of it is no less true, though images may have been off otherwise meanwhile
            self._drawing, self._normal, self._everywhere = drawing, normal, everywhere
