"""Errors of fluxes that draws tell, with what beliefs about shapes add to them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from deblend import Method, Scene
from deblend.measure import biases_of, widened


def shares_of(
    scene: Scene, method: Method, blendedness: Float[np.ndarray, "draw source"]
) -> Float[np.ndarray, " source"]:
    """Return by which share of its flux each source may be off for what a fit believes of shapes: nothing where a
    learned prior has drawn them."""
    return np.zeros(len(scene)) if method is Method.DIFFUSION else biases_of(scene, blendedness)


def deviations_of(
    fluxes: Float[np.ndarray, "draw source channel"], shares: Float[np.ndarray, " source"]
) -> Float[np.ndarray, "source channel"]:
    """Return errors of fluxes, with the shares that they are biased by; NaN where there are too few draws."""
    if len(fluxes) < 2:
        return np.full(fluxes.shape[1:], np.nan)
    return widened(fluxes.std(axis=0, ddof=1), fluxes.mean(axis=0), shares)
