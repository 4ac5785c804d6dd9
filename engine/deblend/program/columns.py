"""Columns: each source per unit flux, as every observation sees it.

The model is linear in the fluxes, and these are its columns. They are kept between edits: moving one source draws
one column anew, and pictures of components and of the whole model are sums of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Complex, Float

from deblend.observe.resampling import ResamplingLayout, ResamplingTables, resample, spectrum
from deblend.program.arrays import GroupData, GroupParameters
from deblend.program.aspects import outward, per_channel
from deblend.program.compiled import compiled, register
from deblend.program.layout import GroupLayout
from deblend.program.pictures import over_slots, picture_of
from deblend.render.tables import GalaxyTables

CHUNK = 8
"""How many columns of a group are drawn in one call."""


@dataclass(frozen=True)
class ColumnView:
    """How one observation sees a box."""

    start: int
    """Its first channel, and the one behind its last."""
    stop: int
    radius: int
    """Of its kernels [pix of the model]."""
    shape: tuple[int, int]
    """(height, width) of what is seen: the box and the reach of the kernels around it [pix of the observation]."""
    resampling: ResamplingLayout | None = None
    n_cells: int = 1
    """How many PSFs are mixed for each source."""


class ColumnTables(NamedTuple):
    """The numbers with which one observation sees a box."""

    transfer: Complex[np.ndarray, "*cell band ky kx"]
    """Of its kernels, on the waves of the box; for each cell of a PSF that varies."""
    resampling: ResamplingTables | None = None
    inside: Any = None
    """1 where light of the box arrives; beyond, waves would show the box once more."""


@dataclass(frozen=True)
class ColumnLayout:
    """What columns of one kind and side are compiled for, however many sources there are, and on images of any size."""

    group: GroupLayout
    views: tuple[ColumnView, ...]
    is_dimmed: bool = False
    """Whether there is dust in front of any."""

    @classmethod
    def of(cls, group: GroupLayout, views: Iterable[ColumnView], is_dimmed: bool = False) -> ColumnLayout:
        return cls(GroupLayout(group.kind, group.side, CHUNK), tuple(views), is_dimmed)


def column_fft_shape(side: int, radius: int) -> tuple[int, int]:
    """Return the size of the convolution of one box with kernels of this radius."""
    size = scipy.fft.next_fast_len(side + 2 * radius, real=True)
    return size, size


def draw_columns(
    layout: ColumnLayout,
    data: GroupData,
    parameters: GroupParameters,
    psf_variance: Any,
    tables: tuple[ColumnTables, ...],
    moves: tuple[Float[Array, "slot 2"], ...],
    shares: tuple[Float[Array, "slot cell"] | None, ...],
    tables_of_galaxies: GalaxyTables | None = None,
    depths: Float[Array, "slot channel side side"] | None = None,
) -> tuple[Float[Array, "slot band y x"], ...]:
    """Return, per observation, the used ones of CHUNK slots per unit flux.

    `moves` is how far off the middle of its box each one is seen, per observation [pix]; `shares`, how much each cell
    of a PSF that varies counts there; `depths` are those of the dust in front of them.
    """
    side, p = layout.group.side, parameters
    initial = tuple(jnp.zeros((CHUNK, v.stop - v.start, *v.shape), p.theta.dtype) for v in layout.views)

    def body(slot: Any, carry: Any) -> Any:
        pixels = p.pixels[slot] if p.pixels is not None else None
        shape = data.scale[slot], data.correction[slot], data.radius[slot]
        support = None if data.support is None else data.support[slot]
        picture = picture_of(layout.group, p.theta[slot], pixels, *shape, psf_variance, tables_of_galaxies, support)
        drawn = []
        through_dust = None if depths is None else jnp.exp(-depths[slot])
        for view, table, move, share, stack in zip(layout.views, tables, moves, shares, carry, strict=True):
            through = table.transfer if share is None else jnp.tensordot(share[slot], table.transfer, axes=1)
            own = per_channel(picture, p.aspect[slot][view.start : view.stop], outward(side, data.scale[slot]))
            if through_dust is not None:
                own = own * through_dust[view.start : view.stop]
            if view.resampling is not None and table.resampling is not None:
                waves = spectrum(view.resampling, own, jnp) * through
                seen = resample(view.resampling, table.resampling, waves, move[slot], jnp) * table.inside[None]
            else:
                r = view.radius
                wide = jnp.pad(own, ((0, 0), (r, r), (r, r)))
                size = column_fft_shape(side, r)
                seen = jnp.fft.irfft2(jnp.fft.rfft2(wide, s=size) * through, s=size)
            height, width = view.shape
            drawn.append(stack.at[slot].set(seen[:, :height, :width]))
        return tuple(drawn)

    result: tuple[Float[Array, "slot band y x"], ...] = over_slots(data.count, body, initial)
    return result


def draw_depths(
    group: GroupLayout,
    data: GroupData,
    parameters: GroupParameters,
    psf_variance: Any,
) -> Float[Array, "slot channel side side"]:
    """Return the optical depths of the used ones of CHUNK slots of dust."""
    p = parameters

    def body(slot: Any, carry: Any) -> Any:
        pixels = p.pixels[slot] if p.pixels is not None else None
        shape = data.scale[slot], data.correction[slot], data.radius[slot]
        picture = picture_of(group, p.theta[slot], pixels, *shape, psf_variance)
        own = per_channel(picture, p.aspect[slot], outward(group.side, data.scale[slot]))
        return carry.at[slot].set((data.unit[slot] * p.flux[slot])[:, None, None] * own)  # type: ignore[index]

    initial = jnp.zeros((CHUNK, p.flux.shape[1], group.side, group.side), p.theta.dtype)
    result: Float[Array, "slot channel side side"] = over_slots(data.count, body, initial)
    return result


register(ColumnTables)
compiled_columns = compiled(draw_columns)
compiled_depths = compiled(draw_depths)


@dataclass(frozen=True, eq=False)
class Column:
    """One source per unit flux in one observation, on the part of the image that it reaches."""

    patch: Float[np.ndarray, "band y x"]
    y: int
    x: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the patch covers."""
        return slice(self.y, self.y + self.patch.shape[1]), slice(self.x, self.x + self.patch.shape[2])

    def on(self, shape: tuple[int, ...]) -> Float[np.ndarray, "band y x"]:
        """Return the patch on an image of this shape (band, y, x), float32."""
        result = np.zeros(shape, np.float32)
        rows, columns = self.window
        result[:, rows, columns] = self.patch
        return result

    def times(self, flux: Float[np.ndarray, " band"]) -> Column:
        """Return the patch with a flux per band."""
        return Column(flux[:, None, None] * self.patch, self.y, self.x)

    def overlap(self, other: Column) -> tuple[slice, slice] | None:
        """Return the rows and columns of the image that both cover."""
        (ya, xa), (yb, xb) = self.window, other.window
        rows = slice(max(ya.start, yb.start), min(ya.stop, yb.stop))
        columns = slice(max(xa.start, xb.start), min(xa.stop, xb.stop))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def cut(self, rows: slice, columns: slice) -> Float[np.ndarray, "band y x"]:
        """Return the patch on rows and columns of the image inside of its window."""
        return self.patch[:, rows.start - self.y : rows.stop - self.y, columns.start - self.x : columns.stop - self.x]


