"""Starlets: exact sums of structures, and an adjoint that is one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import convolve1d

from deblend.render.starlet import default_scales, from_starlets, smoothed, starlets, starlets_adjoint

SHAPES = [(15, 15), (12, 21)]


def atrous(picture: np.ndarray, n_scales: int) -> np.ndarray:
    """Return the transform with holes in the filter written out, by SciPy's convolution on a mirrored picture."""
    planes = []
    for scale in range(n_scales):
        taps = np.zeros(4 * 2**scale + 1)
        taps[:: 2**scale] = np.array([1, 4, 6, 4, 1]) / 16
        smooth = convolve1d(convolve1d(picture, taps, axis=0, mode="reflect"), taps, axis=1, mode="reflect")
        planes.append(picture - smooth)
        picture = smooth
    return np.array([*planes, picture])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("shape", SHAPES)
def test_structures_are_those_of_the_filter_with_holes_and_sum_to_the_picture(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    picture = rng.normal(size=shape)
    # the widest filter of the last scale is wider than the picture
    coefficients = jax.jit(starlets, static_argnums=1)(picture, 4)
    np.testing.assert_allclose(coefficients, atrous(picture, 4), atol=1e-14)
    np.testing.assert_allclose(from_starlets(coefficients), picture, atol=1e-14)
    # structures hold no flux, and the smooth rest has all of it
    np.testing.assert_allclose(np.sum(coefficients[:-1], axis=(1, 2)), 0.0, atol=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_adjoint_is_one(shape: tuple[int, int], rng: np.random.Generator) -> None:
    picture, dual = rng.normal(size=shape), rng.normal(size=(5, *shape))
    forward, back = jax.jit(starlets, static_argnums=1)(picture, 4), jax.jit(starlets_adjoint)(dual)
    assert float(np.sum(forward * dual)) == pytest.approx(float(np.sum(picture * back)), rel=1e-12)
    (by_jax,) = jax.linear_transpose(lambda p: starlets(p, 4), jnp.asarray(picture))(jnp.asarray(dual))
    np.testing.assert_allclose(back, by_jax, atol=1e-13)


def test_reconstruction_is_exact_in_single_precision(rng: np.random.Generator) -> None:
    picture = rng.normal(size=(31, 31)).astype(np.float32)
    again = from_starlets(starlets(picture, default_scales(31)))
    np.testing.assert_allclose(again, picture, atol=5e-7)


def test_a_point_is_fine_structure_and_a_plain_smooth() -> None:
    plain = np.full((15, 15), 3.0, np.float32)
    np.testing.assert_allclose(starlets(plain, 3)[:-1], 0.0, atol=1e-6)
    point = np.zeros((15, 15), np.float32)
    point[7, 7] = 1.0
    assert float(starlets(point, 3)[0, 7, 7]) == pytest.approx(1 - (6 / 16) ** 2, rel=1e-6)
    assert float(np.sum(smoothed(jnp.asarray(point), 2))) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("side", "scales"), [(3, 1), (15, 2), (31, 3), (63, 4), (127, 5)])
def test_scales_grow_with_the_logarithm_of_the_side(side: int, scales: int) -> None:
    assert default_scales(side) == scales
    # the last filter reaches no farther than the picture is wide
    assert 2 ** (scales + 1) <= max(side + 1, 4)
