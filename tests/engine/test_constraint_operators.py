"""Each constraint by itself, against closed forms and dense solutions of the problem that its docstring states."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize, nnls

from deblend.constraints import (
    bounded,
    bright_at_center,
    hard_threshold,
    likeness,
    normalized,
    of_band_ratios,
    ratios_of_colors,
    sharing_residual,
    smooth_in_patches,
    soft_threshold,
    sparse_in_starlets,
    starlet_threshold,
    symmetric,
    symmetric_minimum,
    total_variation,
    turned,
    turned_about,
    within_colors,
    without_detached_values,
    without_faint,
)
from deblend.constraints.total_variation import gradient, gradient_adjoint
from deblend.render.starlet import smoothing_matrix
from deblend.scene import NORMALIZATIONS

SIDE = 9
ONE = np.float32(1)
TURNED, COLORS = jax.jit(turned_about), jax.jit(within_colors)


def lump(side: int, y: float, x: float, sigma: float) -> np.ndarray:
    """Return a round Gaussian whose center is off the middle pixel by (y, x) [pix]."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    return np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / sigma**2)


class TestSymmetry:
    """About any point of the middle pixel, and beyond."""

    @pytest.mark.usefixtures("double")
    @pytest.mark.parametrize("center", [(0.0, 0.0), (0.5, -0.5), (0.37, -0.21), (-1.13, 0.08)])
    def test_a_band_limited_profile_is_turned_exactly(self, center: tuple[float, float]) -> None:
        """Of two lumps the one off the center has to arrive on its other side, to 1e-5 of the peak."""
        y, x = center
        off = 0.6 * lump(41, y + 2.3, x - 1.9, 2.0)
        counterpart = 0.6 * lump(41, y - 2.3, x + 1.9, 2.0)
        picture = lump(41, y, x, 1.9) + off
        expected = lump(41, y, x, 1.9) + counterpart
        np.testing.assert_allclose(TURNED(picture, np.asarray(center)), expected, atol=1e-5)
        both = jax.jit(symmetric)(picture, np.asarray(center), 1.0)
        np.testing.assert_allclose(both, lump(41, y, x, 1.9) + 0.5 * (off + counterpart), atol=1e-5)
        # and the result is symmetric
        np.testing.assert_allclose(TURNED(both, np.asarray(center)), both, atol=1e-5)
        least = jax.jit(symmetric_minimum)(picture, np.asarray(center), 1.0)
        np.testing.assert_allclose(least, np.minimum(picture, expected), atol=1e-5)

    def test_about_pixels_and_their_edges_it_only_sorts_pixels(self, rng: np.random.Generator) -> None:
        picture = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
        np.testing.assert_allclose(TURNED(picture, np.zeros(2, np.float32)), turned(picture), atol=1e-6)
        moved = np.zeros_like(picture)
        moved[1:, :-2] = turned(picture)[:-1, 2:]
        np.testing.assert_allclose(TURNED(picture, np.array([0.5, -1.0], np.float32)), moved, atol=1e-5)
        even = picture[:8, :8]
        # the middle pixel of 8 is the one with number 4, and row 0 has no counterpart
        expected = np.zeros_like(even)
        expected[1:, 1:] = turned(even)[:-1, :-1]
        np.testing.assert_allclose(turned_about(jnp.asarray(even), jnp.zeros(2)), expected, atol=1e-5)


class TestBounds:
    """Intervals, and a center that stays on."""

    def test_values_are_held_to_their_interval(self) -> None:
        values = np.array([-2.0, 0.3, 5.0], np.float32)
        lower, upper = np.array([-1.0, -np.inf, -np.inf], np.float32), np.array([np.inf, np.inf, 2.0], np.float32)
        np.testing.assert_allclose(bounded(values, lower, upper, ONE), [-1.0, 0.3, 2.0])

    def test_a_center_keeps_a_little_light_where_it_has_none(self) -> None:
        picture = -lump(SIDE, 0, 0, 2.0).astype(np.float32)
        lit = np.array(bright_at_center(jnp.asarray(picture), jnp.asarray([1.4, -0.6]), jnp.asarray(1.0)))
        assert 0 < lit[5, 3] < 1e-9
        lit[5, 3] = picture[5, 3]
        np.testing.assert_array_equal(lit, picture)


