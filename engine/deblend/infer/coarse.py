"""What overlapping sources trade: the second level of the preconditioner.

A block per source knows nothing of its neighbours, and the light that two of them can pass to each other is what
conjugate gradients are slow to find: of two galaxies of one color 3 px apart, 28 products found half of the fall that a
step could bring. So the fluxes and shape parameters of all sources are solved for together as well, with the Galerkin
matrix A = Zᵀ H Z of the normal matrix H on these few numbers (Nicolaides 1987, SIAM J. Numer. Anal. 24, 355; Tang et
al. 2009, J. Sci. Comput. 39, 340). Every block already holds the inverse of its own part of A, so that only what it
does not know is added,

    M⁻¹ + Z (A⁻¹ - diag(A)⁻¹) Zᵀ.

That is positive, since the inverse of a block is no less than that of a part of it, and nothing where no sources touch.
A source of many shape parameters takes part with its first ones; of a learned galaxy these are its place, its size and
the modes in which galaxies differ most.

Overlaps are those of pictures behind the mean kernel of their sources: A is the Gram matrix of such pictures times
spectra, so that it is positive however alike two of them are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from deblend.infer.block_inverse import first_inverse, free_inverse
from deblend.program.arrays import GroupData, GroupParameters, Parameters, ProblemData
from deblend.program.layout import Layout
from deblend.program.pictures import over_slots
from deblend.render import KINDS

MOST_NUMBERS = 1024
"""That are free: the inverse of so large a matrix takes about as long as a step of so many sources. Larger scenes do
without."""
MOST_ROOM = 2048
"""Of all slots together, used or not."""
MOST_SHAPES = 12
"""Shape parameters of a source, at most."""


def n_traded(n_theta: int) -> int:
    """Return how many of the shape parameters of a source take part, the first ones."""
    return min(n_theta, MOST_SHAPES)


class CoarseLevel(NamedTuple):
    """What sources trade."""

    correction: Float[Array, "few few"]
    """A⁻¹ - diag(A)⁻¹ for the numbers that are free; nothing where these are too many."""
    places: Int[Array, " few"]
    """Where these are among the shape parameters and fluxes of all slots, group after group."""


class Coarse(NamedTuple):
    """A group's part in the coarse level: its sources as telescopes see them, in units of the noise."""

    pictures: Float[Array, "slot part side side"]
    """How the picture changes with the first shape parameters, and the picture itself, behind the mean kernel."""
    size: Float[Array, "slot channel"]
    """Of the picture in each channel, per unit flux: what a channel sees of a flux is this times the picture."""
    added: Float[Array, "slot m m"]
    """What priors and damping add for shape parameters and fluxes, in this order."""


def has_coarse_level(layout: Layout) -> bool:
    """Tell whether the sources of a layout are few enough to be solved for together."""
    numbers = sum(g.capacity * (n_traded(KINDS[g.kind].n_theta) + layout.n_channels) for g in layout.groups)
    return 0 < numbers <= MOST_ROOM


def coarse_level(data: ProblemData, parameters: Parameters, free: Parameters, parts: tuple[Coarse, ...]) -> CoarseLevel:
    """Return what the sources of all slots trade."""
    groups = tuple(zip(data.groups, parameters.groups, parts, strict=True))
    sizes = [part.added.shape[0] * part.added.shape[1] for part in parts]
    rows = []
    for index, group in enumerate(groups):
        empty = [jnp.zeros((sizes[index], size), group[2].size.dtype) for size in sizes[:index]]
        overlaps = [_overlaps(group, other, other is group).reshape(sizes[index], -1) for other in groups[index:]]
        rows.append(jnp.concatenate(empty + overlaps, axis=1))
    above = jnp.concatenate(rows)
    own = [jax.vmap(_product)(p.flux, p.flux, c.size, c.size, _gram(d.count, c)) + c.added for d, p, c in groups]
    movable = [_numbers(f) for f in free.groups]
    alone = [jax.vmap(free_inverse)(b, jnp.zeros_like(f), f) for b, f in zip(own, movable, strict=True)]
    together = above + above.T + _on_diagonal(own)
    is_free = jnp.concatenate([f.ravel() for f in movable])
    count = jnp.sum(is_free > 0)
    places = jnp.argsort(is_free <= 0, stable=True)[:MOST_NUMBERS]

    def inverse() -> Any:
        few = is_free[places]
        return first_inverse(together[places][:, places], few, count) - _on_diagonal(alone)[places][:, places]

    few = len(places)
    correction = lax.cond(count <= few, inverse, lambda: jnp.zeros((few, few), together.dtype))
    return CoarseLevel(correction, places)


