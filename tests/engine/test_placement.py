"""The prior of where a source is: a Cauchy distribution around where it was placed."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.program.placement import prior_energy, prior_precision
from deblend.scene import CENTER_SCATTER

FWHM = 3.5
"""About that of the shared scenes [pix]."""


class Priors(NamedTuple):
    """What of a group's data the prior reads."""

    theta_mean: Any
    theta_precision: Any


def priors(n_shape: int = 2) -> Priors:
    precision = np.r_[np.full(2, 1 / CENTER_SCATTER), np.full(n_shape, 0.7)]
    return Priors(jnp.zeros((1, 2 + n_shape)), jnp.asarray(precision[None]))


@pytest.mark.usefixtures("double")
def test_it_is_a_bivariate_cauchy_distribution() -> None:
    """-2 ln p of the density (1 + q/3)^(-3/2); other numbers of a shape keep their Gaussian."""
    theta = jnp.array([[0.4, -1.1, 0.5, 2.0]])
    q = (0.4**2 + 1.1**2) / CENTER_SCATTER**2
    expected = -2 * np.log((1 + q / 3) ** -1.5) + 0.7**2 * (0.5**2 + 2.0**2)
    np.testing.assert_allclose(prior_energy(priors(), theta), [expected], rtol=1e-12)


@pytest.mark.usefixtures("double")
def test_at_its_top_it_is_the_gaussian_of_that_scatter() -> None:
    hessian = jax.hessian(lambda t: 0.5 * prior_energy(priors(), t[None])[0])(jnp.zeros(4))
    np.testing.assert_allclose(hessian, np.diag(np.asarray(priors().theta_precision[0]) ** 2), atol=1e-9)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("distance", [0.0, 0.2, 1.0, 3.0])
def test_the_frozen_quadratic_touches_it_and_lies_above(distance: float, rng: np.random.Generator) -> None:
    """What a step minimizes has the gradient of the prior at hand and never promises more than the prior gives."""
    data, at = priors(), jnp.array([[distance, 0.0, 0.3, -0.2]])
    weight = prior_precision(data, at) ** 2
    gradient = jax.grad(lambda t: 0.5 * prior_energy(data, t)[0])(at)
    np.testing.assert_allclose(weight * at, gradient, rtol=1e-10, atol=1e-12)
    others = jnp.asarray(rng.normal(size=(200, 4)) * 2.0)
    rise = 0.5 * jnp.sum(weight * (others**2 - at**2), axis=1)
    actual = 0.5 * jnp.concatenate([prior_energy(data, o[None]) - prior_energy(data, at) for o in others])
    assert np.all(actual <= rise + 1e-9)


def test_its_pull_is_bounded_and_falls() -> None:
    distance = np.linspace(0.01, 10.0, 400)
    pull = [float(prior_precision(priors(), jnp.array([[d, 0.0, 0.0, 0.0]]))[0, 0] ** 2 * d) for d in distance]
    most = np.sqrt(3.0) / (2.0 * CENTER_SCATTER)
    assert max(pull) == pytest.approx(most, rel=1e-3)
    assert distance[int(np.argmax(pull))] == pytest.approx(np.sqrt(3.0) * CENTER_SCATTER, abs=0.03)
    assert pull[-1] < 0.2 * most


@pytest.mark.slow
def test_a_bright_star_told_two_pixels_off_comes_home(systems: Any) -> None:
    """Noise moves a star of S/N 200 by 0.01 px an axis; a Gaussian prior kept it 0.07 px away."""
    truth = systems.scene(("point", 18.3, 20.6, (300.0, 420.0)), ("point", 26.4, 21.2, (200.0, 150.0)))
    observation = systems.observe(truth)
    star, neighbor = truth.sources
    for angle in (0.0, 2.1, 4.2):
        wrong = star.moved(star.x + 2.0 * np.cos(angle), star.y + 2.0 * np.sin(angle))
        told = systems.without_fluxes(truth.with_sources([wrong, neighbor]))
        found = systems.fit(told, [observation]).run().scene.sources[0]
        assert np.hypot(found.x - star.x, found.y - star.y) < 0.05