@pytest.mark.parametrize("choice", NORMALIZATIONS)
def test_a_normalization_makes_1_what_it_says_and_leaves_the_model(choice: str, rng: np.random.Generator) -> None:
    spectrum, picture = (rng.uniform(0.1, 3.0, size=s).astype(np.float32) for s in (4, (SIDE, SIDE)))
    index = np.asarray(NORMALIZATIONS.index(choice), np.int32)
    a, s = map(np.asarray, jax.jit(normalized)(spectrum, picture, index, ONE))
    measured = {"spectrum": np.sum(a), "sum": np.sum(s), "peak": np.max(s), "interval": np.max(s)}[choice]
    assert float(measured) == pytest.approx(1.0, rel=1e-5)
    model = np.minimum(picture, 1) if choice == "interval" else picture
    np.testing.assert_allclose(a[:, None, None] * s, spectrum[:, None, None] * model, rtol=1e-5)
    # nothing is divided by what is not positive
    a, s = jax.jit(normalized)(-spectrum, -picture, index, ONE)
    np.testing.assert_array_equal(a, -spectrum)
    np.testing.assert_array_equal(s, np.zeros_like(picture) if choice == "interval" else -picture)


class TestSparsity:
    """Few pixels, little light, few structures."""

    def test_thresholds_minimize_what_they_say(self) -> None:
        candidates = np.linspace(-4, 4, 80001)
        for value in (-2.3, -0.4, 0.9, 1.1, 3.0):
            away = 0.5 * (candidates - value) ** 2
            soft = candidates[np.argmin(away + 0.7 * np.abs(candidates))]
            assert float(soft_threshold(jnp.asarray(value), jnp.asarray(0.7))) == pytest.approx(soft, abs=2e-4)
            # t = 1 is λ = ½
            hard = candidates[np.argmin(away + 0.5 * (np.abs(candidates) > 1e-9))]
            assert float(hard_threshold(jnp.asarray(value), jnp.asarray(1.0))) == pytest.approx(hard, abs=2e-4)

    @pytest.mark.usefixtures("double")
    def test_sparse_structures_are_those_of_a_dense_solver(self, rng: np.random.Generator) -> None:
        picture, thresholds = lump(SIDE, 1, 0, 1.5) + 0.2 * rng.normal(size=(SIDE, SIDE)), np.array([0.15, 0.1])
        h = [np.kron(smoothing_matrix(SIDE, j), smoothing_matrix(SIDE, j)) for j in (0, 1)]
        identity = np.eye(SIDE**2)
        structures = np.concatenate([identity - h[0], (identity - h[1]) @ h[0]])
        limits = np.repeat(thresholds, SIDE**2)
        dual = lsq_linear(structures.T, picture.ravel(), (-limits, limits), method="bvls", tol=1e-14)
        expected = picture - (structures.T @ dual.x).reshape(SIDE, SIDE)
        solve = jax.jit(sparse_in_starlets)
        np.testing.assert_allclose(solve(picture, thresholds, 20000), expected, atol=1e-9)
        few = np.asarray(solve(picture, thresholds, 200))
        np.testing.assert_allclose(few, expected, atol=1e-3)
        assert few.sum() == pytest.approx(picture.sum(), rel=1e-12)

        # thresholding coefficients is quicker, and not that minimum
        def loss(p: np.ndarray) -> float:
            return float(0.5 * np.sum((p - picture) ** 2) + np.sum(limits * np.abs(structures @ p.ravel())))

        quick = np.asarray(jax.jit(starlet_threshold)(picture, thresholds))
        assert loss(expected) < loss(quick) < loss(picture)
        np.testing.assert_allclose(starlet_threshold(jnp.asarray(picture), jnp.zeros(2)), picture, atol=1e-12)


