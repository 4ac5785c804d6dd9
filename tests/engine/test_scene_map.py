"""The linear map from pictures to what telescopes see, against the program's own models; and draws through it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Scene
from deblend.infer.diffusion import Diffusion, DiffusionSettings, Problem, Rule
from deblend.infer.diffusion.scene_map import SeenPictures, seen_pictures
from deblend.priors import GaussianPrior

SHAPE = (32, 32)


@pytest.fixture(scope="module")
def scene(systems: Any) -> Scene:
    """Two galaxies that overlap, and a star that nobody asks for."""
    return systems.scene(
        ("galaxy", 20.3, 22.4, (900.0, 1300.0), {"half_light_radius": 2.6}),
        ("galaxy", 27.1, 25.8, (700.0, 500.0), {"half_light_radius": 2.0}),
        ("point", 38.2, 12.4, (300.0, 420.0)),
    )


@pytest.fixture(scope="module")
def seen(systems: Any, scene: Scene) -> SeenPictures:
    return seen_pictures(scene, [systems.observe(scene, seed=3)], SHAPE)


def test_fitted_pictures_are_seen_as_the_program_sees_them(systems: Any, scene: Scene, seen: SeenPictures) -> None:
    galaxies = replace(scene, sources=scene.sources[:2])
    expected = systems.program([systems.blank()], galaxies).model() / systems.noise[:, None, None]
    (found,) = seen.operator(jnp.asarray(seen.fitted, jnp.float32))
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
    assert seen.fitted.max(axis=(1, 2)) == pytest.approx(1.0)
    np.testing.assert_allclose(
        seen.fluxes(seen.fitted), [s.components[0].spectrum.value for s in galaxies.sources], rtol=1e-4
    )


def test_what_is_not_sought_is_taken_from_the_data(seen: SeenPictures) -> None:
    residual = np.asarray(seen.data[0] - seen.operator(jnp.asarray(seen.fitted, jnp.float32))[0])
    # 4608 pixels of unit noise
    assert residual.std() == pytest.approx(1.0, abs=0.04)


def test_the_map_and_its_transpose_are_transposes(seen: SeenPictures) -> None:
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=seen.operator.shape), jnp.float32)
    u = tuple(jnp.asarray(rng.normal(size=d.shape), jnp.float32) for d in seen.data)
    forward = seen.operator(x)
    size = float(sum(jnp.linalg.norm(a) * jnp.linalg.norm(b) for a, b in zip(forward, u, strict=True)))
    across = float(sum(jnp.vdot(a, b) for a, b in zip(forward, u, strict=True)))
    assert across == pytest.approx(float(jnp.vdot(x, seen.operator.transposed(u))), abs=1e-5 * size)


def test_draws_explain_the_data_through_the_renderer(seen: SeenPictures) -> None:
    """Under a broad Gaussian around nothing, pictures come to where the data want them, to the noise."""
    index = np.hypot(*(np.indices(SHAPE) - 16.0))
    broad = (0.5 * np.exp(-0.5 * (index / 5.0) ** 2) + 1e-3).astype(np.float32)
    prior = GaussianPrior(np.zeros(SHAPE, np.float32), np.zeros((1, *SHAPE), np.float32), broad, (1e-3, 5.0))
    problem = Problem(prior, seen.operator, seen.data, prior)
    (draw,) = Diffusion(problem, DiffusionSettings(rule=Rule.JFPS, steps=8), seed=2).draws()
    residual = np.asarray(seen.data[0] - seen.operator(jnp.asarray(draw))[0])
    before = np.asarray(seen.data[0])
    assert np.mean(residual**2) < 1.1 < 0.1 * np.mean(before**2)


def test_scenes_that_are_not_for_it_are_told(systems: Any, scene: Scene) -> None:
    observations = [systems.blank()]
    with pytest.raises(ValueError, match="no source 'nobody'"):
        seen_pictures(scene, observations, SHAPE, ["nobody"])
    with pytest.raises(ValueError, match="has no galaxies"):
        seen_pictures(replace(scene, sources=scene.sources[2:]), observations, SHAPE)
    with pytest.raises(ValueError, match="must be square"):
        seen_pictures(scene, observations, (32, 16))
    with pytest.raises(ValueError, match="detect them and fit"):
        seen_pictures(systems.empty(), observations, SHAPE)
