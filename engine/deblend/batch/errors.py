"""Errors of the fluxes of a blend: for the shapes that were fitted, or with all that is free marginalised over.

Let G be the matrix of the fluxes alone, given shapes, C what couples shapes to them, and H the whole Gauss-Newton
matrix. Draws H (f, s) = Jᵀ n of unit noise n have the covariance H⁻¹ (`deblend.infer.errors`). Given the shapes s of
a draw, fluxes are Gaussian with the covariance G⁻¹ around -G⁻¹ C s = f - G⁻¹ (Jᵀ n)_f, as the rows of the fluxes say:

    var f = (G⁻¹)_ff + var(f - G⁻¹ (Jᵀ n)_f),

of which the first part, most of it, is known without draws (Rao & Blackwell): few draws are enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend.infer.noise_solver import NoiseSolver
from deblend.program import Program

N_DRAWS = 8
"""An error is known to about a tenth of itself then; without the split it would be to a quarter."""
TOLERANCE = 0.03
"""Of a solution: 0.01 changes no error by more than 3 %."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Of the sources of a program."""

    fluxes: Float[np.ndarray, "source channel"]
    """Standard deviations [nJy]."""
    centers: Float[np.ndarray, "sample source 2"] | None = None
    """Draws of how far (x, y) may be off [pix of the scene]; None where shapes were held."""


def held_errors(program: Program) -> Errors:
    """Return the errors of the joint fluxes of a program's sources for the shapes and places that it has.

    Neighbours' fluxes are marginalised over. An error is NaN where a band sees nothing of a source.
    """
    variances = np.einsum("css->sc", _inverses(program))
    return Errors(np.sqrt(variances) * program.noise)


def full_errors(program: Program, n_draws: int = N_DRAWS, seed: int = 0) -> Errors:
    """Return errors with shapes, places and corrections marginalised over; the same for the same seed."""
    inverses = _inverses(program)
    solver = NoiseSolver(program, program.parameters, TOLERANCE)
    rng = np.random.default_rng(seed)
    n_sources, n_channels = len(program.scene), len(inverses)
    means = np.zeros((n_draws, n_sources, n_channels))
    centers = np.zeros((n_draws, n_sources, 2))
    known = np.nan_to_num(inverses)
    for draw in range(n_draws):
        change, push = solver.draw_and_push(rng)
        pushed = np.zeros((n_sources, n_channels))
        for members, group, noise in zip(program.rows, change.groups, push.groups, strict=True):
            used = slice(len(members))
            np.add.at(means[draw], members, np.asarray(group.flux)[used])
            np.add.at(pushed, members, np.asarray(noise.flux)[used])
            centers[draw, members] = np.asarray(group.theta)[used, 1::-1]
        # the push is downhill: it has the other sign than the change that it brings about
        means[draw] += np.einsum("cst,tc->sc", known, pushed)
    variances = np.einsum("css->sc", inverses) + np.mean(means**2, axis=0)
    return Errors(np.sqrt(variances) * program.noise, centers)


def _inverses(program: Program) -> Float[np.ndarray, "channel source source"]:
    """Return the covariances of the fluxes of each channel given all shapes, in squares of the channel's noise."""
    gram = program.normal_equations().gram
    result = np.full(gram.shape, np.nan)
    for channel, matrix in enumerate(gram):
        known = np.diagonal(matrix) > 0
        if known.any():
            rows = np.ix_(known, known)
            inverse = np.linalg.pinv(matrix[rows], hermitian=True)
            np.fill_diagonal(inverse, np.maximum(np.diagonal(inverse), 0.0))
            result[channel][rows] = inverse
    return result
