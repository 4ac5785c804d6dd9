"""Light that covers the whole scene: drawn, differentiated, held smooth, and kept apart from galaxies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline

from deblend import (
    FitSettings,
    FullScene,
    Observation,
    Program,
    Scene,
    Solver,
    StarField,
    empty_scene,
    fit,
    make_source,
    measure,
)
from deblend.measure import share
from deblend.program.arrays import FullSceneParameters
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
    first = np.rint(observations[0].grid.affine_to(scene.grid).offset).astype(int)
    rows, columns = (slice(f + 5, f + n - 5) for f, n in zip(first, observations[0].shape, strict=True))
    np.testing.assert_allclose(program.model(0)[:, 5:-5, 5:-5], light[:, rows, columns], rtol=0.05)
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


def test_the_prior_is_the_energy_of_a_bent_plate_and_its_noise_has_that_covariance() -> None:
    observations, scene = two_telescopes()
    data = Program(observations, scene).data.full_scene
    rows, columns = scene.full_scenes[0].coefficients.shape
    y, x = np.mgrid[:rows, :columns].astype(float)

    def energy(coefficients: np.ndarray) -> float:
        padded = np.zeros(data.used.shape[1:])
        padded[:rows, :columns] = coefficients
        return float(padded.ravel() @ data.stiffness[0] @ padded.ravel())

    assert data.precision[0] == pytest.approx(1.0 / 3.0)
    # a tilted plane bends nowhere: all that is left is the weak pull to zero
    plane = 1.0 + 0.2 * y - 0.1 * x
    assert energy(plane) == pytest.approx(9e-4 * np.sum(plane**2), rel=1e-3)
    bent = y**2 + x * y
    expected = ((rows - 2) * columns * 4.0 + 2.0 * (rows - 1) * (columns - 1)) / 9.0 + 9e-4 * np.sum(bent**2)
    assert energy(bent) == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(data.stiffness, stiffness(data.used, data.precision), rtol=1e-5, atol=1e-6)
    # an operator and its matrix
    rng = np.random.default_rng(1)
    v = FullSceneParameters(*(rng.normal(size=p.shape).astype(np.float32) for p in (data.spectrum_free, data.used)))
    product = full_scene_penalty_product(data, v).coefficients
    by_matrix = np.einsum("kij,kj->ki", data.stiffness, v.coefficients.reshape(len(data.used), -1))
    np.testing.assert_allclose(np.asarray(product).reshape(by_matrix.shape), by_matrix, atol=1e-4)
    # <Jᵀ n nᵀ J> is Jᵀ J: the mean of 400 squares is known to 7 %
    wave = rng.normal(size=data.used.shape).astype(np.float32) * data.used
    squares = []
    for _ in range(400):
        noise = tuple(rng.normal(size=data.used.shape).astype(np.float32) for _ in range(4))
        squares.append(float(np.sum(np.asarray(full_scene_noise(data, noise).coefficients)[0] * wave[0])) ** 2)
    assert np.mean(squares) == pytest.approx(float(wave[0].ravel() @ data.stiffness[0] @ wave[0].ravel()), rel=0.28)


PLACES = ((30.3, 49.8), (42.3, 57.8), (48.3, 46.8), (68.3, 27.8), (75.3, 69.8))
FLUXES = np.array([(800.0, 1000.0), (500.0, 900.0), (1200.0, 1300.0), (600.0, 700.0), (400.0, 450.0)])
SIZES = (2.5, 2.0, 3.5, 3.0, 2.2)
COLOR = np.array([1.5, 2.4])
"""Of the cloud, at its peak [nJy/pix]: a pixel's noise and two or three times that."""


def cloudy(systems: Any, seed: int) -> tuple[Any, Scene, np.ndarray]:
    """Return an image of five galaxies before a cloud, a scene that they may start from, and the cloud."""
    shape = (2, 96, 96)
    weights = np.broadcast_to(systems.noise[:, None, None] ** -2.0, shape)
    blank = Observation.from_arrays(np.zeros(shape), systems.psfs, weights, channels=list(systems.bands))
    truth, start = empty_scene([blank]), empty_scene([blank])
    for (x, y), flux, size in zip(PLACES, FLUXES, SIZES, strict=True):
        form = {"n_channels": 2, "half_light_radius": size}
        truth = truth.add(make_source("sersic", x, y, flux=flux, radius=25, **form))
        start = start.add(make_source("galaxy", x, y, radius=15, **form))
    y, x = np.mgrid[:96, :96]
    one = np.exp(-0.5 * (((x - 40) / 22) ** 2 + ((y - 55) / 16) ** 2))
    cloud = COLOR[:, None, None] * (one + 0.6 * np.exp(-0.5 * (((x - 70) / 15) ** 2 + ((y - 25) / 20) ** 2)))
    noise = np.random.default_rng(seed).normal(size=shape) * systems.noise[:, None, None]
    return replace(blank, images=Program([blank], truth).model() + cloud + noise), start, cloud


