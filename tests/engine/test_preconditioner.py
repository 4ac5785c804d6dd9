"""What makes the inner problem easy: blocks that are inverses, and steps that keep the picture they promised."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend.infer.gauss_newton import dot, linearized, normal_product, tried
from deblend.infer.preconditioner import make_preconditioner, precondition
from deblend.program.operator import apply_jacobian, picture_changes, pictures_of, render


class Problem:
    """A scene, linearized where it stands."""

    def __init__(self, systems: Any, scene: Any, seed: int | None = 1) -> None:
        program = systems.program([systems.observe(scene, seed)], scene)
        self.layout, self.data = program.layout, jax.device_put(program.data)
        self.parameters = jax.device_put(program.parameters)
        self.step = jax.jit(lambda d, p: linearized(self.layout, d, p))(self.data, self.parameters)
        zero = jnp.zeros((), program.dtype)
        self.blocks = jax.jit(
            lambda d, p, s: make_preconditioner(self.layout, d, p, s.lines, s.lags, s.free, s.tangents, zero, zero)
        )(self.data, self.parameters, self.step)
        self.product = jax.jit(
            lambda v: jax.tree.map(
                jnp.multiply, self.step.free, normal_product(self.layout, self.data, self.parameters, self.step, v)
            )
        )
        self.inverse = jax.jit(lambda v: precondition(self.blocks, self.step.free, v))

    def random(self, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda f: np.asarray(f * rng.normal(size=f.shape), f.dtype), self.step.free)


def test_it_is_symmetric_and_positive(systems: Any) -> None:
    problem = Problem(systems, systems.one_of_each())
    for seed in range(3):
        a, b = problem.random(2 * seed), problem.random(2 * seed + 1)
        across = float(dot(a, problem.inverse(b))), float(dot(problem.inverse(a), b))
        scale = np.sqrt(float(dot(a, problem.inverse(a))) * float(dot(b, problem.inverse(b))))
        assert abs(across[0] - across[1]) < 1e-3 * scale
        assert float(dot(a, problem.inverse(a))) > 0


@pytest.mark.parametrize(("kind", "bound"), [("point", 0.02), ("gaussian", 0.02), ("sersic", 0.02)])
def test_a_source_alone_under_even_noise_is_solved_by_its_block(systems: Any, kind: str, bound: float) -> None:
    """But for the mean kernel, which stands for two of 2.8 and 3.3 px, the block is the inverse."""
    options = {} if kind == "point" else {"half_light_radius": 1.8}
    problem = Problem(systems, systems.scene((kind, 24.2, 23.9, (300.0, 500.0), options)))
    v = problem.random(0)
    back = problem.inverse(problem.product(v))
    # in the metric of the problem, where directions that nothing holds do not count
    off = jax.tree.map(jnp.subtract, back, v)
    assert float(dot(off, problem.product(off))) < bound * float(dot(v, problem.product(v)))


def solved(problem: Any, products: int, inverse: Any) -> float:
    """Return how far conjugate gradients bring the quadratic function down."""
    right = jax.tree.map(lambda f, g: -f * g, problem.step.free, problem.step.gradient)
    x, r, z = jax.tree.map(jnp.zeros_like, right), right, inverse(right)
    p, rz = z, dot(right, z)
    for _ in range(products):
        a_p = problem.product(p)
        alpha = rz / dot(p, a_p)
        x = jax.tree.map(lambda a, b, alpha=alpha: a + alpha * b, x, p)
        r = jax.tree.map(lambda a, b, alpha=alpha: a - alpha * b, r, a_p)
        z = inverse(r)
        rz, before = dot(r, z), rz
        p = jax.tree.map(lambda a, b, beta=rz / before: a + beta * b, z, p)
    return 0.5 * float(dot(x, jax.tree.map(jnp.add, right, r)))


def test_a_bright_galaxy_is_nearly_solved_in_few_products(systems: Any) -> None:
    """Its pixels, profile and flux stand in for each other; pixel by pixel hundreds of products would be needed."""
    scene = systems.scene(
        ("galaxy", 22.0, 24.3, (20000.0, 30000.0), {"half_light_radius": 2.5}),
        ("galaxy", 30.0, 22.0, (3000.0, 2000.0), {"half_light_radius": 2.0}),
    )
    # seen with a little more light on one side, which only pixels can tell
    truth = scene.add(systems.scene(("point", 24.0, 26.0, (300.0, 450.0))).sources[0])
    problem = Problem(systems, scene)
    images = systems.observe(truth)
    noise = np.sqrt(1.0 / images.weights[:, 0, 0])[:, None, None]
    seen = problem.data.observations[0]._replace(images=jnp.asarray(images.images / noise, jnp.float32))
    problem.data = problem.data._replace(observations=(seen,))
    problem.step = jax.jit(lambda d, p: linearized(problem.layout, d, p))(problem.data, problem.parameters)
    all_, alone = solved(problem, 80, problem.inverse), solved(problem, 16, problem.inverse)
    plain = solved(problem, 16, lambda v: v)
    assert all_ - alone < 0.03 * all_
    assert all_ - alone < 0.3 * (all_ - plain), "the problem would be as easy without it"


def test_a_step_of_a_bright_galaxy_keeps_the_picture_it_promised(systems: Any) -> None:
    scene = systems.scene(("galaxy", 24.2, 24.3, (20000.0, 30000.0), {"half_light_radius": 2.5}))
    problem = Problem(systems, scene, seed=None)
    rng = np.random.default_rng(2)
    direction = jax.tree.map(jnp.zeros_like, problem.parameters)
    groups = direction.groups
    galaxy = groups[1]
    theta = np.zeros(galaxy.theta.shape, np.float32)
    theta[0, :8] = [0.05, -0.08, 0.3, -0.2, 0.2, 0.3, -0.3, 0.2]
    pixels = np.zeros(galaxy.pixels.shape, np.float32)
    pixels[0, 9:22, 9:22] = 0.5 * rng.normal(size=(13, 13))
    stirred = galaxy._replace(theta=jnp.asarray(theta), pixels=jnp.asarray(pixels))
    direction = direction._replace(groups=(groups[0], stirred, *groups[2:]))
    step, one = problem.step, jnp.ones(())

    def models(parameters: Any) -> np.ndarray:
        pictures = pictures_of(problem.layout, problem.data, parameters)
        return np.asarray(render(problem.layout, problem.data, parameters, pictures)[0])

    changes = picture_changes(problem.data, step.lines, direction)
    args = problem.layout, problem.data, problem.parameters, step.lines, direction, changes
    change = np.asarray(apply_jacobian(*args)[0])
    promised = models(problem.parameters) + change
    bounds = step.lower, step.upper
    ends = tried(problem.layout, problem.data, problem.parameters, direction, one, one, *bounds, step.lines)
    straight = jax.tree.map(jnp.add, problem.parameters, direction)
    missed = np.abs(np.asarray(ends.models[0]) - promised).max()
    assert missed < 0.4 * np.abs(models(straight) - promised).max()
