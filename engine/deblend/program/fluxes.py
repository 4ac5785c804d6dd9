"""Fluxes given morphologies: a joint, bounded, linear least-squares problem per channel.

Its normal matrix is kept between edits; only the rows of sources that changed are computed again. Its conditioning
tells which sources are degenerate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import lsq_linear, nnls

from deblend.program.columns import Column
from deblend.program.compiled import small_matrices
from deblend.program.noise import weighted_column

RIDGE = 1e-9
"""Relative to the diagonal: keeps twins solvable without moving anything else."""


class Ties(NamedTuple):
    """Which fluxes are one number."""

    passbands: list[list[int]]
    """Channels of each passband."""
    is_constant: np.ndarray
    """Whether a source has one flux per passband, (source,)."""
    noise: Float[np.ndarray, " channel"]
    """Unit of flux of each channel [nJy]."""


class NormalEquations:
    """Gᵀ W G and Gᵀ W d of the columns of all sources, for every channel."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        weights: Sequence[np.ndarray],
        whitenings: Sequence[np.ndarray | None] | None = None,
    ) -> None:
        self._images, self._weights = images, weights
        self._whitenings = [None] * len(images) if whitenings is None else whitenings
        self._columns: list[tuple[Column, ...]] = []
        n = sum(len(image) for image in images)
        self._gram = np.zeros((n, 0, 0))
        self._right = np.zeros((n, 0))

    def update(self, columns: Sequence[tuple[Column, ...]]) -> None:
        """Take the columns of all sources, (source, observation); rows whose columns are the same are kept."""
        old = {id(column): row for row, column in enumerate(self._columns)}
        rows = [old.get(id(column), -1) for column in columns]
        n = len(columns)
        gram, right = np.zeros((len(self._gram), n, n)), np.zeros((len(self._gram), n))
        kept = [i for i, row in enumerate(rows) if row >= 0]
        before = [rows[i] for i in kept]
        gram[:, np.array(kept, int)[:, None], kept] = self._gram[:, np.array(before, int)[:, None], before]
        right[:, kept] = self._right[:, before]
        changed = [i for i, row in enumerate(rows) if row < 0]
        for i in changed:
            right[:, i], weighted = self._against_data(columns[i])
            for j in range(n):
                if rows[j] >= 0 or j <= i:
                    gram[:, i, j] = gram[:, j, i] = _product(weighted, columns[j])
        self._gram, self._right, self._columns = gram, right, list(columns)

    @property
    def closest(self) -> float:
        """The largest overlap of two columns in any channel, as the cosine between them; 0 where there are no two."""
        size = np.sqrt(np.diagonal(self._gram, axis1=1, axis2=2))
        both = size[:, :, None] * size[:, None]
        cosine = np.divide(self._gram, both, out=np.zeros_like(both), where=both > 0)
        return float(np.max(np.abs(cosine) * ~np.eye(size.shape[1], dtype=bool), initial=0.0))

    def _against_data(self, column: tuple[Column, ...]) -> tuple[np.ndarray, tuple[Column, ...]]:
        right, weighted = [], []
        seen = zip(column, self._images, self._weights, self._whitenings, strict=True)
        for part, image, weights, whitening in seen:
            against = weighted_column(part, weights, whitening)
            rows, columns = against.window
            right.append(np.einsum("cyx,cyx->c", against.patch, image[:, rows, columns], dtype=np.float64))
            weighted.append(against)
        return np.concatenate(right), tuple(weighted)

    @small_matrices()
    def solve(
        self,
        flux: Float[np.ndarray, "source channel"],
        free: Float[np.ndarray, "source channel"],
        lower: Float[np.ndarray, "source channel"],
        upper: Float[np.ndarray, "source channel"],
        ties: Ties | None = None,
    ) -> Float[np.ndarray, "source channel"]:
        """Return the fluxes that fit best within their bounds; those that are not free stay."""
        result = np.array(flux, np.float64)
        if ties is not None:
            for members in ties.passbands:
                self._solve_tied(result, free, lower, upper, members, ties)
            return result
        for channel, (gram, right) in enumerate(zip(self._gram, self._right, strict=True)):
            held = free[:, channel] == 0
            diagonal = np.diagonal(gram)
            # a source that no unmasked pixel sees keeps the flux it has
            open_ = ~held & (diagonal > 0)
            if not open_.any():
                continue
            target = right[open_] - gram[np.ix_(open_, ~open_)] @ result[~open_, channel]
            result[open_, channel] = _bounded(
                gram[np.ix_(open_, open_)], target, lower[open_, channel], upper[open_, channel]
            )
        return result

    def _solve_tied(
        self,
        result: Float[np.ndarray, "source channel"],
        free: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        members: list[int],
        ties: Ties,
    ) -> None:
        """Solve for the fluxes of one passband at all its epochs, in place."""
        unit = ties.noise[members[0]] / ties.noise[members]
        # fluxes (source, epoch), flattened, from the numbers that are sought: one or one per epoch for each source
        n, n_epochs = len(result), len(members)
        columns = []
        for source in range(n):
            seen = np.flatnonzero((free[source, members] > 0) & (self._gram[members, source, source] > 0))
            for share in [seen] if ties.is_constant[source] else [[k] for k in seen]:
                column = np.zeros((n, n_epochs))
                column[source, share] = unit[share]
                if len(share):
                    columns.append(column)
        if not columns:
            return
        spread = np.stack(columns)
        fixed = result[:, members] * ~spread.any(axis=0)
        weighted = np.einsum("kij,ujk->uik", self._gram[members], spread)
        target = np.einsum("uik,ki->u", spread, self._right[members]) - np.einsum("uik,ik->u", weighted, fixed)
        gram = np.einsum("uik,vik->uv", spread, weighted)
        owner, epoch = (
            index[:, 0] for index in np.divmod(np.array([np.flatnonzero(c)[:1] for c in columns]), n_epochs)
        )
        bounds = [b[owner, np.array(members)[epoch]] / unit[epoch] for b in (lower, upper)]
        solved = np.tensordot(_bounded(gram, target, *bounds), spread, axes=1)
        result[:, members] = fixed + solved


def _product(a: tuple[Column, ...], b: tuple[Column, ...]) -> np.ndarray:
    result = []
    for first, second in zip(a, b, strict=True):
        common = first.overlap(second)
        if common is None:
            result.append(np.zeros(len(first.patch)))
        else:
            cuts = first.cut(*common), second.cut(*common)
            result.append(np.einsum("cyx,cyx->c", *cuts, dtype=np.float64))
    return np.concatenate(result)


def _bounded(gram: np.ndarray, right: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Minimise ½ fᵀ G f - rᵀ f within bounds, through the root of the scaled matrix: |√λ Vᵀ f - Vᵀ r / √λ|²."""
    root = np.sqrt(np.diagonal(gram))
    scaled = gram / root / root[:, None] + RIDGE * np.eye(len(gram))
    values, vectors = np.linalg.eigh(scaled)
    size = np.sqrt(np.maximum(values, RIDGE * values[-1]))
    target = vectors.T @ (right / root) / size
    unbounded = vectors @ (target / size) / root
    if np.all((unbounded >= lower) & (unbounded <= upper)):
        return unbounded
    factor = size[:, None] * vectors.T
    if np.all(lower == 0) and np.all(np.isinf(upper)):
        return nnls(factor, target)[0] / root
    low = lower * root
    # the solver wants room between bounds, also where a person left none
    high = np.maximum(upper * root, np.nextafter(low, np.inf))
    bounded = lsq_linear(factor, target, (low, high), method="bvls")
    return bounded.x / root
