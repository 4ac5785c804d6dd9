"""The forward model's derivative: J and Jᵀ are transposes, J is the derivative of the picture, gradients are true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Calibration, Constraint, ConstraintKind
from deblend.infer.conjugate_gradients import dot
from deblend.infer.gauss_newton import linearized, normal_product
from deblend.infer.trial import data_loss
from deblend.program.arrays import GroupParameters, Parameters
from deblend.program.calibration import calibrated, calibration_tangents
from deblend.program.operator import apply_adjoint, apply_jacobian, render, sky_of
from deblend.program.penalty import (
    Noise,
    lag,
    negative_weights,
    noise_response,
    penalty,
    penalty_gradient,
    penalty_product,
)
from deblend.program.pictures import linearize, picture_changes, pictures_of
from deblend.program.ties import tied
from tests.engine.conftest import KIND_ORDER
from tests.engine.jitted import jitted

ROUNDINGS = 400
CALIBRATION = "calibration"
"""For what is changed: how the images are off, instead of sources of one kind."""


def rendered(layout: Any, data: Any, parameters: Any) -> Any:
    """Return the models of a scene, from nothing but its parameters."""
    return render(layout, data, parameters, pictures_of(layout, data, parameters))


def jacobian(layout: Any, data: Any, parameters: Any, lines: Any, v: Any) -> Any:
    """Return J v of the data."""
    seen, tangents = seen_and_tangents(layout, data, parameters, lines)
    return apply_jacobian(layout, seen, parameters, lines, v, picture_changes(data, lines, v), tangents)


def adjoint(layout: Any, data: Any, parameters: Any, lines: Any, images: Any, lights: Any = None) -> Any:
    """Return Jᵀ of images, and of lights on the pictures."""
    seen, tangents = seen_and_tangents(layout, data, parameters, lines)
    return apply_adjoint(layout, seen, parameters, lines, images, lights or (None,) * len(lines), tangents)


def seen_and_tangents(layout: Any, data: Any, parameters: Any, lines: Any) -> Any:
    """Return calibrated data, and how the models change with the calibration."""
    sky = sky_of(layout, data, parameters, tuple(line.picture for line in lines))
    seen = calibrated(layout, data, parameters)
    return seen, calibration_tangents(layout, seen, parameters, sky)


def product_of_all(layout: Any, data: Any, parameters: Any, step: Any, v: Any) -> Any:
    """Return the normal matrix times v."""
    return normal_product(layout, calibrated(layout, data, parameters), parameters, step, v)


def with_negative_light(rest: Any, layout: Any, data: Any, parameters: Any, lags: Any, lines: Any, of: Any) -> Any:
    """Return the response of all penalties: the rest, and that of negative light, `of` a weight for each group."""
    lights = tuple(None if w is None else of(k, w) for k, w in enumerate(negative_weights(layout, data, lags, lines)))
    dark = tuple(jnp.zeros_like(o.images) for o in data.observations)
    return jax.tree.map(jnp.add, rest, adjoint(layout, data, parameters, lines, dark, lights))


def gradient_of_penalties(layout: Any, data: Any, parameters: Any, lags: Any, lines: Any) -> Any:
    rest = penalty_gradient(layout, data, parameters, lags)
    return with_negative_light(rest, layout, data, parameters, lags, lines, lambda k, w: w**2 * lines[k].picture)


def product_of_penalties(layout: Any, data: Any, parameters: Any, lags: Any, lines: Any, v: Any) -> Any:
    rest, changes = penalty_product(layout, data, parameters, lags, v), picture_changes(data, lines, v)
    return with_negative_light(rest, layout, data, parameters, lags, lines, lambda k, w: w**2 * changes[k])


def response_of_penalties(layout: Any, data: Any, parameters: Any, lags: Any, lines: Any, noise: Any) -> Any:
    rest = noise_response(layout, data, parameters, lags, noise)
    return with_negative_light(rest, layout, data, parameters, lags, lines, lambda k, w: w * noise.pixels[k][1])


def penalised(layout: Any, data: Any, parameters: Any, lags: Any) -> Any:
    """Return the penalties of a scene, from nothing but its parameters."""
    return penalty(layout, data, parameters, lags, pictures_of(layout, data, parameters))


class Machine:
    """One source of every kind, lowered, stirred, and everything that acts on it compiled."""

    def __init__(self, systems: Any, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._compiled: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.rng = np.random.default_rng(5)
        scene = systems.one_of_each()
        free_form = scene.sources[-1]
        for kind, strength in ((ConstraintKind.SYMMETRY, 0.5), (ConstraintKind.MONOTONICITY, 0.5)):
            free_form = systems.with_constraint(free_form, Constraint(kind, strength))
        free = Calibration().freeing(Calibration(), *Calibration().parameters)
        off = scene.with_calibrations([free] * len(scene.channels))
        program = systems.program([systems.seen(np.zeros((2, *systems.shape)))], off.replace(free_form), dtype=dtype)
        self.layout, self.data = program.layout, program.data
        self.parameters = self.stirred(program.parameters)
        self.render = self.jit(rendered)
        self.linearize = self.jit(linearize)
        self.jacobian = self.jit(jacobian)
        self.adjoint = self.jit(adjoint)
        self.lines = self.linearize(self.data, self.parameters)
        self.lags = lag(self.parameters)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of the layout, compiled once."""
        if function not in self._compiled:
            self._compiled[function] = partial(jitted(function), self.layout)
        return self._compiled[function]

    def stirred(self, parameters: Any) -> Any:
        """Return parameters where nothing is round, symmetric or smooth."""
        result = []
        for p, d in zip(parameters.groups, self.data.groups, strict=True):
            theta = p.theta + 0.15 * self.rng.normal(size=p.theta.shape) * d.theta_free
            pixels = p.pixels
            if pixels is not None:
                # a free-form picture stays about what it is; a correction, which starts at zero, is of order one
                scale = np.where(np.any(pixels != 0), np.abs(pixels), 1.0)
                pixels = pixels + 0.3 * scale * self.rng.normal(size=pixels.shape) * self.inside(d, pixels.shape)
                pixels = pixels.astype(self.dtype)
            aspect = 0.1 * self.rng.normal(size=p.aspect.shape) * d.aspect_free
            new = {"theta": theta.astype(self.dtype), "aspect": aspect.astype(self.dtype), "pixels": pixels}
            result.append(p._replace(**new))
        terms = 0.2 * self.rng.normal(size=parameters.calibration.shape)
        return Parameters(tuple(result), terms.astype(self.dtype))

    @staticmethod
    def inside(d: Any, shape: tuple[int, ...]) -> np.ndarray:
        index = np.abs(np.arange(shape[-1]) - shape[-1] // 2)
        line = index[None] <= d.radius[:, None]
        used = np.arange(shape[0]) < d.count
        return line[:, :, None] & line[:, None, :] & used[:, None, None]

    def direction(self, kind: str | None = None) -> Any:
        """Return a random change of everything that counts, of one kind or of all, of about a thousandth."""
        result = []
        for group, d, p in zip(self.layout.groups, self.data.groups, self.parameters.groups, strict=True):
            used = (np.arange(group.capacity) < d.count)[:, None] * (kind in (None, group.kind))
            theta = 0.1 * self.rng.normal(size=p.theta.shape) * used
            flux = 0.1 * p.flux * self.rng.normal(size=p.flux.shape) * used
            pixels = None
            if p.pixels is not None:
                scale = np.abs(p.pixels).max(axis=(1, 2), keepdims=True)
                pixels = 0.1 * scale * self.rng.normal(size=p.pixels.shape)
                pixels = (pixels * self.inside(d, p.pixels.shape) * used[:, :, None]).astype(self.dtype)
            aspect = 0.1 * self.rng.normal(size=p.aspect.shape) * used[:, :, None]
            parts = [None if part is None else part.astype(self.dtype) for part in (theta, flux, pixels, aspect)]
            result.append(GroupParameters(*parts))
        terms = 0.1 * self.rng.normal(size=self.parameters.calibration.shape) * (kind in (None, CALIBRATION))
        return Parameters(tuple(result), terms.astype(self.dtype))

    def images(self) -> tuple[np.ndarray, ...]:
        return tuple(self.rng.normal(size=o.images.shape).astype(self.dtype) for o in self.data.observations)

    def moved(self, v: Any, step: float) -> Any:
        return jax.tree.map(lambda p, x: p + self.dtype.type(step) * x, self.parameters, v)


@pytest.fixture(scope="module")
def machines(systems: Any) -> dict[str, Machine]:
    return {}


@pytest.fixture(params=["float32", "float64"])
def machine(request: pytest.FixtureRequest, systems: Any, machines: dict[str, Machine]) -> Iterator[Machine]:
    """The machine in single and in double precision."""
    jax.config.update("jax_enable_x64", request.param == "float64")
    if request.param not in machines:
        machines[request.param] = Machine(systems, np.dtype(request.param))
    yield machines[request.param]
    jax.config.update("jax_enable_x64", False)


exactly = pytest.mark.parametrize("machine", ["float64"], indirect=True)
"""For what is compared with finite differences, which need double precision."""


def inner(a: Any, b: Any) -> float:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(sum(np.sum(np.asarray(x, np.float64) * np.asarray(y, np.float64)) for x, y in leaves))


def norm(a: Any) -> float:
    return float(np.sqrt(inner(a, a)))


@pytest.mark.parametrize("kind", [*KIND_ORDER, CALIBRATION])
def test_the_adjoint_is_the_transpose(machine: Machine, kind: str) -> None:
    bound = {"float32": 1e-5, "float64": 1e-10}[machine.dtype.name]
    v, u = machine.direction(kind), machine.images()
    forward = machine.jacobian(machine.data, machine.parameters, machine.lines, v)
    back = machine.adjoint(machine.data, machine.parameters, machine.lines, u)
    assert norm(forward) > 0
    assert abs(inner(forward, u) - inner(v, back)) <= bound * norm(forward) * norm(u)


@pytest.mark.parametrize("kind", [*KIND_ORDER, CALIBRATION])
def test_the_derivative_is_that_of_the_picture(machine: Machine, kind: str) -> None:
    step, bound = {"float32": (1e-2, 5e-3), "float64": (1e-4, 1e-6)}[machine.dtype.name]
    v = machine.direction(kind)
    after = machine.render(machine.data, machine.moved(v, step))
    before = machine.render(machine.data, machine.moved(v, -step))
    measured = [(np.asarray(a, float) - np.asarray(b, float)) / (2 * step) for a, b in zip(after, before, strict=True)]
    derivative = machine.jacobian(machine.data, machine.parameters, machine.lines, v)
    difference = norm([m - np.asarray(d, float) for m, d in zip(measured, derivative, strict=True)])
    assert difference <= bound * norm(derivative)


def test_single_precision_is_double_precision_to_its_roundings(machine: Machine, acts: dict[str, Any]) -> None:
    """Every operator of a fit, on the same numbers: to some roundings of the largest number in play."""
    numbers = acts.setdefault("numbers", (machine.parameters, machine.direction(), machine.images()))
    acts[machine.dtype.name] = acted(machine, *numbers)
    if machine.dtype == np.float32:
        return
    if "float32" not in acts:
        pytest.skip("there is nothing in single precision to compare with")
    for name, exact in acts["float64"].items():
        pairs = list(zip(jax.tree.leaves(exact), jax.tree.leaves(acts["float32"][name]), strict=True))
        largest = max(float(np.abs(a).max(initial=0.0)) for a, _ in pairs)
        error = max(float(np.abs(a - np.asarray(b, float)).max(initial=0.0)) for a, b in pairs)
        assert 0 < error <= ROUNDINGS * np.finfo(np.float32).eps * largest, name


@pytest.fixture(scope="module")
def acts() -> dict[str, Any]:
    return {}


def acted(machine: Machine, parameters: Any, v: Any, images: Any) -> dict[str, Any]:
    """Return what every operator makes of numbers, in the machine's own precision, as NumPy's arrays."""
    parameters, v, images = jax.tree.map(lambda x: np.asarray(x).astype(machine.dtype), (parameters, v, images))
    known = machine.data, parameters
    lines = machine.linearize(*known)
    step = machine.jit(linearized)(*known)
    made = {
        "render": machine.render(*known),
        "jacobian": machine.jacobian(*known, lines, v),
        "adjoint": machine.adjoint(*known, lines, images),
        "product of the data": machine.jit(product_of_all)(*known, step, v),
        "gradient of the penalties": machine.jit(gradient_of_penalties)(*known, lag(parameters), lines),
        "product of the penalties": machine.jit(product_of_penalties)(*known, lag(parameters), lines, v),
    }
    return jax.tree.map(np.asarray, made)


def test_the_pictures_of_a_linearization_are_those_that_are_rendered(machine: Machine) -> None:
    direct = machine.render(machine.data, machine.parameters)
    drawn = machine.jit(render)(machine.data, machine.parameters, tuple(line.picture for line in machine.lines))
    for a, b in zip(direct, drawn, strict=True):
        np.testing.assert_allclose(a, b, atol=float(np.abs(a).max()) * 100 * np.finfo(machine.dtype).eps)


def test_an_unused_slot_and_the_padding_of_a_box_change_nothing(machine: Machine) -> None:
    filled = []
    for d, p in zip(machine.data.groups, machine.parameters.groups, strict=True):
        unused = np.arange(len(p.theta)) >= d.count
        theta, flux, aspect = np.array(p.theta), np.array(p.flux), np.array(p.aspect)
        theta[unused], flux[unused], aspect[unused] = np.nan, np.nan, np.nan
        pixels = p.pixels
        if pixels is not None:
            pixels = np.where(machine.inside(d, pixels.shape), pixels, 1e3).astype(machine.dtype)
        filled.append(GroupParameters(theta, flux, pixels, aspect))
    expected = machine.render(machine.data, machine.parameters)
    for a, b in zip(
        machine.render(machine.data, machine.parameters._replace(groups=tuple(filled))), expected, strict=True
    ):
        np.testing.assert_array_equal(a, b)


@exactly
@pytest.mark.parametrize("kind", [*KIND_ORDER, CALIBRATION])
def test_the_gradient_of_the_loss_is_its_derivative(machine: Machine, kind: str) -> None:
    """A gradient is easily off by a factor of two, or has a prior's value where its derivative should be."""

    def loss(parameters: Any) -> float:
        penalties = machine.jit(penalised)(machine.data, parameters, machine.lags)
        return float(data_loss(machine.data, machine.render(machine.data, parameters)) + penalties)

    step = machine.jit(linearized)(machine.data, machine.parameters)
    # channels of one survey and epoch turn together
    v, h = tied(machine.data, machine.direction(kind)), 1e-5
    ends = [loss(machine.moved(v, sign * h)) for sign in (1, -1)]
    scale = norm(jax.tree.map(jnp.multiply, step.gradient, v))
    assert scale > 0
    assert abs((ends[0] - ends[1]) / (2 * h) - inner(step.gradient, v)) <= 1e-4 * scale


@exactly
def test_the_curvature_is_that_of_the_linearized_model(machine: Machine) -> None:
    v, w = machine.direction(), machine.direction()
    step = machine.jit(linearized)(machine.data, machine.parameters)
    product = machine.jit(product_of_all)
    of_v, of_w = (product(machine.data, machine.parameters, step, x) for x in (v, w))
    changes = machine.jacobian(machine.data, machine.parameters, machine.lines, v)
    data_part = sum(
        float(np.sum(o.weights * np.asarray(c) ** 2)) for o, c in zip(machine.data.observations, changes, strict=True)
    )
    priors = machine.jit(product_of_penalties)(machine.data, machine.parameters, machine.lags, machine.lines, v)
    assert inner(v, of_v) == pytest.approx(data_part + inner(v, priors), rel=1e-9)
    assert abs(inner(w, of_v) - inner(v, of_w)) <= 1e-10 * norm(w) * norm(of_v)


@exactly
def test_the_gradient_of_the_penalties_is_their_derivative(machine: Machine) -> None:
    v, h = machine.direction(), 1e-5
    value = machine.jit(penalised)
    ends = [float(value(machine.data, machine.moved(v, sign * h), machine.lags)) for sign in (1, -1)]
    gradient = machine.jit(gradient_of_penalties)(machine.data, machine.parameters, machine.lags, machine.lines)
    scale = norm(jax.tree.map(jnp.multiply, gradient, v))
    assert abs((ends[0] - ends[1]) / (2 * h) - inner(gradient, v)) <= 1e-4 * scale
    # every kind takes part: its center is believed to be near where it was placed, its pixels have priors
    for group, g in zip(machine.layout.groups, gradient.groups, strict=True):
        assert np.any(np.asarray(g.theta)[0, :2] != 0), group.kind
        assert np.any(np.asarray(g.aspect)[0] != 0), group.kind
        if g.pixels is not None:
            assert np.any(np.asarray(g.pixels)[0] != 0), group.kind


@exactly
def test_the_product_of_the_penalties_is_symmetric_and_not_negative(machine: Machine) -> None:
    v, w = machine.direction(), machine.direction()
    product = machine.jit(product_of_penalties)
    of_v, of_w = (product(machine.data, machine.parameters, machine.lags, machine.lines, x) for x in (v, w))
    assert abs(inner(w, of_v) - inner(v, of_w)) <= 1e-12 * norm(w) * norm(of_v)
    assert inner(v, of_v) > 0


@exactly
def test_the_response_to_noise_has_the_covariance_of_the_product(machine: Machine) -> None:
    """E[(v · Jᵀn)²] = v · JᵀJ v for unit noise n: 100 draws along 8 unlike directions v know it to 5 %."""
    directions = [machine.direction() for _ in range(8)]
    product, response = machine.jit(product_of_penalties), machine.jit(response_of_penalties)
    known = machine.data, machine.parameters, machine.lags, machine.lines
    expected = [inner(v, product(*known, v)) for v in directions]
    rng = np.random.default_rng(0)
    squares = []
    for _ in range(100):
        theta = tuple(rng.standard_normal(p.theta.shape) for p in machine.parameters.groups)
        pixels = tuple(
            None if p.pixels is None else rng.standard_normal((3, *p.pixels.shape)) for p in machine.parameters.groups
        )
        aspect = tuple(rng.standard_normal(p.aspect.shape) for p in machine.parameters.groups)
        drawn = response(
            *known, Noise(theta, pixels, aspect, rng.standard_normal(machine.parameters.calibration.shape))
        )
        squares.append([inner(v, drawn) ** 2 for v in directions])
    ratios = np.mean(squares, axis=0) / expected
    # of one direction 14 %
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.2)
    assert np.abs(ratios - 1.0).max() < 0.6


@exactly
def test_dot_is_the_sum_over_all_parameters(machine: Machine) -> None:
    v, w = machine.direction(), machine.direction()
    assert float(dot(v, w)) == pytest.approx(inner(v, w), rel=1e-4)