@pytest.mark.usefixtures("double")
class TestTotalVariation:
    """Against closed forms, and the dual problem in the hands of a general solver."""

    SOLVE = staticmethod(jax.jit(smooth_in_patches))

    def test_differences_and_their_adjoint(self, rng: np.random.Generator) -> None:
        picture, field = rng.normal(size=(SIDE, SIDE)), rng.normal(size=(2, SIDE, SIDE))
        there = np.sum(gradient(jnp.asarray(picture)) * field)
        back = np.sum(picture * gradient_adjoint(jnp.asarray(field)))
        assert float(there) == pytest.approx(float(back), rel=1e-12)
        # a step of 2 along 9 pixels
        step = np.repeat(np.where(np.arange(SIDE) < 4, 0.0, 2.0)[None], SIDE, axis=0)
        assert float(total_variation(jnp.asarray(step))) == pytest.approx(18.0)

    def test_a_step_shrinks_from_both_sides_by_its_length_over_their_areas(self) -> None:
        """d/dm of ½ n (m − m_0)² + λ L (m' − m): both sides, of n and n' columns, move by λ/n and λ/n'."""
        step = np.repeat(np.where(np.arange(SIDE) < 4, 0.0, 2.0)[None], SIDE, axis=0)
        smooth = np.asarray(self.SOLVE(step, 0.8, 20000))
        np.testing.assert_allclose(smooth, np.where(step > 0, 2.0 - 0.8 / 5, 0.8 / 4), atol=1e-8)

    def test_the_minimum_is_that_of_a_general_solver(self, rng: np.random.Generator) -> None:
        """Of the dual problem min |s − Lᵀ u|² with |u_i| ≤ λ in every pixel."""
        side, strength = SIDE, 0.3
        picture = lump(side, 1, -1, 2.0) + 0.3 * rng.normal(size=(side, side))
        n = side**2
        matrix = np.asarray(jax.vmap(lambda p: jnp.ravel(gradient(p)))(jnp.eye(n).reshape(n, side, side))).T

        def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
            rest = picture.ravel() - matrix.T @ u
            return 0.5 * float(rest @ rest), -matrix @ rest

        rows = np.arange(n)

        def jacobian(u: np.ndarray) -> np.ndarray:
            slopes = np.zeros((n, 2 * n))
            slopes[rows, rows], slopes[rows, n + rows] = -2 * u[:n], -2 * u[n:]
            return slopes

        inside = {"type": "ineq", "fun": lambda u: strength**2 - u[:n] ** 2 - u[n:] ** 2, "jac": jacobian}
        start = np.full(2 * n, 0.01)
        dual = minimize(objective, start, jac=True, constraints=inside, method="SLSQP", options={"ftol": 1e-12})
        assert dual.success
        expected = picture - (matrix.T @ dual.x).reshape(side, side)
        np.testing.assert_allclose(self.SOLVE(picture, strength, 20000), expected, atol=1e-4)
        np.testing.assert_allclose(self.SOLVE(picture, strength, 200), expected, atol=1e-3)


class TestThresholds:
    """Pixels too faint to count."""

    def test_pixels_below_the_noise_in_every_band_go_dark(self, rng: np.random.Generator) -> None:
        picture = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
        spectrum, noise = np.array([1.0, 3.0, -0.5], np.float32), np.array([2.0, 4.0, 0.3], np.float32)
        cut = np.asarray(without_faint(picture, spectrum, noise, np.float32(0.25)))
        light = spectrum[:, None, None] * picture
        is_faint = np.all(light < 0.25 * noise[:, None, None], axis=0)
        assert 0 < is_faint.sum() < picture.size
        np.testing.assert_array_equal(cut, np.where(is_faint, 0, picture))

    def test_what_lies_below_the_last_gap_goes_dark(self, rng: np.random.Generator) -> None:
        picture = np.geomspace(1.0, 30.0, SIDE**2).reshape(SIDE, SIDE).astype(np.float32)
        np.testing.assert_array_equal(without_detached_values(jnp.asarray(picture), ONE), picture)
        heap = picture.copy()
        heap[0] = np.geomspace(1e-4, 1e-3, SIDE)
        heap[1, 3] = -2.0
        expected = np.where(heap < 0.5, 0, picture)
        expected[1, 3] = 0
        np.testing.assert_array_equal(without_detached_values(jnp.asarray(heap), ONE), expected)
        # where all are alike there is no gap
        np.testing.assert_array_equal(without_detached_values(jnp.ones((SIDE, SIDE)), ONE), 1.0)


