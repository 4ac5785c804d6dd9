"""Support: in which pixels of its box a source may have light, as a person has painted it.

Three things are asked of a pixel, all of them data to the compiled program, one byte each:

- *barred*: the picture of the source is multiplied by 0 there, profile and correction alike, before it is divided by
  its sum. It is exact, in every solver, at no cost but one product; as the model itself has no such light, no solver
  can put any there, and no operator or penalty needs to know of it.
- *belonging to another source*: light that is free is 0 there. That is a correction, or all of what is nothing but
  pixels. The smooth profile of a galaxy goes on, as under a companion that lies on it: what a profile has there is told
  by what is seen elsewhere, and to cut it would give the companion its light.
- *belonging to it*: a correction may be as bright there as `OWN_FLOOR` of the source's flux per pixel, whatever its
  profile says, and out to the edge of the box.

Pixels are those of the sky. Free-form light lives on pixels that move with the center, so it is cut behind that move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from deblend.render import Kind
from deblend.scene import Scene
from deblend.scene.area import Area

BARRED, PROFILE, FREE, OWN = range(4)
"""No light, that of the profile alone, any light, and light of the source's own."""
OWN_FLOOR = 1e-3
"""Correction per pixel that one unit stands for at least where pixels are a source's own, relative to its flux."""
REACH_OF_CENTER = 5.0
"""How far the middle of a box may lie from where its source was placed [pix]."""


class Painted(NamedTuple):
    """What is painted in the box of one source."""

    barred: Area | None
    claimed: Area | None
    others: tuple[Area, ...]
    """What belongs to other sources."""


def painted_in(scene: Scene) -> Mapping[str, Painted]:
    """Return what is painted in the boxes of sources, by their ids; of those in whose box something is."""
    claims = [(source.id, source.claimed) for source in scene.sources if source.claimed is not None]
    if not claims and all(source.barred is None for source in scene.sources):
        return {}
    found = {}
    for source in scene.sources:
        reach = source.radius + REACH_OF_CENTER
        others = tuple(area for owner, area in claims if owner != source.id and area.reaches(source.y, source.x, reach))
        if others or source.barred is not None or source.claimed is not None:
            found[source.id] = Painted(source.barred, source.claimed, others)
    return found


def support_of(kind: Kind, painted: Painted | None, origin: tuple[int, int], side: int) -> UInt8[np.ndarray, "y x"]:
    """Return what light a source of a kind may have in each pixel of the box around `origin` (y, x)."""
    result = np.full((side, side), FREE, np.uint8)
    if painted is None:
        return result
    corner = origin[0] - side // 2, origin[1] - side // 2

    def write(areas: Iterable[Area | None], level: int) -> None:
        for area in areas:
            if area is not None:
                result[area.on((side, side), corner)] = level

    write(painted.others, PROFILE if kind.is_correction else BARRED)
    write((painted.claimed,), OWN)
    write((painted.barred,), BARRED)
    return result


def is_lit(support: Any, dtype: Any) -> Float[Array, "*stack side side"]:
    """Return 1 where there may be light of any kind."""
    result: Float[Array, "*stack side side"] = (jnp.asarray(support) > BARRED).astype(dtype)
    return result


def is_free(support: Any, dtype: Any) -> Float[Array, "*stack side side"]:
    """Return 1 where there may be free light."""
    result: Float[Array, "*stack side side"] = (jnp.asarray(support) >= FREE).astype(dtype)
    return result


def is_own(support: Any) -> Any:
    """Return where pixels belong to the source."""
    return jnp.asarray(support) == OWN


__all__ = ["OWN_FLOOR", "Painted", "is_free", "is_lit", "is_own", "painted_in", "support_of"]
