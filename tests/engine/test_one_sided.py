"""Conjugate gradients where light may not be negative, against a dense reference."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from deblend.infer import one_sided
from deblend.infer.one_sided import Light, one_sided_gradients

N_NUMBERS, SIDE = 12, 5
PRICE = 4.0
TOLERANCE, BUDGET = np.float32(1e-5), np.int32(60)


class Problem:
    """½ dᵀ A d - bᵀ d + ½ Σ s² min(0, p + C d)², with pixels p close to zero."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(2 * N_NUMBERS, N_NUMBERS))
        self.matrix = root.T @ root / len(root) + 0.1 * np.eye(N_NUMBERS)
        self.right = rng.normal(size=N_NUMBERS)
        self.change = rng.normal(size=(SIDE * SIDE, N_NUMBERS))
        self.light = rng.normal(size=SIDE * SIDE)

    def value(self, d: Any, negative: Any = None) -> float:
        light = self.light + self.change @ d
        counted = light < 0 if negative is None else negative
        return float(0.5 * d @ self.matrix @ d - self.right @ d + 0.5 * PRICE * np.sum(counted * light**2))

    def solved(self, rounds: int) -> tuple[np.ndarray, float]:
        shape = (1, SIDE, SIDE)
        matrix, change = (jnp.asarray(part, jnp.float32) for part in (self.matrix, self.change))

        def product(v: Any, costs: Any, others: Any) -> Any:
            moved = change @ v
            acting = costs[0].reshape(-1) * moved + others[0].reshape(-1)
            return matrix @ v + change.T @ acting, (moved.reshape(shape),)

        light = Light((jnp.asarray(self.light.reshape(shape), jnp.float32),), (jnp.full((1, 1, 1), PRICE),))
        downhill = self.right - self.change.T @ (PRICE * np.minimum(self.light, 0.0))
        found, fall = one_sided_gradients(
            product, lambda v: v, jnp.asarray(downhill, jnp.float32), light, TOLERANCE, BUDGET, np.int32(rounds)
        )
        return np.asarray(found, float), float(fall)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_minimum_where_other_pixels_are_negative(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Solved again until nothing hangs on pixels that were mistaken, which steps do not wait for."""
    problem = Problem(seed)
    least = minimize(problem.value, np.zeros(N_NUMBERS), method="BFGS", options={"gtol": 1e-8}).fun
    start = problem.value(np.zeros(N_NUMBERS))
    monkeypatch.setattr(one_sided, "MISTAKEN", 1e-5)
    found, fall = problem.solved(rounds=20)
    assert problem.value(found) - least < 1e-3 * (start - least)
    assert fall == pytest.approx(start - least, rel=1e-3)


def test_one_round_is_the_linear_problem_of_what_is_negative_at_the_start() -> None:
    problem = Problem(0)
    negative = problem.light < 0
    counted = problem.change[negative]
    normal = problem.matrix + PRICE * counted.T @ counted
    exact = np.linalg.solve(normal, problem.right - PRICE * counted.T @ problem.light[negative])
    found, fall = problem.solved(rounds=1)
    np.testing.assert_allclose(found, exact, atol=2e-4)
    expected = problem.value(np.zeros(N_NUMBERS), negative) - problem.value(exact, negative)
    assert fall == pytest.approx(expected, rel=1e-3)
