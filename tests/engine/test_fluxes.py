"""Fluxes given morphologies: the bounded linear problem, against solvers that know nothing of its structure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from deblend.program.columns import Column, clipped
from deblend.program.fluxes import NormalEquations

SHAPE = (20, 24)


class Problem:
    """Blobs in two bands of one observation and one band of another."""

    def __init__(self, centers: list[tuple[float, float]], seed: int = 4) -> None:
        rng = np.random.default_rng(seed)
        self.images = [rng.normal(2.0, 1.0, (2, *SHAPE)), rng.normal(1.0, 1.0, (1, *SHAPE))]
        self.weights = [rng.uniform(0.5, 2.0, image.shape) for image in self.images]
        self.weights[0][:, 3:5, 3:9] = 0
        self.columns = [self.column(x, y) for x, y in centers]
        self.normal = NormalEquations(self.images, self.weights)
        self.normal.update(self.columns)

    @staticmethod
    def column(x: float, y: float) -> tuple[Column, ...]:
        rows, columns = np.mgrid[:11, :11] - 5
        corner = round(y) - 5, round(x) - 5
        dy, dx = y - round(y), x - round(x)
        result = []
        for widths in ((1.5, 1.9), (2.2,)):
            patch = np.stack([np.exp(-0.5 * ((rows - dy) ** 2 + (columns - dx) ** 2) / w**2) for w in widths])
            result.append(clipped(patch, corner, SHAPE))
        return tuple(result)

    def design(self, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the whole, dense, weighted problem of a channel."""
        part, band = (1, 0) if channel == 2 else (0, channel)
        root = np.sqrt(self.weights[part][band])
        pictures = []
        for column in self.columns:
            picture = np.zeros(SHAPE)
            picture[column[part].window] = column[part].patch[band]
            pictures.append((root * picture).ravel())
        return np.array(pictures).T, (root * self.images[part][band]).ravel()


CENTERS = [(4.2, 4.7), (7.1, 6.3), (15.5, 11.2), (23.4, 18.9), (-1.0, 12.0)]


@pytest.fixture
def problem() -> Problem:
    return Problem(CENTERS)


def solved(problem: Problem, low: float = 0.0, high: float = np.inf, free: np.ndarray | None = None,
           start: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    shape = (len(problem.columns), 3)
    start = np.zeros(shape) if start is None else start
    free = np.ones(shape) if free is None else free
    return problem.normal.solve(start, free, np.full(shape, low), np.full(shape, high))


@pytest.mark.parametrize(("low", "high"), [(0.0, np.inf), (-np.inf, np.inf), (0.5, 1.5), (-1.0, 0.0)])
def test_the_solution_is_that_of_the_dense_problem(problem: Problem, low: float, high: float) -> None:
    problem.images[0][1] -= 2.5
    problem.normal = NormalEquations(problem.images, problem.weights)
    problem.normal.update(problem.columns)
    result = solved(problem, low, high)
    for channel in range(3):
        design, data = problem.design(channel)
        expected = lsq_linear(design, data, (low, high), method="bvls", tol=1e-12).x
        np.testing.assert_allclose(result[:, channel], expected, atol=1e-6)


def test_every_source_has_bounds_of_its_own(problem: Problem) -> None:
    """None at all, none below, none above, and no room at all."""
    low = np.array([-np.inf, -np.inf, 1.0, 0.3, 0.0])[:, None] * np.ones(3)
    high = np.array([np.inf, 0.8, np.inf, 0.3, 2.0])[:, None] * np.ones(3)
    result = problem.normal.solve(np.zeros((5, 3)), np.ones((5, 3)), low, high)
    np.testing.assert_allclose(result[3], 0.3)
    for channel in range(3):
        design, data = problem.design(channel)
        others = [0, 1, 2, 4]
        bounds = low[others, channel], high[others, channel]
        expected = lsq_linear(design[:, others], data - 0.3 * design[:, 3], bounds, method="bvls", tol=1e-12).x
        np.testing.assert_allclose(result[others, channel], expected, atol=1e-6)


def test_what_is_not_free_stays_and_is_taken_into_account(problem: Problem) -> None:
    start, free = np.full((5, 3), 0.7), np.ones((5, 3))
    free[1] = 0
    result = solved(problem, free=free, start=start)
    np.testing.assert_array_equal(result[1], 0.7)
    for channel in range(3):
        design, data = problem.design(channel)
        others = [0, 2, 3, 4]
        expected = lsq_linear(design[:, others], data - 0.7 * design[:, 1], (0, np.inf), method="bvls").x
        np.testing.assert_allclose(result[others, channel], expected, atol=1e-6)


def test_a_source_that_no_unmasked_pixel_sees_keeps_the_flux_it_has(problem: Problem) -> None:
    problem.weights[0][0, 5:, 10:22] = 0
    problem.normal = NormalEquations(problem.images, problem.weights)
    problem.normal.update(problem.columns)
    result = solved(problem, start=np.full((5, 3), 9.0))
    assert result[2, 0] == 9.0
    assert result[2, 1] != 9.0


def test_an_update_of_some_rows_is_as_good_as_a_fresh_start(problem: Problem) -> None:
    columns = problem.columns
    edited = [columns[3], Problem.column(9.3, 9.1), columns[0], columns[1], Problem.column(2.0, 17.0), columns[4]]
    problem.normal.update(edited)
    fresh = NormalEquations(problem.images, problem.weights)
    fresh.update(edited)
    shape = (6, 3)
    wide = np.zeros(shape), np.ones(shape), np.zeros(shape), np.full(shape, np.inf)
    np.testing.assert_allclose(problem.normal.solve(*wide), fresh.solve(*wide), rtol=1e-10)


def test_twins_are_solved_and_share(problem: Problem) -> None:
    alone = solved(problem)
    problem.columns = [*problem.columns, Problem.column(*CENTERS[2])]
    problem.normal.update(problem.columns)
    result = solved(problem)
    assert np.all(np.isfinite(result)) and np.all(result >= 0)
    np.testing.assert_allclose(result[2] + result[5], alone[2], rtol=1e-5)
    np.testing.assert_allclose(result[[0, 1, 3, 4]], alone[[0, 1, 3, 4]], rtol=1e-4, atol=1e-6)


def test_a_column_off_the_image_is_empty_and_harmless(problem: Problem) -> None:
    problem.normal.update([*problem.columns, Problem.column(60.0, 60.0)])
    shape = (6, 3)
    result = problem.normal.solve(np.full(shape, 2.0), np.ones(shape), np.zeros(shape), np.full(shape, np.inf))
    np.testing.assert_array_equal(result[5], 2.0)
    assert np.all(np.isfinite(result))


def test_overlaps_of_windows() -> None:
    a = Column(np.ones((1, 4, 5)), 2, 3)
    b = Column(np.ones((1, 4, 5)), 5, 6)
    assert a.overlap(b) == (slice(5, 6), slice(6, 8))
    assert a.cut(*a.overlap(b)).shape == (1, 1, 2)  # type: ignore[misc]
    assert a.overlap(Column(np.ones((1, 4, 5)), 6, 3)) is None
