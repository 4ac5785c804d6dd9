"""Monotonic operators and floods, against passes written out pixel by pixel and dense solutions of the same problem."""

from __future__ import annotations

from collections import deque
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

from deblend.constraints import (
    connected,
    cut_outward,
    inward_weights_about,
    monotonic_mask,
    monotonic_part,
    nearest_monotonic,
    symmetric,
)
from deblend.constraints import monotonicity as monotonicity_module
from deblend.constraints.inward import NEIGHBOURS, inner_mean, inward_weights, transposed
from deblend.scene import INWARD_WEIGHTS

SIDE = 9
CENTERS = [(0.0, 0.0), (0.3, -0.4), (-2.5, 1.0)]
WEIGHTS = jax.jit(inward_weights_about, static_argnums=0)
CUT, NEAREST = jax.jit(cut_outward), jax.jit(nearest_monotonic)
LADDER = np.arange(25.0).reshape(5, 5)
"""The worked example of the field."""


def weights_of(choice: str, center: Any = (0.0, 0.0), side: int = SIDE) -> np.ndarray:
    index = np.asarray(INWARD_WEIGHTS.index(choice), np.int32)
    return np.asarray(WEIGHTS(side, np.asarray(center, float), index))


def dense(weights: np.ndarray) -> np.ndarray:
    """Return the weights as a matrix over pixels."""
    side = weights.shape[1]
    matrix = np.zeros((side**2, side**2))
    for plane, (dy, dx) in zip(weights, NEIGHBOURS, strict=True):
        for y, x in zip(*np.nonzero(plane), strict=True):
            matrix[y * side + x, (y + dy) * side + x + dx] = plane[y, x]
    return matrix


def test_the_worked_example() -> None:
    """S = arange(25) as 5 × 5: nearest, g = 0, and symmetry at full strength."""
    cut = CUT(LADDER, weights_of("nearest", side=5), 0.0, 1.0)
    expected = LADDER.copy()
    expected[2], expected[3], expected[4] = [10, 11, 12, 12, 12], [11, 12, 12, 12, 12], [12] * 5
    np.testing.assert_array_equal(cut, expected)
    np.testing.assert_allclose(symmetric(jnp.asarray(LADDER), jnp.zeros(2), jnp.asarray(1.0)), 12.0, rtol=1e-6)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("center", CENTERS)
