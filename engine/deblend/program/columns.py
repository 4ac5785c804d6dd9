"""Columns: each source per unit flux, as every observation sees it.

The model is linear in the fluxes, and these are its columns. They are kept between edits: moving one source draws
one column anew, and pictures of components and of the whole model are sums of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float

from deblend.program.arrays import GroupData, GroupParameters
from deblend.program.aspects import outward, per_channel
from deblend.program.compiled import compiled
from deblend.program.layout import GroupLayout, ObservationLayout
from deblend.program.operator import over_slots, picture_of

CHUNK = 8
"""How many columns of a group are drawn in one call."""


@dataclass(frozen=True)
class ColumnLayout:
    """What columns of one kind and side are compiled for, however many sources there are, and on images of any size."""

    group: GroupLayout
    bands: tuple[tuple[int, int], ...]
    """First channel of every observation, and the one behind its last."""
    reach: tuple[int, ...]
    """Radius of every observation's kernels [pix]."""

    @classmethod
    def of(cls, group: GroupLayout, observations: Sequence[ObservationLayout]) -> ColumnLayout:
        bands, reach = tuple((o.start, o.stop) for o in observations), tuple(o.radius for o in observations)
        return cls(replace(group, capacity=CHUNK), bands, reach)

    @property
    def patch_sides(self) -> tuple[int, ...]:
        """Side of what is seen of a box, per observation: the box and the reach of the kernels around it [pix]."""
        return tuple(self.group.side + 2 * radius for radius in self.reach)


def column_fft_shape(side: int, reach: int) -> tuple[int, int]:
    """Return the size of the convolution of one box with kernels of this radius."""
    size = scipy.fft.next_fast_len(side + 2 * reach, real=True)
    return size, size


def draw_columns(
    layout: ColumnLayout, data: GroupData, parameters: GroupParameters, psf_variance: Any, transfers: tuple[Any, ...]
) -> tuple[Float[Array, "slot band patch patch"], ...]:
    """Return, per observation, the used ones of CHUNK slots per unit flux."""
    side, p = layout.group.side, parameters
    initial = tuple(
        jnp.zeros((CHUNK, stop - start, patch, patch), p.theta.dtype)
        for (start, stop), patch in zip(layout.bands, layout.patch_sides, strict=True)
    )

    def body(slot: Any, carry: Any) -> Any:
        pixels = p.pixels[slot] if p.pixels is not None else None
        shape = data.scale[slot], data.correction[slot], data.radius[slot]
        picture = picture_of(layout.group, p.theta[slot], pixels, *shape, psf_variance)
        drawn = []
        for (start, stop), reach, transfer, stack in zip(layout.bands, layout.reach, transfers, carry, strict=True):
            own = per_channel(picture, p.aspect[slot][start:stop], outward(side, data.scale[slot]))
            wide = jnp.pad(own, ((0, 0), (reach, reach), (reach, reach)))
            size = column_fft_shape(side, reach)
            seen = jnp.fft.irfft2(jnp.fft.rfft2(wide, s=size) * transfer, s=size)
            patch = stack.shape[-1]
            drawn.append(stack.at[slot].set(seen[:, :patch, :patch]))
        return tuple(drawn)

    result: tuple[Float[Array, "slot band patch patch"], ...] = over_slots(data.count, body, initial)
    return result


compiled_columns = compiled(draw_columns)


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

    def overlap(self, other: Column) -> tuple[slice, slice] | None:
        """Return the rows and columns of the image that both cover."""
        (ya, xa), (yb, xb) = self.window, other.window
        rows = slice(max(ya.start, yb.start), min(ya.stop, yb.stop))
        columns = slice(max(xa.start, xb.start), min(xa.stop, xb.stop))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def cut(self, rows: slice, columns: slice) -> Float[np.ndarray, "band y x"]:
        """Return the patch on rows and columns of the image inside of its window."""
        return self.patch[:, rows.start - self.y : rows.stop - self.y, columns.start - self.x : columns.stop - self.x]


def clipped(patch: Float[np.ndarray, "band side side"], corner: tuple[int, int], shape: tuple[int, int]) -> Column:
    """Return the part of a patch, whose first pixel lies at `corner` (y, x), that is on the image."""
    side = patch.shape[-1]
    (y, x), (height, width) = corner, shape
    y0, x0 = min(max(y, 0), height), min(max(x, 0), width)
    y1, x1 = max(min(y + side, height), y0), max(min(x + side, width), x0)
    return Column(np.ascontiguousarray(patch[:, y0 - y : y1 - y, x0 - x : x1 - x]), y0, x0)
