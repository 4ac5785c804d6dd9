"""Losses from outside of the package, added to χ² or in its place, by the solvers of optax."""

from __future__ import annotations

from itertools import islice
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import FitSettings, Observation, Scene, compilations, fit, make_source
from tests.engine.conftest import NOISE


class Robust(eqx.Module):
    """½ (ν + 1) Σ ln(1 + r² / ν): Student's t with ν degrees of freedom, which pixels far off hardly pull."""

    images: Any
    noise: Any
    degrees: float = 3.0

    def __call__(self, models: tuple[Any, ...]) -> Any:
        residual = (models[0] - self.images) / self.noise
        return 0.5 * (self.degrees + 1.0) * jnp.sum(jnp.log1p(residual**2 / self.degrees))


@pytest.fixture(scope="module")
def truth(systems: Any) -> Scene:
    scene: Scene = systems.scene(("point", 20.3, 22.6, (400.0, 500.0)), ("point", 30.4, 25.7, (300.0, 260.0)))
    return scene


@pytest.fixture(scope="module")
def spoiled(systems: Any, truth: Scene) -> Observation:
    """Return an image in which a few pixels near a star are far off, and not masked."""
    images = systems.model(truth) + np.random.default_rng(2).normal(size=(2, 48, 48)) * NOISE[:, None, None]
    for y, x in ((21, 22), (24, 20), (23, 23)):
        images[:, y, x] += 60.0
    weights = np.broadcast_to(NOISE[:, None, None] ** -2.0, images.shape)
    observation: Observation = systems.seen(images, None, weights=weights)
    return observation


def start(systems: Any, truth: Scene) -> Scene:
    scene: Scene = systems.without_fluxes(truth)
    return scene


def test_a_robust_loss_in_the_place_of_chi2(systems: Any, truth: Scene, spoiled: Observation) -> None:
    robust = Robust(jnp.asarray(spoiled.images, jnp.float32), jnp.asarray(NOISE[:, None, None], jnp.float32))
    settings = FitSettings(solver="yogi", max_iterations=40)
    begun = start(systems, truth)
    plain = fit(begun, [spoiled], settings).run().scene.fluxes[0]
    better = fit(begun, [spoiled], settings, loss=robust, replaces_data=True).run().scene.fluxes[0]
    true = truth.fluxes[0]
    assert np.all(np.abs(plain / true - 1.0) > 0.1)
    assert np.all(np.abs(better / true - 1.0) < 0.04)


@pytest.mark.parametrize("solver", ["adam", "yogi"])
def test_a_loss_that_is_added(systems: Any, truth: Scene, solver: str) -> None:
    """All of the light is asked to be 600 nJy in the first band, twenty times as strongly as data tell."""
    observation = systems.observe(truth)

    def together(models: tuple[Any, ...]) -> Any:
        return 0.5 * ((jnp.sum(models[0][0]) - 600.0) / 0.4) ** 2

    settings = FitSettings(solver=solver, max_iterations=40, tolerance=1e-6)
    states = list(fit(start(systems, truth), [observation], settings, loss=together))
    assert np.all(np.diff([state.loss for state in states]) <= 0)
    assert states[-1].model()[0].sum() == pytest.approx(600.0, abs=5.0)
    # the other band knows nothing of it
    assert states[-1].scene.fluxes[:, 1].sum() == pytest.approx(760.0, rel=0.03)


def test_a_fit_goes_on_from_any_position_and_edits_compile_nothing(systems: Any, truth: Scene) -> None:
    observation = systems.observe(truth)

    def smooth(models: tuple[Any, ...]) -> Any:
        return 1e-4 * jnp.sum(jnp.diff(models[0], axis=1) ** 2)

    settings = FitSettings(solver="yogi", max_iterations=20, tolerance=1e-6)
    whole = [state.loss for state in islice(fit(start(systems, truth), [observation], settings, loss=smooth), 6)]
    running = fit(start(systems, truth), [observation], settings, loss=smooth)
    list(islice(running, 3))
    kept = running._position
    for expected in whole[3:]:
        assert kept is not None
        kept = running._solver.advance(kept)
        assert kept.loss == pytest.approx(expected, rel=1e-6)
    before = compilations()
    running.edit(running.state.scene.add(make_source("point", 10.0, 10.0, n_channels=2)))
    next(running)
    assert compilations() == before


def test_other_solvers_take_no_loss(systems: Any, truth: Scene) -> None:
    with pytest.raises(ValueError, match="'adam' or 'yogi'"):
        fit(truth, [systems.observe(truth)], loss=lambda models: jnp.sum(models[0]))


def test_a_loss_is_one_number(systems: Any, truth: Scene) -> None:
    running = fit(truth, [systems.observe(truth)], FitSettings(solver="yogi"), loss=lambda models: models[0])
    with pytest.raises(ValueError, match="one number"):
        next(running)
