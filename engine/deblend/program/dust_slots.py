"""From the dust of a scene to slots and back: total optical depths as fluxes of negative light (see `dust_layer`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from deblend.program.arrays import GroupData
from deblend.program.layout import GroupLayout
from deblend.scene import Dust, Source

if TYPE_CHECKING:
    from deblend.program.slots import GroupSlots, Part

LEAST_BRIGHTNESS = 0.1
"""Of light behind dust, where there is next to none [noise of a pixel]."""

Channels = Float[np.ndarray, " channel"]


class Sighting(NamedTuple):
    """What is known of where a layer of dust is."""

    extinction: Channels
    """k of its law in every channel."""
    brightness: Channels
    """Of the image there, per pixel of the model [noise]."""


def lower_depths(slots: GroupSlots, slot: int, source: Source, sighting: Sighting) -> None:
    """Write the optical depths of a source's dust into a slot.

    Their unit goes by the image, not by the fluxes of the source: what a fit finds must not change what its data mean.
    """
    extinction, brightness = sighting
    data = slots.data
    assert source.dust is not None and data.unit is not None
    assert data.flux_tie is not None and data.flux_root is not None
    total, unit = source.dust.total, -1.0 / np.maximum(brightness, LEAST_BRIGHTNESS)
    data.unit[slot] = unit
    along = extinction / unit
    slots.parameters.flux[slot] = total.value * along
    data.flux_lower[slot], data.flux_upper[slot] = total.upper * along, total.lower * along
    data.flux_free[slot] = total.is_free
    is_one = not source.dust.extinction.is_free
    data.flux_tie[slot] = np.outer(along, along) / np.sum(along**2) if is_one else np.eye(len(unit))
    data.flux_root[slot] = 0.0


def total_of(dust: Dust, flux: Channels, unit: Channels, extinction: Channels) -> np.ndarray:
    """Return the total optical depth that fluxes of a slot are, where k is 1, or that of every channel."""
    return np.maximum(change_of_total(dust, flux, unit, extinction), 0.0)


def change_of_total(dust: Dust, change: Channels, unit: Channels, extinction: Channels) -> np.ndarray:
    """Return how the total optical depth changes with fluxes of a slot."""
    depths = np.asarray(change, np.float64) * unit
    return np.asarray(depths if dust.extinction.is_free else depths @ extinction / np.sum(extinction**2))


def raised_dust(dust: Dust, morphology: object, total: np.ndarray) -> Dust:
    """Return dust with a fitted morphology, and with a fitted depth where that is free."""
    return replace(dust, morphology=morphology, total=dust.total.at(total) if dust.total.is_free else dust.total)  # type: ignore[arg-type]


def with_screens(
    groups: Sequence[GroupData], layouts: Sequence[GroupLayout], parts: Sequence[Sequence[Part]]
) -> tuple[GroupData, ...]:
    """Return data that tell which layer of dust dims each slot; `parts` are those of every used slot of each group."""
    layers: dict[str, tuple[int, int]] = {}
    absorbing = [index for index, layout in enumerate(layouts) if layout.is_absorbing]
    for number, index in enumerate(absorbing):
        layers |= {source.id: (number, slot) for slot, (source, _) in enumerate(parts[index])}
    result = []
    for data, layout, members in zip(groups, layouts, parts, strict=True):
        screen: Int[np.ndarray, "slot 2"] = np.full((layout.capacity, 2), (-1, 0), np.int32)
        for slot, (source, index) in enumerate(members):
            if source.is_dimmed(index):
                screen[slot] = layers[source.id]
        result.append(data._replace(screen=screen))
    return tuple(result)
