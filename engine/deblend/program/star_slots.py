"""From known stars to the arrays of their layer, and back.

Stars are ordered so that each block of rows is a cell of the sky, and stay so while their places do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from deblend.program.arrays import StarData
from deblend.program.layout import CENTER_SLACK, SPARE_SLOTS, STAR_BLOCK, STAR_SIDE, StarLayout
from deblend.program.problem import PreparedObservation
from deblend.program.star_columns import StarColumns, drawn_stars
from deblend.program.ties import flux_basis
from deblend.scene import Scene, StarField

FIRST_STARS = 64
"""Room of a new layer."""
FURTHEST = 2
"""How far off the middle of its patch a star is drawn [pix]."""


class _Entries(NamedTuple):
    """Patches of stars: one for each place that is far from the others."""

    owner: Int[np.ndarray, " entry"]
    origin: Int[np.ndarray, "entry 2"]
    is_seen: np.ndarray
    """(entry, channel)"""


class StarSlots:
    """The known stars of a program, at fixed places: all that is worked out once for them."""

    def __init__(
        self,
        scene: Scene,
        prepared: Sequence[PreparedObservation],
        noise: Float[np.ndarray, " channel"],
        dtype: np.dtype,
        room: StarLayout | None,
    ) -> None:
        """Lower the stars of a scene, into a layer with at least the room that there was."""
        field = scene.stars if scene.stars is not None else StarField.at([], [], len(noise))
        self._prepared, self._noise, self._dtype, self._scene = prepared, noise, dtype, scene
        self.order = neighbourly(field.x, field.y)
        """The star in each used row of the layer."""
        self._places = field.x, field.y
        self._basis = flux_basis(scene.channels, noise, field.is_variable)
        # one unit of a passband's flux is as much light, in units of the noise, as one of a channel's
        self._unit = 1.0 / np.linalg.norm(self._basis, axis=1)
        self.spectra = self._basis * self._unit[:, None]
        """Fluxes of one unit of each passband, in units of each channel's noise."""
        self._entries = _entries(field.x[self.order], field.y[self.order], scene.grid.shape)
        had = (0, 0) if room is None else (room.capacity, room.entries)
        self.layout = StarLayout(_room(len(field), had[0]), _room(len(self._entries.owner), had[1]))
        self._columns: StarColumns | None = None
        self._data: StarData | None = None

    def fits(self, field: StarField | None, prepared: Sequence[PreparedObservation]) -> bool:
        """Whether these stars are at the same places, tied alike and seen by the same observations."""
        if prepared is not self._prepared:
            return False
        if field is None:
            return len(self.order) == 0
        return field.x is self._places[0] and field.y is self._places[1] and field.is_variable == self._is_variable

    @property
    def _is_variable(self) -> bool:
        return self._scene.stars is not None and self._scene.stars.is_variable

    def columns_with(self, terms: Float[np.ndarray, "channel 10"] | None) -> StarColumns:
        """Return the columns of the stars, in the order of the scene, where images are off by these terms."""
        if self._columns is None or not self._columns.is_of(terms):
            self._columns = drawn_stars(self._scene, self._prepared, self._dtype, terms)
            self._data = None
        return self._columns

    def numbers(self, field: StarField | None) -> Float[np.ndarray, "star passband"]:
        """Return the fluxes of stars as the layer has them."""
        result = np.zeros((self.layout.capacity, len(self.spectra)), self._dtype)
        if field is not None:
            result[: len(field)] = self.to_numbers(np.nan_to_num(field.flux))[self.order]
        return result

    def to_numbers(self, flux: Float[np.ndarray, "star channel"]) -> Float[np.ndarray, "star passband"]:
        """Return the number of each passband for fluxes [nJy], their mean where they are not tied."""
        result: Float[np.ndarray, "star passband"] = (flux / self._noise) @ self.spectra.T
        return result

    def to_fluxes(self, numbers: Float[np.ndarray, "star passband"]) -> Float[np.ndarray, "star channel"]:
        """Return fluxes [nJy] for numbers of each passband, in the order of the scene."""
        rows = np.zeros((len(self.order), numbers.shape[1]))
        rows[self.order] = np.asarray(numbers, np.float64)[: len(self.order)]
        result: Float[np.ndarray, "star channel"] = rows @ self.spectra * self._noise
        return result

    def prior(
        self, field: StarField | None
    ) -> tuple[Float[np.ndarray, "star passband"], Float[np.ndarray, "star passband"]]:
        """Return the mean and the inverse standard deviation of the prior of each number, in the order of the scene."""
        n = len(self.order), len(self.spectra)
        if field is None or field.magnitude_scatter is None:
            return np.zeros(n), np.zeros(n)
        precision = 1.0 / field.expected_scatter**2
        # channels of one passband say the same, once
        member = (self._basis > 0).astype(float)
        weight = precision @ member.T
        total = (np.nan_to_num(field.expected) * precision) @ member.T
        counts = (precision > 0).astype(float) @ member.T
        mean = np.divide(total, weight, out=np.zeros(n), where=weight > 0) / self._unit
        once = np.divide(weight, counts, out=np.zeros(n), where=counts > 0)
        return mean, np.sqrt(once) * self._unit

    def data(self, field: StarField | None, terms: Float[np.ndarray, "channel 10"] | None) -> StarData:
        """Return the arrays of the compiled program."""
        columns = self.columns_with(terms)
        if self._data is None:
            self._data = self._lowered(columns)
        mean, precision = self.prior(field)
        stacks = [np.zeros((self.layout.capacity, len(self.spectra)), self._dtype) for _ in range(2)]
        for stack, values in zip(stacks, (mean, precision), strict=True):
            stack[: len(values)] = values[self.order]
        free = ((self._data.free > 0) | (stacks[1] > 0)).astype(self._dtype)
        return self._data._replace(mean=stacks[0], precision=stacks[1], free=free)

    def _lowered(self, columns: StarColumns) -> StarData:
        n_stars, n_entries, n_passbands = self.layout.capacity, self.layout.entries, len(self.spectra)
        owner, origin, is_seen = self._entries
        n, used = len(self.order), len(owner)
        planes = np.concatenate(
            [np.tile(np.arange(p.layout.start, p.layout.stop), p.layout.n_cells) for p in self._prepared]
        )
        patches = [np.zeros((n_entries, len(planes), STAR_SIDE), self._dtype) for _ in range(2)]
        index = np.arange(STAR_SIDE) - STAR_SIDE // 2
        variance = self._scene.model_psf_sigma**2
        for axis, (patch, places) in enumerate(zip(patches, reversed(self._places), strict=True)):
            offset = places[self.order][owner] - origin[:, axis, None]
            away = index - offset[:, planes, None]
            patch[:used] = np.exp(-0.5 * away**2 / variance) / np.sqrt(2.0 * np.pi * variance)
        patches[0][:used] *= is_seen[:, planes, None] * self._shares()[owner][:, :, None]
        blocks = np.zeros((n_stars // STAR_BLOCK, n_passbands, STAR_BLOCK, STAR_BLOCK), self._dtype)
        free = np.zeros((n_stars, n_passbands), self._dtype)
        for passband, gram in enumerate(columns.of_passbands(self.spectra)):
            for block, first in enumerate(range(0, n, STAR_BLOCK)):
                rows = self.order[first : first + STAR_BLOCK]
                blocks[block, passband, : len(rows), : len(rows)] = gram[rows][:, rows].toarray()
            free[:n, passband] = gram.diagonal()[self.order] > 0
        owners, origins = np.zeros(n_entries, np.int32), np.zeros((n_entries, 2), np.int32)
        owners[:used], origins[:used] = owner, origin
        none = np.zeros((n_stars, n_passbands), self._dtype)
        return StarData(
            count=np.int32(used),
            owner=owners,
            origin=origins,
            along_y=patches[0],
            along_x=patches[1],
            spectra=self.spectra.astype(self._dtype),
            free=free,
            mean=none,
            precision=none,
            gram=blocks,
        )

    def _shares(self) -> Float[np.ndarray, "star plane"]:
        """Return how much of each row's light is seen through the PSF of each plane of the canvas."""
        shares = []
        for p in self._prepared:
            x, y = (places[self.order, p.layout.start] for places in self._places)
            each = [p.psf_share(float(a), float(b)) for a, b in zip(x, y, strict=True)]
            cells = np.reshape(each, (len(x), p.layout.n_cells))
            shares.append(np.repeat(cells, len(p.noise), axis=1))
        return np.concatenate(shares, axis=1)


def neighbourly(x: Float[np.ndarray, "star channel"], y: Float[np.ndarray, "star channel"]) -> Int[np.ndarray, " star"]:
    """Return an order of stars in which each block is a compact cell: halves of halves, along the longer side."""
    places = np.stack([x.mean(axis=1), y.mean(axis=1)], axis=1) if x.size else np.zeros((0, 2))

    def ordered(rows: np.ndarray) -> np.ndarray:
        n_blocks = -(-len(rows) // STAR_BLOCK)
        if n_blocks <= 1:
            return rows
        axis = int(np.argmax(np.ptp(places[rows], axis=0)))
        rows = rows[np.argsort(places[rows, axis], kind="stable")]
        half = n_blocks // 2 * STAR_BLOCK
        return np.concatenate([ordered(rows[:half]), ordered(rows[half:])])

    return ordered(np.arange(len(places)))


def _entries(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> _Entries:
    """Return the patches of stars at these places (star, channel), which may be several for one that moves far."""
    low, high = -CENTER_SLACK, np.array(shape) - 1 + CENTER_SLACK
    owners, origins, seen = [], [], []
    for star, (column, row) in enumerate(zip(x, y, strict=True)):
        places = np.stack([row, column], axis=1)
        left = np.ones(len(places), bool)
        while left.any():
            # the middle of all that are left, if they are close together; else of those near the first
            near = left & (np.abs(places - places[np.argmax(left)]).max(axis=1) <= FURTHEST)
            origin = np.floor(0.5 * (places[near].min(axis=0) + places[near].max(axis=0)) + 0.5).astype(int)
            is_on = bool(np.all(origin >= low) and np.all(origin <= high))
            owners.append(star)
            origins.append(np.clip(origin, low, high))
            seen.append(near & is_on)
            left &= ~near
    n_channels = x.shape[1]
    return _Entries(
        np.array(owners, np.int32),
        np.reshape(origins, (-1, 2)).astype(np.int32),
        np.reshape(seen, (-1, n_channels)).astype(float),
    )


def _room(count: int, had: int) -> int:
    """Return how many stars or patches there is room for: a power of two, with some to spare where it is new."""
    room = max(FIRST_STARS, had)
    if room < count:
        while room < count + SPARE_SLOTS:
            room *= 2
    return room
