"""How likely a fitted picture is as one galaxy: two are less likely than one, and what cannot be told is not told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Scene, make_source
from deblend.measure import one_galaxy
from deblend.measure.one_galaxy import log_prob_as_one
from deblend.priors import PixelCNN, generated_stamps, packaged_path, read_model


@pytest.fixture(scope="module")
def scene(systems: Any) -> Scene:
    """A generated galaxy as pixels, the same one with a twin beside it, and a galaxy of the default kind; and what
    cannot be told: a star, a large galaxy and one of two components."""
    one = generated_stamps(32, 1, seed=5).held_out[0][1:, 1:]
    two = one + 0.8 * np.roll(one, (6, -7), axis=(0, 1))

    def pixels(picture: np.ndarray, x: float) -> Any:
        source = source_of("free-form", radius=15, at=(x, 20.0))
        own = source.components[0].morphology.pixels
        return systems.with_morphology(source, pixels=own.at(picture / picture.sum()))

    double = source_of("galaxy")
    double = replace(double, components=double.components * 2)
    others = source_of("galaxy"), source_of("point"), source_of("sersic", half_light_radius=8.0), double
    return systems.scene().add(pixels(one, 18.0), pixels(two, 26.0), *others)


def source_of(kind: str, at: tuple[float, float] = (30.0, 30.0), **options: Any) -> Any:
    return make_source(kind, *at, n_channels=2, flux=(50.0, 50.0), **options)


def test_two_galaxies_are_less_likely_as_one_than_one_is(
    scene: Scene, systems: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = systems.program([systems.blank()], scene)
    told = log_prob_as_one(program)
    np.testing.assert_array_equal(np.isfinite(told), [True, True, True, False, False, False])
    assert told[0] - told[1] > 80.0
    # the picture itself, with other noise: a draw scatters by √(32² / 2) = 23 nats, of which four are averaged
    prior, _ = read_model(packaged_path("pixelcnn"))
    assert isinstance(prior, PixelCNN)
    stamp = np.pad(generated_stamps(32, 1, seed=5).held_out[0][1:, 1:], ((1, 0), (1, 0)))
    noises = prior.noise * np.random.default_rng(1).standard_normal((32, 32, 32))
    drawn = eqx.filter_jit(lambda p, x: jax.vmap(p.log_prob)(x))(prior, jnp.asarray(stamp + noises, jnp.float32))
    assert told[0] == pytest.approx(float(np.mean(drawn)), abs=45.0)
    monkeypatch.setattr(one_galaxy, "LEARNED_SIGMA", 1.2)
    assert not np.any(np.isfinite(log_prob_as_one(program)))
