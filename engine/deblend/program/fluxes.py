"""Fluxes given morphologies: a joint, bounded, linear least-squares problem per channel.

Its normal matrix is kept between edits; only the rows of sources that changed are computed again. Its conditioning
tells which sources are degenerate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import lsq_linear, nnls
from scipy.sparse.csgraph import connected_components

from deblend.algebra import small_matrices
from deblend.program.columns import Column
from deblend.program.noise import weighted_column

RIDGE = 1e-9
"""Relative to the diagonal: keeps twins solvable without moving anything else."""


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
                    gram[:, i, j] = gram[:, j, i] = products(weighted, columns[j])
        self._gram, self._right, self._columns = gram, right, list(columns)

    @property
    def gram(self) -> Float[np.ndarray, "channel source source"]:
        """Gᵀ W G, in units of the noise."""
        return self._gram

    @property
    def right(self) -> Float[np.ndarray, "channel source"]:
        """Gᵀ W d, in units of the noise."""
        return self._right

    @property
    def closest(self) -> float:
        """The largest overlap of two columns in any channel, as the cosine between them; 0 where there are no two."""
        size = np.sqrt(np.diagonal(self._gram, axis1=1, axis2=2))
        both = size[:, :, None] * size[:, None]
        cosine = np.divide(self._gram, both, out=np.zeros_like(both), where=both > 0)
        return float(np.max(np.abs(cosine) * ~np.eye(size.shape[1], dtype=bool), initial=0.0))

    @property
    def columns(self) -> Sequence[tuple[Column, ...]]:
        """G, (source, observation)."""
        return self._columns

    def weighted(self, column: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return W g for the column of a source."""
        seen = zip(column, self._weights, self._whitenings, strict=True)
        return tuple(weighted_column(part, weights, whitening) for part, weights, whitening in seen)

    def _against_data(self, column: tuple[Column, ...]) -> tuple[np.ndarray, tuple[Column, ...]]:
        weighted = self.weighted(column)
        cuts = (image[:, *part.window] for image, part in zip(self._images, weighted, strict=True))
        right = [
            np.einsum("cyx,cyx->c", part.patch, cut, dtype=np.float64) for part, cut in zip(weighted, cuts, strict=True)
        ]
        return np.concatenate(right), weighted

    @small_matrices()
    def solve(
        self,
        flux: Float[np.ndarray, "source channel"],
        free: Float[np.ndarray, "source channel"],
        lower: Float[np.ndarray, "source channel"],
        upper: Float[np.ndarray, "source channel"],
        ties: Sequence[Float[np.ndarray, "number channel"]] | None = None,
    ) -> Float[np.ndarray, "source channel"]:
        """Return the fluxes that fit best within their bounds; those that are not free stay.

        With `ties` the fluxes of each source are a sum of given spectra, and what is sought is how much of each.
        """
        result = np.array(flux, np.float64)
        if ties is not None:
            self._solve_tied(result, free > 0, lower, upper, ties)
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
        ties: Sequence[Float[np.ndarray, "number channel"]],
    ) -> None:
        """Solve for the fluxes of sources that are sums of given spectra, in place."""
        owner = np.repeat(np.arange(len(result)), [len(spectra) for spectra in ties])
        spectra = np.concatenate(list(ties)) * free[owner]
        depth = np.diagonal(self._gram, axis1=1, axis2=2).T
        # what no unmasked pixel sees keeps the fluxes it has
        sought = np.any((spectra != 0) & (depth[owner] > 0), axis=1)
        owner, spectra = owner[sought], spectra[sought]
        moves = np.zeros(result.shape, bool)
        np.logical_or.at(moves, owner, spectra != 0)
        result[moves] = 0.0
        target = np.einsum("uc,cu->u", spectra, self._right[:, owner])
        target -= np.einsum("uc,cuk,kc->u", spectra, self._gram[:, owner], result)
        for members in coupled(spectra != 0):
            own, of = spectra[members], owner[members]
            gram = np.einsum("uc,vc,cuv->uv", own, own, self._gram[:, of[:, None], of], optimize=True)
            found = _bounded(gram, target[members], *amplitude_bounds(own, lower[of], upper[of]))
            np.add.at(result, of, found[:, None] * own)


def coupled(lit: np.ndarray) -> list[np.ndarray]:
    """Return the indices of spectra, (spectrum, channel), that share channels with each other, group by group."""
    n_groups, labels = connected_components(lit.astype(int) @ lit.T.astype(int), directed=False)
    return [np.flatnonzero(labels == group) for group in range(n_groups)]


def amplitude_bounds(spectra: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much there may be of each spectrum, so that its fluxes lie within their bounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([lower / spectra, upper / spectra])
    dark = spectra == 0
    least = np.where(dark, -np.inf, ends.min(axis=0)).max(axis=1)
    most = np.where(dark, np.inf, ends.max(axis=0)).min(axis=1)
    return least, np.maximum(most, least)


def products(a: tuple[Column, ...], b: tuple[Column, ...]) -> Float[np.ndarray, " channel"]:
    """Return the products of two columns, over the pixels that both cover."""
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
