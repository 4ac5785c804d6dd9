"""What makes the inner problem easy: blocks that are inverses, and steps that keep the picture they promised."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from deblend.infer import gauss_newton, trial
from deblend.infer.gauss_newton import newton_blocks
from deblend.infer.preconditioner import precondition
from deblend.program.operator import apply_jacobian, render
from deblend.program.pictures import picture_changes, pictures_of
from tests.engine.jitted import jitted

linearized = jitted(gauss_newton.linearized)
products = jitted(gauss_newton.normal_product)
undamped = jitted(lambda *problem: newton_blocks(*problem, 0.0, 0.0))
preconditioned = jitted(lambda layout, blocks, free, v: precondition(blocks, free, v))
tried = jitted(trial.tried)
models_of = jitted(lambda layout, d, p: render(layout, d, p, pictures_of(layout, d, p)))
"""Every test sees two bands through programs of one layout, so that each of these is compiled once for all."""


@jitted
def promised_change(layout: Any, data: Any, parameters: Any, lines: Any, direction: Any) -> Any:
    """Return how the linearized models change."""
    return apply_jacobian(layout, data, parameters, lines, direction, picture_changes(data, lines, direction))


class Problem:
    """A scene, linearized where it stands."""

    def __init__(self, systems: Any, scene: Any, seed: int | None = 1, seen: Any = None) -> None:
        program = systems.program([systems.observe(scene if seen is None else seen, seed)], scene)
        self.layout, self.data = program.layout, program.data
        self.parameters = program.parameters
        self.step = linearized(self.layout, self.data, self.parameters)
        self.blocks = undamped(self.layout, self.data, self.parameters, self.step)

    def product(self, v: Any) -> Any:
        """Return the normal matrix times v, of what is free."""
        whole = products(self.layout, self.data, self.parameters, self.step, v)
        return jax.tree.map(np.multiply, self.step.free, whole)

    def inverse(self, v: Any) -> Any:
        return preconditioned(self.layout, self.blocks, self.step.free, v)

    def random(self, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda f: np.asarray(f * rng.normal(size=f.shape), f.dtype), self.step.free)


def dot(a: Any, b: Any) -> float:
    """Return Σ a b over all parameters."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(sum(np.sum(np.multiply(x, y, dtype=float)) for x, y in pairs))


def test_it_is_symmetric_and_positive(systems: Any) -> None:
    problem = Problem(systems, systems.one_of_each())
    for seed in range(3):
        a, b = problem.random(2 * seed), problem.random(2 * seed + 1)
        across = dot(a, problem.inverse(b)), dot(problem.inverse(a), b)
        scale = np.sqrt(dot(a, problem.inverse(a)) * dot(b, problem.inverse(b)))
        assert abs(across[0] - across[1]) < 1e-3 * scale
        assert dot(a, problem.inverse(a)) > 0


@pytest.mark.parametrize(("kind", "bound"), [("point", 0.02), ("gaussian", 0.02), ("sersic", 0.02)])
def test_a_source_alone_under_even_noise_is_solved_by_its_block(systems: Any, kind: str, bound: float) -> None:
    """But for the mean kernel, which stands for two of 2.8 and 3.3 px, the block is the inverse."""
    options = {} if kind == "point" else {"half_light_radius": 1.8}
    problem = Problem(systems, systems.scene((kind, 24.2, 23.9, (300.0, 500.0), options)))
    v = problem.random(0)
    back = problem.inverse(problem.product(v))
    # in the metric of the problem, where directions that nothing holds do not count
    off = jax.tree.map(np.subtract, back, v)
    assert dot(off, problem.product(off)) < bound * dot(v, problem.product(v))


def solved(problem: Any, products: int, inverse: Any) -> float:
    """Return how far conjugate gradients bring the quadratic function down."""
    right = jax.tree.map(lambda f, g: -np.multiply(f, g), problem.step.free, problem.step.gradient)
    x, r, z = jax.tree.map(np.zeros_like, right), right, inverse(right)
    p, rz = z, dot(right, z)
    for _ in range(products):
        a_p = problem.product(p)
        alpha = np.float32(rz / dot(p, a_p))
        x = jax.tree.map(lambda a, b, alpha=alpha: a + alpha * b, x, p)
        r = jax.tree.map(lambda a, b, alpha=alpha: a - alpha * b, r, a_p)
        z = jax.tree.map(np.asarray, inverse(r))
        rz, before = dot(r, z), rz
        beta = np.float32(rz / before)
        p = jax.tree.map(lambda a, b, beta=beta: a + beta * b, z, p)
    return 0.5 * dot(x, jax.tree.map(np.add, right, r))


