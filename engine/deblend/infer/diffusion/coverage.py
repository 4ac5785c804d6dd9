"""Whether posteriors hold the truth as often as they say: ranks of the truth among draws, and expected coverage.

Of truths drawn from a prior, data drawn from each, and draws of each posterior: the rank of the truth among the draws
is uniform for any number that one may ask of a picture (simulation-based calibration; Talts et al. 2018); and so is the
share of draws that lie closer to a random point than the truth does, which tells of all pixels together (tests of
accuracy with random points, TARP; Lemos et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import kstest

N_POINTS = 16
"""Random points of each truth, over which the coverage is averaged."""
MOST_OFF, LEAST_P = 0.05, 0.01
"""What passes: of the coverage, and of the ranks of each number."""


@dataclass(frozen=True)
class Coverage:
    """What a test of calibration has found."""

    names: tuple[str, ...]
    p_values: tuple[float, ...]
    """Of ranks being uniform, of each number."""
    off: float
    """The largest difference of the expected coverage and the credibility, max |ECP - α|."""
    n_truths: int
    n_draws: int
    """Of each posterior."""

    @property
    def passes(self) -> bool:
        """Whether error bars may be told: several numbers together may have one p-value that is low by chance."""
        return self.off < MOST_OFF and min(self.p_values) > LEAST_P / len(self.p_values)

    @property
    def said(self) -> str:
        """The result in a sentence."""
        least = int(np.argmin(self.p_values))
        return (
            f"{self.n_truths} posteriors of {self.n_draws} draws: coverage off by {self.off:.3f} at most (TARP; below "
            f"{MOST_OFF:g} passes), ranks uniform with p = {self.p_values[least]:.2g} at least ({self.names[least]}; "
            f"SBC; above {LEAST_P:g} / {len(self.p_values)} passes)."
        )


def coverage(
    truths: Float[np.ndarray, "truth y x"], draws: Float[np.ndarray, "truth draw y x"], seed: int = 0
) -> Coverage:
    """Return how well draws of posteriors hold the truths that data were made from."""
    rng = np.random.default_rng([seed, 5])
    numbers = numbers_of(truths, truths.mean(axis=0), draws.reshape(-1, *truths.shape[1:]))
    p_values, n = {}, draws.shape[1]
    for name, (own, drawn) in numbers.items():
        ranks = np.sum(drawn.reshape(len(own), n) < own[:, None], axis=1)
        p_values[name] = uniformity(ranks, n, rng)
    off = float(np.max(np.abs(expected_coverage(truths, draws, rng)[1])))
    return Coverage(tuple(p_values), tuple(p_values.values()), off, len(truths), n)


def numbers_of(
    truths: Float[np.ndarray, "truth y x"], mean: Float[np.ndarray, "y x"], draws: Float[np.ndarray, "some y x"]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what is asked of pictures, of truths and of draws: light in all, light in the middle, how far out it is,
    where it is along x, and the first two principal components of the truths."""
    height, width = truths.shape[1:]
    y, x = np.indices((height, width), float)
    y, x = y - height // 2, x - width // 2
    near = np.hypot(y, x) < 3.0
    flat = (truths - mean).reshape(len(truths), -1)
    axes = np.linalg.svd(flat, full_matrices=False)[2][:2]
    asked = {
        "light": np.ones_like(x),
        "light in the middle": near.astype(float),
        "light along x": x,
        "extent": y**2 + x**2,
    }
    asked |= {f"component {k + 1}": axis.reshape(height, width) for k, axis in enumerate(axes)}
    return {
        name: (np.tensordot(truths, weight, axes=2), np.tensordot(draws, weight, axes=2))
        for name, weight in asked.items()
    }


def uniformity(ranks: Int[np.ndarray, " truth"], n_draws: int, rng: np.random.Generator) -> float:
    """Return the p-value of ranks from 0 to `n_draws` being uniform (Kolmogorov & Smirnov, each rank spread out)."""
    spread = (ranks + rng.uniform(size=len(ranks))) / (n_draws + 1)
    return float(kstest(spread, "uniform").pvalue)


def expected_coverage(
    truths: Float[np.ndarray, "truth *pixel"],
    draws: Float[np.ndarray, "truth draw *pixel"],
    rng: np.random.Generator,
    n_points: int = N_POINTS,
) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Return credibilities α, and by how much the expected coverage differs from each (Lemos et al. 2023, algorithm 2).

    Random points are other truths. Under calibration the largest difference is about 0.87 / √(truths) for one point,
    and less for the mean over several.
    """
    n, n_draws = draws.shape[:2]
    own, drawn = truths.reshape(n, -1), draws.reshape(n, n_draws, -1)
    levels = np.linspace(0.0, 1.0, 101)
    off = np.zeros_like(levels)
    for shift in 1 + rng.permutation(n - 1)[:n_points]:
        point = np.roll(own, shift, axis=0)
        far = np.linalg.norm(own - point, axis=1)
        closer = np.sum(np.linalg.norm(drawn - point[:, None], axis=2) < far[:, None], axis=1)
        share = np.sort((closer + rng.uniform(size=n)) / (n_draws + 1))
        off += np.searchsorted(share, levels, side="right") / n - levels
    return levels, off / min(n_points, n - 1)
