"""Columns: each source per unit flux, as every observation sees it.

The model is linear in the fluxes, and these are its columns. They are kept between edits: moving one source draws
one column anew, and pictures of components and of the whole model are sums of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Float

from deblend.program.arrays import Parameters, ProblemData
from deblend.program.aspects import outward, per_channel
from deblend.program.compiled import compiled
from deblend.program.layout import GroupLayout, Layout, ObservationLayout
from deblend.program.operator import over_slots, picture_of

CHUNK = 8
"""How many columns of a group are drawn in one call."""


def column_fft_shape(group: GroupLayout, observation: ObservationLayout) -> tuple[int, int]:
    """Return the size of the convolution of one box with an observation's kernels."""
    side = scipy.fft.next_fast_len(group.side + 2 * observation.radius, real=True)
    return side, side


def draw_columns(
    layout: Layout, data: ProblemData, parameters: Parameters, transfers: Any, slots: Any, counts: Any
) -> tuple[tuple[Any, ...], ...]:
    """Return, per group and observation, (CHUNK, band, patch, patch): the chosen slots per unit flux.

    A patch is the box and the reach of the kernels around it.
    """
    result = []
    for index, (group, d, p) in enumerate(zip(layout.groups, data.groups, parameters, strict=True)):
        patches = tuple(o.stop - o.start for o in layout.observations)
        initial = tuple(
            jnp.zeros((CHUNK, n, group.side + 2 * o.radius, group.side + 2 * o.radius), p.theta.dtype)
            for n, o in zip(patches, layout.observations, strict=True)
        )

        def body(k: Any, carry: Any, index: int = index, group: Any = group, d: Any = d, p: Any = p) -> Any:
            slot = slots[index][k]
            pixels = p.pixels[slot] if p.pixels is not None else None
            picture = picture_of(
                group, p.theta[slot], pixels, d.scale[slot], d.correction[slot], d.radius[slot], data.psf_variance
            )
            drawn = []
            for o, transfer, stack in zip(layout.observations, transfers[index], carry, strict=True):
                shape = column_fft_shape(group, o)
                own = per_channel(picture, p.aspect[slot][o.start : o.stop], outward(group.side, d.scale[slot]))
                wide = jnp.pad(own, ((0, 0), (o.radius, o.radius), (o.radius, o.radius)))
                spectrum = jnp.fft.rfft2(wide, s=shape) * transfer
                seen = jnp.fft.irfft2(spectrum, s=shape)
                size = group.side + 2 * o.radius
                drawn.append(stack.at[k].set(seen[:, :size, :size]))
            return tuple(drawn)

        result.append(over_slots(counts[index], body, initial))
    return tuple(result)


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
