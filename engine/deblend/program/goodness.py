"""How well models fit: residuals in units of the noise, and χ² per unmasked pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from deblend.observe import Observation


def residual_sigma(observation: Observation, model: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "band y x"]:
    """Return (image - model) in units of each pixel's noise, float32; 0 where it is masked."""
    return ((observation.images - model) * np.sqrt(observation.weights)).astype(np.float32)


def chi2_per_observation(observations: Sequence[Observation], models: Sequence[np.ndarray]) -> dict[str, float]:
    """Return χ² per unmasked pixel of every observation, by name; one whose name is taken has its number after it."""
    result: dict[str, float] = {}
    for number, (observation, model) in enumerate(zip(observations, models, strict=True), start=1):
        name = f"{observation.name} ({number})" if observation.name in result else observation.name
        result[name] = observation.chi2(model) / max(observation.n_unmasked, 1)
    return result


def total_chi2(observations: Sequence[Observation], each: dict[str, float]) -> float:
    """Return χ² per unmasked pixel over everything."""
    counts = [o.n_unmasked for o in observations]
    return float(np.dot(list(each.values()), counts) / max(sum(counts), 1))
