"""Whether chains agree, and how many independent draws they are worth (Vehtari, Gelman, Simpson, Carpenter & Bürkner
2021): R-hat of split chains by ranks, of draws and of their distances from the median; effective draws by Geyer's
initial monotone sequence."""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Float
from scipy.special import ndtri

LEAST_DRAWS = 8
"""Of each chain: of fewer nothing can be said."""


def split(draws: Float[np.ndarray, "chain draw number"]) -> Float[np.ndarray, "half draw number"]:
    """Return both halves of every chain as chains, without the middle draw where their number is odd."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def normal_scores(draws: Float[np.ndarray, "chain draw number"]) -> Float[np.ndarray, "chain draw number"]:
    """Return what a unit Gaussian has where each draw stands in the order of all of them."""
    flat = draws.reshape(-1, draws.shape[2])
    ranks = np.asarray(scipy.stats.rankdata(flat, axis=0))
    scores = ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return np.asarray(scores).reshape(draws.shape)


def r_hat(draws: Float[np.ndarray, "chain draw number"]) -> Float[np.ndarray, " number"]:
    """Return R-hat of every number, the larger one of that of its values and that of its distances from the median; 1
    where chains agree, NaN where they are too short."""
    if draws.shape[1] < LEAST_DRAWS:
        return np.full(draws.shape[2], np.nan)
    halves = split(draws)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.fmax(_r_hat(normal_scores(halves)), _r_hat(normal_scores(folded)))


def bulk_ess(draws: Float[np.ndarray, "chain draw number"]) -> Float[np.ndarray, " number"]:
    """Return how many independent draws know the middle of every number as well; NaN where chains are too short."""
    if draws.shape[1] < LEAST_DRAWS:
        return np.full(draws.shape[2], np.nan)
    return _ess(normal_scores(split(draws)))


def _variances(chains: Float[np.ndarray, "chain draw number"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean variance within chains, and the variance of all that takes their means for true."""
    n = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    between = chains.mean(axis=1).var(axis=0, ddof=1)
    return within, within * (n - 1) / n + between


def _r_hat(chains: Float[np.ndarray, "chain draw number"]) -> Float[np.ndarray, " number"]:
    within, total = _variances(chains)
    stuck = np.where(total > 0, np.inf, np.nan)
    return np.where(within > 0, np.sqrt(total / np.where(within > 0, within, 1.0)), stuck)


def _ess(chains: Float[np.ndarray, "chain draw number"]) -> Float[np.ndarray, " number"]:
    m, n, _ = chains.shape
    centered = chains - chains.mean(axis=1, keepdims=True)
    size = scipy.fft.next_fast_len(2 * n, real=True)
    power = np.abs(scipy.fft.rfft(centered, size, axis=1)) ** 2
    covariance = scipy.fft.irfft(power, size, axis=1)[:, :n].mean(axis=0) / n
    within, total = _variances(chains)
    total = np.where(total > 0, total, 1.0)
    correlation = 1.0 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1.0
    # sums of neighbours, as long as they are positive, and never growing
    pairs = correlation[0 : 2 * (n // 2) : 2] + correlation[1 : 2 * (n // 2) : 2]
    positive = np.cumprod(pairs > 0, axis=0).astype(bool)
    falling = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=0)
    time = np.maximum(2.0 * falling.sum(axis=0) - 1.0, 1.0 / np.log10(m * n))
    return np.where(within > 0, m * n / time, np.nan)
