"""Priors with a density, pixel after pixel: nothing is seen ahead, densities are densities, and draws are of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.priors import GaussianPrior, generated_stamps, packaged_path, read_model, require_density, write_model
from deblend.priors.heads import Head
from deblend.priors.lessons import noisy_stamps
from deblend.priors.made import Made
from deblend.priors.pixel_cnn import PixelCNN, bits_per_pixel, new_pixel_cnn
from deblend.priors.training import Training, TrainingSettings

SIDE = 16
SETTINGS = TrainingSettings(steps=30, batch=16, learning_rate=3e-3, check_every=15, width=8, depth=2, head="gaussian")


@pytest.fixture(scope="module")
def trained() -> Training:
    training = Training(generated_stamps(SIDE, 128, seed=4), SETTINGS, "pixelcnn")
    assert len(list(training)) == 2
    return training


def stirred(prior: PixelCNN) -> PixelCNN:
    """Return a prior whose last layer says something, as after training; not so much that draws run away."""
    weight = 0.03 * jax.random.normal(jax.random.key(5), prior.network.leave.weight.shape)
    return eqx.tree_at(lambda p: p.network.leave.weight, prior, weight)


@pytest.mark.parametrize("head", Head)
def test_nothing_is_told_of_a_pixel_by_what_comes_after(head: Head) -> None:
    """The Jacobian is exactly zero on and above the raster diagonal, and the probabilities of a pixel sum to 1."""
    stamps = generated_stamps(SIDE, 40, seed=4).held_out
    cnn = stirred(new_pixel_cnn(jax.random.key(0), stamps, 0.02, head, width=8, depth=2, rank=8))
    made = Made(jax.random.key(1), (3, 3), hidden=24, head=head)
    told_by_cnn = jax.jit(lambda x: cnn.told(x.reshape(SIDE, SIDE)).reshape(SIDE**2, -1))
    for told, x in ((told_by_cnn, stamps[0].ravel()), (made.told, np.linspace(-1.0, 1.0, 9, dtype=np.float32))):
        jacobian = np.abs(np.asarray(jax.jacfwd(told)(jnp.asarray(x)))).sum(axis=1)
        assert np.all(np.triu(jacobian) == 0.0)
        assert np.all(np.tril(jacobian, -1).sum(axis=1)[1:] > 0.0)
    grid = jnp.linspace(-60.0, 60.0, 24001)
    numbers = jax.random.normal(jax.random.key(2), (head.size,))
    density = jnp.exp(head.log_prob(grid, jnp.broadcast_to(numbers, (len(grid), head.size))))
    assert float(jnp.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-3)


def test_a_network_that_has_learned_nothing_is_the_gaussian_of_all_stamps() -> None:
    stamps = generated_stamps(SIDE, 200, seed=4).held_out
    cnn = new_pixel_cnn(jax.random.key(0), stamps, 0.02, Head.GAUSSIAN, width=8, depth=2, rank=8)
    x = jnp.asarray(noisy_stamps(stamps[:2], 0.02, 0))
    for each in x:
        assert float(cnn.log_prob(each)) == pytest.approx(float(cnn.gaussian.log_prob(each)), rel=1e-4)
        np.testing.assert_allclose(
            cnn.denoise(each, jnp.float32(0.05)), cnn.gaussian.denoise(each, jnp.float32(0.05)), atol=1e-4
        )


def test_training_beats_the_gaussian_and_is_read_as_it_was_written(trained: Training, tmp_path: Path) -> None:
    card = trained.card()["held_out"]
    assert card["bits_per_pixel"] < card["bits_per_pixel_of_its_gaussian"]
    path = tmp_path / "density.safetensors"
    write_model(path, trained.best, trained.card())
    prior, told = read_model(path)
    assert isinstance(prior, PixelCNN) and told["architecture"]["head"] == "gaussian"
    require_density(prior, "A test")
    x = jnp.asarray(noisy_stamps(trained.stamps.held_out[:1], prior.noise, 1)[0])
    # numbers are kept to three digits: hundredths of a bit per pixel
    assert float(prior.log_prob(x)) == pytest.approx(float(trained.best.log_prob(x)), abs=0.02 * SIDE**2)
    again = Training(trained.stamps, replace(SETTINGS, steps=31), "pixelcnn")
    trained.keep(tmp_path / "kept.training")
    again.resume(tmp_path / "kept.training")
    assert again.step == 30 and not again.has_ended


def test_the_density_of_the_package_beats_its_gaussian_as_its_card_says() -> None:
    prior, card = read_model(packaged_path("pixelcnn"))
    assert isinstance(prior, PixelCNN) and packaged_path("pixelcnn").stat().st_size < 2e6
    told = card["held_out"]
    assert told["bits_per_pixel"] < told["bits_per_pixel_of_full_covariance_gaussian"]
    x = jnp.asarray(noisy_stamps(generated_stamps(32, 1, seed=77).held_out, prior.noise, 0))
    own, gaussian = (
        bits_per_pixel(np.asarray(jax.jit(jax.vmap(p.log_prob))(x)), 32**2) for p in (prior, prior.gaussian)
    )
    # of 32 stamps, whose bits scatter by 0.15
    assert own == pytest.approx(told["bits_per_pixel"], abs=0.08) and own < gaussian - 0.1


def test_draws_are_of_the_density_and_take_each_layer_once_per_pixel(trained: Training) -> None:
    prior = stirred(trained.best)
    draws = eqx.filter_jit(lambda prior, key: prior.sample(key, 64))(prior, jax.random.key(3))
    # u of its own draws: each is a standard normal number of its own Gaussian
    told = jax.vmap(prior.told)(draws)
    z = (jax.vmap(prior.whitened)(draws) - told[..., 0]) * jnp.exp(-told[..., 1])
    z = np.asarray(z, np.float64)
    n = z.size
    assert abs(z.mean()) < 5.0 / n**0.5 and abs(z.var() - 1.0) < 5.0 * (2.0 / n) ** 0.5
    assert draws.shape == (64, SIDE, SIDE) and np.all(np.isfinite(draws))


def test_made_learns_an_exact_density() -> None:
    """Of correlated Gaussian numbers the mean log density is minus their entropy; draws have their covariance."""
    import optax

    rng = np.random.default_rng(0)
    root = np.array([[1.0, 0.0, 0.0, 0.0], [0.8, 0.6, 0.0, 0.0], [0.0, 0.5, 0.7, 0.0], [-0.4, 0.0, 0.3, 0.5]])
    entropy = float(np.sum(np.log(np.diag(root))) + 2.0 * np.log(2.0 * np.pi * np.e))
    made = Made(jax.random.key(0), (2, 2), hidden=32)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 600))
    state = optimizer.init(eqx.filter(made, eqx.is_array))

    @eqx.filter_jit
    def step(made, state, x):  # type: ignore[no-untyped-def]
        loss, slope = eqx.filter_value_and_grad(lambda m: -jnp.mean(jax.vmap(m.log_prob)(x)))(made)
        update, state = optimizer.update(slope, state)
        return eqx.apply_updates(made, update), state, loss

    def batch(n: int) -> jax.Array:
        return jnp.asarray((rng.normal(size=(n, 4)) @ root.T).reshape(n, 2, 2), jnp.float32)

    for _ in range(600):
        made, state, _ = step(made, state, batch(256))
    fresh = batch(4000)
    # the mean of 4000 values of variance 2 is known to 0.022
    assert -float(jnp.mean(jax.vmap(made.log_prob)(fresh))) == pytest.approx(entropy, abs=0.08)
    draws = np.asarray(made.sample(jax.random.key(1), 4000)).reshape(-1, 4)
    np.testing.assert_allclose(np.cov(draws.T), root @ root.T, atol=0.12)
    gaussian = GaussianPrior(np.zeros((2, 2)), root.T.reshape(4, 2, 2), np.full((2, 2), 1e-3))
    x, sigma = jnp.asarray([[0.5, -0.3], [1.0, 0.2]]), jnp.float32(0.7)
    np.testing.assert_allclose(made.denoise(x, sigma), gaussian.denoise(x, sigma), atol=0.1)
    with pytest.raises(ValueError, match="MADE is for stamps of 2 to 256 pixels"):
        Made(jax.random.key(0), (32, 32))
