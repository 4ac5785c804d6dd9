"""Posteriors by diffusion, on a blend of Gaussian pictures of which the posterior is known from dense algebra."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.infer.diffusion import (
    Blend,
    Diffusion,
    DiffusionSettings,
    Problem,
    Rule,
    Solution,
    all_at_once,
)
from deblend.infer.diffusion.data_share import Scatter, data_share, exact_data_share, variance_of
from deblend.infer.metropolis import metropolis
from deblend.priors import GaussianPrior, NoDensityError, Scheme, generated_stamps, on_box

SIDE, N_SOURCES, N_DRAWS = 16, 2, 64
NOISE = 0.03
BEST = 20
"""Directions that the data tell most of, in which draws may not be biased."""
FULL = Solution(1e-4, 60)


@dataclass(frozen=True, eq=False)
class Exact:
    """A problem, with the mean and covariance of its posterior."""

    problem: Problem
    mean: np.ndarray
    covariance: np.ndarray
    best: np.ndarray
    """Functionals of the pictures, (pixel, functional), of unit posterior variance."""

    def scores(self, draws: np.ndarray) -> tuple[float, float, float]:
        """Return of draws how far their mean is off over the Monte-Carlo floor, their scatter over the true one, and
        the root mean square bias in the best measured directions [σ]."""
        flat = draws.reshape(len(draws), -1).astype(np.float64)
        off, trace = flat.mean(axis=0) - self.mean, np.trace(self.covariance)
        floor = (trace / len(draws)) ** 0.5
        bias = float(np.sqrt(np.mean((self.best.T @ off) ** 2)))
        return float(np.linalg.norm(off) / floor), float(flat.var(axis=0, ddof=1).sum() / trace), bias


def passes(scores: tuple[float, float, float], least: float = 0.93) -> bool:
    """Tell whether draws are those of the posterior: mean at the Monte-Carlo floor, scatter, bias."""
    offset, trace, bias = scores
    return offset <= 1.3 and least <= trace <= 1.07 and bias <= 0.2


@pytest.fixture(scope="module")
def exact() -> Exact:
    """Two galaxies of the generator's Gaussian, three bands, PSFs of different widths."""
    prior = GaussianPrior.fitted(generated_stamps(SIDE, 300, seed=3).learn[:, :SIDE, :SIDE], rank=24, floor=0.01)
    radius = np.hypot(*(np.indices((11, 11)) - 5))
    psfs = np.array([np.exp(-0.5 * (radius / sigma) ** 2) for sigma in (0.9, 1.05, 1.2)])
    psfs /= psfs.sum(axis=(1, 2), keepdims=True)
    spectra = np.array([[1.0, 0.4], [0.8, 0.8], [0.5, 1.1]])
    weights = np.full((3, SIDE, SIDE), NOISE**-2.0, np.float32)
    operator = Blend.of(spectra, psfs, weights, np.array([[-1.0, -1.0], [2.0, 1.0]]))
    rng = np.random.default_rng(0)
    one, picture = prior.covariance(), np.asarray(prior.mean, np.float64).ravel()
    covariance, mean = np.kron(np.eye(N_SOURCES), one), np.tile(picture, N_SOURCES)
    truth = (mean + np.linalg.cholesky(covariance) @ rng.normal(size=mean.size)).reshape(operator.shape)
    data = tuple(
        np.asarray(d) + rng.normal(size=d.shape).astype(np.float32) for d in operator(jnp.asarray(truth, jnp.float32))
    )
    basis = np.eye(mean.size, dtype=np.float32).reshape(-1, *operator.shape)
    a = np.asarray(jax.vmap(lambda e: operator(e)[0].ravel())(basis), np.float64).T
    gain = np.linalg.solve(a @ covariance @ a.T + np.eye(len(a)), a @ covariance).T
    posterior = covariance - gain @ a @ covariance
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    values, vectors = np.linalg.eigh(root @ posterior @ root.T)
    best = root.T @ vectors[:, :BEST] / np.sqrt(values[:BEST])
    problem = Problem(prior, operator, tuple(map(jnp.asarray, data)), prior)
    return Exact(problem, mean + gain @ (data[0].ravel() - a @ mean), posterior, best)


