"""Fluxes of sources and of known stars together, given where they are and their shapes.

The stars' part of the normal matrix is sparse, kept while their places are, and eliminated: what is left to solve has
the size of the sources' own problem (a Schur complement, passband by passband). Bounds are met by projected Newton
steps (Bertsekas 1982), which end where no flux wants to leave its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import splu

from deblend.algebra import small_matrices
from deblend.program.columns import Column
from deblend.program.fluxes import RIDGE, NormalEquations, amplitude_bounds, coupled, products
from deblend.program.star_columns import StarColumns

DENSE = 2000
"""Up to so many stars a dense factor is sooner made than a sparse one."""
MOST_STEPS = 60
STEP_FRACTIONS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01)
AT_REST = 1e-7
"""Gradient, relative to the largest product with the data, below which a flux rests."""


@dataclass(frozen=True, eq=False)
class StarNumbers:
    """What is asked of the fluxes of stars, by the numbers of their passbands."""

    spectra: Float[np.ndarray, "passband channel"]
    """Fluxes of one unit of each number, in units of the noise."""
    present: Float[np.ndarray, "star passband"]
    mean: Float[np.ndarray, "star passband"]
    precision: Float[np.ndarray, "star passband"]


class JointEquations:
    """The normal equations of all sources and all known stars."""

    def __init__(self, stars: StarColumns) -> None:
        self.stars = stars
        self._columns: list[tuple[Column, ...]] = []
        self._cross = np.zeros((0, 0, 0))

    def _with_sources(self, normal: NormalEquations) -> Float[np.ndarray, "source channel star"]:
        """Return the products of the columns of sources with those of stars; those of the same columns are kept."""
        old = {id(column): row for row, column in enumerate(self._columns)}
        n_channels = len(normal.gram)
        cross = np.zeros((len(normal.columns), n_channels, len(self.stars.columns)))
        for row, column in enumerate(normal.columns):
            if id(column) in old:
                cross[row] = self._cross[old[id(column)]]
                continue
            weighted = normal.weighted(column)
            for star, of_star in enumerate(self.stars.columns):
                cross[row, :, star] = products(weighted, of_star)
        self._columns, self._cross = list(normal.columns), cross
        return cross

    @small_matrices()
    def solve(
        self,
        normal: NormalEquations,
        stars: StarNumbers,
        flux: Float[np.ndarray, "source channel"],
        free: Float[np.ndarray, "source channel"],
        lower: Float[np.ndarray, "source channel"],
        upper: Float[np.ndarray, "source channel"],
        ties: Sequence[Float[np.ndarray, "number channel"]] | None = None,
    ) -> tuple[Float[np.ndarray, "source channel"], Float[np.ndarray, "star passband"]]:
        """Return the fluxes of sources and the numbers of stars that fit best within their bounds.

        As in `NormalEquations.solve`; stars are not negative, and those that no unmasked pixel sees keep what they
        have.
        """
        n_channels = len(normal.gram)
        own_spectra = [np.eye(n_channels)] * len(flux) if ties is None else list(ties)
        owner = np.repeat(np.arange(len(flux)), [len(spectra) for spectra in own_spectra])
        spectra = np.concatenate([np.zeros((0, n_channels)), *own_spectra])
        result, numbers = np.array(flux, np.float64), np.array(stars.present, np.float64)
        spectra = spectra * (free[owner] > 0)
        depth = np.diagonal(normal.gram, axis1=1, axis2=2).T
        sought = np.any((spectra != 0) & (depth[owner] > 0), axis=1)
        owner, spectra = owner[sought], spectra[sought]
        start = np.array([_amount(result[of], s) for of, s in zip(owner, spectra, strict=True)])
        moves = np.zeros(result.shape, bool)
        np.logical_or.at(moves, owner, spectra != 0)
        held = np.where(moves, 0.0, result)
        cross = self._with_sources(normal)
        right = np.einsum("uc,cu->u", spectra, normal.right[:, owner])
        right -= np.einsum("uc,cuk,kc->u", spectra, normal.gram[:, owner], held)
        grams = self.stars.of_passbands(stars.spectra)
        of_stars = stars.spectra @ (self.stars.right - np.einsum("kcs,kc->cs", cross, held))
        result[moves] = 0.0
        n_own = len(spectra)
        for group in coupled(np.concatenate([spectra != 0, stars.spectra != 0])):
            mine, passbands = group[group < n_own], group[group >= n_own] - n_own
            s, of = spectra[mine], owner[mine]
            blocks = []
            for p in passbands:
                prior = stars.precision[:, p] ** 2
                gram = grams[p] + sparse.diags(prior)
                between = np.einsum("c,uc,ucs->su", stars.spectra[p], s, cross[of])
                blocks.append(_Stars(gram, of_stars[p] + prior * stars.mean[:, p], between))
            matrix = np.einsum("uc,vc,cuv->uv", s, s, normal.gram[:, of[:, None], of], optimize=True)
            low, high = amplitude_bounds(s, lower[of], upper[of]) if len(of) else (s[:, 0],) * 2
            begun = np.clip(start[mine], low, high)
            amounts, lights = _bounded(matrix, right[mine], begun, low, high, blocks, stars.present[:, passbands])
            np.add.at(result, of, amounts[:, None] * s)
            numbers[:, passbands] = lights
        return result, numbers


@dataclass(frozen=True, eq=False)
class _Stars:
    """The stars in one passband."""

    gram: sparse.csr_matrix
    right: Float[np.ndarray, " star"]
    cross: Float[np.ndarray, "star number"]
    """Their products with what is sought of sources."""


def _amount(flux: np.ndarray, spectrum: np.ndarray) -> float:
    return float(np.nan_to_num(flux) @ spectrum / (spectrum @ spectrum))


def _bounded(
    gram: np.ndarray,
    right: np.ndarray,
    begun: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    stars: Sequence[_Stars],
    lights: Float[np.ndarray, "star passband"],
) -> tuple[Float[np.ndarray, " number"], Float[np.ndarray, "star passband"]]:
    """Minimise ½ fᵀ G f - rᵀ f over what is sought of sources, within bounds, and of stars, not negative."""
    diagonal = np.diagonal(gram)
    gram = gram + np.diag(RIDGE * diagonal)
    depths = [block.gram.diagonal() for block in stars]
    seen = np.stack([d > 0 for d in depths], axis=1) if stars else np.zeros(lights.shape, bool)
    f, s = begun.copy(), np.maximum(np.nan_to_num(lights), 0.0)

    def gradients(f: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        of_stars = [b.gram @ s[:, k] + b.cross @ f - b.right for k, b in enumerate(stars)]
        of_sources = gram @ f - right + sum((b.cross.T @ s[:, k] for k, b in enumerate(stars)), np.zeros(len(f)))
        return of_sources, np.reshape(of_stars, s.T.shape).T

    def value(f: np.ndarray, s: np.ndarray, gf: np.ndarray, gs: np.ndarray) -> float:
        linear = -right @ f - sum(b.right @ s[:, k] for k, b in enumerate(stars))
        return float(0.5 * (f @ gf + np.sum(s * gs) + linear))

    gf, gs = gradients(f, s)
    best = value(f, s, gf, gs)
    scale_f = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scale_s = np.sqrt(np.where(seen, np.stack(depths, axis=1) if stars else 1.0, 1.0))
    largest = max(np.abs(right / scale_f).max(initial=0.0), 1e-30)
    for k, b in enumerate(stars):
        largest = max(largest, np.abs(b.right / scale_s[:, k]).max(initial=0.0))
    for _ in range(MOST_STEPS):
        open_f = ~(((f <= lower) & (gf > 0)) | ((f >= upper) & (gf < 0))) & (upper > lower)
        open_s = ~((s <= 0) & (gs > 0)) & seen
        at_rest = np.abs(gf / scale_f)[open_f].max(initial=0.0), np.abs(gs / scale_s)[open_s].max(initial=0.0)
        if max(at_rest) <= AT_REST * largest:
            break
        step_f, step_s = _newton(gram, gf, open_f, stars, gs, open_s)
        for fraction in STEP_FRACTIONS:
            there = np.clip(f + fraction * step_f, lower, upper), np.maximum(s + fraction * step_s, 0.0)
            slopes = gradients(*there)
            found = value(*there, *slopes)
            if found < best:
                break
        else:
            break
        (f, s), (gf, gs), best = there, slopes, found
    return f, s


def _newton(
    gram: np.ndarray,
    gradient: np.ndarray,
    is_open: np.ndarray,
    stars: Sequence[_Stars],
    star_gradients: np.ndarray,
    star_open: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step to the minimum over what is free, stars eliminated first."""
    mine = np.flatnonzero(is_open)
    reduced, right = gram[np.ix_(mine, mine)], -gradient[mine]
    solved = []
    for k, block in enumerate(stars):
        rows = np.flatnonzero(star_open[:, k])
        cross = block.cross[np.ix_(rows, mine)]
        behind = _solver(block.gram[rows][:, rows])(np.column_stack([cross, -star_gradients[rows, k]]))
        reduced = reduced - cross.T @ behind[:, :-1]
        right = right - cross.T @ behind[:, -1]
        solved.append((rows, behind))
    step, star_steps = np.zeros(len(gradient)), np.zeros(star_gradients.shape)
    if len(mine):
        root = np.sqrt(np.maximum(np.diagonal(gram)[mine], 1e-300))
        values, vectors = np.linalg.eigh(0.5 * (reduced + reduced.T) / root / root[:, None])
        values = np.maximum(values, RIDGE)
        step[mine] = vectors @ ((vectors.T @ (right / root)) / values) / root
    for k, (rows, behind) in enumerate(solved):
        star_steps[rows, k] = behind[:, -1] - behind[:, :-1] @ step[mine]
    return step, star_steps


def _solver(matrix: sparse.csr_matrix) -> Callable[[np.ndarray], np.ndarray]:
    """Return what solves a positive matrix for right sides in columns, twins among the stars included."""
    matrix = matrix + sparse.diags(RIDGE * matrix.diagonal())
    if not matrix.shape[0]:
        return lambda right: right
    if matrix.shape[0] <= DENSE:
        factor = cho_factor(matrix.toarray())
        return lambda right: np.asarray(cho_solve(factor, right))
    lower_upper = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return lambda right: np.asarray(lower_upper.solve(right))
