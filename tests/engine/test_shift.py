"""Sub-pixel shifts of pixel pictures, which give free-form sources a center that can be fitted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.render import shift_matrix
from deblend.render.shift import bessel_i0_of_square
from deblend.scene import MODEL_PSF_SIGMA

SIDE = 41


def blob(x: float, y: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)


@pytest.mark.parametrize("sigma", [MODEL_PSF_SIGMA, 1.5, 3.0])
@pytest.mark.parametrize("shift", [(0.5, -0.5), (0.7, 0.25), (-1.4, 2.1)])
def test_a_well_sampled_picture_is_moved_by_what_is_asked(shift: tuple[float, float], sigma: float) -> None:
    x, y = shift
    moved = shift_matrix(jnp.asarray(y), SIDE) @ blob(0, 0, sigma) @ shift_matrix(jnp.asarray(x), SIDE).T
    # the model PSF of 0.85 px is the narrowest that there is; it has a thousandth of its power beyond Nyquist
    np.testing.assert_allclose(moved, blob(x, y, sigma), atol=4e-3 if sigma < 1 else 5e-4)


def test_no_shift_is_the_identity_and_whole_pixels_are_exact() -> None:
    np.testing.assert_allclose(shift_matrix(jnp.asarray(0.0), SIDE), np.eye(SIDE), atol=1e-6)
    np.testing.assert_allclose(shift_matrix(jnp.asarray(2.0), SIDE), np.eye(SIDE, k=-2), atol=1e-6)


@pytest.mark.parametrize("offset", [0.1, 0.5, -0.7])
def test_a_shift_keeps_the_flux(offset: float) -> None:
    line = blob(0, 0, 2.0)[SIDE // 2]
    moved = np.asarray(shift_matrix(jnp.asarray(offset), SIDE) @ line)
    assert moved.sum() == pytest.approx(line.sum(), rel=1e-3)


def test_there_and_back_is_where_it_was() -> None:
    line = blob(0, 0, 1.5)[SIDE // 2]
    back = shift_matrix(jnp.asarray(-0.6), SIDE) @ (shift_matrix(jnp.asarray(0.6), SIDE) @ line)
    np.testing.assert_allclose(back, line, atol=1e-3)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("offset", [0.0, 0.3, 1.0, -0.5])
def test_the_derivative_is_that_of_finite_differences_and_never_zero(offset: float) -> None:
    line = jnp.asarray(blob(0, 0, 2.0)[SIDE // 2])
    moved = jax.jit(lambda t: shift_matrix(t, SIDE) @ line)
    slope = jax.jit(jax.jacfwd(moved))(jnp.asarray(offset, jnp.float64))
    measured = (moved(offset + 1e-6) - moved(offset - 1e-6)) / 2e-6
    # the window ends with a step of 2 % of its top: at whole pixels both sides of it are a derivative
    np.testing.assert_allclose(slope, measured, atol=2e-3 if offset == round(offset) else 1e-8)
    assert float(jnp.abs(slope).max()) > 0.2


def test_the_bessel_function_in_the_window() -> None:
    z = np.array([0.0, 0.5, 3.0, 6.0])
    np.testing.assert_allclose(bessel_i0_of_square(jnp.asarray(z**2)), np.i0(z), rtol=2e-6)
