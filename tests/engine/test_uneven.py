"""Uneven galaxies: told by what their corrections cost, and fitted anew as learned ones with what is next to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Constraint, ConstraintKind, Normal, Scene, Status, begun_anew, fit, make_source, measure, uneven
from deblend.infer.uneven import UNEVEN, correction_costs
from deblend.observe import Observation
from deblend.scene import Learned
from tests.engine.test_learned import irregular_blend, program_of, sky


@pytest.fixture(scope="module")
def blend(systems: Any) -> Any:
    return irregular_blend(systems, 3)


@pytest.fixture(scope="module")
def fitted(systems: Any, blend: Any) -> Scene:
    """Two irregular galaxies that overlap, and a dark place far from them, after a default fit."""
    observation, places, _ = blend
    start = [make_source("galaxy", x, y, n_channels=2, radius=9, half_light_radius=2.4) for x, y in places]
    dark = make_source("galaxy", 42.0, 6.0, n_channels=2, flux=np.zeros(2), radius=7)
    scene = sky(systems).add(*start, dark)
    return fit(scene, [observation], program=program_of(systems, observation, scene)).run().scene


def test_irregular_galaxies_are_uneven_and_fitted_anew(systems: Any, blend: Any, fitted: Scene) -> None:
    observation, _, fluxes = blend
    assert uneven(fitted, [observation]) == tuple(s.id for s in fitted.sources[:2])
    program = program_of(systems, observation, fitted)
    assert list(measure(fitted, [observation], program, errors=False).table["flag_uneven"]) == [True, True, False]
    begun = begun_anew(fitted, uneven(fitted, [observation])[:1], [observation])
    assert [s.kind for s in begun.sources] == ["learned", "galaxy", "galaxy"]
    assert begun.sources[2] is fitted.sources[2], "what is far away stays as it is"
    for source in begun.sources[:2]:
        assert (source.x, source.y) == source.anchor and np.isnan(source.flux).all()
    np.testing.assert_array_equal(correction_costs(begun)[:2], 0.0)
    best = fit(begun_anew(fitted, uneven(fitted, [observation]), [observation]), [observation], program=program).run()
    assert uneven(best.scene, [observation]) == ()
    errors = [np.abs(scene.fluxes[:2] / fluxes - 1.0).mean() for scene in (fitted, best.scene)]
    assert errors[1] < errors[0], errors


def test_what_a_person_has_said_is_kept(blend: Any, fitted: Scene) -> None:
    (first, second, _), observation = fitted.sources, blend[0]
    one = replace(first, center=first.center.with_status(Status.FIXED), channel_offsets=first.channel_offsets)
    asked = fitted.replace(one).with_constraint(Constraint(ConstraintKind.MONOTONIC))
    begun = begun_anew(asked, [first.id], [observation])
    assert (begun.sources[0].x, begun.sources[0].y) == (first.x, first.y), "a center that is fixed stays"
    kinds = {c.kind for c in begun.sources[0].components[0].morphology.constraints}
    assert {ConstraintKind.MONOTONIC, ConstraintKind.LEARNED_PRIOR} <= kinds and ConstraintKind.CORRECTION not in kinds
    locked = fitted.replace(second.with_status(Status.LOCKED))
    assert begun_anew(locked, [first.id], [observation]).sources[1] is locked.sources[1]


def test_what_may_not_become_another_kind_is_not_uneven(systems: Any, blend: Any, fitted: Scene) -> None:
    (first, second, _), seen = fitted.sources, [blend[0]]
    ellipticity = first.components[0].morphology.parameters["ellipticity"]
    believed = systems.with_morphology(first, ellipticity=ellipticity.believed(Normal(0.0, 0.1)))
    free = systems.with_constraint(first, Constraint(ConstraintKind.CORRECTION, 0.3, False))
    for changed in (believed, free, first.with_status(Status.FIXED), first.with_status(Status.LOCKED)):
        assert uneven(fitted.replace(changed), seen) == (second.id,)
    assert uneven(fitted.linked("ellipticity", (first.id, 0), (second.id, 0)), seen) == ()
    assert uneven(fitted.with_sources(s.retyped("point") for s in fitted.sources), seen) == ()


def test_its_box_ends_where_its_light_is_seen(blend: Any, fitted: Scene) -> None:
    """As the galaxy that it was may have grown for less."""

    def radius(source: Any, weights: float) -> int:
        seen = replace(blend[0], weights=weights * blend[0].weights)
        begun: int = begun_anew(fitted.replace(source), [source.id], [seen])[source.id].radius
        return begun

    first = fitted.sources[0]
    grown = replace(first, components=(first.components[0].resized(60),))
    assert radius(first, 1.0) == first.radius and radius(grown, 1.0) == 15
    assert 15 < radius(grown, 1e6) <= 31 and radius(grown, 1e12) == 31
    sized = replace(grown, components=(replace(grown.components[0], is_box_held=True),))
    assert radius(sized, 1.0) == 60, "a person's box stays"


def test_how_uneven_is_measured_by_how_bright(blend: Any, fitted: Scene) -> None:
    """In an image a hundred times as deep, any galaxy is as far from a sum of Gaussians."""
    deep = replace(blend[0], weights=1e4 * blend[0].weights)
    assert uneven(fitted, [deep]) == ()

    def strength(observation: Observation) -> float:
        begun = begun_anew(fitted, [fitted.sources[0].id], [observation])
        return begun.sources[0].components[0].morphology.constraint(ConstraintKind.LEARNED_PRIOR).strength

    usual = Learned.start(2.0, 9).constraint(ConstraintKind.LEARNED_PRIOR).strength
    assert (strength(blend[0]), strength(deep)) == (usual, 1.0)
    # half as strong in an image of a quarter of the depth
    less = [strength(replace(blend[0], weights=depth * blend[0].weights)) for depth in (16.0, 4.0)]
    assert usual < less[1] < less[0] < 1.0 and less[0] == pytest.approx(2 * less[1])


def test_what_is_resolved_far_beyond_what_was_learned_stays(systems: Any, blend: Any, fitted: Scene) -> None:
    (first, second, _), seen = fitted.sources, [blend[0]]
    component = first.components[0]
    enlarged = component.morphology.with_half_light_radius(8.0)
    large = replace(first, components=(replace(component, morphology=enlarged),))
    assert uneven(fitted.replace(large), seen) == (second.id,)
    wide = replace(first, components=(component.resized(60),))
    assert uneven(fitted.replace(wide), seen) == (), "what touches it would begin anew with it"


def test_smooth_galaxies_are_not(systems: Any) -> None:
    """Sérsic galaxies of S/N 300 and 30, one beside the other, drawn with profiles that no default galaxy has."""
    truth = systems.scene(
        ("sersic", 20.3, 23.8, (2500.0, 3600.0), {"half_light_radius": 2.5}),
        ("sersic", 27.6, 24.2, (300.0, 260.0), {"half_light_radius": 2.0}),
    )
    observation = systems.observe(truth, seed=5)
    start = sky(systems).add(*(s.retyped("galaxy") for s in truth.sources))
    best = fit(start, [observation], program=program_of(systems, observation, start)).run()
    assert uneven(best.scene, [observation]) == () and correction_costs(best.scene).max() < UNEVEN
