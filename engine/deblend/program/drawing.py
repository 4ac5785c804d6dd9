"""What columns are kept of, and how those that changed are drawn: a chunk of a group's slots in one call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from deblend.program.columns import CHUNK, Column, ColumnLayout, ColumnTables, clipped, compiled_columns
from deblend.program.compiled import on_device, side_by_side
from deblend.program.galaxy_tables import device_tables
from deblend.program.problem import PreparedObservation
from deblend.program.slots import GroupSlots, Part, box_origin, same_shape
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
        self._columns: dict[Key, tuple[Part, tuple[Column, ...]]] = {}
        self._tables: dict[int, tuple[ColumnTables, ...]] = {}
        """What columns are drawn with, per observation, where programs run, by the side of the box."""

    def columns(self, scene: Scene, groups: Sequence[GroupSlots], psf_variance: np.ndarray) -> list[tuple[Column, ...]]:
        """Return each component per unit flux, as every observation sees it; only what changed is drawn."""
        parts = parts_of(scene)
        stale = {
            _key(part)
            for part in parts
            if _key(part) not in self._columns or not same_shape(self._columns[_key(part)][0][0], *part)
        }
        self._columns = {_key(part): self._columns[_key(part)] for part in parts if _key(part) in self._columns}
        for group in groups if stale else ():
            todo = [k for k, part in enumerate(group.members) if _key(part) in stale]
            for chunk in (todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)):
                self._draw(group, chunk, scene.grid.shape, psf_variance)
        return [self._columns[_key(part)][1] for part in parts]

    def make_ready(self, groups: Sequence[GroupSlots], shape: tuple[int, int], psf_variance: np.ndarray) -> None:
        """Compile what draws components of these groups."""
        if groups:
            side_by_side(*(partial(self._draw, group, [], shape, psf_variance) for group in groups))

    def _draw(self, group: GroupSlots, chunk: list[int], shape: tuple[int, int], psf_variance: np.ndarray) -> None:
        side = group.layout.side
        if side not in self._tables:
            self._tables[side] = on_device(tuple(p.column_tables(side, self._terms) for p in self._prepared))
        slots = np.array((chunk + [0] * CHUNK)[:CHUNK])
        parameters = jax.tree.map(lambda stack: stack[slots], group.parameters)
        alone = group.data._replace(psf_share=None, flux_tie=None, flux_root=None, asked=None, tether=None)
        data = jax.tree.map(lambda stack: stack[slots], alone._replace(count=np.zeros(len(alone.radius), np.int32)))
        data = data._replace(count=np.int32(len(chunk)))
        layout = ColumnLayout.of(group.layout, (p.column_view(side) for p in self._prepared))
        parts = [group.members[slot] for slot in chunk]
        origins = [box_origin(source, shape) for source, _ in parts]
        places = [[p.column_place(origin, side) for origin in origins] for p in self._prepared]
        moves = tuple(np.zeros((CHUNK, 2), group.dtype) for _ in self._prepared)
        for move, of_parts in zip(moves, places, strict=True):
            for k, (_, off) in enumerate(of_parts):
                move[k] = off
        shares = tuple(_shares(p, parts, group.dtype) for p in self._prepared)
        learned = (device_tables(group.dtype),) if group.kind.is_learned else ()
        drawn = compiled_columns(layout, data, parameters, psf_variance, self._tables[side], moves, shares, *learned)
        patches = [np.asarray(stack) for stack in drawn]
        for k, part in enumerate(parts):
            if group.kind.is_own and not all(np.all(np.isfinite(stack[k])) for stack in patches):
                raise UndefinedMorphologyError(_undefined(*part))
            columns = tuple(
                clipped(stack[k], of_parts[k][0], p.layout.shape)
                for stack, of_parts, p in zip(patches, places, self._prepared, strict=True)
            )
            self._columns[_key(part)] = (part, columns)


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
