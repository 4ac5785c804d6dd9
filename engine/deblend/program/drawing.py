"""What columns are kept of, and how those that changed are drawn: a chunk of a group's slots in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from deblend.program.arrays import GroupData, GroupParameters
from deblend.program.columns import (
    CHUNK,
    Column,
    ColumnLayout,
    ColumnTables,
    clipped,
    compiled_columns,
    compiled_depths,
)
from deblend.program.compiled import on_device, side_by_side
from deblend.program.dust_layer import on_side
from deblend.program.galaxy_tables import device_tables
from deblend.program.origins import box_origin
from deblend.program.problem import PreparedObservation
from deblend.program.slots import GroupSlots, Part, same_shape
from deblend.program.support import Painted
from deblend.scene import Scene, Source

Key = tuple[str, int]
"""The id of a source, and which of its components."""


class UndefinedMorphologyError(ValueError):
    """A morphology of a person's own is no number where a source of it stands."""


class Drawing:
    """The columns of the components of a scene, kept between its edits."""

    def __init__(
        self,
        prepared: Sequence[PreparedObservation],
        terms: Float[np.ndarray, "channel 10"] | None = None,
    ) -> None:
        """Draw nothing yet; `terms` tell how the images are off."""
        self._prepared, self._terms = prepared, terms
        self._columns: dict[Key, tuple[Part, Painted | None, tuple[Column, ...]]] = {}
        self._tables: dict[int, tuple[ColumnTables, ...]] = {}
        """What columns are drawn with, per observation, where programs run, by the side of the box."""

    def columns(self, scene: Scene, groups: Sequence[GroupSlots], psf_variance: np.ndarray) -> list[tuple[Column, ...]]:
        """Return each component per unit flux, as every observation sees it; only what changed is drawn."""
        parts = parts_of(scene)
        painted = {
            _key(p): area for g in groups for p, area in zip(g.members, g.painted, strict=True) if area is not None
        }

        def is_stale(part: Part) -> bool:
            known = self._columns.get(_key(part))
            return known is None or known[1] != painted.get(_key(part)) or not _same_picture(known[0][0], *part)

        stale = {_key(part) for part in parts if is_stale(part)}
        self._columns = {_key(part): self._columns[_key(part)] for part in parts if _key(part) in self._columns}
        layers = [group for group in groups if group.layout.is_absorbing]
        for group in groups if stale else ():
            if group.layout.is_absorbing:
                continue
            todo = [k for k, part in enumerate(group.members) if _key(part) in stale]
            for chunk in (todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)):
                self._draw(group, chunk, scene.grid.shape, psf_variance, layers)
        return [self._columns[_key(part)][2] for part in parts]

    def make_ready(self, groups: Sequence[GroupSlots], shape: tuple[int, int], psf_variance: np.ndarray) -> None:
        """Compile what draws components of these groups."""
        shining = [group for group in groups if not group.layout.is_absorbing]
        if shining:
            side_by_side(*(partial(self._draw, group, [], shape, psf_variance) for group in shining))

    def _draw(
        self,
        group: GroupSlots,
        chunk: list[int],
        shape: tuple[int, int],
        psf_variance: np.ndarray,
        layers: Sequence[GroupSlots] = (),
    ) -> None:
        side = group.layout.side
        if side not in self._tables:
            self._tables[side] = on_device(tuple(p.column_tables(side, self._terms) for p in self._prepared))
        data, parameters = _chosen(group, chunk)
        parts = [group.members[slot] for slot in chunk]
        is_dimmed = any(source.is_dimmed(index) for source, index in parts)
        layout = ColumnLayout.of(group.layout, (p.column_view(side) for p in self._prepared), is_dimmed)
        origins = [box_origin(source, shape) for source, _ in parts]
        places = [[p.column_place(origin, side) for origin in origins] for p in self._prepared]
        moves = tuple(np.zeros((CHUNK, 2), group.dtype) for _ in self._prepared)
        for move, of_parts in zip(moves, places, strict=True):
            for k, (_, off) in enumerate(of_parts):
                move[k] = off
        shares = tuple(_shares(p, parts, group.dtype) for p in self._prepared)
        learned = device_tables(group.dtype, [group.kind])
        depths = _depths(layers, parts, group, psf_variance) if is_dimmed else None
        more = (learned, depths) if is_dimmed else (learned,) if learned is not None else ()
        drawn = compiled_columns(layout, data, parameters, psf_variance, self._tables[side], moves, shares, *more)
        patches = [np.asarray(stack) for stack in drawn]
        for k, part in enumerate(parts):
            if group.kind.is_own and not all(np.all(np.isfinite(stack[k])) for stack in patches):
                raise UndefinedMorphologyError(_undefined(*part))
            columns = tuple(
                clipped(stack[k], of_parts[k][0], p.shape)
                for stack, of_parts, p in zip(patches, places, self._prepared, strict=True)
            )
            self._columns[_key(part)] = (part, group.painted[chunk[k]], columns)


