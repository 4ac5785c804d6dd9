"""PSFs that vary over an image: stamps at some places of it, and how much each of them counts at any other.

The PSF at a place is a mean of stamps whose weights depend on the place alone. So a machine needs the stamps'
kernels once, and a few numbers per source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.observe.psf import mend_psf, native_psf, padded

NEIGHBOURS = 4
"""Scattered cells that count at a place between them."""
ALIKE = 1e-3
"""Cells that differ by no more are alike [peak of the PSF]."""


@dataclass(frozen=True, eq=False)
class PsfField:
    """Stamps of the PSF at some places of an image, its cells.

    Places on a regular grid, in any order, are interpolated bilinearly; scattered ones by the inverse of their
    distance, of the nearest four, so that nothing jumps where another becomes the fourth (Franke & Nielson 1980).
    Beyond the outermost cells the PSF stays as it is there.
    """

    positions: Float[np.ndarray, "cell 2"]
    """(x, y) of every cell, 0-based [pix of the observation]."""
    stamps: Float[np.ndarray, "cell band side side"]
    """Odd, centered, integrated over the pixels of the detector, sum 1."""
    oversampling: int = 1
    """Samples of the stamps per pixel of the observation, along each axis."""

    def __post_init__(self) -> None:
        if self.positions.shape != (len(self.stamps), 2) or not len(self.stamps) or self.stamps.ndim != 4:
            raise ValueError(
                "A PSF field needs positions (cell, 2) and stamps (cell, band, y, x), got shapes "
                f"{self.positions.shape} and {self.stamps.shape}."
            )

    @classmethod
    def from_stamps(
        cls,
        positions: Any,
        stamps: Sequence[Sequence[Float[np.ndarray, "y x"]]],
        bands: Sequence[str],
        *,
        oversampling: int = 1,
        is_integrated: bool = True,
    ) -> tuple[PsfField, tuple[str, ...]]:
        """Make a field of stamps per cell and band, mended as by `mend_psf`, and sentences on what was mended.

        Raises ValueError, naming band and place, where a stamp is no picture of a star.
        """
        places = np.asarray(positions, dtype=np.float64)
        cells = [""] if len(places) == 1 else [f" at x {x:.0f}, y {y:.0f}" for x, y in places]
        names = [f"{band}{cell}" for cell in cells for band in bands]
        flat = [stamp for cell in stamps for stamp in cell]
        if len(flat) != len(names):
            raise ValueError(f"{len(places)} places and {len(bands)} bands need as many stamps, got {len(flat)}.")
        cube, notes = mend_psf(flat, names, oversampling=oversampling, is_integrated=is_integrated)
        said = notes[:1] if len(notes) < 2 else (f"{notes[0]} The same or the like {len(notes) - 1} times more.",)
        return cls(places, cube.reshape(len(places), len(bands), *cube.shape[1:]), oversampling), said

    @classmethod
    def joined(cls, fields: Sequence[PsfField]) -> PsfField:
        """Return the field of all bands of several fields of one sampling, at the places of all of them.

        On grids, where the lines of all of them cross.
        """
        first = fields[0]
        if any(field.oversampling != first.oversampling for field in fields):
            raise ValueError("Fields can only be joined on one sampling; resample their stamps.")
        varying = [field for field in fields if field.n_cells > 1] or [first]
        lines = [field.lines for field in varying]
        if all(line is not None for line in lines):
            x, y = (np.unique(np.concatenate([line[k] for line in lines if line is not None])) for k in (0, 1))
            places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        else:
            places = np.unique(np.concatenate([field.positions for field in varying]), axis=0)
        side = max(field.stamps.shape[-1] for field in fields)
        at_places = [np.tensordot(field.weights_at(*places.T), padded(field.stamps, side), axes=1) for field in fields]
        return cls(places, np.concatenate(at_places, axis=1), first.oversampling)

    @property
    def n_cells(self) -> int:
        return len(self.positions)

    @cached_property
    def lines(self) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " row"]] | None:
        """The x of its columns and the y of its rows [pix]; None where the cells are scattered."""
        x, y = np.unique(self.positions[:, 0]), np.unique(self.positions[:, 1])
        is_grid = len(x) * len(y) == self.n_cells == len(np.unique(self.positions, axis=0))
        return (x, y) if is_grid else None

    def weights_at(
        self, x: Float[np.ndarray, "*place"] | float, y: Float[np.ndarray, "*place"] | float
    ) -> Float[np.ndarray, "*place cell"]:
        """Return how much each cell counts at places (x, y) [pix of the observation]; they sum to 1."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        if self.lines is None:
            return self._scattered(x, y)
        of_columns, of_rows = (_hats(place, line) for place, line in zip((x, y), self.lines, strict=True))
        column, row = (np.searchsorted(line, self.positions[:, k]) for k, line in enumerate(self.lines))
        result: Float[np.ndarray, "*place cell"] = of_columns[..., column] * of_rows[..., row]
        return result

    def at(self, x: float, y: float) -> Float[np.ndarray, "band side side"]:
        """Return the PSF at (x, y) [pix of the observation], sampled as the stamps are."""
        result: Float[np.ndarray, "band side side"] = np.tensordot(self.weights_at(x, y), self.stamps, axes=1)
        return result

    def native_at(self, x: float, y: float) -> Float[np.ndarray, "band side side"]:
        """Return the PSF at (x, y) on the pixels of the observation, sum 1."""
        return native_psf(self.at(x, y), self.oversampling)

    def thinned(self, tolerance: float = ALIKE) -> PsfField:
        """Return a field of as few of its cells as tell the others to `tolerance` [peak of each band].

        A regular grid stays one: it loses whole rows and columns. What one cell tells becomes one cell.
        """
        peaks = self.stamps.max(axis=(0, 2, 3))
        middle = np.argmin(np.sum((self.positions - self.positions.mean(axis=0)) ** 2, axis=1))
        best = self._of(np.array([middle]))
        if self._errors_of(best, peaks).max() <= tolerance:
            return best
        kept = self._corners()
        while True:
            best = self._of(np.flatnonzero(kept))
            errors = self._errors_of(best, peaks)
            if errors.max() <= tolerance:
                return best
            kept = self._with_more(kept, errors)

    def _of(self, cells: np.ndarray) -> PsfField:
        return PsfField(self.positions[cells], self.stamps[cells], self.oversampling)

    def _errors_of(self, other: PsfField, peaks: Float[np.ndarray, " band"]) -> Float[np.ndarray, " cell"]:
        """Return by how much another field errs at these cells [peak]."""
        told = np.tensordot(other.weights_at(*self.positions.T), other.stamps, axes=1)
        result: Float[np.ndarray, " cell"] = np.abs((told - self.stamps) / peaks[:, None, None]).max(axis=(1, 2, 3))
        return result

    def _corners(self) -> np.ndarray:
        """Tell which cells to begin with: the corners of a grid, or the scattered ones that lie furthest out."""
        x, y = self.positions.T
        if self.lines is not None:
            return np.isin(x, (x.min(), x.max())) & np.isin(y, (y.min(), y.max()))
        kept = np.zeros(self.n_cells, bool)
        kept[[np.argmin(x + y), np.argmax(x + y), np.argmin(x - y), np.argmax(x - y)]] = True
        return kept

    def _with_more(self, kept: np.ndarray, errors: Float[np.ndarray, " cell"]) -> np.ndarray:
        """Return the cells with the one that is told worst; on a grid with its column or row, whichever tells more."""
        kept = kept.copy()
        if self.lines is None:
            kept[np.argmax(errors)] = True
            return kept
        x, y = self.positions.T
        more = []
        for axis in (x, y):
            have = np.unique(axis[kept])
            missing = ~np.isin(axis, have)
            if missing.any():
                # the errors that lie on lines which are there already are for the other axis to mend
                line = axis[missing][np.argmax(errors[missing])]
                more.append((errors[axis == line].mean(), axis, line, have))
        _, axis, line, have = max(more, key=lambda choice: choice[0])
        columns = np.append(have, line) if axis is x else np.unique(x[kept])
        rows = np.append(have, line) if axis is y else np.unique(y[kept])
        return np.isin(x, columns) & np.isin(y, rows)

    def _scattered(self, x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "*place cell"]:
        distance = np.hypot(x[..., None] - self.positions[:, 0], y[..., None] - self.positions[:, 1])
        count = min(NEIGHBOURS, self.n_cells)
        ordered = np.sort(distance, axis=-1)
        # the first that no longer counts: with it, none does so abruptly
        reach = ordered[..., count : count + 1] if self.n_cells > count else np.inf
        # a place on a cell is that cell; the hair keeps the division defined
        near = np.maximum(distance, 1e-9)
        weights = np.maximum(1.0 / near - 1.0 / np.maximum(reach, 1e-9), 0.0) ** 2
        # where all of them are equally far, they count alike
        weights = np.where(weights.sum(axis=-1, keepdims=True) > 0, weights, distance <= reach)
        result: Float[np.ndarray, "*place cell"] = weights / weights.sum(axis=-1, keepdims=True)
        return result


def _hats(place: np.ndarray, line: Float[np.ndarray, " node"]) -> Float[np.ndarray, "*place node"]:
    """Return linear interpolation weights between the nodes of a line; at its ends they stay."""
    place = np.clip(place, line[0], line[-1])
    right = np.clip(np.searchsorted(line, place, side="right"), 1, max(len(line) - 1, 1))
    weights = np.zeros((*place.shape, len(line)))
    if len(line) == 1:
        weights[...] = 1.0
        return weights
    share = (place - line[right - 1]) / (line[right] - line[right - 1])
    np.put_along_axis(weights, (right - 1)[..., None], (1.0 - share)[..., None], axis=-1)
    np.put_along_axis(weights, right[..., None], share[..., None], axis=-1)
    return weights
