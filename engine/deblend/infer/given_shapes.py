"""Fluxes given shapes: what is known of their errors without any draw.

Let G be the matrix of the fluxes alone, C what couples shapes to them, and H the whole Gauss-Newton matrix. Draws
H (f, s) = Jᵀ n of unit noise n have the covariance H⁻¹. Given the shapes s of a draw, fluxes are Gaussian with the
covariance G⁻¹ around -G⁻¹ C s = f - G⁻¹ (Jᵀ n)_f, as the rows of the fluxes say:

    var f = (G⁻¹)_ff + var(f - G⁻¹ (Jᵀ n)_f),

of which the first part, most of it, is known (Rao 1945; Blackwell 1947): few draws are enough.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from deblend.program import Program
from deblend.program.asked import is_asked
from deblend.program.ties import has_epochs
from deblend.scene import Component


def are_fluxes_linear(program: Program) -> bool:
    """Tell whether fluxes, given all shapes, are one free number per source and channel, and nothing else is."""
    scene = program.scene
    layers = scene.stars is not None or scene.full_scenes or scene.calibrations or program.laws is not None
    if scene.is_empty or layers or has_epochs(scene.channels):
        return False
    return all(
        len(source.components) == 1 and source.dust is None and not source.is_locked and _is_plain(source.components[0])
        for source in scene.sources
    )


def _is_plain(component: Component) -> bool:
    spectrum = component.spectrum
    return spectrum.is_free and not spectrum.has_priors and component.shines_in is None and not is_asked(component)


def flux_covariances(program: Program) -> Float[np.ndarray, "channel source source"]:
    """Return the covariances of the fluxes of each channel given all shapes, in squares of the channel's noise.

    Of one component each (`are_fluxes_linear`); NaN where a channel sees nothing of a source.
    """
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


def drawn_around(
    means: Float[np.ndarray, "draw source channel"],
    covariances: Float[np.ndarray, "channel source source"],
    times: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "more source channel"]:
    """Return so many draws of the fluxes around each mean, one behind another."""
    n_draws, n_sources, n_channels = means.shape
    values, vectors = np.linalg.eigh(np.nan_to_num(covariances))
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
    noise = rng.standard_normal((n_draws, times, n_sources, n_channels))
    result: Float[np.ndarray, "more source channel"] = means[:, None] + np.einsum("cst,dktc->dksc", roots, noise)
    return result.reshape(-1, n_sources, n_channels)