def test_galaxies_before_a_cloud_keep_their_fluxes(systems: Any) -> None:
    """Without light over the whole scene galaxies take all of the cloud, and χ² says nothing: boxes grow over it.

    With it, errors cover what is left: ten pulls with an rms of 1.4, as over eight seeds (1.0 where there is no cloud);
    the light is known to 0.05 of its peak."""
    seen, start, cloud = cloudy(systems, 3)
    plain = fit(start, [seen]).run()
    assert np.median(plain.scene.fluxes / FLUXES - 1.0) > 0.4
    running = fit(start.with_full_scene(), [seen])
    best = running.run()
    assert best.outcome.is_success and best.chi2 == pytest.approx(1.0, abs=0.05)
    catalog = measure(best.scene, [seen], running.program)
    errors = np.stack([catalog.table[f"flux_err_{k}"].value for k in ("image_g", "image_i")], axis=1)
    pulls = (best.scene.fluxes - FLUXES) / errors
    assert np.sqrt(np.mean(pulls**2)) < 2.2 and np.median(np.abs(best.scene.fluxes / FLUXES - 1.0)) < 0.1
    light = best.full_scene(0)
    assert np.all(np.std(light - cloud, axis=(1, 2)) < 0.05 * cloud.max(axis=(1, 2)))
    table = catalog.full_scene
    assert table is not None and list(catalog.parts) == ["catalog", "full_scene"] and table["name"][0] == "full scene"
    for key, total in zip(("image_g", "image_i"), cloud.sum(axis=(1, 2)), strict=True):
        assert 0 < table[f"flux_err_{key}"].value[0] < 0.1 * total
        assert table[f"flux_{key}"].value[0] == pytest.approx(total, abs=3.5 * table[f"flux_err_{key}"].value[0])
    # all light is somebody's, and the parts make the model
    parts = sum(best.component(k) for k in range(5)) + light
    np.testing.assert_allclose(parts, best.model(), atol=0.02)
    shares = share(best.scene, [seen], running.program)
    shared = sum(shares.picture(k, 0) for k in range(5)) + shares.full_scenes[0][0]
    inside = shared != 0
    assert inside.mean() > 0.5
    np.testing.assert_allclose(shared[inside], seen.images[inside], atol=1e-4)


def test_edits_compile_nothing_and_what_is_fixed_stays(systems: Any, compiles_nothing: Any) -> None:
    seen, start, _ = cloudy(systems, 3)
    running = fit(start.with_full_scene(), [seen])
    for _ in range(3):
        next(running)
    scene = running.program.scene

    def edits() -> None:
        there = running.edit(running.state.scene.moved({scene.sources[0].id: (31.0, 50.5)})).scene
        # another spacing within the bucket, and a stiffer prior
        finer = there.with_full_scenes([]).with_full_scene(15.0, roughness=1.0)
        running.edit(finer)
        next(running)
        held = replace(running.state.scene.full_scenes[0], is_fixed=True)
        running.edit(running.state.scene.with_full_scenes([held]))
        next(running)
        kept = running.state.scene.full_scenes[0]
        assert kept.coefficients is held.coefficients
        np.testing.assert_allclose(kept.spectrum, held.spectrum, rtol=1e-9)
        running.edit(there.with_full_scenes([]))
        next(running)
        assert np.all(running.program.full_scene_light() == 0.0)

    compiles_nothing(edits)


def test_a_solver_that_packs_all_numbers_goes_down_with_it_and_with_known_stars(systems: Any) -> None:
    seen, start, _ = cloudy(systems, 3)
    scene = start.with_full_scene().with_stars(StarField.at([15.0], [20.0], 2))
    losses = [state.loss for state in fit(scene, [seen], FitSettings(solver=Solver.LBFGSB, max_iterations=3))]
    assert len(losses) > 1 and np.all(np.diff(losses) <= 0) and losses[-1] < 0.95 * losses[0]


def test_what_cannot_be_is_refused_and_another_grid_has_its_own() -> None:
    scene = empty_scene([varying()])
    with pytest.raises(ValueError, match="between 4 pixels and the side"):
        scene.with_full_scene(2.0)
    with pytest.raises(ValueError, match="already has light called 'full scene'"):
        scene.with_full_scene(name="full scene").with_full_scene(name="full scene")
    with pytest.raises(ValueError, match="too small for a scene"):
        FullScene.flat((400, 300), 2, 6.0)
    twice = scene.with_full_scene().with_full_scene()
    assert [each.name for each in twice.full_scenes] == ["full scene", "full scene 2"]
    assert not twice.is_solved and scene.is_empty and not twice.is_empty
    other = twice.full_scenes[0].on((120, 128), 2.0)
    assert other.spacing == 32.0 and other.coefficients.shape == twice.full_scenes[0].coefficients.shape