def drawn(exact: Exact, solution: Solution = FULL, n: int = N_DRAWS, **settings: object) -> np.ndarray:
    return all_at_once(exact.problem, DiffusionSettings(solution=solution, **settings), n, seed=1)  # type: ignore[arg-type]


def test_a_blend_and_its_transpose_are_transposes(exact: Exact) -> None:
    operator, rng = exact.problem.operator, np.random.default_rng(2)
    x = rng.normal(size=operator.shape).astype(np.float32)
    u = rng.normal(size=exact.problem.data[0].shape).astype(np.float32)
    across = np.vdot(operator(x)[0], u), np.vdot(x, operator.transposed((u,)))
    size = float(np.linalg.norm(operator(x)[0]) * np.linalg.norm(u))
    assert float(across[0]) == pytest.approx(float(across[1]), abs=1e-5 * size)


def test_moment_matching_draws_the_posterior_and_one_iteration_does_not(exact: Exact) -> None:
    """The mean of 64 draws is off by 1 ± 0.1 floors, the trace of a few dozen directions known to 3 %."""
    scores = exact.scores(drawn(exact))
    assert passes(scores), scores
    scores = exact.scores(drawn(exact, Solution(1e-4, 1)))
    assert not passes(scores) and scores[0] > 2.0 and scores[2] > 0.3, scores


def test_the_baseline_is_no_posterior(exact: Exact) -> None:
    scores = exact.scores(drawn(exact, rule=Rule.DPS, steps=100))
    assert not passes(scores) and scores[0] > 2.0, scores


def test_jacobian_free_draws_the_posterior_where_its_gaussian_is_the_prior(exact: Exact) -> None:
    scores = exact.scores(drawn(exact, rule=Rule.JFPS))
    assert passes(scores), scores


def test_split_gibbs_draws_the_posterior_but_for_a_little_in_its_mean(exact: Exact) -> None:
    """Scatter and bias as `passes` has them (the trace is known to 2 %); rounds that end leave about as much in the
    mean as 160 draws are uncertain by: 1.5 floors together."""
    offset, trace, bias = exact.scores(drawn(exact, n=160, rule=Rule.SPLIT_GIBBS, steps=60))
    assert offset <= 1.8 and 0.93 <= trace <= 1.07 and bias <= 0.2, (offset, trace, bias)


# -- watched ---------------------------------------------------------------------------------------------------


def test_draws_are_the_same_watched_or_not_and_after_a_stop(exact: Exact) -> None:
    settings = DiffusionSettings(rule=Rule.JFPS, steps=6, solution=FULL)
    expected = all_at_once(exact.problem, settings, 2, seed=7)
    watched = Diffusion(exact.problem, settings, n_draws=2, seed=7)
    stages = [next(watched) for _ in range(4)]
    watched.cancel()
    assert list(watched) == []
    watched.resume()
    stages += list(watched)
    assert [s.step for s in stages] == [1, 2, 3, 4, 5, 6] * 2 and [s.draw for s in stages] == [0] * 6 + [1] * 6
    assert all(a.sigma > b.sigma for a, b in pairwise(stages[:6])) and stages[5].sigma == 0.0
    found = np.array([s.pictures for s in stages if s.is_draw])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not np.allclose(found[0], found[1])
    estimate = stages[4].estimate
    assert np.abs(estimate - found[0]).max() < 0.5 * np.abs(stages[0].estimate - found[0]).max()
    assert watched.n_done == 2


