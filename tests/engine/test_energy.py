"""Priors that are energies: denoisers that are gradients, with densities that samplers may accept or refuse by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from deblend.commands.train import KINDS
from deblend.infer.diffusion import Blend, Problem
from deblend.infer.metropolis import metropolis
from deblend.infer.picture_nuts import picture_nuts
from deblend.priors import (
    AbstractDensityPrior,
    AbstractEnergyPrior,
    AbstractNormalizedPrior,
    AbstractPrior,
    EnergyPrior,
    GaussianPrior,
    NoDensityError,
    Stamps,
    behind,
    on_box,
    read_model,
    require_density,
    scaled,
    tempered,
    write_model,
)
from deblend.priors.energy import new_energy_prior
from deblend.priors.lessons import LESSONS
from deblend.priors.model_file import READERS
from deblend.priors.score import new_score_prior
from deblend.priors.training import Training, TrainingSettings

SIDE = 16
SETTINGS = TrainingSettings(steps=150, batch=32, learning_rate=5e-3, check_every=150, width=8, deep_width=8)
LEARNED_BEHIND = 0.1
"""Noise behind which a learned density is compared [the scatter of a pixel]."""


class GaussianEnergy(AbstractEnergyPrior):
    """The energy of a Gaussian: what a network would have learned of it at best."""

    gaussian: GaussianPrior
    levels: tuple[float, float] = eqx.field(static=True, default=(1e-4, 10.0))

    @property
    def shape(self) -> tuple[int, int]:
        return self.gaussian.shape

    def energy(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        # of another constant at every level, as energies are
        return 7.0 * sigma - self.gaussian.log_prob_behind(x, sigma)


class OnlyItsScore(AbstractPrior):
    """The same denoiser, and no more."""

    prior: AbstractPrior

    @property
    def shape(self) -> tuple[int, int]:
        return self.prior.shape

    @property
    def levels(self) -> tuple[float, float]:
        return self.prior.levels

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        return self.prior.denoise(x, sigma)


def covariance(side: int) -> np.ndarray:
    """Return that of a field that is the same everywhere and in all directions, with a scatter of 0.1."""
    y, x = np.indices((side, side)).reshape(2, -1)
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    result: np.ndarray = 0.01 * (0.8 * np.exp(-0.5 * (distance / 2.0) ** 2) + 0.2 * np.eye(side**2))
    return result


def fields(side: int, n: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((n, side**2)) @ np.linalg.cholesky(covariance(side)).T
    return drawn.reshape(n, side, side).astype(np.float32)


def gaussian_of(covariance: np.ndarray, side: int) -> GaussianPrior:
    values, axes = np.linalg.eigh(covariance)
    floor = 0.9 * values[0]
    modes = (np.sqrt(values - floor) * axes).T.reshape(-1, side, side)
    return GaussianPrior(np.zeros((side, side)), modes.astype(np.float32), np.full((side, side), floor**0.5))


def stirred(prior: EnergyPrior) -> EnergyPrior:
    """Return a prior whose last layer says something, as after training."""
    weight = 0.1 * jax.random.normal(jax.random.key(5), prior.network.leave.weight.shape)
    return eqx.tree_at(lambda p: p.network.leave.weight, prior, weight)


@eqx.filter_jit
def told(prior: AbstractDensityPrior, x: Float[Array, "picture y x"]) -> Float[Array, " picture"]:
    return jax.vmap(prior.log_prob)(x)


def log_probs(prior: AbstractPrior, x: Float[Array, "picture y x"]) -> np.ndarray:
    return np.asarray(told(require_density(prior, "A test"), x), np.float64)


def noisy(trained: Training) -> tuple[Float[Array, "picture y x"], np.ndarray]:
    """Return held-out pictures behind noise, and the true logarithms of their density."""
    noise = LEARNED_BEHIND * np.random.default_rng(6).standard_normal((64, SIDE, SIDE))
    x = jnp.asarray(trained.stamps.held_out + noise, jnp.float32)
    exact = gaussian_of(covariance(SIDE) + LEARNED_BEHIND**2 * np.eye(SIDE**2), SIDE)
    return x, log_probs(exact, x)


@pytest.fixture(scope="module")
def trained() -> Training:
    training = Training(Stamps(fields(SIDE + 1, 1000, 0), fields(SIDE, 64, 1), "a Gaussian field"), SETTINGS, "energy")
    assert len(list(training)) == 1
    return training


# -- gradients -------------------------------------------------------------------------------------------------


def test_the_denoiser_is_the_gradient_of_the_energy_and_so_conservative() -> None:
    """Against finite differences; its Jacobian is symmetric, and that of the U-Net by itself is not."""
    prior = stirred(new_energy_prior(jax.random.key(0), SIDE, 8, 8))
    x, along, across = (0.1 * jax.random.normal(jax.random.key(k), (SIDE, SIDE)) for k in (1, 2, 3))
    sigma, step = jnp.float32(0.1), 0.02

    @eqx.filter_jit
    def jacobian(prior: AbstractPrior) -> tuple[Array, Array, Array]:
        """Return the denoised picture, and what two products with the Jacobian differ by that a symmetric one has in
        common, next to their size."""
        clean, push = jax.linearize(lambda x: prior.denoise(x, sigma), x)
        one, other = jnp.vdot(across, push(along)), jnp.vdot(along, push(across))
        return clean, jnp.abs(one - other), jnp.abs(one) + jnp.abs(other)

    pictures = jnp.stack([x, x + step * along, x - step * along])
    least = dataclasses.replace(prior, levels=(float(sigma), 3.0))
    energies = -np.asarray(log_probs(least, pictures), np.float64)
    clean, asymmetry, size = jacobian(prior)
    told = float(jnp.vdot(x - clean, along)) / float(sigma) ** 2
    assert (energies[1] - energies[2]) / (2.0 * step) == pytest.approx(told, rel=2e-3, abs=2e-3)
    assert float(asymmetry) < 1e-3 * float(size)
    free = eqx.tree_at(lambda p: p.network, new_score_prior(jax.random.key(0), SIDE, 8, 8), prior.network)
    _, asymmetry, size = jacobian(free)
    assert float(asymmetry) > 0.1 * float(size)


def test_an_energy_of_a_gaussian_is_that_gaussian_through_all_wrappers() -> None:
    gaussian = gaussian_of(covariance(8), 8)
    prior = GaussianEnergy(gaussian)
    x, other = jnp.asarray(fields(8, 2, 3))
    sigma = jnp.float32(0.05)
    wide = gaussian_of(covariance(8) + 0.03**2 * np.eye(64), 8)
    for found, exact in (
        (prior, gaussian),
        (scaled(prior, 3.0), scaled(gaussian, 3.0)),
        (tempered(prior, 2.0), tempered(gaussian, 2.0)),
        (behind(prior, 0.03), wide),
        (scaled(behind(prior, 0.03), 2.0), scaled(wide, 2.0)),
    ):
        np.testing.assert_allclose(found.denoise(x, sigma), exact.denoise(x, sigma), atol=1e-5)
        mine, theirs = (np.diff(log_probs(each, jnp.stack([x, other]))) for each in (found, exact))
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-2)
        assert not isinstance(found, AbstractNormalizedPrior)
    assert on_box(prior, (8, 8)) is prior and isinstance(gaussian, AbstractNormalizedPrior)
    # what lies beyond a box would have to be integrated over, and a score behind noise is no density
    for cut in (on_box(prior, (6, 6)), behind(OnlyItsScore(prior), 0.03)):
        assert not isinstance(cut, AbstractDensityPrior)
    np.testing.assert_allclose(behind(OnlyItsScore(prior), 0.03).denoise(x, sigma), wide.denoise(x, sigma), atol=1e-5)
    with pytest.raises(ValueError, match="noise of pictures must be positive"):
        behind(prior, 0.0)


# -- samplers --------------------------------------------------------------------------------------------------


def one_number(prior: AbstractPrior) -> Problem:
    """A datum of 2 ± 1; under a normal prior of variance 1 the posterior is N(1, ½)."""
    operator = Blend.of(np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1), np.float32))
    one = np.ones((1, 1), np.float32)
    # a reference that is none too good: what is drawn is none of its business
    reference = GaussianPrior(0.3 * one, np.zeros((1, 1, 1), np.float32), 0.7 * one)
    return Problem(prior, operator, (jnp.full((1, 1, 1), 2.0, jnp.float32),), reference)


def normal() -> GaussianEnergy:
    one = np.ones((1, 1), np.float32)
    return GaussianEnergy(GaussianPrior(0.0 * one, np.zeros((1, 1, 1), np.float32), one))


def test_an_energy_of_a_normal_number_gives_its_posterior_and_its_score_alone_is_refused() -> None:
    """Of 20,000 draws by Metropolis steps, about independent, mean and variance to 0.005 and 1 %; of 4000 by NUTS to
    0.011 and 2.2 %."""
    problem = one_number(normal())
    draws, accepted = metropolis(problem, 20_000, step=1.0, seed=3, thin=4)
    assert draws.mean() == pytest.approx(1.0, rel=0.05) and draws.var() == pytest.approx(0.5, rel=0.05)
    assert 0.4 < accepted < 0.98
    found = picture_nuts(problem, 4000, seed=5)
    assert found.pictures.mean() == pytest.approx(1.0, rel=0.05)
    assert found.pictures.var() == pytest.approx(0.5, rel=0.05)
    assert found.n_divergent == 0 and found.pictures.shape == (4000, 1, 1, 1)
    score_only = one_number(OnlyItsScore(normal()))
    with pytest.raises(NoDensityError, match="Metropolis sampler accepts or refuses"):
        metropolis(score_only, 10, step=1.0)
    with pytest.raises(NoDensityError, match="NUTS accepts or refuses a step by the density"):
        picture_nuts(score_only, 10)


def test_nuts_draws_the_posterior_of_pictures() -> None:
    """Two pictures of 8 × 8 pixels in two bands, whose posterior dense algebra knows, in coordinates of another
    Gaussian. The mean of 400 draws that are about independent is off by 1 ± 0.1 Monte-Carlo floors, and the trace, of a
    few dozen directions, is known to 2 %."""
    side, n = 8, 400
    exact = covariance(side)
    rng = np.random.default_rng(2)
    psfs = np.array([np.exp(-0.5 * (np.hypot(*(np.indices((5, 5)) - 2)) / s) ** 2) for s in (0.8, 1.2)])
    psfs /= psfs.sum(axis=(1, 2), keepdims=True)
    weights = np.full((2, side, side), 0.05**-2.0, np.float32)
    operator = Blend.of(np.array([[1.0, 0.3], [0.4, 1.0]]), psfs, weights, np.array([[0.0, 1.0], [1.0, -1.0]]))
    data = operator(jnp.asarray(fields(side, 2, 4)))[0] + rng.standard_normal((2, side, side)).astype(np.float32)
    reference = gaussian_of(2.0 * exact + 0.02**2 * np.eye(side**2), side)
    problem = Problem(GaussianEnergy(gaussian_of(exact, side)), operator, (data,), reference)
    found = picture_nuts(problem, n, seed=1)

    basis = np.eye(2 * side**2, dtype=np.float32).reshape(-1, 2, side, side)
    seen = np.asarray(jax.vmap(lambda e: operator(e)[0].ravel())(basis), np.float64).T
    posterior = np.linalg.inv(np.kron(np.eye(2), np.linalg.inv(exact)) + seen.T @ seen)
    mean = posterior @ seen.T @ np.asarray(data, np.float64).ravel()
    flat = found.pictures.reshape(n, -1)
    off = np.linalg.norm(flat.mean(axis=0) - mean) / np.sqrt(np.trace(posterior) / n)
    trace = flat.var(axis=0, ddof=1).sum() / np.trace(posterior)
    assert off < 1.3 and 0.93 < trace < 1.07, (off, trace)
    assert found.n_divergent == 0 and found.acceptance > 0.6 and found.angle > 0.1


def test_nuts_of_pictures_tells_what_it_cannot_draw() -> None:
    problem = one_number(normal())
    alone = Problem(problem.prior, problem.operator, problem.data)
    with pytest.raises(ValueError, match="give the problem a reference"):
        picture_nuts(alone, 10)
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 100"):
        picture_nuts(problem, 0)
    side = 72
    flat = np.ones((side, side), np.float32)
    wide = GaussianPrior(0.0 * flat, np.zeros((1, side, side), np.float32), flat)
    operator = Blend.of(np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, side, side), np.float32))
    with pytest.raises(ValueError, match="up to 4096 pixels at once, got 5184"):
        picture_nuts(Problem(wide, operator, (jnp.zeros((1, side, side)),)), 10)


# -- learning --------------------------------------------------------------------------------------------------


def test_a_learned_energy_comes_near_the_density_of_its_population(trained: Training) -> None:
    """Log densities of a Gaussian of 256 pixels scatter by √128 = 11.3 nats, to a tenth for 64 of them. What was
    learned in 150 steps tells those behind noise of 0.1 to 3, and what has learned nothing to 12."""
    x, true = noisy(trained)
    assert 9.0 < true.std() < 14.0
    # a constant is not known
    assert np.std(log_probs(behind(trained.finished(), LEARNED_BEHIND), x) - true) < 4.0
    assert np.std(log_probs(behind(new_energy_prior(jax.random.key(0), SIDE, 8, 8), LEARNED_BEHIND), x) - true) > 6.0


def test_an_energy_is_read_as_it_was_written(trained: Training, tmp_path: Path) -> None:
    path = tmp_path / "energy.safetensors"
    write_model(path, trained.finished(), trained.card(name="test"))
    prior, card = read_model(path)
    assert isinstance(prior, EnergyPrior) and card["kind"] == "energy" and "energy" in card["what"]
    assert prior.shape == (SIDE, SIDE) and prior.levels == trained.best.levels
    x, _ = noisy(trained)
    mine, read = (log_probs(behind(each, LEARNED_BEHIND), x) for each in (trained.finished(), prior))
    # numbers are kept to three digits, and constants do not count
    assert 0.0 < np.std(read - mine) < 0.3
    beside = path.with_suffix(".json")
    beside.write_text(beside.read_text().replace('"kind": "energy"', '"kind": "decoder"'))
    with pytest.raises(ValueError, match="kind 'decoder'"):
        read_model(path)


def test_all_that_can_be_learned_can_be_asked_for() -> None:
    assert set(KINDS) == set(LESSONS) == set(READERS)
