"""Errors are as large as they are said to be: pulls and ranks of `benchmarks/calibration.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from calibration import KINDS, bias_of, covered, pulls, ranks, uniformity

IS_SMALL = bool(os.environ.get("CI"))
pytestmark = pytest.mark.slow


def test_pulls_of_parametric_blends_are_those_of_a_unit_gaussian() -> None:
    """(fit - truth) / error of fluxes, colors and places of stars and galaxies that overlap, fitted with their own
    family, everything free; of S/N > 10. Mean 0 ± 0.1 and deviation 0.95 to 1.10 of 300 blends.

    N pulls know their mean to 1/√N and their deviation to 1/√(2N), those of one source (two fluxes, two coordinates)
    about as if they were independent. In 300 blends there are 1400 fluxes, 600 colors and 1500 coordinates. Errors of
    n draws make pulls wider by √((n-1)/(n-3)).
    """
    n, n_draws = (12, 24) if IS_SMALL else (300, 48)
    result = pulls(n, n_draws, kinds=KINDS[:2] if IS_SMALL else KINDS)
    assert result.n_unsettled == 0
    wider = np.sqrt((n_draws - 1) / (n_draws - 3))
    for name, values in result.values.items():
        found = np.array(values) / wider
        # four times the expected spread, where that is more than what is asked for
        of_mean, of_deviation = 4 / np.sqrt(len(found)), 4 / np.sqrt(2 * len(found))
        assert abs(found.mean()) < (of_mean if IS_SMALL else 0.1), name
        low, high = (1 - of_deviation, 1 + of_deviation) if IS_SMALL else (0.95, 1.10)
        assert low < found.std() < high, name


def test_truth_ranks_anywhere_among_draws_of_chains() -> None:
    """Simulation-based calibration (Talts et al. 2018): of truths that are drawn from the priors, ranks are uniform.

    χ² of 5 bins. The least p of k independent numbers is above 0.01 / k in 99 of 100 runs; this one is seeded.
    """
    found = ranks(12 if IS_SMALL else 80)
    each = [uniformity(of_one) for of_one in found.values()]
    together = uniformity([rank for of_one in found.values() for rank in of_one])
    assert together > 0.01
    if not IS_SMALL:
        assert min(each) > 0.01 / len(each)


def test_a_share_of_the_flux_makes_intervals_hold() -> None:
    """Of fluxes that are off by noise and by 5 % besides, that share is found, and 68 % of intervals hold the truth."""
    rng = np.random.default_rng(0)
    flux = np.exp(rng.uniform(2.0, 8.0, 4000))
    error = 3.0 * np.ones_like(flux)
    off = np.hypot(error, 0.05 * flux) * rng.standard_normal(4000)
    found = {"kind": "k", "set": "s", "off": off, "error": error, "flux": flux, "snr": flux / error}
    share = bias_of(found)
    # a quantile of 4000 is known to 1.6 % of itself, and half of them have no bias to tell of
    assert share == pytest.approx(0.05, rel=0.1)
    assert "0.68" in next(covered(found, share))
    assert bias_of({**found, "off": error * rng.standard_normal(4000) * 0.5}) == 0.0
