"""The sources of a scene as a linear map: pictures of given spectra and places, as all telescopes see them.

Pictures lie on boxes as wide as the prior's stamps allow, each on the pixels that its source's box has in the scene;
what a picture holds of its center between pixels is the prior's to say. Everything else that the scene shows — stars,
sources that are not asked for, light that is everywhere or beyond the boxes, colors that change within a source — is
taken from the data as it is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from deblend.infer.diffusion.linear import AbstractLinearMap, Data
from deblend.observe import Observation
from deblend.observe.whitening import whiten, whiten_adjoint
from deblend.priors.fitting import Convention, corner_of
from deblend.program import Program
from deblend.program.arrays import GroupParameters, ObservationData, Parameters, ProblemData
from deblend.program.aspects import N_ASPECTS
from deblend.program.layout import SIDES, GroupLayout, Layout
from deblend.program.observation_layout import framed
from deblend.program.operator import apply_adjoint, apply_jacobian
from deblend.program.origins import box_origin
from deblend.program.pictures import Linearization, pictures_of
from deblend.scene import Point, Scene, Source, make_source

KIND = "gaussian"
"""Of what stands for a picture in the program: nothing of it but its box is used."""


class SceneMap(AbstractLinearMap):
    """Pictures times their spectra on the canvas of a program, and what telescopes see of it in units of the noise."""

    layout: Layout = eqx.field(static=True)
    problem: ProblemData
    amplitudes: tuple[Float[Array, "slot channel"], ...]
    """Of every slot, in units of the noise per unit of picture; 0 where it is free."""
    rows: tuple[Int[Array, " slot"], ...]
    """Which picture is in each slot; 0 where it is free."""
    used: tuple[Float[Array, " slot"], ...]
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "source y x"]) -> Data:
        changes = tuple(
            _on_side(x, group.side)[rows] * used[:, None, None]
            for group, rows, used in zip(self.layout.groups, self.rows, self.used, strict=True)
        )
        parameters = self._parameters()
        still = jax.tree.map(jnp.zeros_like, parameters)
        images = apply_jacobian(self.layout, self.problem, parameters, self._lines(), still, changes)
        return tuple(rooted(o, image) for o, image in zip(self.problem.observations, images, strict=True))

    def transposed(self, u: Data) -> Float[Array, "source y x"]:
        images = tuple(rooted_adjoint(o, image) for o, image in zip(self.problem.observations, u, strict=True))
        none = (None,) * len(self.layout.groups)
        slope = apply_adjoint(self.layout, self.problem, self._parameters(), self._lines(), images, none)
        result = jnp.zeros(self.shape, u[0].dtype)
        for p, rows, used in zip(slope.groups, self.rows, self.used, strict=True):
            light = p.pixels * used[:, None, None]  # type: ignore[operator]
            result = result.at[rows].add(_on_side(light, self.shape[1]))
        return result

    def lit(self, amplitudes: Float[Array, "source channel"]) -> SceneMap:
        """Return the map of sources of other amplitudes, in units of the noise per unit of picture."""
        flux = tuple(amplitudes[rows] * used[:, None] for rows, used in zip(self.rows, self.used, strict=True))
        return eqx.tree_at(lambda own: own.amplitudes, self, flux)

    def _parameters(self) -> Parameters:
        """Return parameters of which the pixels are the pictures themselves."""
        groups = []
        for group, d, flux in zip(self.layout.groups, self.problem.groups, self.amplitudes, strict=True):
            theta = jnp.zeros(d.theta_free.shape, flux.dtype)
            pixels = jnp.zeros((group.capacity, group.side, group.side), flux.dtype)
            groups.append(GroupParameters(theta, flux, pixels, jnp.zeros((*flux.shape, N_ASPECTS), flux.dtype)))
        return Parameters(tuple(groups))

    def _lines(self) -> tuple[Linearization, ...]:
        """Return linearizations in which a pixel is one pixel of light, wherever the profile is."""

        def line(group: GroupLayout, n_theta: int, dtype: Any) -> Linearization:
            box = (group.capacity, group.side, group.side)
            dark, light = jnp.zeros(box, dtype), jnp.ones(box, dtype)
            tangents = jnp.zeros((group.capacity, n_theta, group.side, group.side), dtype)
            seen = jnp.zeros((group.capacity, 1 + N_ASPECTS, group.side, group.side), dtype)
            return Linearization(dark, tangents, None, None, light, None, seen, dark)

        return tuple(
            line(group, d.theta_free.shape[1], flux.dtype)
            for group, d, flux in zip(self.layout.groups, self.problem.groups, self.amplitudes, strict=True)
        )


@dataclass(frozen=True, eq=False)
class SeenPictures:
    """The sources of a scene that pictures are sought of, and the data in which they are seen."""

    sources: tuple[str, ...]
    """Their ids, in the order of the pictures."""
    operator: SceneMap
    data: Data
    fitted: Float[np.ndarray, "source y x"]
    """The pictures as they were fitted, in the convention of the prior."""
    amplitudes: Float[np.ndarray, "source channel"]
    """Flux of every channel per unit of the sum of a picture [nJy]."""

    def fluxes(self, pictures: Float[np.ndarray, "source y x"]) -> Float[np.ndarray, "source channel"]:
        """Return the flux of every source on its stamp [nJy]; colors are those of the scene."""
        return self.amplitudes * pictures.sum(axis=(1, 2))[:, None]


def seen_pictures(
    scene: Scene,
    observations: Sequence[Observation],
    shape: tuple[int, int],
    sources: Sequence[str] | None = None,
    convention: Convention = Convention.PEAK,
    program: Program | None = None,
) -> SeenPictures:
    """Return the linear map of a fitted scene's sources, of the colors and brightness that they have there.

    Parameters
    ----------
    shape
        (y, x) of the pictures of a prior, square.
    sources
        Ids of the sources to be sought; all that are no stars, by default.
    program
        One of the scene, to be reused.

    Raises
    ------
    ValueError
        Where the scene is not fitted, has dust or calibrations, or where a source has other than one component.
    """
    chosen = _chosen(scene, sources)
    if shape[0] != shape[1] or shape[0] < SIDES[0]:
        raise ValueError(f"Pictures must be square and at least {SIDES[0]} pixels wide, got the shape {shape}.")
    if scene.calibrations or any(source.dust is not None for source in scene.sources):
        raise ValueError("Diffusion sampling does not know dust or fitted calibrations; remove them from the scene.")
    program = Program(observations, scene) if program is None else program
    pictures = jax.jit(pictures_of, static_argnums=0)(program.layout, program.data, program.parameters)
    fitted, fluxes = [], []
    for source in chosen:
        g, slot = _slot_of(program, source.id)
        fitted.append(np.asarray(_on_side(jnp.asarray(pictures[g][slot])[None], shape[0])[0]))
        fluxes.append(np.asarray(program.parameters.groups[g].flux[slot]))
    scales = np.array([convention.scale_of(picture) for picture in fitted], np.float32)
    # boxes as wide as the stamps, or as the next smaller ones that are compiled for
    radius = max(side for side in SIDES if side <= shape[0]) // 2
    boxes = []
    for source in chosen:
        y, x = box_origin(source, scene.grid.shape)
        boxes.append(make_source(KIND, float(x), float(y), n_channels=len(scene.channels), flux=None, radius=radius))
    zeros = np.zeros(len(scene.channels))
    boxes = [_with_flux(box, zeros) for box in boxes]
    empty = replace(scene, sources=(), links=(), stars=None, full_scenes=())
    stand_ins = Program(observations, empty.add(*boxes), solve=False)
    ids = {box.id: k for k, box in enumerate(boxes)}
    operator = _map_of(stand_ins, ids, np.stack(fluxes) * scales[:, None], (len(chosen), *shape))
    fitted_pictures = np.stack(fitted) / scales[:, None, None]
    # whatever else the scene shows is as it was fitted
    own = jax.jit(lambda operator, x: operator(x))(operator, jnp.asarray(fitted_pictures, jnp.float32))
    data = []
    for k, (o, light) in enumerate(zip(operator.problem.observations, own, strict=True)):
        noise = program.noise_per_observation[k][:, None, None]
        model = framed(program.model(k) / noise, o.images.shape[1:])
        data.append(rooted(o, jnp.asarray(o.images) - jnp.asarray(model)) + light)
    noise = np.asarray(program.noise)
    return SeenPictures(
        tuple(source.id for source in chosen),
        operator,
        tuple(data),
        fitted_pictures,
        np.stack(fluxes) * scales[:, None] * noise,
    )


def rooted(data: ObservationData, image: Float[Array, "band y x"]) -> Float[Array, "band y x"]:
    """Return √W times an image: in units of the noise, and white."""
    if data.whitening is None:
        return jnp.sqrt(data.weights) * image
    return whiten(data.whitening, image, jnp)


def rooted_adjoint(data: ObservationData, image: Float[Array, "band y x"]) -> Float[Array, "band y x"]:
    """Return the transpose of √W times an image."""
    if data.whitening is None:
        return jnp.sqrt(data.weights) * image
    return whiten_adjoint(data.whitening, image, jnp)


def _chosen(scene: Scene, ids: Sequence[str] | None) -> list[Source]:
    if scene.is_empty or not scene.is_solved:
        raise ValueError("The scene has no sources with fluxes; detect them and fit before sampling.")
    known = {source.id: source for source in scene.sources}
    if ids is None:
        ids = [s.id for s in scene.sources if any(not isinstance(c.morphology, Point) for c in s.components)]
    missing = [each for each in ids if each not in known]
    if missing:
        raise ValueError(f"The scene has no source {missing[0]!r}.")
    if not ids:
        raise ValueError("The scene has no galaxies to draw pictures of; stars have none.")
    for each in ids:
        if len(known[each].components) != 1:
            raise ValueError(
                f"Source {known[each].name or each} has {len(known[each].components)} components; a learned prior "
                "draws one picture of one color per source, so make it one, or leave it out."
            )
    return [known[each] for each in ids]


def _slot_of(program: Program, source: str) -> tuple[int, int]:
    return next((g, k) for g, own in enumerate(program.members) for k, (s, _) in enumerate(own) if s.id == source)


def _with_flux(source: Source, flux: np.ndarray) -> Source:
    component = source.components[0]
    return replace(source, components=(replace(component, spectrum=component.spectrum.at(flux)),))


def _map_of(
    program: Program,
    ids: dict[str, int],
    amplitudes: Float[np.ndarray, "source channel"],
    shape: tuple[int, int, int],
) -> SceneMap:
    """Return the map of a program whose sources, by id, stand for pictures."""
    flux, rows, used = [], [], []
    for group, members in zip(program.layout.groups, program.members, strict=True):
        own = np.zeros(group.capacity, np.int32)
        own[: len(members)] = [ids[source.id] for source, _ in members]
        is_used = (np.arange(group.capacity) < len(members)).astype(amplitudes.dtype)
        rows.append(jnp.asarray(own))
        used.append(jnp.asarray(is_used))
        flux.append(jnp.asarray(amplitudes[own] * is_used[:, None]))
    data = jax.tree.map(jnp.asarray, program.data)
    return SceneMap(program.layout, data, tuple(flux), tuple(rows), tuple(used), shape)


def _on_side(pictures: Float[Array, "picture side side"], side: int) -> Float[Array, "picture wide wide"]:
    """Return pictures on boxes of another side, middle on middle; what does not fit is cut."""
    own = pictures.shape[-1]
    if own >= side:
        row, column = corner_of((own, own), (side, side))
        return pictures[:, row : row + side, column : column + side]
    row, column = corner_of((side, side), (own, own))
    return jnp.pad(pictures, ((0, 0), (row, side - own - row), (column, side - own - column)))


__all__ = ["SceneMap", "SeenPictures", "seen_pictures"]
