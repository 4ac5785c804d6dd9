"""All components as one array that is never in memory: (component, band, y, x), rendered when looked at.

napari slices it in the GUI thread, where nothing may be computed: a plane that is not there yet is shown as empty
and asked for; the runner renders it, and the layer is refreshed when it arrives. Whoever wants the whole array as
NumPy (saving the layer, say) waits for all of it and gets all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

Cube = Float32[np.ndarray, "band y x"]


class ComponentStack:
    """Looks like an array of shape (component, band, y, x); holds the cubes that were looked at [nJy/pix]."""

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(
        self,
        source_ids: Sequence[str],
        shape: tuple[int, int, int],
        render_all: Callable[[Sequence[str]], Mapping[str, Cube]],
    ) -> None:
        self.source_ids = tuple(source_ids)
        self.shape = (max(len(self.source_ids), 1), *shape)
        self._render_all = render_all
        self._cubes: dict[str, Cube] = {}
        self._empty = np.broadcast_to(np.float32(0.0), shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def source_id(self, row: int) -> str | None:
        """Return the id of the source at that step of the slider."""
        return self.source_ids[row] if 0 <= row < len(self.source_ids) else None

    def put(self, source_id: str, cube: np.ndarray) -> None:
        """Take a rendered cube (band, y, x); those rendered before it are of an older scene and are dropped."""
        self._cubes[source_id] = np.broadcast_to(np.asarray(cube, np.float32), self.shape[1:])

    def forget(self) -> None:
        """Drop all cubes: the scene is another one."""
        self._cubes.clear()

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            return np.asarray(self._cube(int(first))[tuple(rest)])
        rows = np.arange(self.shape[0])[first]
        return np.stack([self._cube(int(row))[tuple(rest)] for row in rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        cubes = self._render_all(self.source_ids) if self.source_ids else {}
        full = np.stack([np.broadcast_to(cubes.get(i, self._empty), self.shape[1:]) for i in self.source_ids or ("",)])
        return full.astype(dtype or self.dtype, copy=False)

    def _cube(self, row: int) -> np.ndarray:
        source_id = self.source_id(row)
        return self._empty if source_id is None else self._cubes.get(source_id, self._empty)
