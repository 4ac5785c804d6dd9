"""Galaxies that a network draws: as a prior of pictures, as a kind of source, and as a lesson."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import (
    FitSettings,
    Observation,
    Program,
    empty_scene,
    fit,
    forget_morphology,
    make_source,
    measure,
    register_morphology,
    sample,
    scene_from_positions,
)
from deblend.detect.rescaled import rescaled
from deblend.observe import gaussian_psf
from deblend.priors import (
    DecodedGalaxies,
    VaePrior,
    draw_picture,
    generated_stamps,
    packaged_path,
    read_model,
    write_model,
)
from deblend.priors.flow import new_flow, uncoupled
from deblend.priors.flow_training import surprise
from deblend.priors.lessons import VaeLesson
from deblend.priors.tables import packaged_decoder
from deblend.priors.training import Training, TrainingSettings
from deblend.priors.vae import aligned, half_light_radii, new_vae
from deblend.render.decoded import LATENT, decoded_derivatives, decoded_light, flown
from deblend.scene import LEARNED_SIGMA, N_LATENT, Vae
from deblend.scene.vae import LOG_SIZE_AT_ZERO, LOG_SIZE_PER_LATENT, VAE_LARGEST

SETTINGS = TrainingSettings(steps=300, batch=16, check_every=100, seed=3, width=32, latent=4, learning_rate=5e-3)


@pytest.fixture(scope="module")
def packaged() -> VaePrior:
    prior, _ = read_model(packaged_path("vae"))
    assert isinstance(prior, VaePrior)
    return prior


@pytest.fixture(scope="module")
def galaxies() -> np.ndarray:
    """Return galaxies of a seed that nothing was learned of."""
    lesson = VaeLesson
    return generated_stamps(48, 64, 77, None, lesson.radii_of_side, lesson.center_jitter).learn[:, :48, :48]


@pytest.fixture(scope="module")
def trained() -> Training:
    training = Training(generated_stamps(16, 128, seed=4), SETTINGS, "vae")
    for _ in training:
        pass
    return training


def theta_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([[0.31, -0.42], 0.8 * rng.normal(size=N_LATENT)])


# -- the prior -------------------------------------------------------------------------------------------------


def test_galaxies_that_were_not_learned_of_are_drawn_again(packaged: VaePrior, galaxies: np.ndarray) -> None:
    drawn = np.asarray(jax.vmap(lambda x: packaged.decode(packaged.latent_of(x)))(jnp.asarray(galaxies)))
    assert drawn.min() >= 0
    assert np.sqrt(np.mean((drawn - galaxies) ** 2)) < 0.015
    light = drawn.sum((1, 2)) / galaxies.sum((1, 2)) - 1
    assert np.median(np.abs(light)) < 0.04 and abs(np.mean(light)) < 0.04


def test_the_first_number_says_how_large_a_galaxy_is(packaged: VaePrior, galaxies: np.ndarray) -> None:
    assert packaged.sizes == pytest.approx((LOG_SIZE_AT_ZERO, LOG_SIZE_PER_LATENT), abs=1e-4)
    first = np.asarray(jax.vmap(packaged.latent_of)(jnp.asarray(galaxies)))[:, 0]
    guessed = np.exp(LOG_SIZE_AT_ZERO + LOG_SIZE_PER_LATENT * first)
    off = guessed / half_light_radii(galaxies) - 1
    assert np.median(np.abs(off)) < 0.2 and np.quantile(np.abs(off), 0.9) < 0.5


def test_a_turn_changes_what_numbers_stand_for_and_nothing_else(galaxies: np.ndarray) -> None:
    prior = new_vae(jax.random.key(1), 48, 6, 16)
    turned = aligned(prior, galaxies[:16])
    assert np.allclose(turned.turn @ turned.turn.T, np.eye(6), atol=1e-5)
    for stamp in galaxies[:3]:
        same = turned.decode(turned.latent_of(jnp.asarray(stamp)))
        assert np.allclose(same, prior.decode(prior.latent_of(jnp.asarray(stamp))), atol=1e-5)
    # behind the first, numbers are in the order of what they change
    slopes = jax.vmap(jax.jacfwd(turned.decode))(jax.vmap(turned.latent_of)(jnp.asarray(galaxies[:16])))
    power = np.sum(np.asarray(slopes, float) ** 2, axis=(0, 1, 2))[1:]
    assert np.all(np.diff(power) <= 1e-4 * power[0])


def test_a_flow_goes_back_and_knows_by_how_much_it_stretches() -> None:
    flow = new_flow(jax.random.key(3), 5, n_couplings=4, width=8)
    rng = np.random.default_rng(4)
    flow = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, jnp.float32), flow)
    vector = jnp.asarray(rng.normal(size=5), jnp.float32)
    there = flown(flow, vector)
    back, stretch = uncoupled(flow, there)
    assert np.allclose(back, vector, atol=1e-4)
    _, volume = np.linalg.slogdet(np.asarray(jax.jacfwd(lambda w: flown(flow, w))(vector), float))
    assert float(stretch) == pytest.approx(volume, abs=1e-3) and abs(volume) > 0.1


def test_a_flow_knows_where_galaxies_are(packaged: VaePrior, galaxies: np.ndarray) -> None:
    """That of the package: more than ten nats a galaxy over a normal ball; less than one of 100 numbers beyond 3."""
    behind = jax.vmap(lambda x: packaged.encode(x)[0])(jnp.asarray(galaxies))
    assert float(surprise(packaged.flow, behind)) < float(jnp.mean(0.5 * jnp.sum(behind**2, axis=1))) - 10.0
    latent = np.asarray(jax.vmap(packaged.latent_of)(jnp.asarray(galaxies)))
    assert 0.7 < latent.std() < 1.15 and np.mean(np.abs(latent) > 3) < 0.01


def test_noise_is_taken_away(packaged: VaePrior, galaxies: np.ndarray) -> None:
    """At a tenth of the peak, what is left is less than a fifth of the noise, and less than by what galaxies differ."""
    sigma, rng = 0.1, np.random.default_rng(1)
    noisy = galaxies[:16] + sigma * rng.normal(size=galaxies[:16].shape)
    clean = jax.jit(jax.vmap(lambda x: packaged.denoise(x, jnp.float32(sigma))))(jnp.asarray(noisy, jnp.float32))
    left = np.sqrt(np.mean((np.asarray(clean) - galaxies[:16]) ** 2))
    assert left < 0.2 * sigma
    assert left < 0.5 * np.sqrt(np.mean((galaxies[:16] - galaxies.mean(0)) ** 2))


def test_the_most_likely_vector_is_a_minimum(packaged: VaePrior, galaxies: np.ndarray) -> None:
    noisy = jnp.asarray(galaxies[0] + 0.05 * np.random.default_rng(2).normal(size=(48, 48)), jnp.float32)

    def energy(z: Any) -> Any:
        return 0.5 * (jnp.sum((packaged.decode(z) - noisy) ** 2) / 0.05**2 + jnp.sum(z**2))

    best = packaged.most_likely(noisy, jnp.float32(0.05))
    slope = np.linalg.norm(jax.grad(energy)(best))
    assert slope < 0.05 * np.linalg.norm(jax.grad(energy)(jnp.zeros(N_LATENT)))


def test_draws_are_galaxies(packaged: VaePrior, galaxies: np.ndarray) -> None:
    """Extent and total light of draws are as of galaxies: medians within a quarter (64 and 128 of them; 8 and 6 % by
    chance)."""
    draws = np.asarray(packaged.sample(jax.random.key(5), 128))
    for told in (half_light_radii, lambda x: x.sum((1, 2))):
        assert np.median(told(draws)) == pytest.approx(np.median(told(galaxies)), rel=0.25)
    with pytest.raises(ValueError, match="at least 1"):
        packaged.sample(jax.random.key(5), 0)


# -- the kind --------------------------------------------------------------------------------------------------


def test_a_source_is_drawn_as_the_prior_has_it(packaged: VaePrior) -> None:
    decoder = packaged_decoder(np.dtype(np.float64))
    with jax.enable_x64(True):
        theta = jnp.asarray(theta_of(1)).at[:2].set(0.0)
        box = decoded_light(theta, 1.0, jnp.asarray(LEARNED_SIGMA**2), 47, decoder)
        stamp = packaged.decode(theta[LATENT])
    assert np.allclose(box, np.asarray(stamp)[1:, 1:], atol=2e-3 * np.asarray(stamp).max())


def test_derivatives_are_those_of_finite_differences() -> None:
    decoder = packaged_decoder(np.dtype(np.float64))
    step = 1e-5
    with jax.enable_x64(True):
        drawn = eqx.filter_jit(lambda t: decoded_light(t, 1.1, jnp.asarray(0.7), 31, decoder))
        theta = jnp.asarray(theta_of(2))
        tangents = np.asarray(decoded_derivatives(theta, 1.1, jnp.asarray(0.7), 31, decoder))
        for k in (0, 1, 2, 9, 33):
            nudge = jnp.zeros_like(theta).at[k].set(step)
            numeric = np.asarray(drawn(theta + nudge) - drawn(theta - nudge)) / (2 * step)
            assert np.allclose(tangents[k], numeric, rtol=1e-5, atol=1e-6 * np.abs(numeric).max())


@pytest.mark.parametrize("size", [0.6, 2.0, 5.0, 20.0])
def test_a_source_starts_as_large_as_it_is_told(size: float) -> None:
    start = Vae.start(size, 24)
    assert start.half_light_radius_guess == pytest.approx(size, rel=0.02)
    assert (start.scale > 1) == (size > VAE_LARGEST)
    assert start.with_half_light_radius(1.5 * size).half_light_radius_guess == pytest.approx(1.5 * size, rel=0.02)


def blend(seed: int, snr: float = 150.0) -> tuple[Observation, np.ndarray, np.ndarray]:
    """Return two irregular galaxies of different colors next to each other, their fluxes and places (y, x)."""
    rng = np.random.default_rng(seed)
    psf = gaussian_psf(3.0)
    places = np.array([[26.0, 24.0], [34.0, 37.0]])
    fluxes = np.array([[1.0, 2.0, 3.0], [2.0, 1.8, 1.2]])
    images = np.zeros((3, 64, 64))
    for (y, x), flux in zip(places.astype(int), fluxes, strict=True):
        picture = draw_picture(rng, 47, 3.0 / 2.3548, (2.5, 4.0), "irregular")
        images[:, y - 23 : y + 24, x - 23 : x + 24] += flux[:, None, None] * picture
    noise = fluxes.max() / snr / np.sqrt(4 * np.pi * 2.5**2)
    images += noise * rng.normal(size=images.shape)
    return Observation.from_arrays(images, [psf] * 3, np.full(images.shape, noise**-2)), fluxes, places


def test_irregular_galaxies_are_told_apart() -> None:
    """Two irregular galaxies at S/N 150: fluxes within a tenth, which a median of 5 % and three numbers each leave
    about once in a hundred; what is left over is noise."""
    observation, fluxes, places = blend(3)
    scene = scene_from_positions([observation], places[:, 1], places[:, 0], kind="vae")
    best = fit(scene, [observation], FitSettings()).run()
    assert np.allclose(best.scene.fluxes, fluxes, rtol=0.1)
    assert best.chi2 == pytest.approx(1.0, abs=0.03)
    # believed to be standard normal, and they are
    for source in best.scene.sources:
        latent = source.components[0].morphology.parameters["latent"].value
        assert 0.3 < np.sqrt(np.mean(latent**2)) < 1.5


def test_chains_want_its_pixels_held() -> None:
    observation, _, places = blend(3)
    scene = scene_from_positions([observation], places[:1, 1], places[:1, 0], kind="vae")
    with pytest.raises(ValueError, match="has free pixels"):
        sample(scene, [observation], "nuts", 2)


def test_a_source_on_finer_pixels_is_the_same_galaxy() -> None:
    source = make_source("vae", 20.0, 22.0, n_channels=1, flux=(5.0,), radius=12, half_light_radius=3.0)
    finer = rescaled(source, 1.5)
    morphology = finer.components[0].morphology
    assert morphology.half_light_radius_guess == pytest.approx(4.5, rel=0.02)
    assert morphology.parameters["correction"].value.shape == (2 * finer.radius + 1,) * 2


# -- the lesson ------------------------------------------------------------------------------------------------


def test_learning_lowers_the_loss_and_goes_on_as_if_it_had_not_been_broken_off(
    trained: Training, tmp_path: Path
) -> None:
    begun = trained.lesson.begun(jax.random.key(0))
    assert trained.trials[-1].loss < 0.5 * trained.lesson.tried(begun, trained.stamps.held_out, 3).loss
    again = Training(trained.stamps, SETTINGS, "vae")
    next(again)
    again.keep(tmp_path / "kept.training")
    resumed = Training(trained.stamps, SETTINGS, "vae")
    resumed.resume(tmp_path / "kept.training")
    for _ in resumed:
        pass
    assert resumed.trials[-1].loss == trained.trials[-1].loss


def test_it_comes_back_from_a_file_as_it_was(trained: Training, tmp_path: Path) -> None:
    prior = trained.finished()
    card = trained.card(**trained.lesson.measured(prior))
    assert len(card["scatter_of_numbers"]) == SETTINGS.latent
    write_model(tmp_path / "mine.safetensors", prior, card)
    back, card = read_model(tmp_path / "mine.safetensors")
    assert isinstance(back, VaePrior) and card["kind"] == "vae" and not card["calibration_proved"]
    assert back.sizes == prior.sizes
    latent = jnp.ones(SETTINGS.latent)
    # half precision
    assert np.allclose(back.decode(latent), prior.decode(latent), rtol=0.02, atol=1e-3)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="side of stamps must lie from 8 to 96"):
        new_vae(jax.random.key(0), 200, 8, 64)
    with pytest.raises(ValueError, match="2 to 128 latent numbers"):
        new_vae(jax.random.key(0), 32, 1, 64)


def test_a_decoder_of_ones_own_is_a_kind(trained: Training) -> None:
    prior = trained.finished()
    register_morphology(DecodedGalaxies(prior, "mine"))
    try:
        source = make_source("mine", 26.0, 34.0, n_channels=3, half_light_radius=1.5)
        first = source.components[0].morphology.parameters["latent"].value[0]
        at_zero, slope = prior.sizes
        seen = np.hypot(1.5, LEARNED_SIGMA * np.sqrt(2 * np.log(2)))
        assert np.exp(at_zero + slope * first) == pytest.approx(seen, rel=1e-3)
        observation, _, _ = blend(3)
        scene = scene_from_positions([observation], np.array([24.0]), np.array([26.0]), kind="mine")
        state = fit(scene, [observation], FitSettings(max_iterations=3)).run()
        assert np.all(np.isfinite(state.scene.fluxes)) and state.scene.sources[0].kind == "mine"
    finally:
        forget_morphology("mine")


@pytest.mark.slow
def test_a_posterior_under_a_decoder_is_drawn_by_chains(trained: Training) -> None:
    """80 draws of NUTS around the fit: the flux within three errors, and scattered as Gaussian errors say within a
    factor of 1.7 (8 % by chance, were draws independent)."""
    register_morphology(DecodedGalaxies(trained.finished(), "mine"))
    try:
        start = make_source("mine", 15.0, 15.0, n_channels=1, flux=(1.0,), half_light_radius=1.5)
        rng, blank = np.random.default_rng(1), np.ones((1, 32, 32))
        psf = gaussian_psf(3.0)[None]
        plain = Observation.from_arrays(np.zeros_like(blank), psf, blank)
        model = np.asarray(Program([plain], empty_scene([plain]).add(start)).model(), float)
        noise = float(np.sqrt((model**2).sum())) / 40.0
        seen = Observation.from_arrays(model + noise * rng.normal(size=model.shape), psf, blank / noise**2)
        best = fit(empty_scene([seen]).add(start), [seen]).run().scene
        table = measure(best, [seen]).table
        error = next(table[name].value[0] for name in table.colnames if name.startswith("flux_err"))
        fluxes = np.array([draw.scene.fluxes[0, 0] for draw in sample(best, [seen], "nuts", 80, n_chains=1)])
    finally:
        forget_morphology("mine")
    assert abs(fluxes.mean() - best.fluxes[0, 0]) < 3 * error
    assert error / 1.7 < fluxes.std() < 1.7 * error
