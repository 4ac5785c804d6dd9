"""Boxes that a tile is worked through in: cores that share it out without a gap, read with sky around them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from deblend.sky import PixelBox

CORE = 1024
"""Side of a core [pix]; five bands of it and its surroundings take some 150 MB."""
OVERLAP = 128
"""How far around a core is read: as far as the largest box of a blend reaches from its middle [pix]."""


@dataclass(frozen=True)
class Piece:
    """A part of a tile."""

    core: PixelBox
    """Pixels that are no other piece's."""
    box: PixelBox
    """Pixels that are read."""

    def depth(
        self, x: Float[np.ndarray, " place"], y: Float[np.ndarray, " place"], shape: tuple[int, int]
    ) -> Float[np.ndarray, " place"]:
        """Return how far inside of the core places of the tile lie [pix], below 0 outside; its edge is none."""
        height, width = shape
        distances = []
        for place, (low, high), size in ((x, self.core.x, width), (y, self.core.y, height)):
            distances.append(np.inf * np.ones_like(place) if low == 0 else place - (low - 0.5))
            distances.append(np.inf * np.ones_like(place) if high == size else (high - 0.5) - place)
        result: Float[np.ndarray, " place"] = np.min(distances, axis=0)
        return result


def pieces_of(shape: tuple[int, int], core: int = CORE, overlap: int = OVERLAP) -> tuple[Piece, ...]:
    """Return the pieces of a tile of `shape` (height, width) [pix], row by row; their cores are about alike in size."""
    rows, columns = (_ranges(n, core) for n in shape)
    result = []
    for y in rows:
        for x in columns:
            wide = PixelBox((x[0] - overlap, x[1] + overlap), (y[0] - overlap, y[1] + overlap)).within(shape)
            assert wide is not None
            result.append(Piece(PixelBox(x, y), wide))
    return tuple(result)


def _ranges(n: int, core: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, n, max(-(-n // core), 1) + 1).round().astype(int).tolist()
    return list(pairwise(edges))
