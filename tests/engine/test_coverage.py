"""Posteriors hold the truth as often as they say: under a Gaussian prior those of the sampler do, baselines do not."""

from __future__ import annotations

import os

import jax.numpy as jnp
import numpy as np
import pytest

from deblend.infer.diffusion import Blend, DiffusionSettings, Problem, Rule, Solution
from deblend.infer.diffusion.coverage import MOST_OFF, Coverage, coverage, expected_coverage, uniformity
from deblend.infer.diffusion.nearness import Nearness, orthogonal_modes, seen_one_by_one
from deblend.infer.diffusion.sampling import every_problem
from deblend.priors import GaussianPrior, generated_stamps

SIDE, N_DRAWS, NOISE = 16, 9, 0.03
N_TRUTHS = 64 if os.environ.get("CI") else 250
FULL = Solution(1e-3, 30)

Family = tuple[Problem, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def family() -> Family:
    """Two galaxies of a Gaussian that overlap, in three bands; truths of it, and data of each."""
    prior = GaussianPrior.fitted(generated_stamps(SIDE, 300, seed=3).learn[:, :SIDE, :SIDE], rank=24, floor=0.01)
    radius = np.hypot(*(np.indices((11, 11)) - 5))
    psfs = np.array([np.exp(-0.5 * (radius / sigma) ** 2) for sigma in (0.9, 1.05, 1.2)])
    psfs /= psfs.sum(axis=(1, 2), keepdims=True)
    weights = np.full((3, SIDE, SIDE), NOISE**-2.0, np.float32)
    spectra = np.array([[1.0, 0.4], [0.8, 0.8], [0.5, 1.1]])
    operator = Blend.of(spectra, psfs, weights, np.array([[-1.0, -1.0], [2.0, 1.0]]))
    rng = np.random.default_rng(4)
    root = np.linalg.cholesky(prior.covariance())
    truths = np.asarray(prior.mean) + (rng.normal(size=(N_TRUTHS, 2, SIDE**2)) @ root.T).reshape(-1, 2, SIDE, SIDE)
    seen = np.array([operator(jnp.asarray(each, jnp.float32))[0] for each in truths])
    data = (seen + rng.normal(size=seen.shape)).astype(np.float32)
    modes, share = orthogonal_modes(np.asarray(prior.modes), len(prior.modes))
    one_by_one = seen_one_by_one(operator, jnp.tile(jnp.asarray(modes)[None], (2, 1, 1, 1)))
    nearness = Nearness.of(one_by_one, jnp.asarray(share), jnp.ones((2, 3)))
    return Problem(prior, operator, (jnp.asarray(data[0]),), prior, nearness), truths, data


def covered(family: Family, **settings: object) -> Coverage:
    problem, truths, data = family
    if settings:
        # a baseline has no preconditioner
        problem = Problem(problem.prior, problem.operator, problem.data, problem.reference)
    given = DiffusionSettings(**{"rule": Rule.JFPS, "steps": 18, "solution": FULL, **settings})  # type: ignore[arg-type]
    draws = every_problem(problem, (np.repeat(data, N_DRAWS, axis=0),), given, seed=5)
    # one above the other, as one picture
    return coverage(truths.reshape(-1, 2 * SIDE, SIDE), draws.reshape(-1, N_DRAWS, 2 * SIDE, SIDE))


@pytest.mark.slow
def test_the_sampler_is_calibrated_and_its_baselines_are_not(family: Family) -> None:
    """The coverage of 250 truths is known to 0.03 to 0.05, of the 64 of a short run to twice that; p-values are
    uniform, so that the least of six is below 0.01 / 6 once in a hundred."""
    found = covered(family)
    assert min(found.p_values) > 0.01 / 6, found.said
    most = 2.5 * MOST_OFF if N_TRUTHS < 200 else MOST_OFF
    assert found.off < most, found.said
    for wrong in ({"solution": Solution(1e-4, 1)}, {"rule": Rule.DPS, "steps": 60}):
        worse = covered(family, **wrong)
        assert worse.off > most and not worse.passes, worse.said


def test_a_posterior_that_is_too_narrow_is_found() -> None:
    """Numbers drawn around data, as wide as they should be and three fifths of that."""
    rng = np.random.default_rng(1)
    truths = rng.normal(size=(400, 3, 3))
    data = truths + rng.normal(size=truths.shape)
    spread = rng.normal(size=(400, 19, 3, 3))
    for width, is_right in ((0.5**0.5, True), (0.6 * 0.5**0.5, False)):
        draws = 0.5 * data[:, None] + width * spread
        off = np.abs(expected_coverage(truths, draws, np.random.default_rng(2))[1]).max()
        ranks = np.sum(draws[:, :, 1, 1] < truths[:, None, 1, 1], axis=1)
        p_value = uniformity(ranks, 19, np.random.default_rng(3))
        assert (off < MOST_OFF) == is_right and (p_value > 0.01) == is_right, (width, off, p_value)
