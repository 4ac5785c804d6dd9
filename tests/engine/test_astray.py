"""Sources placed where they are not: their profiles go home before anything is corrected."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from deblend.infer.astray import FAR, PATIENCE, Strays, held_around
from deblend.scene import Scene


@pytest.fixture(scope="module")
def truth(systems: Any) -> Scene:
    """A bright galaxy with a fainter one 4.5 px from it."""
    return systems.scene(
        ("galaxy", 22.4, 24.3, (9000.0, 12600.0), {"half_light_radius": 2.2}),
        ("galaxy", 26.9, 24.9, (2100.0, 1500.0), {"half_light_radius": 1.6}),
    )


def off(scene: Scene, truth: Scene) -> float:
    found, true = scene.sources[0], truth.sources[0]
    return float(np.hypot(found.x - true.x, found.y - true.y))


def direction(program: Any, moves: list[tuple[float, float]]) -> Any:
    """Return a direction that moves the galaxies of a program by (y, x) [pix]."""
    zeros = jax.tree.map(lambda x: np.zeros(x.shape), program.parameters)
    groups = []
    for group, members in zip(zeros.groups, program.members, strict=True):
        for slot, (source, _) in enumerate(members):
            number = [s.id for s in program.scene.sources].index(source.id)
            group.theta[slot, :2] = moves[number]
        groups.append(group)
    return zeros._replace(groups=tuple(groups))


def test_a_galaxy_placed_three_pixels_off_comes_home(systems: Any, truth: Scene) -> None:
    """Without being held, corrections left it 0.2 to 0.4 px off, after 17 to 28 steps. (Between the two it was not put:
    whose light that is, is a question of its own.)"""
    observation = systems.observe(truth)
    best = systems.fit(truth, [observation]).run().scene
    for angle in np.deg2rad([110.0, 200.0, 290.0]):
        told = truth.replace(truth.sources[0].moved(22.4 + 3.0 * np.cos(angle), 24.3 + 3.0 * np.sin(angle)))
        run = systems.fit(told, [observation])
        assert off(run.run().scene, best) < 0.07, np.rad2deg(angle)
        assert run.state.iteration <= 24


def test_only_a_far_step_finds_a_source_astray_and_rest_ends_it(systems: Any, truth: Scene) -> None:
    program = systems.program([systems.observe(truth)], truth)
    bright, faint = (source.id for source in truth.sources)
    strays = Strays()
    assert strays.seen(program, direction(program, [(0.5, 0.5), (0.0, 0.7)])) == set()
    assert strays.seen(program, direction(program, [(0.0, FAR + 0.1), (0.0, 0.3)])) == {bright}
    strays.take(frozenset({bright}))
    # it stays so at steps that would not have made it so
    assert strays.seen(program, direction(program, [(0.2, 0.0), (0.2, 0.0)])) == {bright}
    assert strays.seen(program, direction(program, [(0.05, 0.0), (FAR + 0.1, 0.0)])) == {faint}
    strays.take(frozenset())
    assert strays.seen(program, direction(program, [(2.0, 0.0), (0.0, 0.0)])) == set()


def test_no_source_is_astray_for_ever(systems: Any, truth: Scene) -> None:
    program = systems.program([systems.observe(truth)], truth)
    strays, going = Strays(), direction(program, [(2.0, 0.0), (0.0, 0.0)])
    steps = 0
    while found := strays.seen(program, going):
        strays.take(found)
        steps += bool(strays.ids)
        assert steps <= PATIENCE
    assert steps == PATIENCE


def test_what_touches_a_stray_is_held_and_nothing_else(systems: Any) -> None:
    scene = systems.scene(
        ("galaxy", 8.0, 8.0, (900.0, 700.0), {"radius": 8}),
        ("galaxy", 22.0, 9.0, (900.0, 700.0), {"radius": 8}),
        ("galaxy", 40.0, 40.0, (900.0, 700.0), {"radius": 8}),
    )
    program = systems.program([systems.observe(scene)], scene)
    first, second, third = (source.id for source in scene.sources)
    held = held_around(program, program.data, frozenset({first}))
    loose = {
        source.id: (bool(d.pixels_free[slot]), bool(np.any(d.aspect_free[slot])))
        for members, d in zip(program.members, held.groups, strict=True)
        for slot, (source, _) in enumerate(members)
    }
    assert loose == {first: (False, False), second: (False, False), third: (True, True)}
    assert held_around(program, held, frozenset()) is held