def _chosen(group: GroupSlots, chunk: Sequence[int]) -> tuple[GroupData, GroupParameters]:
    """Return what is known of up to CHUNK slots of a group."""
    slots = np.array((list(chunk) + [0] * CHUNK)[:CHUNK])
    parameters: GroupParameters = jax.tree.map(lambda stack: stack[slots], group.parameters)
    idle = dict.fromkeys(("psf_share", "flux_tie", "flux_root", "asked", "beliefs", "tether"))
    alone = group.data._replace(**idle)
    data = jax.tree.map(lambda stack: stack[slots], alone._replace(count=np.zeros(len(alone.radius), np.int32)))
    return data._replace(count=np.int32(len(chunk))), parameters


def _depths(
    layers: Sequence[GroupSlots], parts: Sequence[Part], group: GroupSlots, psf_variance: np.ndarray
) -> Float[np.ndarray, "slot channel side side"]:
    """Return the optical depths of the dust in front of components, on the boxes of their group."""
    side = group.layout.side
    result = np.zeros((CHUNK, group.n_channels, side, side), group.dtype)
    for layer in layers:
        # components of one source are behind one layer of dust
        rows = [
            (slot, k)
            for slot, (owner, _) in enumerate(layer.members)
            for k, (source, index) in enumerate(parts)
            if source.id == owner.id and source.is_dimmed(index)
        ]
        if not rows:
            continue
        data, parameters = _chosen(layer, [slot for slot, _ in rows])
        layout = replace(layer.layout, capacity=CHUNK, has_flux_ties=False, has_beliefs=False)
        drawn = np.asarray(compiled_depths(layout, data, parameters, psf_variance))
        for (_, k), depth in zip(rows, drawn, strict=False):
            result[k] = on_side(depth, side, np)
    return result


def _same_picture(before: Source, source: Source, index: int) -> bool:
    """Tell whether a component of two sources differs by its spectrum at most, and is behind the same dust."""
    dusts = [each.dust if each.is_dimmed(index) else None for each in (before, source)]
    return dusts[0] is dusts[1] and same_shape(before, source, index)


def parts_of(scene: Scene) -> list[Part]:
    """Return the components of all sources, one source after another."""
    return [(source, index) for source in scene.sources for index in range(len(source.components))]


def _undefined(source: Source, index: int) -> str:
    """Return a sentence about a component whose morphology is no number."""
    morphology = source.components[index].morphology
    values = ", ".join(f"{name} = {np.round(p.value, 4)}" for name, p in morphology.parameters.items())
    return (
        f"The morphology {morphology.label!r} of source {source.name or source.id} is undefined at {values}; give its "
        "parameters bounds that leave this out, or mend its surface brightness. The scene is as it was."
    )


def _key(part: Part) -> Key:
    return part[0].id, part[1]


def _shares(prepared: PreparedObservation, parts: Sequence[Part], dtype: Any) -> np.ndarray | None:
    """Return how much each cell of a PSF that varies counts for components, (slot, cell)."""
    if prepared.layout.n_cells == 1:
        return None
    result = np.zeros((CHUNK, prepared.layout.n_cells), dtype)
    for k, (source, _) in enumerate(parts):
        result[k] = prepared.psf_share(source.x, source.y)
    return result