def test_a_bright_galaxy_is_nearly_solved_in_few_products(systems: Any) -> None:
    """Its pixels, profile and flux stand in for each other; pixel by pixel hundreds of products would be needed."""
    scene = systems.scene(
        ("galaxy", 22.0, 24.3, (20000.0, 30000.0), {"half_light_radius": 2.5}),
        ("galaxy", 30.0, 22.0, (3000.0, 2000.0), {"half_light_radius": 2.0}),
    )
    # seen with a little more light on one side, which only pixels can tell
    truth = scene.add(systems.scene(("point", 24.0, 26.0, (300.0, 450.0))).sources[0])
    problem = Problem(systems, scene, seen=truth)
    all_, alone = solved(problem, 80, problem.inverse), solved(problem, 16, problem.inverse)
    plain = solved(problem, 16, lambda v: v)
    assert all_ - alone < 0.03 * all_
    assert all_ - alone < 0.3 * (all_ - plain), "the problem would be as easy without it"


def test_what_galaxies_of_one_color_trade_is_found_in_few_products(systems: Any) -> None:
    """They start with the light shared out wrongly; blocks that know nothing of each other are slow to pass it on."""
    options = {"half_light_radius": 2.0}
    truth = systems.scene(
        ("galaxy", 22.6, 24.3, (3000.0, 4000.0), options), ("galaxy", 25.6, 24.0, (1500.0, 2000.0), options)
    )
    start = truth.with_sources(
        systems.with_spectrum(s, s.components[0].spectrum.at(f * s.flux))
        for s, f in zip(truth.sources, (0.9, 1.2), strict=True)
    )
    problem = Problem(systems, start, seen=truth)
    without = problem.blocks._replace(coarse=jax.tree.map(np.zeros_like, problem.blocks.coarse))
    limit = solved(problem, 80, problem.inverse)
    together = solved(problem, 14, problem.inverse)
    apart = solved(problem, 14, lambda v: preconditioned(problem.layout, without, problem.step.free, v))
    assert limit - together < 0.05 * limit
    assert limit - together < 0.8 * (limit - apart)


def test_a_source_alone_has_nothing_to_trade(systems: Any) -> None:
    problem = Problem(systems, systems.scene(("galaxy", 24.2, 23.9, (300.0, 500.0), {"half_light_radius": 2.0})))
    assert np.abs(problem.blocks.coarse.correction).max() < 1e-3 * np.abs(problem.blocks.groups[1].block).max()


def test_a_step_of_a_bright_galaxy_keeps_the_picture_it_promised(systems: Any) -> None:
    scene = systems.scene(("galaxy", 24.2, 24.3, (20000.0, 30000.0), {"half_light_radius": 2.5}))
    problem = Problem(systems, scene, seed=None)
    rng = np.random.default_rng(2)
    direction = jax.tree.map(np.zeros_like, problem.parameters)
    galaxy = direction.groups[1]
    galaxy.theta[0, :8] = [0.05, -0.08, 0.3, -0.2, 0.2, 0.3, -0.3, 0.2]
    galaxy.pixels[0, 9:22, 9:22] = 0.5 * rng.normal(size=(13, 13))
    step, one = problem.step, np.ones((), np.float32)
    known = problem.layout, problem.data, problem.parameters

    def models(parameters: Any) -> np.ndarray:
        return np.asarray(models_of(problem.layout, problem.data, parameters)[0])

    promised = models(problem.parameters) + np.asarray(promised_change(*known, step.lines, direction)[0])
    ends = tried(*known, direction, one, one, step.lower, step.upper, step.lines)
    straight = jax.tree.map(np.add, problem.parameters, direction)
    missed = np.abs(np.asarray(ends.models[0]) - promised).max()
    assert missed < 0.4 * np.abs(models(straight) - promised).max()
