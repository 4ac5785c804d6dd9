"""How much wider errors are where a belief shapes the light: what noise alone says of such fluxes is too little.

A galaxy's profile may be corrected by free pixels, which are believed to be small. Real galaxies are not as is
believed, and where neighbours overlap the belief decides whose light is whose: fluxes are off by a share of themselves
that does not fall with the noise and grows with how much of the light under a source is another's (its blendedness β,
Bosch et al. 2018). The share c₀ + c₁ β is measured on blends of galaxies that Hubble saw (`benchmarks/calibration.py
coverage`); added in squares to the errors it makes 69 % of intervals hold the truth, over all sets; that of learned
galaxies is of such as were found to be uneven. It is taken as the
same in all channels, as a shape that is wrong is wrong in all of them, so that errors of colors stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from deblend.render import kind_of
from deblend.scene import Scene, Source

BIAS: Mapping[str, tuple[float, float]] = {
    "galaxy": (0.015, 0.56),
    "starlet": (0.02, 1.15),
    "learned": (0.02, 0.4),
    "vae": (0.02, 0.06),
}
"""c₀ and c₁ of each kind of light that has free pixels and too small errors without them. Of pixels alone, asked to be
about symmetric and monotonic, errors of noise hold 0.69 ± 0.08 as they are."""


def bias_of(source: Source) -> tuple[float, float]:
    """Return c₀ and c₁ of a source, the largest of its components; 0 where no pixels are free."""
    shares = [(0.0, 0.0)]
    for component in source.components:
        name = kind_of(component.morphology).pixels
        if name is not None and component.morphology.parameters[name].is_free and component.spectrum.is_free:
            shares.append(BIAS.get(component.morphology.label, (0.0, 0.0)))
    return max(shares)


def biases_of(scene: Scene, blendedness: Float[np.ndarray, "*draw source"]) -> Float[np.ndarray, " source"]:
    """Return by which share of its flux every source may be off besides its noise; of draws their mean counts."""
    if np.ndim(blendedness) == 2:
        blendedness = np.sum(blendedness, axis=0) / max(len(blendedness), 1)
    constant, slope = np.array([bias_of(source) for source in scene.sources]).reshape(-1, 2).T
    result: np.ndarray = constant + slope * np.clip(np.nan_to_num(blendedness), 0.0, 1.0)
    return result


def said_of(scene: Scene) -> str:
    """Return a sentence about errors that are wider than noise makes them; empty where none are."""
    count = sum(bias_of(source) > (0.0, 0.0) for source in scene.sources)
    if not count:
        return ""
    return (
        f"Flux errors of {count} of {len(scene)} sources include what the belief about their shapes biases them by, "
        "measured on real galaxies: the more, the more of the light under them is another's."
    )


def is_flux(name: str) -> bool:
    """Tell whether a quantity of draws, by its name, is a flux of that kind."""
    return name.startswith("flux_") and not name.startswith("flux_fraction_")


def widened_percentiles(
    percentiles: Float[np.ndarray, "percentile *source"], shares: Float[np.ndarray, "*source"] | float
) -> Float[np.ndarray, "percentile *source"]:
    """Return percentiles of fluxes, the median in the middle, further from it by a share of it."""
    median = percentiles[len(percentiles) // 2]
    off = percentiles - median
    result: np.ndarray = median + np.sign(off) * np.hypot(off, shares * np.nan_to_num(median))
    return result


def widened(
    errors: Float[np.ndarray, "source channel"],
    fluxes: Float[np.ndarray, "source channel"],
    shares: Float[np.ndarray, " source"],
) -> Float[np.ndarray, "source channel"]:
    """Return errors of fluxes with a share of them added in squares."""
    return np.hypot(errors, shares[:, None] * fluxes)
