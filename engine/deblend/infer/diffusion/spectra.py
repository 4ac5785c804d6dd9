"""Draws of spectra given pictures: the other half of a Gibbs sampler whose first half is diffusion.

With pictures held the model is linear in the fluxes, m = G f, and with a flat prior between bounds the posterior of f
is a Gaussian, of precision Gᵀ W G, cut at these bounds. Channels know nothing of each other.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

TRIES = 64
"""Draws of the whole Gaussian, of which the first within all bounds is taken."""
SWEEPS = 8
"""Where none is: rounds through the fluxes, each drawn given the others."""
RIDGE = 1e-9
"""Relative to the diagonal: of two sources of one picture nothing tells whose light is whose."""
DEEPEST = 1e-12
"""Probability beyond which the tail of a Gaussian is not followed."""

Fluxes = Float[np.ndarray, "part channel"]


def drawn_fluxes(
    gram: Float[np.ndarray, "channel part part"],
    right: Float[np.ndarray, "channel part"],
    present: Fluxes,
    free: Fluxes,
    bounds: tuple[Fluxes, Fluxes],
    rng: np.random.Generator,
) -> Fluxes:
    """Return fluxes given pictures; those that are not free, or that no pixel sees, stay.

    Parameters
    ----------
    gram, right
        Gᵀ W G and Gᵀ W d.
    present
        Where the chain stands.
    bounds
        Least and largest values.
    """
    result = np.array(present, np.float64)
    for channel in range(len(gram)):
        open_ = (free[:, channel] > 0) & (np.diagonal(gram[channel]) > 0)
        if not open_.any():
            continue
        held = result[~open_, channel]
        target = right[channel, open_] - gram[channel][np.ix_(open_, ~open_)] @ held
        low, high = (bound[open_, channel] for bound in bounds)
        result[open_, channel] = _drawn(
            gram[channel][np.ix_(open_, open_)], target, result[open_, channel], low, high, rng
        )
    return result


def _drawn(
    gram: Float[np.ndarray, "part part"],
    right: Float[np.ndarray, " part"],
    present: Float[np.ndarray, " part"],
    low: Float[np.ndarray, " part"],
    high: Float[np.ndarray, " part"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " part"]:
    """Return a draw of a Gaussian, given by its precision and that times its mean, between bounds."""
    unit = 1.0 / np.sqrt(np.diagonal(gram))
    scaled = unit[:, None] * gram * unit + RIDGE * np.eye(len(gram))
    root = np.linalg.cholesky(scaled)
    mean = np.linalg.solve(root.T, np.linalg.solve(root, unit * right))
    tries = mean[:, None] + np.linalg.solve(root.T, rng.standard_normal((len(mean), TRIES)))
    least, most = low / unit, high / unit
    inside = np.all((tries >= least[:, None]) & (tries <= most[:, None]), axis=0)
    if inside.any():
        return np.asarray(unit * tries[:, np.argmax(inside)])
    # from where the chain stands, one flux after another
    f = np.clip(present / unit, least, most)
    for _ in range(SWEEPS):
        for k in range(len(f)):
            middle = f[k] + (unit[k] * right[k] - scaled[k] @ f) / scaled[k, k]
            f[k] = _between(middle, scaled[k, k] ** -0.5, least[k], most[k], rng)
    return np.asarray(unit * f)


def _between(mean: float, deviation: float, low: float, high: float, rng: np.random.Generator) -> float:
    """Return a draw of a Gaussian between two bounds, by its distribution function."""
    # in the lower tail, which is told more precisely than the upper one
    sign = -1.0 if low > mean else 1.0
    ends = sorted((sign * (low - mean) / deviation, sign * (high - mean) / deviation))
    first, last = ndtr(ends)
    if last < DEEPEST:
        # so far out that it falls off as an exponential from the nearer bound
        return float(np.clip(mean + sign * deviation * (ends[1] - rng.exponential() / abs(ends[1])), low, high))
    drawn = ndtri(np.clip(rng.uniform(first, last), 1e-300, 1.0 - 1e-16))
    return float(np.clip(mean + sign * deviation * drawn, low, high))