def apply_coarse(
    level: CoarseLevel, r: Parameters
) -> tuple[tuple[Float[Array, "slot theta"], Float[Array, "slot channel"]], ...]:
    """Return what the coarse level adds to the shape parameters and fluxes of every group."""
    numbers = [_numbers(x) for x in r.groups]
    together = jnp.concatenate([n.ravel() for n in numbers])
    solved = jnp.zeros_like(together).at[level.places].set(level.correction @ together[level.places])
    result, start = [], 0
    for x, n in zip(r.groups, numbers, strict=True):
        own = solved[start : start + n.size].reshape(n.shape)
        n_theta = x.theta.shape[1]
        n_shapes = n_traded(n_theta)
        shapes = jnp.pad(own[:, :n_shapes], ((0, 0), (0, n_theta - n_shapes)))
        result.append((shapes, own[:, n_shapes:]))
        start += n.size
    return tuple(result)


def _numbers(x: GroupParameters) -> Float[Array, "slot m"]:
    """Return what takes part of the parameters of a group."""
    return jnp.concatenate([x.theta[:, : n_traded(x.theta.shape[1])], x.flux], axis=1)


_Group = tuple[GroupData, GroupParameters, Coarse]


def _overlaps(first: _Group, second: _Group, is_one: bool) -> Float[Array, "slot m slot k"]:
    """Return the part of A between the slots of two groups; of one and the same group each pair once."""
    (d, p, c), (e, q, b) = first, second
    side, other = c.pictures.shape[2], b.pictures.shape[2]
    n, m = c.added.shape[1], b.added.shape[1]

    def of_slot(k: Any, carry: Any) -> Any:
        wide = jnp.pad(c.pictures[k], ((0, 0), (other, other), (other, other)))

        def of_pair(j: Any, rows: Any) -> Any:
            corner = e.origin[j] - other // 2 - (d.origin[k] - side // 2) + other
            touches = jnp.all((corner > 0) & (corner < side + other))
            touches = touches & (j > k) if is_one else touches

            def between() -> Any:
                under = lax.dynamic_slice(wide, (jnp.zeros_like(corner[0]), *corner), (len(wide), other, other))
                gram = jnp.tensordot(under, b.pictures[j], axes=((1, 2), (1, 2)))
                return _product(p.flux[k], q.flux[j], c.size[k], b.size[j], gram)

            return rows.at[:, j].set(lax.cond(touches, between, lambda: jnp.zeros((n, m), c.size.dtype)))

        rows = over_slots(e.count, of_pair, jnp.zeros((n, len(b.size), m), c.size.dtype))
        return carry.at[k].set(rows)

    result: Float[Array, "slot m slot k"] = over_slots(
        d.count, of_slot, jnp.zeros((len(c.size), n, len(b.size), m), c.size.dtype)
    )
    return result


def _gram(count: Any, part: Coarse) -> Float[Array, "slot part part"]:
    def body(slot: Any, carry: Any) -> Any:
        own = part.pictures[slot].reshape(n_parts, -1)
        return carry.at[slot].set(own @ own.T)

    n_slots, n_parts = part.pictures.shape[:2]
    result: Float[Array, "slot part part"] = over_slots(
        count, body, jnp.zeros((n_slots, n_parts, n_parts), part.size.dtype)
    )
    return result


def _product(flux: Any, other_flux: Any, size: Any, other_size: Any, gram: Any) -> Float[Array, "m k"]:
    """Return the part of A between two slots, from the products of their pictures: times those of their spectra.

    Shape parameters act on all channels, each flux on its own.
    """
    seen, other_seen, both = flux * size, other_flux * other_size, size * other_size
    return jnp.block(
        [
            [gram[:-1, :-1] * jnp.dot(seen, other_seen), jnp.outer(gram[:-1, -1], seen * other_size)],
            [jnp.outer(size * other_seen, gram[-1, :-1]), gram[-1, -1] * jnp.diag(both)],
        ]
    )


def _on_diagonal(blocks: list[Float[Array, "slot m m"]]) -> Float[Array, "number number"]:
    """Return the matrix of these blocks, of one slot after another."""
    size = sum(b.shape[0] * b.shape[1] for b in blocks)
    result, start = jnp.zeros((size, size), blocks[0].dtype), 0
    for b in blocks:
        n_slots, m, _ = b.shape
        rows = start + jnp.arange(n_slots * m).reshape(n_slots, m)
        result = result.at[rows[:, :, None], rows[:, None, :]].set(b)
        start += n_slots * m
    return result