def summed(columns: Sequence[Column]) -> Column:
    """Return the sum of columns of one observation, on all that they cover."""
    if len(columns) == 1:
        return columns[0]
    windows = [column.window for column in columns]
    y0, x0 = (min(window[axis].start for window in windows) for axis in (0, 1))
    y1, x1 = (max(window[axis].stop for window in windows) for axis in (0, 1))
    total = np.zeros((len(columns[0].patch), y1 - y0, x1 - x0), columns[0].patch.dtype)
    for column, (rows, across) in zip(columns, windows, strict=True):
        total[:, rows.start - y0 : rows.stop - y0, across.start - x0 : across.stop - x0] += column.patch
    return Column(total, y0, x0)


def clipped(patch: Float[np.ndarray, "band rows columns"], corner: tuple[int, int], shape: tuple[int, int]) -> Column:
    """Return the part of a patch, whose first pixel lies at `corner` (y, x), that is on the image."""
    (y, x), (height, width) = corner, shape
    y0, x0 = min(max(y, 0), height), min(max(x, 0), width)
    y1, x1 = max(min(y + patch.shape[1], height), y0), max(min(x + patch.shape[2], width), x0)
    return Column(np.ascontiguousarray(patch[:, y0 - y : y1 - y, x0 - x : x1 - x]), y0, x0)