def test_settings_that_make_no_sense_are_told(exact: Exact) -> None:
    problem = exact.problem
    with pytest.raises(ValueError, match="steps must be at least 2"):
        DiffusionSettings(steps=1)
    with pytest.raises(ValueError, match="n_draws must be at least 1"):
        Diffusion(problem, n_draws=0)
    with pytest.raises(ValueError, match="seed must not be negative"):
        Diffusion(problem, seed=-1)
    alone = Problem(problem.prior, problem.operator, problem.data)
    with pytest.raises(ValueError, match="give the problem a reference"):
        Diffusion(alone, DiffusionSettings(rule=Rule.JFPS))
    with pytest.raises(ValueError, match="bring the prior to that shape"):
        Problem(on_box(problem.prior, (8, 8)), problem.operator, problem.data)
    assert DiffusionSettings().scheme is Scheme.HEUN


# -- Metropolis ------------------------------------------------------------------------------------------------


def one_number() -> Problem:
    """A normal prior of variance 1 and a datum of 2 ± 1: the posterior is N(1, ½)."""
    one = np.ones((1, 1), np.float32)
    prior = GaussianPrior(0.0 * one, np.zeros((1, 1, 1), np.float32), one)
    operator = Blend.of(np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1), np.float32))
    return Problem(prior, operator, (jnp.full((1, 1, 1), 2.0, jnp.float32),))


def test_metropolis_draws_a_known_posterior() -> None:
    draws, accepted = metropolis(one_number(), 20_000, step=1.0, seed=3, thin=4)
    # about independent draws: mean to 0.005, variance to 1 %
    assert draws.mean() == pytest.approx(1.0, rel=0.05) and draws.var() == pytest.approx(0.5, rel=0.05)
    assert 0.4 < accepted < 0.98


def test_metropolis_refuses_a_prior_that_only_knows_its_score() -> None:
    problem = one_number()
    wide = GaussianPrior(np.zeros((2, 2)), np.zeros((1, 2, 2)), np.ones((2, 2)))
    only_score = Problem(on_box(wide, (1, 1)), problem.operator, problem.data)
    with pytest.raises(NoDensityError, match="Metropolis sampler accepts or refuses a step by the density"):
        metropolis(only_score, 10, step=1.0)


# -- what the data say -----------------------------------------------------------------------------------------


def test_what_data_say_against_the_prior_is_exact_for_a_gaussian(exact: Exact) -> None:
    """As dense algebra has it, to a thousandth; of 64 draws to a few times √(2 / 64) of what is the prior's; and
    nothing where all is masked and pixels know nothing of each other."""
    prior = exact.problem.prior
    assert isinstance(prior, GaussianPrior)
    variance = variance_of(prior)
    expected = 1.0 - np.diagonal(exact.covariance).reshape(-1, SIDE, SIDE) / variance
    told = exact_data_share(exact.problem)
    np.testing.assert_allclose(told, expected, atol=1e-3)
    assert told.max() > 0.9 and told.min() > -1e-3
    scatter = Scatter()
    for draw in drawn(exact, rule=Rule.JFPS):
        scatter.add(draw)
    assert scatter.variance is not None
    off = data_share(scatter.variance, variance) - expected
    assert np.sqrt(np.mean((off / np.maximum(1.0 - expected, 0.02)) ** 2)) < 3.0 * (2.0 / N_DRAWS) ** 0.5
    # a sharp PSF, pixels by themselves, half of the frame masked
    alone = GaussianPrior(0.0 * variance, np.zeros((1, SIDE, SIDE)), np.full((SIDE, SIDE), 0.2))
    weights = np.full((1, SIDE, SIDE), 100.0, np.float32)
    weights[:, :, SIDE // 2 :] = 0.0
    sharp = Blend.of(np.ones((1, 1)), np.ones((1, 1, 1)), weights)
    (half,) = exact_data_share(Problem(alone, sharp, (jnp.zeros((1, SIDE, SIDE), jnp.float32),)))
    np.testing.assert_allclose(half[:, : SIDE // 2], 0.04 / (0.04 + 0.01), atol=1e-4)
    np.testing.assert_allclose(half[:, SIDE // 2 :], 0.0, atol=1e-6)
