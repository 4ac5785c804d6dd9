"""Known stars per unit flux as every observation sees them, and the normal matrix of their fluxes.

Places are fixed, so this is worked out once. Only neighbours overlap: the matrix is sparse, and is summed tile by tile
of the image, over the few stars that reach each tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

from deblend.algebra import small_matrices
from deblend.program.calibration import BACKGROUND, plane
from deblend.program.columns import CHUNK, Column, summed
from deblend.program.drawing import Drawing
from deblend.program.layout import GroupLayout
from deblend.program.noise import weighted_column
from deblend.program.problem import PreparedObservation
from deblend.program.slots import POINT_RADIUS, GroupSlots
from deblend.scene import Point, Scene, Source, make_source
from deblend.sky import same_passbands

TILE = 32
"""Side of a tile [pix of the observation]."""


@dataclass(frozen=True, eq=False)
class StarColumns:
    """Every star per unit flux."""

    columns: list[tuple[Column, ...]]
    """(star, observation), in units of the noise."""
    prepared: Sequence[PreparedObservation]
    backgrounds: Sequence[Any]
    """Light of the sky in each observation, in units of the noise."""
    terms: Float[np.ndarray, "channel 10"] | None = None
    """How the images are off."""

    def is_of(self, terms: Float[np.ndarray, "channel 10"] | None) -> bool:
        """Whether they were drawn for images that are off by these terms."""
        if terms is None or self.terms is None:
            return terms is self.terms
        return np.array_equal(terms, self.terms)

    def of_passbands(self, spectra: Float[np.ndarray, "passband channel"]) -> list[sparse.csr_matrix]:
        """Return Jᵀ W J for the numbers of each passband, whose fluxes these are."""
        return [
            sum((f**2 * self.gram[c] for c, f in enumerate(fluxes) if f), sparse.csr_matrix(self.gram[0].shape))
            for fluxes in spectra
        ]

    @cached_property
    def gram(self) -> list[sparse.csr_matrix]:
        """Overlaps of the stars, a matrix (star, star) for every channel."""
        return self._equations[0]

    @cached_property
    def right(self) -> Float[np.ndarray, "channel star"]:
        """Products of the stars with the images."""
        return self._equations[1]

    @cached_property
    def _equations(self) -> tuple[list[sparse.csr_matrix], np.ndarray]:
        grams, rights = [], []
        with small_matrices():
            for index, (p, background) in enumerate(zip(self.prepared, self.backgrounds, strict=True)):
                own = [column[index] for column in self.columns]
                weighted = [weighted_column(column, p.weights, p.whitening) for column in own]
                image = p.images - background
                right = [np.einsum("cyx,cyx->c", w.patch, image[:, *w.window], dtype=np.float64) for w in weighted]
                rights.append(np.reshape(right, (len(own), len(p.noise))).T)
                grams.extend(overlaps(own, weighted, len(p.noise), p.shape))
        return grams, np.concatenate(rights)

    def light(self, observation: int, flux: Float[np.ndarray, "star channel"]) -> Float[np.ndarray, "band y x"]:
        """Return all stars with these fluxes as an observation sees them, float32."""
        p = self.prepared[observation]
        result = np.zeros((len(p.noise), *p.shape), np.float32)
        own = flux[:, p.layout.start : p.layout.stop].astype(np.float32)
        for column, f in zip(self.columns, own, strict=True):
            rows, across = column[observation].window
            result[:, rows, across] += f[:, None, None] * column[observation].patch
        return result


def overlaps(
    plain: Sequence[Column], weighted: Sequence[Column], n_bands: int, shape: tuple[int, int]
) -> list[sparse.csr_matrix]:
    """Return the products of plain with weighted columns, for every band, from those that meet in each tile."""
    n = len(plain)
    found: list[list[sparse.coo_matrix]] = [[] for _ in range(n_bands)]
    windows = np.array([_corners(c) for c in weighted]).reshape(n, 4)
    for y0 in range(0, shape[0], TILE):
        for x0 in range(0, shape[1], TILE):
            y1, x1 = min(y0 + TILE, shape[0]), min(x0 + TILE, shape[1])
            here = (windows[:, 0] < y1) & (windows[:, 1] > y0) & (windows[:, 2] < x1) & (windows[:, 3] > x0)
            rows = np.flatnonzero(here)
            if not len(rows):
                continue
            sides = [np.zeros((n_bands, len(rows), y1 - y0, x1 - x0)) for _ in range(2)]
            for k, row in enumerate(rows.tolist()):
                for side, column in zip(sides, (plain[row], weighted[row]), strict=True):
                    _onto(side[:, k], column, y0, x0)
            first, second = (side.reshape(n_bands, len(rows), -1) for side in sides)
            place = np.repeat(rows, len(rows)), np.tile(rows, len(rows))
            for products, a, b in zip(found, first, second, strict=True):
                products.append(sparse.coo_matrix(((a @ b.T).ravel(), place), shape=(n, n)))
    result = []
    for products in found:
        total = sparse.csr_matrix((n, n))
        if products:
            parts = [np.concatenate([getattr(m, name) for m in products]) for name in ("data", "row", "col")]
            total = sparse.coo_matrix((parts[0], (parts[1], parts[2])), shape=(n, n)).tocsr()
        # rounding must not make it other than symmetric
        result.append((0.5 * (total + total.T)).tocsr())
    return result


def _corners(column: Column) -> tuple[int, int, int, int]:
    rows, across = column.window
    return rows.start, rows.stop, across.start, across.stop


def _onto(tile: Float[np.ndarray, "band y x"], column: Column, y0: int, x0: int) -> None:
    """Write the part of a column that lies on a tile which begins at (y0, x0)."""
    ya, yb, xa, xb = _corners(column)
    top, bottom = max(ya, y0), min(yb, y0 + tile.shape[1])
    left, right = max(xa, x0), min(xb, x0 + tile.shape[2])
    if top < bottom and left < right:
        cut = column.cut(slice(top, bottom), slice(left, right))
        tile[:, top - y0 : bottom - y0, left - x0 : right - x0] = cut


def drawn_stars(
    scene: Scene,
    prepared: Sequence[PreparedObservation],
    dtype: np.dtype,
    terms: Float[np.ndarray, "channel 10"] | None,
) -> StarColumns:
    """Return the columns of the known stars of a scene, drawn like those of sources, for images off by these terms."""
    backgrounds = [
        0.0 if terms is None else plane(p.ramps, terms[p.layout.start : p.layout.stop, BACKGROUND]) for p in prepared
    ]
    field = scene.stars
    if field is None or not len(field):
        return StarColumns([], prepared, backgrounds, terms)
    n_channels = len(scene.channels)
    dark = np.zeros(n_channels)
    # a star that moves is drawn at each of its places
    sources: list[Source] = []
    of: list[tuple[int, np.ndarray]] = []
    for star, places in enumerate(zip(field.x, field.y, strict=True)):
        at, which = np.unique(np.stack(places, axis=1), axis=0, return_inverse=True)
        for k, (x, y) in enumerate(at):
            sources.append(
                make_source(Point.label, float(x), float(y), n_channels=n_channels, flux=dark, radius=POINT_RADIUS)
            )
            of.append((star, which.ravel() == k))
    layout = GroupLayout(Point.label, 2 * POINT_RADIUS + 1, -(-len(sources) // CHUNK) * CHUNK)
    slots = GroupSlots(layout, n_channels, len(same_passbands(scene.channels)), dtype)
    slots.fill([(s, 0) for s in sources], scene.grid.shape, np.ones(n_channels), scene.channels, lambda _: np.ones(1))
    variance = np.asarray(scene.model_psf_sigma**2, dtype)
    drawn = Drawing(prepared, terms).columns(scene.with_sources(sources), [slots], variance)
    seen: list[list[tuple[tuple[Column, ...], np.ndarray]]] = [[] for _ in range(len(field))]
    for columns, (star, channels) in zip(drawn, of, strict=True):
        seen[star].append((columns, channels))
    together = [
        parts[0][0] if len(parts) == 1 else tuple(_at_all_places(parts, index, p) for index, p in enumerate(prepared))
        for parts in seen
    ]
    return StarColumns(together, prepared, backgrounds, terms)


def _at_all_places(
    parts: Sequence[tuple[tuple[Column, ...], np.ndarray]], index: int, prepared: PreparedObservation
) -> Column:
    """Return a star as an observation sees it whose bands may see it at several places."""
    own = slice(prepared.layout.start, prepared.layout.stop)
    lit = [columns[index].times(channels[own].astype(np.float32)) for columns, channels in parts if channels[own].any()]
    return summed(lit)
