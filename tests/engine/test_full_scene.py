"""Light that covers the whole scene: drawn, differentiated, held smooth, and kept apart from galaxies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import gaussian_filter

from deblend import FullScene, Program, Scene, Solver, empty_scene, fit, make_source, measure
from deblend.infer.errors import draw
from deblend.infer.gauss_newton import linearized, normal_product, value_and_gradient
from deblend.program.arrays import FullSceneParameters
from deblend.program.calibration import calibrated
from deblend.program.full_scene_layer import full_scene_noise, full_scene_penalty_product
from deblend.program.full_scene_slots import stiffness
from deblend.program.operator import apply_adjoint, apply_jacobian, render
from deblend.scene.full_scene import splines
from tests.engine.jitted import jitted
from tests.engine.test_stars import turned, varying


def test_splines_are_those_of_scipy_and_go_on_beyond_the_edge() -> None:
    rng = np.random.default_rng(0)
    coefficients = rng.random((9, 7))
    light = replace(FullScene.flat((61, 41), 1, 10.0), coefficients=coefficients)
    assert light.coefficients.shape == FullScene.flat((61, 41), 1, 10.0).coefficients.shape
    picture = light.picture((61, 41))
    # a bicubic spline through samples of itself, with its own knots, is itself
    every = RectBivariateSpline(np.arange(61), np.arange(41), picture, s=0)
    inside = every(np.arange(0.0, 60.0, 0.5), np.arange(0.0, 40.0, 0.5))
    rows, columns = splines(9, 61, np.arange(0.0, 60.0, 0.5)), splines(7, 41, np.arange(0.0, 40.0, 0.5))
    np.testing.assert_allclose(rows @ coefficients @ columns.T, inside, atol=2e-3)
    np.testing.assert_allclose(splines(9, 61, [-5.0, 70.0]), splines(9, 61, [0.0, 60.0]))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)


def two_telescopes() -> tuple[list[Any], Scene]:
    """Return images of two telescopes, one with a PSF that varies, one turned and masked, and light over both."""
    observations = [varying(), turned()]
    rng = np.random.default_rng(2)
    scene = empty_scene(observations).with_full_scene(12.0).with_full_scene(20.0, name="cirrus")
    lit = [
        replace(each, coefficients=c / c.sum() * each.coefficients.sum(), spectrum=rng.uniform(500.0, 2000.0, 3))
        for each in scene.full_scenes
        for c in [each.coefficients * rng.uniform(0.2, 1.0, each.coefficients.shape)]
    ]
    total = [replace(e, coefficients=e.coefficients / e.picture(scene.grid.shape).sum()) for e in lit]
    return observations, scene.with_full_scenes(total)


def rendered(layout: Any, data: Any, parameters: Any) -> Any:
    return render(layout, data, parameters, ())


def jacobian(layout: Any, data: Any, parameters: Any, change: Any) -> Any:
    return apply_jacobian(layout, data, parameters, (), change, ())


def adjoint(layout: Any, data: Any, parameters: Any, images: Any) -> Any:
    return apply_adjoint(layout, data, parameters, (), images, ())


def test_the_layer_is_seen_alike_everywhere_and_its_derivative_is_right(double: None) -> None:
    observations, scene = two_telescopes()
    program = Program(observations, scene, dtype=np.float64)
    layout, data, parameters = program.layout, program.data, program.parameters
    seen = jitted(rendered)(layout, data, parameters)
    for index, image in enumerate(seen):
        scale = program.noise_per_observation[index][:, None, None]
        np.testing.assert_allclose(np.asarray(image) * scale, program.model(index), rtol=1e-4, atol=1e-5)
    # smooth light is the same through any PSF, but for where it bends
    light = sum(e.spectrum[:2, None, None] * e.picture(scene.grid.shape) for e in scene.full_scenes)
    on_image = program.model(0)[:, 5:-5, 5:-5]
    expected = light[:, 5:-5, 5:-5] * (light.size / light.size)
    if scene.grid.shape == observations[0].shape:
        np.testing.assert_allclose(on_image, expected, rtol=0.05)
    rng = np.random.default_rng(3)
    used = FullSceneParameters(data.full_scene.spectrum_free, data.full_scene.coefficients_free)
    change = FullSceneParameters(*(rng.normal(size=u.shape) * u for u in used))
    v = parameters._replace(full_scene=change)
    forward = jitted(jacobian)(layout, data, parameters, v)
    step = 1e-5
    ends = [
        jitted(rendered)(
            layout, data, parameters._replace(full_scene=FullSceneParameters(
                *(p + s * step * c for p, c in zip(parameters.full_scene, change, strict=True))))
        )
        for s in (1.0, -1.0)
    ]  # fmt: skip
    for plus, minus, tangent in zip(*ends, forward, strict=True):
        np.testing.assert_allclose((np.asarray(plus) - minus) / (2 * step), tangent, rtol=1e-5, atol=1e-6)
    images = tuple(rng.normal(size=o.images.shape) for o in data.observations)
    back = jitted(adjoint)(layout, data, parameters, images).full_scene
    one = sum(float(np.sum(np.asarray(a) * b)) for a, b in zip(forward, images, strict=True))
    other = sum(float(np.sum(np.asarray(a) * b)) for a, b in zip(back, change, strict=True))
    assert one == pytest.approx(other, rel=1e-9)
    # a state of a fit is raised to the same light
    raised = program.snapshot()(parameters)
    for before, after in zip(scene.full_scenes, raised.full_scenes, strict=True):
        np.testing.assert_allclose(after.spectrum, before.spectrum, rtol=1e-9)
        np.testing.assert_allclose(after.coefficients, before.coefficients, atol=1e-9)
