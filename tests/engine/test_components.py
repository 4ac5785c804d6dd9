"""Sources of several components: one center, a spectrum and a morphology each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Fit, Observation, Parameter, Scene, Source, Status, fit, make_source, measure
from deblend.infer.errors import draw
from deblend.program.ties import tied

BULGE, DISK, NUCLEUS = (300.0, 1500.0), (1500.0, 1200.0), (500.0, 400.0)


def together(*sources: Source) -> Source:
    """Return the first source with the components of all."""
    return replace(sources[0], components=tuple(c for source in sources for c in source.components))


def of(kind: str, x: float, y: float, flux: tuple[float, float], size: float = 1.0) -> Source:
    return make_source(kind, x, y, n_channels=2, flux=flux, half_light_radius=size, radius=15)


def spiral() -> Source:
    bulge, disk = of("sersic", 20.3, 22.6, BULGE, 1.2), of("gaussian", 20.3, 22.6, DISK, 4.0)
    component = bulge.components[0]
    held = component.morphology.with_parameters(index=Parameter(2.5, Status.FIXED))
    return together(replace(bulge, components=(replace(component, morphology=held),)), disk)


@pytest.fixture(scope="module")
def true(systems: Any) -> Scene:
    active = together(of("galaxy", 35.2, 31.7, DISK, 2.5), of("point", 35.2, 31.7, NUCLEUS))
    scene: Scene = systems.scene().add(spiral(), active)
    return scene


@pytest.fixture(scope="module")
def seen(systems: Any, true: Scene) -> Observation:
    observation: Observation = systems.observe(true, seed=6)
    return observation


@pytest.fixture(scope="module")
def running(systems: Any, true: Scene, seen: Observation) -> Fit:
    off = systems.without_fluxes(true.with_sources(s.moved(s.x + 0.3, s.y - 0.2) for s in true.sources))
    result = fit(off, [seen])
    result.run()
    return result


def test_a_source_is_the_sum_of_its_components(systems: Any, true: Scene) -> None:
    apart = true.with_sources(
        replace(source, components=(component,), id=f"{source.id}{index}")
        for source in true.sources
        for index, component in enumerate(source.components)
    )
    program, parts = (systems.program([systems.blank()], scene) for scene in (true, apart))
    for row in (0, 1):
        np.testing.assert_allclose(
            program.component(row), parts.component(2 * row) + parts.component(2 * row + 1), atol=1e-4
        )
    np.testing.assert_allclose(program.model(), parts.model(), atol=1e-3)
    np.testing.assert_allclose(program.model(), sum(program.component(row) for row in (0, 1)), atol=1e-3)


def test_bulge_and_disk_of_other_colors_are_told_apart(running: Fit, true: Scene) -> None:
    """Red bulge of 1500 on a disk of 1200 in the second band: each to 8 %, several times its error."""
    best = running.best
    assert running.state.outcome.is_success
    assert best.chi2 == pytest.approx(1.0, abs=0.06)
    galaxy = best.scene.sources[0]
    for component, expected in zip(galaxy.components, (BULGE, DISK), strict=True):
        np.testing.assert_allclose(component.spectrum.value, expected, rtol=0.08, atol=40.0)
    np.testing.assert_allclose(galaxy.flux, np.add(BULGE, DISK), rtol=0.02)
    nucleus = best.scene.sources[1].components[1]
    np.testing.assert_allclose(nucleus.spectrum.value, NUCLEUS, rtol=0.25)
    for found, source in zip(best.scene.sources, true.sources, strict=True):
        assert np.hypot(found.x - source.x, found.y - source.y) < 0.1


def test_components_move_together(running: Fit) -> None:
    parameters, program = running.best.parameters, running.program
    offsets: dict[str, list[np.ndarray]] = {}
    for members, group in zip(program.members, parameters.groups, strict=True):
        for slot, (source, _) in enumerate(members):
            offsets.setdefault(source.id, []).append(np.r_[group.theta[slot, :2], group.aspect[slot, :, :2].ravel()])
    assert [len(each) for each in offsets.values()] == [2, 2]
    for first, second in offsets.values():
        np.testing.assert_allclose(first, second, atol=2e-5)
    data = program.data
    rng = np.random.default_rng(3)
    change = tied(data, parameters._replace(groups=tuple(_noise(g, rng) for g in parameters.groups)))
    again = tied(data, change)
    for one, two in zip(change.groups, again.groups, strict=True):
        np.testing.assert_allclose(one.theta, two.theta, atol=1e-5)
        np.testing.assert_allclose(one.aspect, two.aspect, atol=1e-5)


def _noise(group: Any, rng: np.random.Generator) -> Any:
    return group._replace(
        theta=rng.normal(size=group.theta.shape).astype(np.float32),
        aspect=rng.normal(size=group.aspect.shape).astype(np.float32),
    )


def test_errors_and_the_catalog_are_of_whole_sources(running: Fit, seen: Observation, true: Scene) -> None:
    """What bulge and disk may trade cancels in their sum; pulls of four fluxes, five of them the chance of 1e-6."""
    running.program.take(running.best.scene)
    draws = draw(running.program)
    pulls = (running.best.scene.fluxes - true.fluxes) / draws.flux_errors
    assert np.abs(pulls).max() < 5
    catalog = measure(running.best.scene, [seen], running.program, errors=False).table
    assert len(catalog) == 2
    assert list(catalog["kind"]) == ["sersic + gaussian", "galaxy + point"]
    assert np.all(np.isfinite(catalog["half_light_radius"]))


def test_the_fluxes_of_components_are_solved_for_by_themselves(systems: Any, true: Scene, seen: Observation) -> None:
    program = systems.program([seen], systems.without_fluxes(true))
    solved = program.scene.sources[0]
    for component, expected in zip(solved.components, (BULGE, DISK), strict=True):
        np.testing.assert_allclose(component.spectrum.value, expected, rtol=0.08, atol=30.0)


def test_an_edit_of_a_component_compiles_nothing(systems: Any, true: Scene, seen: Observation) -> None:
    program = systems.program([seen], true)
    before = program.compilations
    source = true.sources[0]
    moved = source.moved(source.x + 1.0, source.y)
    held = replace(moved.components[0], spectrum=moved.components[0].spectrum.with_status(Status.FIXED))
    program.update(true.replace(replace(moved, components=(held, moved.components[1]))))
    program.model()
    assert program.compilations == before
    np.testing.assert_allclose(program.scene.sources[0].components[0].spectrum.value, BULGE)
