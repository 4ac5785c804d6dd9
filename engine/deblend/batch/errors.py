"""Errors of the fluxes of a blend: for the shapes that were fitted, or with all that is free marginalised over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend.infer.errors import draw
from deblend.infer.given_shapes import flux_covariances
from deblend.program import Program

N_DRAWS = 8
"""An error is known to about a tenth of itself then; see `deblend.infer.given_shapes`."""
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
    variances = np.einsum("css->sc", flux_covariances(program))
    return Errors(np.sqrt(variances) * program.noise)


def full_errors(program: Program, n_draws: int = N_DRAWS, seed: int = 0) -> Errors:
    """Return errors with shapes, places and corrections marginalised over; the same for the same seed."""
    draws = draw(program, n_samples=n_draws, seed=seed, tolerance=TOLERANCE)
    is_seen = np.einsum("css->sc", program.normal_equations().gram) > 0
    return Errors(np.where(is_seen, draws.flux_errors, np.nan), draws.centers)
