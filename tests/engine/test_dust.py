"""Dust: layers that multiply light, their derivative, what a fit finds of them, and that no edit compiles."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from deblend import (
    Extinction,
    FitSettings,
    Observation,
    Parameter,
    Program,
    Scene,
    Status,
    compilations,
    fit,
    measure,
    start_dust,
)
from deblend.detect.rescaled import rescaled
from deblend.infer.conjugate_gradients import dot
from deblend.infer.errors import draw
from deblend.io.session.plain import Reader, Writer
from deblend.program.arrays import Parameters
from deblend.program.pictures import linearize
from deblend.render.extinction import extinction_in
from deblend.scene import EXTINCTION_LAWS
from deblend.sky import Passband
from tests.engine.jitted import jitted
from tests.engine.test_operator import adjoint, jacobian, rendered

FLUX = (4000.0, 6000.0)
DEPTH, SIZE = 0.8, 2.5
V_BAND = Passband.top_hat(5500.0, 50.0)


def dusty(systems: Any, **options: Any) -> Scene:
    """Return a disk behind a smaller layer of dust, next to a star that has none."""
    scene: Scene = systems.scene(
        ("exponential", 24.2, 23.6, FLUX, {"half_light_radius": 4.0, "radius": 15}),
        ("point", 9.3, 36.6, (300.0, 420.0)),
    )
    disk = scene.sources[0]
    options = {"kind": "gaussian", "depth": DEPTH, "extinction": Extinction("power-law"), **options}
    return scene.replace(disk.dimmed(start_dust(SIZE, 15, n_channels=2, **options)))


@pytest.fixture
def program(systems: Any, double: Any) -> Program:
    """Return a program with a galaxy and a disk behind dust of two sizes of boxes, and a star without."""
    scene = dusty(systems).add(*systems.scene(("galaxy", 34.0, 12.5, FLUX, {"half_light_radius": 2.6})).sources)
    galaxy = scene.sources[2].renamed("galaxy")
    layer = start_dust(2.0, 20, n_channels=2, kind="galaxy", depth=0.4, extinction="free")
    return Program([systems.blank()], scene.replace(galaxy.dimmed(layer)), dtype=np.float64)


def stirred(program: Program, size: float, seed: int) -> Parameters:
    """Return a random change of all that counts, relative to what it is."""
    rng = np.random.default_rng(seed)
    groups = []
    for slots, p in zip(program.data.groups, program.parameters.groups, strict=True):
        used = np.arange(len(p.theta)) < slots.count
        theta = size * rng.normal(size=p.theta.shape) * used[:, None]
        flux = size * p.flux * rng.normal(size=p.flux.shape)
        aspect = size * rng.normal(size=p.aspect.shape) * used[:, None, None]
        pixels = None if p.pixels is None else size * rng.normal(size=p.pixels.shape) * used[:, None, None]
        groups.append(p._replace(theta=theta, flux=flux, aspect=aspect, pixels=pixels))
    return Parameters(tuple(groups))


def added(parameters: Any, change: Any, by: float) -> Parameters:
    groups = (
        p._replace(
            **{name: getattr(p, name) + by * getattr(v, name) for name in p._fields if getattr(p, name) is not None}
        )
        for p, v in zip(parameters.groups, change.groups, strict=True)
    )
    return Parameters(tuple(groups))


def test_light_is_multiplied(systems: Any) -> None:
    scene = dusty(systems)
    bare = scene.replace(scene.sources[0].dimmed(None))
    program = Program([systems.blank()], bare, dtype=np.float64)
    layout, data, parameters = program.layout, program.data, program.parameters
    before = np.asarray(jitted(rendered)(layout, data, parameters)[0])
    behind = Program([systems.blank()], scene, dtype=np.float64)
    after = np.asarray(jitted(rendered)(behind.layout, behind.data, behind.parameters)[0])
    k = extinction_in(Extinction("power-law"), behind.passbands)
    assert k[0] > 1.1 > 0.9 > k[1]
    # in the middle, where the layer is thickest, g loses more than i; the star loses nothing
    taken = -np.log((after / np.where(before > 0, before, 1.0))[:, 23:25, 23:25].mean(axis=(1, 2)))
    assert np.all(taken > 0.4) and taken[0] > 1.3 * taken[1]
    np.testing.assert_allclose(after[:, 34:40, 6:12], before[:, 34:40, 6:12], rtol=1e-3)
    # what is drawn by columns is what the fit sees
    model = np.asarray(behind.model()) / behind.noise[:, None, None]
    np.testing.assert_allclose(model, after, atol=2e-4 * after.max())


def test_the_mean_depth_is_that_within_half_of_the_dust(systems: Any) -> None:
    assert dusty(systems).sources[0].dust.depth == pytest.approx(DEPTH)  # type: ignore[union-attr]


@pytest.mark.usefixtures("double")
def test_the_derivative_is_that_of_the_picture(program: Program) -> None:
    layout, data = program.layout, program.data
    here = added(program.parameters, stirred(program, 0.05, 1), 1.0)
    change = stirred(program, 0.1, 2)
    lines = jitted(linearize)(layout, data, here)
    told = jitted(jacobian)(layout, data, here, lines, change)[0]
    render = partial(jitted(rendered), layout, data)
    step = 1e-5
    found = (np.asarray(render(added(here, change, step))[0]) - np.asarray(render(added(here, change, -step))[0])) / (
        2 * step
    )
    np.testing.assert_allclose(told, found, atol=1e-6 * np.abs(found).max())


@pytest.mark.usefixtures("double")
def test_the_adjoint_is_the_transpose(program: Program) -> None:
    layout, data = program.layout, program.data
    here = added(program.parameters, stirred(program, 0.05, 1), 1.0)
    lines = jitted(linearize)(layout, data, here)
    change = stirred(program, 0.1, 3)
    images = (np.random.default_rng(4).normal(size=data.observations[0].images.shape),)
    seen = jitted(jacobian)(layout, data, here, lines, change)
    back = jitted(adjoint)(layout, data, here, lines, images)
    across = float(sum(np.vdot(a, b) for a, b in zip(images, seen, strict=True)))
    assert float(dot(back, change)) == pytest.approx(across, rel=1e-9)


@pytest.fixture(scope="module")
def seen(systems: Any) -> Observation:
    scene = dusty(systems)
    model = np.asarray(Program([systems.blank()], scene).model(), np.float64)
    observation: Observation = systems.seen(model, seed=3)
    return observation


def start(systems: Any, **options: Any) -> Scene:
    scene = dusty(systems, depth=0.3, **options)
    disk = scene.sources[0]
    return systems.without_fluxes(scene.replace(disk.moved(disk.x + 0.2, disk.y - 0.2)))


def test_a_fit_finds_the_depth_within_its_error(systems: Any, seen: Observation) -> None:
    running = fit(start(systems), [seen], FitSettings(max_iterations=60))
    state = running.run()
    assert state.outcome.name == "CONVERGED" and state.chi2 == pytest.approx(1.0, abs=0.06)
    disk = state.scene.sources[0]
    draws = draw(running.program, n_samples=24)
    error = float(draws.depth_errors[disk.id])
    truth = float(dusty(systems).sources[0].dust.total.value)  # type: ignore[union-attr]
    found = float(disk.dust.total.value)  # type: ignore[union-attr]
    assert error < 0.25 * truth
    assert abs(found - truth) < 3 * error
    assert np.all(np.abs(disk.flux - FLUX) < 3 * draws.flux_errors[0])
    size = float(disk.dust.morphology.parameters["half_light_radius"].value)  # type: ignore[union-attr]
    assert size == pytest.approx(SIZE, rel=0.25)


def test_without_dust_the_same_fit_is_worse(systems: Any, seen: Observation) -> None:
    scene = start(systems)
    bare = scene.replace(scene.sources[0].dimmed(None))
    assert fit(bare, [seen]).run().chi2 > 1.1


def test_edits_of_dust_compile_nothing(systems: Any, seen: Observation) -> None:
    scene = start(systems)
    running = fit(scene, [seen], FitSettings(max_iterations=2))
    running.run()
    disk, star = running.state.scene.sources
    layer = start_dust(3.5, 14, n_channels=2, kind="gaussian", depth=0.1, extinction=Extinction("CCM89"))
    # columns of disks without dust, and of stars behind it
    running.edit(running.state.scene.replace(disk.dimmed(None), star.dimmed(layer)))
    next(running)
    before = compilations()
    for dust in (layer, None, replace(layer, total=layer.total.with_status(Status.FIXED)), replace(layer, behind=())):
        running.edit(running.state.scene.replace(running.state.scene.sources[0].dimmed(dust)))
        next(running)
    running.edit(running.state.scene.replace(star.dimmed(layer)))
    next(running)
    assert compilations() == before


def test_dust_may_lie_before_one_component_only(systems: Any) -> None:
    scene = dusty(systems)
    disk = scene.sources[0]
    both = replace(disk, components=(disk.components[0], disk.components[0]), dust=None)

    def light(source: Any) -> np.ndarray:
        return np.asarray(Program([systems.blank()], scene.with_sources([source]), dtype=np.float64).model())

    dust = disk.dust
    none, one, all_ = (light(both.dimmed(d)) for d in (None, replace(dust, behind=(1,)), dust))
    np.testing.assert_allclose(one, 0.5 * (none + all_), atol=1e-5 * none.max())


def test_what_is_fixed_stays(systems: Any, seen: Observation) -> None:
    scene = start(systems)
    disk = scene.sources[0]
    fixed = disk.dust.with_status(Status.FIXED)  # type: ignore[union-attr]
    state = fit(scene.replace(disk.dimmed(fixed)), [seen], FitSettings(max_iterations=3)).run()
    after = state.scene.sources[0].dust
    assert float(after.total.value) == float(fixed.total.value)  # type: ignore[union-attr]


def test_depths_stay_above_zero(systems: Any) -> None:
    scene = dusty(systems)
    bare = scene.replace(scene.sources[0].dimmed(None))
    observation = systems.seen(np.asarray(Program([systems.blank()], bare).model(), np.float64), seed=5)
    found = fit(start(systems), [observation]).run().scene.sources[0]
    assert 0.0 <= found.dust.depth < 0.2  # type: ignore[union-attr]


def test_free_depths_and_free_pixels_are_found(systems: Any, seen: Observation) -> None:
    # all of them free is what the light's own shape can imitate: hold that
    scene = start(systems, kind="free-form", extinction="free")
    disk = scene.sources[0]
    truth = dusty(systems).sources[0].components[0]
    held = replace(truth.morphology, half_light_radius=truth.morphology.half_light_radius.with_status(Status.FIXED))
    spectrum = Parameter(np.asarray(FLUX), Status.FIXED)
    known = replace(disk, components=(replace(truth, morphology=held, spectrum=spectrum),))
    state = fit(scene.replace(known), [seen]).run()
    assert state.chi2 < 1.1
    totals = state.scene.sources[0].dust.total.value  # type: ignore[union-attr]
    k = extinction_in(Extinction("power-law"), Program([seen], scene).passbands)
    np.testing.assert_allclose(totals, k * float(dusty(systems).sources[0].dust.total.value), rtol=0.2)  # type: ignore[union-attr]


def test_the_catalog_tells_of_dust(systems: Any) -> None:
    scene = dusty(systems)
    table = measure(scene, [systems.blank()], errors=False).table
    assert table["dust_depth"][0] == pytest.approx(DEPTH, rel=1e-3) and np.isnan(table["dust_depth"][1])
    through = [table[name][0] for name in table.colnames if name.startswith("transmitted_")]
    assert 0.2 < through[0] < through[1] < 0.9


@pytest.mark.parametrize("law", [law for law in EXTINCTION_LAWS if law != "free"])
def test_laws_are_one_in_the_v_band_and_fall_towards_red(law: str) -> None:
    k = extinction_in(Extinction(law), [Passband.top_hat(4500.0, 50.0), V_BAND, Passband.top_hat(9000.0, 50.0)])
    assert k[0] > k[1] > k[2] > 0
    assert k[1] == pytest.approx(1.0, abs=0.03)


def test_dust_far_away_sees_bluer_light() -> None:
    near, far = (extinction_in(Extinction("power-law", redshift=z), [V_BAND])[0] for z in (0.0, 1.0))
    assert far == pytest.approx(near * 2.0**1.3)


def test_dust_is_kept_by_sessions_and_by_other_pixels(systems: Any) -> None:
    source = dusty(systems).sources[0]
    kept: list[np.ndarray] = []
    tree = Writer(lambda array: kept.append(array) or len(kept) - 1).tree(source)
    again = Reader(lambda number: kept[number]).object(tree)
    assert again.dust.extinction == source.dust.extinction  # type: ignore[union-attr]
    np.testing.assert_array_equal(again.dust.total.value, source.dust.total.value)  # type: ignore[union-attr]
    assert rescaled(source, 2.0).dust.depth == pytest.approx(source.dust.depth)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Extinction("dusty"), "dusty"),
        (lambda: Extinction(total_to_selective=9.0), "R_V"),
        (lambda: start_dust(2.0, 12, n_channels=2, depth=-1.0), "negative"),
        (lambda: start_dust(2.0, 12, n_channels=2, kind="point"), "point"),
        (lambda: extinction_in(Extinction("SMC"), [Passband.top_hat(5e5, 1e4)]), "SMC"),
    ],
)
def test_what_is_no_dust_is_told(make: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()


def test_dust_has_to_fit_its_source(systems: Any) -> None:
    source = systems.scene(("point", 9.3, 36.6, (300.0, 420.0))).sources[0]
    with pytest.raises(ValueError, match="components"):
        source.dimmed(start_dust(2.0, 12, n_channels=2, behind=(3,)))
    with pytest.raises(ValueError, match="per channel"):
        source.dimmed(start_dust(2.0, 12, n_channels=5, extinction="free"))
