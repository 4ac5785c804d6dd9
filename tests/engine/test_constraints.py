"""What constraints ask of a picture; each can be off, and is then really off."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.constraints import inward_weights, monotonicity_residual, symmetry_residual, turned

SIDE = 15
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] - SIDE // 2
ROUND = 5.0 * np.exp(-0.5 * (ROWS**2 + COLUMNS**2) / 6.0)


def test_every_pixel_looks_inward_and_the_weights_share_out_one() -> None:
    weights = inward_weights(SIDE)
    total = weights.sum(axis=0)
    middle = SIDE // 2
    assert total[middle, middle] == 0
    total[middle, middle] = 1
    np.testing.assert_allclose(total, 1.0)
    assert np.all(weights >= 0)


def test_a_picture_that_falls_outward_has_no_residual() -> None:
    assert np.abs(monotonicity_residual(jnp.asarray(ROUND), jnp.asarray(1.0))).max() == 0


def test_light_outside_of_the_center_is_a_residual_in_proportion() -> None:
    lump = ROUND.copy()
    lump[2, 12] = 3.0
    residual = np.asarray(monotonicity_residual(jnp.asarray(lump), jnp.asarray(4.0)))
    # √strength times how far it outshines the three inside of it, of which the one on the diagonal counts most
    inner = (lump[3, 11] + np.sqrt(0.5) * (lump[3, 12] + lump[2, 11])) / (1 + 2 * np.sqrt(0.5))
    assert residual[2, 12] == pytest.approx(2.0 * (3.0 - inner), rel=1e-4)
    assert np.count_nonzero(residual) == 1


def test_symmetry_asks_nothing_of_a_symmetric_picture_and_the_difference_of_others() -> None:
    for picture in (ROUND, ROUND + turned(ROUND * (1 + COLUMNS)) + ROUND * (1 + COLUMNS)):
        residual = symmetry_residual(jnp.asarray(picture), jnp.asarray(picture), jnp.asarray(1.0))
        assert np.abs(residual).max() < 1e-5
    lump = np.zeros((SIDE, SIDE))
    lump[3, 4] = 0.01
    residual = np.asarray(symmetry_residual(jnp.asarray(lump), jnp.asarray(lump), jnp.asarray(2.0)))
    assert residual[3, 4] == pytest.approx(2.0 * 0.01 / np.sqrt(2), rel=0.01)
    assert residual[11, 10] == pytest.approx(-residual[3, 4])


@pytest.mark.parametrize("constraint", ["symmetry", "monotonicity"])
def test_a_strength_of_zero_asks_nothing_and_writes_nothing(constraint: str) -> None:
    """A constraint wrapped to be gentle was a no-op once, because the inner one worked in place."""
    rng = np.random.default_rng(2)
    picture = rng.normal(size=(SIDE, SIDE))
    before = picture.copy()

    def residual(strength: float) -> np.ndarray:
        p, s = jnp.asarray(picture), jnp.asarray(strength)
        return np.asarray(symmetry_residual(p, p, s) if constraint == "symmetry" else monotonicity_residual(p, s))

    assert np.abs(residual(0.0)).max() == 0
    weak, strong = np.sum(residual(0.25) ** 2), np.sum(residual(1.0) ** 2)
    assert 0 < weak < strong
    np.testing.assert_array_equal(picture, before)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("constraint", ["symmetry", "monotonicity"])
def test_gradients_are_those_of_finite_differences(constraint: str) -> None:
    rng = np.random.default_rng(3)
    picture, lagged, way = (jnp.asarray(rng.normal(size=(SIDE, SIDE))) for _ in range(3))

    def value(p: jax.Array) -> jax.Array:
        one = jnp.asarray(0.7)
        r = symmetry_residual(p, lagged, one) if constraint == "symmetry" else monotonicity_residual(p, one)
        return 0.5 * jnp.sum(r**2)

    measured = (value(picture + 1e-7 * way) - value(picture - 1e-7 * way)) / 2e-7
    assert float(jnp.sum(jax.grad(value)(picture) * way)) == pytest.approx(float(measured), rel=1e-5)
