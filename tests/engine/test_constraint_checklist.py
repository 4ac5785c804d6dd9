"""What holds for every constraint alike: one checklist, which a new kind goes through by being in the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import ConstraintKind as Kind
from deblend.constraints import PROXIMAL_OPERATORS, RESIDUALS, Appearance, Facts, plain_facts
from deblend.constraints.symmetry import turned_about

SIDE, BANDS = 11, 3
JITTED: dict[Kind, Callable[..., Any]] = {k: jax.jit(f) for k, f in (PROXIMAL_OPERATORS | RESIDUALS).items()}  # type: ignore[operator]

CONVEX = [
    Kind.POSITIVITY,
    Kind.BOUNDS,
    Kind.SYMMETRIC,
    Kind.MONOTONIC,
    Kind.L1,
    Kind.STARLET_SPARSITY,
    Kind.TOTAL_VARIATION,
    Kind.COLOR_BOUNDS,
    Kind.BAND_RATIOS,
]
"""Proximal operators of convex functions."""
PROJECTIONS = [k for k in CONVEX if k.info.greatest_strength == 1.0 or k is Kind.POSITIVITY]
IDEMPOTENT = [
    *PROJECTIONS,
    Kind.NORMALIZATION,
    Kind.CENTER_ON,
    Kind.SYMMETRIC_MINIMUM,
    Kind.MONOTONIC_CUT,
    Kind.MONOTONIC_MASK,
    Kind.CONNECTED,
    Kind.L0,
    Kind.NOISE_THRESHOLD,
]
SWITCHES = [Kind.NORMALIZATION, Kind.CENTER_ON, Kind.HISTOGRAM_THRESHOLD]
"""Whose strength does not say how far to go."""


def case(seed: int, dtype: type = np.float32) -> tuple[Appearance, Facts]:
    """Return a component that violates every constraint, and facts by which it does."""
    rng = np.random.default_rng(seed)
    pixels = (0.2 + rng.normal(size=(SIDE, SIDE))).astype(dtype)
    pixels[SIDE // 2, SIDE // 2] = 0.0 if seed % 2 else -0.3
    facts = plain_facts(BANDS, SIDE, dtype)._replace(
        pixel_bounds=np.array([-0.5, 1.0], dtype),
        flux_bounds=np.array([[0.0] * BANDS, [2.0] * BANDS], dtype),
        ratio_bounds=np.array([[0.0, 0.5, 0.2], [np.inf, 0.9, 0.4]], dtype),
        ratios=np.array([1.0, 2.0, 0.7], dtype),
        lagged=rng.normal(size=(SIDE, SIDE)).astype(dtype),
        neighbor=Appearance(*(rng.normal(size=s).astype(dtype) for s in (BANDS, (SIDE, SIDE)))),  # type: ignore[arg-type]
    )
    return Appearance(rng.uniform(0.5, 3.0, size=BANDS).astype(dtype), pixels), facts  # type: ignore[arg-type]


def act(kind: Kind, appearance: Appearance, facts: Facts, strength: float) -> Any:
    dtype = appearance.pixels.dtype
    return jax.tree.map(np.asarray, JITTED[kind](appearance, facts, np.asarray(strength, dtype)))


def as_vector(appearance: Appearance) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in appearance]).astype(np.float64)


@pytest.mark.parametrize("kind", PROXIMAL_OPERATORS, ids=lambda k: k.value)
def test_strength_0_is_the_identity_and_every_other_counts(kind: Kind) -> None:
    """Failure 10: a constraint wrapped to be leaky was a no-op, because the inner one worked in place."""
    given, facts = case(1)
    before = as_vector(given).copy()
    np.testing.assert_array_equal(as_vector(act(kind, given, facts, 0.0)), before)
    full = as_vector(act(kind, given, facts, 1.0))
    half = as_vector(act(kind, given, facts, 0.5))
    assert np.abs(full - before).max() > (0 if kind is Kind.CENTER_ON else 0.01)
    assert np.abs(half - before).max() > (0 if kind is Kind.CENTER_ON else 0.01)
    if kind.info.greatest_strength == 1.0 and kind not in SWITCHES:
        np.testing.assert_allclose(half, 0.5 * (before + full), atol=2e-6)
    elif kind not in (*SWITCHES, Kind.POSITIVITY):
        assert np.linalg.norm(half - before) < 0.99 * np.linalg.norm(full - before)
    # nothing was written to
    np.testing.assert_array_equal(as_vector(given), before)


@pytest.mark.parametrize("kind", RESIDUALS, ids=lambda k: k.value)
def test_a_residual_of_strength_0_asks_nothing_and_more_of_it_more(kind: Kind) -> None:
    given, facts = case(1)
    before = as_vector(given).copy()
    assert np.abs(act(kind, given, facts, 0.0)).max() == 0
    weak, strong = (float(np.sum(act(kind, given, facts, s) ** 2)) for s in (0.25, 1.0))
    assert 0 < weak < 0.3 * strong
    np.testing.assert_array_equal(as_vector(given), before)


@pytest.mark.parametrize("kind", IDEMPOTENT, ids=lambda k: k.value)
def test_what_meets_a_constraint_is_left_as_it_is(kind: Kind) -> None:
    for seed in (1, 2):
        given, facts = case(seed)
        once = act(kind, given, facts, 1.0)
        np.testing.assert_allclose(as_vector(act(kind, once, facts, 1.0)), as_vector(once), atol=1e-5)


@pytest.mark.parametrize("kind", CONVEX, ids=lambda k: k.value)
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_convex_ones_are_firmly_non_expansive(kind: Kind, strength: float) -> None:
    """|P(x) − P(y)|² ≤ ⟨P(x) − P(y), x − y⟩, which needs thresholds that are the same for x and y."""
    one, facts = case(3)
    for seed in (4, 5):
        other = case(seed)[0]
        if kind.info.greatest_strength > 1:
            other = other._replace(spectrum=one.spectrum)
        given = as_vector(one) - as_vector(other)
        change = as_vector(act(kind, one, facts, strength)) - as_vector(act(kind, other, facts, strength))
        assert change @ change <= change @ given * (1 + 1e-5) + 1e-6


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", PROJECTIONS, ids=lambda k: k.value)
def test_what_a_projection_takes_away_is_the_gradient_of_half_the_distance_squared(kind: Kind) -> None:
    """Failure 11: a prior was added where its gradient should be. ∇ ½ d²(x) = x − P(x), in finite differences."""
    given, facts = case(6, np.float64)
    way = jax.tree.map(lambda a: np.random.default_rng(7).normal(size=a.shape), given)

    def half_distance(step: float) -> float:
        moved = Appearance(*(a + step * w for a, w in zip(given, way, strict=True)))
        return 0.5 * float(np.sum((as_vector(moved) - as_vector(act(kind, moved, facts, 1.0))) ** 2))

    measured = (half_distance(1e-5) - half_distance(-1e-5)) / 2e-5
    gradient = as_vector(given) - as_vector(act(kind, given, facts, 1.0))
    assert float(gradient @ as_vector(way)) == pytest.approx(measured, rel=1e-6)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", RESIDUALS, ids=lambda k: k.value)
def test_the_gradient_of_a_residual_is_that_of_half_its_square(kind: Kind) -> None:
    """Failure 11 again: what a solver adds to its gradient is Jᵀ r, never r."""
    given, facts = case(6, np.float64)
    way = np.random.default_rng(7).normal(size=(SIDE, SIDE))

    def residual(pixels: jax.Array) -> jax.Array:
        return RESIDUALS[kind](given._replace(pixels=pixels), facts, jnp.asarray(0.7))

    r, transpose = jax.vjp(residual, jnp.asarray(given.pixels))
    (gradient,) = transpose(r)
    plus, minus = (
        0.5 * float(np.sum(act(kind, given._replace(pixels=given.pixels + step * way), facts, 0.7) ** 2))
        for step in (1e-6, -1e-6)
    )
    assert float(np.sum(gradient * way)) == pytest.approx((plus - minus) / 2e-6, rel=1e-5)
    assert abs(float(np.sum(gradient * way)) - float(np.sum(np.asarray(r) * way))) > 1e-3


@pytest.mark.parametrize("kind", PROXIMAL_OPERATORS, ids=lambda k: k.value)
def test_slots_are_mapped_over_and_edits_compile_nothing(kind: Kind) -> None:
    """Four slots with different centers, strengths, choices and tolerances, in one call and one by one."""
    slots = []
    for seed in range(4):
        given, facts = case(seed)
        facts = facts._replace(
            center=np.array([seed - 1.0, 0.5 * seed], np.float32),
            weights=np.asarray(seed % 3, np.int32),
            tolerance=np.asarray(0.05 * seed, np.float32),
            normalization=np.asarray(seed, np.int32),
            reference=np.asarray(seed % BANDS, np.int32),
        )
        slots.append((given, facts, np.asarray(seed / 3, np.float32)))
    JITTED[kind](*slots[0])
    count = JITTED[kind]._cache_size()  # type: ignore[attr-defined]
    each = [as_vector(jax.tree.map(np.asarray, JITTED[kind](*slot))) for slot in slots]
    assert JITTED[kind]._cache_size() == count  # type: ignore[attr-defined]
    together = jax.jit(jax.vmap(PROXIMAL_OPERATORS[kind]))(*jax.tree.map(lambda *parts: np.stack(parts), *slots))
    for index, one in enumerate(each):
        mapped = as_vector(jax.tree.map(lambda part, i=index: np.asarray(part[i]), together))
        np.testing.assert_allclose(mapped, one, atol=1e-5)
        assert np.all(np.isfinite(one))


@pytest.mark.parametrize("kind", PROXIMAL_OPERATORS | RESIDUALS, ids=lambda k: k.value)
def test_a_dark_component_stays_finite(kind: Kind) -> None:
    dark = Appearance(np.zeros(BANDS, np.float32), np.zeros((SIDE, SIDE), np.float32))  # type: ignore[arg-type]
    result = act(kind, dark, case(1)[1], 1.0)
    for part in jax.tree.leaves(result):
        assert np.all(np.isfinite(part))
    assert np.max(np.abs(jax.tree.leaves(result)[-1])) <= 1e-9


def test_a_turn_is_its_own_adjoint() -> None:
    """And no picture grows by it, so that the mean with the turned self has eigenvalues between 0 and 1."""
    center = jnp.asarray([0.3, -0.45])
    p, q = (jnp.asarray(case(seed)[0].pixels) for seed in (1, 2))
    assert float(jnp.sum(turned_about(p, center) * q)) == pytest.approx(
        float(jnp.sum(p * turned_about(q, center))), abs=1e-4
    )
    assert float(jnp.sum(turned_about(p, center) ** 2)) < float(jnp.sum(p**2))