def test_weights_look_at_the_nearer_neighbours_and_share_out_one(center: tuple[float, float]) -> None:
    y, x = np.meshgrid(*(np.arange(SIDE) - SIDE // 2 - c for c in center), indexing="ij")
    distance = np.hypot(y, x)
    for choice in INWARD_WEIGHTS:
        matrix = dense(weights_of(choice, center))
        total = matrix.sum(axis=1)
        assert set(np.round(total, 12)) == {0.0, 1.0}
        for i, j in zip(*np.nonzero(matrix), strict=True):
            assert distance.flat[j] < distance.flat[i]
        if choice == "flat":
            # of every pixel, all neighbours that are nearer
            for i in range(SIDE**2):
                near = [
                    k
                    for k in range(SIDE**2)
                    if max(abs(k // SIDE - i // SIDE), abs(k % SIDE - i % SIDE)) == 1
                    and distance.flat[k] < distance.flat[i] - 1e-12
                ]
                assert list(np.nonzero(matrix[i])[0]) == near
        if choice == "nearest":
            assert set(np.count_nonzero(matrix, axis=1)) <= {0, 1}
    np.testing.assert_allclose(inward_weights(SIDE), weights_of("angle"), atol=1e-12)


@pytest.mark.usefixtures("double")
def test_transposed_weights_are_the_adjoint(rng: np.random.Generator) -> None:
    weights = jnp.asarray(weights_of("angle", CENTERS[1]))
    p, q = (jnp.asarray(rng.normal(size=(SIDE, SIDE))) for _ in range(2))
    there, back = jnp.sum(inner_mean(weights, p) * q), jnp.sum(p * inner_mean(transposed(weights), q))
    assert float(there) == pytest.approx(float(back), rel=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("choice", INWARD_WEIGHTS)
def test_a_cut_is_the_pass_from_the_center_outward(
    choice: str, center: tuple[float, float], rng: np.random.Generator
) -> None:
    picture, weights = rng.uniform(size=(SIDE, SIDE)), weights_of(choice, center)
    y, x = np.meshgrid(*(np.arange(SIDE) - SIDE // 2 - c for c in center), indexing="ij")
    matrix, expected, tolerance = dense(weights), picture.ravel().copy(), 0.07
    for i in np.argsort(np.hypot(y, x), axis=None, kind="stable"):
        if matrix[i].any():
            expected[i] = min(expected[i], (1 - tolerance) * matrix[i] @ expected)
    np.testing.assert_allclose(np.ravel(CUT(picture, weights, tolerance, 1.0)), expected, atol=1e-14)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("choice", INWARD_WEIGHTS)
def test_the_nearest_monotonic_picture_is_that_of_a_dense_active_set(
    choice: str, center: tuple[float, float], rng: np.random.Generator
) -> None:
    weights, tolerance = weights_of(choice, center), 0.04
    matrix = (1 - tolerance) * dense(weights)
    has_inner = matrix.any(axis=1)
    excess = (np.eye(SIDE**2) - matrix)[has_inner]
    for picture in (rng.normal(size=(SIDE, SIDE)), np.hypot(*np.mgrid[-4:5, -4:5])):
        # x = s − Lᵀ u, with u ≥ 0 that brings it nearest to 0 (the cone and its polar)
        multipliers, _ = nnls(excess.T, picture.ravel(), maxiter=2000)
        expected = picture.ravel() - excess.T @ multipliers
        nearest = np.ravel(NEAREST(picture, weights, tolerance, 1.0, sweeps=5000))
        np.testing.assert_allclose(nearest, expected, atol=1e-10)
        assert (excess @ nearest).max() < 1e-12 * 50
        cut = np.ravel(CUT(picture, weights, tolerance, 1.0))
        assert np.linalg.norm(nearest - picture.ravel()) < np.linalg.norm(cut - picture.ravel())


def test_a_blend_of_usual_size_is_solved_within_the_sweeps_and_keeps_its_flux(rng: np.random.Generator) -> None:
    """In single precision; of a cone that holds all constant pictures, projections keep the sum."""
    y, x = np.mgrid[-15:16, -15:16]
    blend = 20 * np.exp(-0.5 * (y**2 + 1.5 * x**2) / 16) + 12 * np.exp(-0.5 * ((y - 6) ** 2 + (x - 5) ** 2) / 6)
    blend = (blend + rng.normal(size=blend.shape)).astype(np.float32)
    weights = weights_of("angle", side=31).astype(np.float32)
    zero, one = np.float32(0), np.float32(1)
    nearest = np.asarray(NEAREST(blend, weights, zero, one, sweeps=monotonicity_module.SWEEPS))
    assert nearest.sum() == pytest.approx(blend.sum(), rel=1e-5)
    excess = np.where(weights.sum(axis=0) > 0, nearest - inner_mean(jnp.asarray(weights), jnp.asarray(nearest)), 0.0)
    assert excess.max() < 1e-4
    # where it has converged more sweeps are not made
    np.testing.assert_array_equal(NEAREST(blend, weights, zero, one, sweeps=4 * monotonicity_module.SWEEPS), nearest)
    assert np.asarray(CUT(blend, weights, zero, one)).sum() < 0.8 * blend.sum()


def flooded(picture: np.ndarray, center: tuple[int, int], rule: Any) -> np.ndarray:
    """Return what is reached from a pixel, with a queue."""
    reached, queue = np.zeros(picture.shape, bool), deque([center])
    reached[center] = True
    while queue:
        y, x = queue.popleft()
        for there in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= there[0] < picture.shape[0] and 0 <= there[1] < picture.shape[1]
            if inside and not reached[there] and rule(picture[y, x], picture[there]):
                reached[there] = True
                queue.append(there)
    return reached


@pytest.mark.parametrize("offset", [(0, 0), (2, -3)])
def test_floods_reach_what_a_queue_reaches(offset: tuple[int, int], rng: np.random.Generator) -> None:
    y, x = np.mgrid[-10:11, -10:11]
    middle = (10 + offset[0], 10 + offset[1])
    picture = (3 * np.exp(-np.hypot(y - offset[0], x - offset[1]) / 5) + rng.normal(size=y.shape)).astype(np.float32)
    picture[middle] = 4.0
    # anywhere in the central pixel is the center
    center = np.asarray(offset, np.float32) + np.float32(0.4)
    lit = flooded(picture, middle, lambda here, there: there > 0)
    kept = np.asarray(jax.jit(connected)(picture, center, 1.0))
    np.testing.assert_array_equal(kept, np.where(lit, picture, 0))
    assert 0 < lit.sum() < (picture > 0).sum()
    for tolerance in (0.0, 0.6):
        falling = flooded(picture, middle, lambda here, there, t=tolerance: there <= here + np.float32(t))
        np.testing.assert_array_equal(jax.jit(monotonic_mask)(picture, center, np.float32(tolerance)), falling)
        part = jax.jit(monotonic_part)(picture, center, np.float32(tolerance), np.float32(0.5))
        np.testing.assert_allclose(part, np.where(falling, picture, 0.5 * picture), rtol=1e-6)


def test_a_maze_is_followed_to_its_end_and_a_dark_center_holds_nothing() -> None:
    maze = np.zeros((SIDE, SIDE), np.float32)
    maze[4, 4:] = maze[4:, 8] = maze[8, :] = maze[:, 0] = maze[0, :5] = 1.0
    centered, one = np.zeros(2, np.float32), np.float32(1)
    np.testing.assert_array_equal(jax.jit(connected)(maze, centered, one), maze)
    maze[4, 4] = 0.0
    assert np.abs(jax.jit(connected)(maze, centered, one)).max() == 0