@pytest.mark.usefixtures("double")
class TestColors:
    """Spectra between bounds."""

    def test_the_nearest_spectrum_is_that_of_a_dense_solver(self, rng: np.random.Generator) -> None:
        """By Moreau: what is taken away is the projection onto the polar cone, a non-negative least squares problem."""
        n = 5
        for trial in range(60):
            spectrum, weights = rng.normal(1.0, 1.5, size=n), rng.uniform(0.2, 3.0, size=n)
            lower = rng.uniform(0.0, 1.5, size=n) * (rng.uniform(size=n) > 0.3)
            upper = np.where(rng.uniform(size=n) > 0.3, lower + rng.uniform(0.0, 1.0, size=n), np.inf)
            reference = trial % n
            rows = []
            for c in range(n):
                for bound, sign in ((lower[c], 1.0), (upper[c], -1.0)):
                    if c != reference and np.isfinite(bound):
                        row = np.zeros(n)
                        row[reference], row[c] = sign * bound, -sign
                        rows.append(row)
            rows.append(-np.eye(n)[reference])
            outward = (np.array(rows) / np.sqrt(weights)).T
            multipliers, _ = nnls(outward, np.sqrt(weights) * spectrum)
            expected = spectrum - outward @ multipliers / np.sqrt(weights)
            index = np.asarray(reference, np.int32)
            np.testing.assert_allclose(
                COLORS(spectrum, index, lower, upper, weights, 1.0), expected, atol=1e-9, err_msg=str(trial)
            )

    def test_fixed_ratios_are_a_measurement_with_a_known_spectrum(self, rng: np.random.Generator) -> None:
        spectrum, weights, ratios = (rng.uniform(0.5, 2.0, size=4) for _ in range(3))
        fixed = of_band_ratios(spectrum, ratios, weights, jnp.asarray(1.0))
        (amplitude,) = np.linalg.lstsq((np.sqrt(weights) * ratios)[:, None], np.sqrt(weights) * spectrum)[0]
        np.testing.assert_allclose(fixed, amplitude * ratios, rtol=1e-12)
        # the same as bounds that leave one ratio
        relative = ratios / ratios[2]
        bounds = COLORS(spectrum, np.asarray(2, np.int32), relative, relative, weights, 1.0)
        np.testing.assert_allclose(bounds, fixed, rtol=1e-10)
        np.testing.assert_allclose(of_band_ratios(-spectrum, ratios, weights, jnp.asarray(1.0)), 0.0, atol=1e-15)

    def test_magnitudes_become_ratios(self) -> None:
        np.testing.assert_allclose(ratios_of_colors(jnp.asarray([0.0, 2.5, -2.5, np.inf])), [1, 0.1, 10, 0])


class TestStealing:
    """Neighbours of one color."""

    def test_likeness_is_what_a_flux_loses_of_its_information_to_another(self, rng: np.random.Generator) -> None:
        """For one picture and two spectra, from the inverse of the 2 × 2 matrix of information."""
        first, second, noise = (rng.uniform(0.5, 2.0, size=4) for _ in range(3))
        alike = float(likeness(first, second, noise))
        design = np.stack([first / noise, second / noise])
        information = design @ design.T
        left = 1.0 / np.linalg.inv(information)[0, 0] / information[0, 0]
        assert alike == pytest.approx(1 - left, rel=1e-4)
        assert float(likeness(first, 3.0 * first, noise)) == pytest.approx(1.0, rel=1e-5)
        assert float(likeness(np.array([1.0, 0.0]), np.array([0.0, 2.0]), np.ones(2))) == 0

    def test_the_fainter_gives_way_and_only_where_both_shine_in_one_color(self) -> None:
        one, other = 30 * lump(SIDE, 0, -2, 1.2), 10 * lump(SIDE, 0, 2, 1.2)

        def loss(f: jax.Array, g: jax.Array, alike: float = 1.0) -> jax.Array:
            return 0.5 * jnp.sum(sharing_residual(f, g, jnp.asarray(alike), jnp.asarray(0.5)) ** 2)

        of_one, of_other = jax.grad(loss, argnums=(0, 1))(jnp.asarray(one), jnp.asarray(other))
        # in the middle of the bright one the other is asked to go, 1000 times as much as the bright one is
        assert float(of_other[4, 2]) > 1000 * float(of_one[4, 2]) > 0
        # and takes its light back where it is the brighter
        assert float(of_one[4, 6]) > float(of_other[4, 6]) > 0
        # there r = λ g for g ≪ f
        assert float(of_other[4, 2]) == pytest.approx(0.25 * other[4, 2], rel=0.01)
        assert float(loss(jnp.asarray(one), jnp.asarray(other), 0.0)) == 0
        assert float(loss(jnp.asarray(one), jnp.zeros((SIDE, SIDE)))) == 0
