"""What the data say against what a learned prior does, as a picture over the image.

Of each pixel of a galaxy 1 - posterior variance / prior variance: 1 where the data decide, 0 where the prior does.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from napari.layers import Layer

from deblend import PixelGrid
from deblend.infer import DataShare
from napari_deblend.status import place_text
from napari_deblend.world import World

LIMITS = (0.0, 1.0)
COLORS = "cividis"
"""From dark blue, the prior, to yellow, the data: as bright and as different to the color-blind as to others."""
MEANING = (
    "Which pixels of a galaxy the data decide (yellow), and which the learned prior does (dark blue): 1 - posterior "
    "variance / prior variance; of the selected galaxy, or of the nearest one where none is"
)


def share_picture(
    shares: Sequence[DataShare], shape: tuple[int, int], source_id: str | None
) -> Float[np.ndarray, "y x"]:
    """Return the share of the data of a source, 0 to 1, on the pixels of the scene; NaN beyond its stamp.

    Without a source every pixel has the share of the galaxy whose middle is nearest. What comes out below 0, as it may
    of few draws, is shown as 0.
    """
    picture = np.full(shape, np.nan, np.float32)
    nearest = np.full(shape, np.inf)
    for own in shares:
        if source_id not in (None, own.source_id):
            continue
        side = len(own.picture)
        rows, columns = (place - side // 2 + np.arange(side) for place in (own.y, own.x))
        inside = np.ix_((rows >= 0) & (rows < shape[0]), (columns >= 0) & (columns < shape[1]))
        here = np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])
        distance = np.hypot(here[0] - own.y, here[1] - own.x)
        is_nearer = distance < nearest[here]
        picture[here] = np.where(is_nearer, np.clip(own.picture[inside], *LIMITS), picture[here])
        nearest[here] = np.minimum(distance, nearest[here])
    return picture


def said_of(share: float) -> str:
    """Return the share of the data in words; nothing where there is none."""
    return "" if np.isnan(share) else f"{share:.0%} data, {1.0 - share:.0%} prior".replace("%", " %")


class ShareReadOut:
    """Place and share under the cursor, as text; like the layer, on the pixels of the scene."""

    def __init__(self, layer: Layer, grid: PixelGrid, world: World) -> None:
        self._layer = weakref.ref(layer)
        self._grid = grid
        self._to_pixel = np.linalg.inv(world.affine(grid))

    def __call__(self, position: Any) -> tuple[str, str]:
        """Return ("ra dec   x y", "78 % data, 22 % prior") at a world position (..., north, east)."""
        y, x, _ = self._to_pixel @ np.array([position[-2], position[-1], 1.0])
        layer, (height, width) = self._layer(), self._grid.shape
        row, column = round(y), round(x)
        place = place_text(self._grid.wcs, x, y)
        if layer is None or not (0 <= row < height and 0 <= column < width):
            return place, ""
        return place, said_of(float(layer.data[row, column]))
