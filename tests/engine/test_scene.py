"""The scene: what a person says, frozen; nothing that is said is lost, and bad input is answered with a sentence."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from deblend import (
    Channel,
    Component,
    Constraint,
    ConstraintKind,
    FreeForm,
    Galaxy,
    LockedParameterError,
    Parameter,
    PixelGrid,
    Scene,
    Status,
    TangentWcs,
    make_source,
)
from deblend.scene import MORPHOLOGIES, start_morphology
from deblend.scene.morphology import fit_box

WCS = TangentWcs((150.1, 2.2), (20.0, 15.0), ((-0.168, 0.0), (0.0, 0.168)))
EMPTY = Scene(PixelGrid((40, 50), WCS), (Channel("HSC", "g"), Channel("HSC", "r")))


@pytest.fixture
def scene() -> Scene:
    return EMPTY.place("galaxy", (10.2, 11.7)).place("point", (30.0, 20.0), flux=[3.0, 4.0])


def test_sources_are_numbered_and_keep_their_identity(scene: Scene) -> None:
    assert [s.name for s in scene.sources] == ["1", "2"]
    first, second = scene.sources
    smaller = scene.remove(first.id)
    assert smaller.sources == (second,)
    assert smaller.place("point", (5, 5)).sources[-1].name == "3"
    moved = scene.replace(first.moved(12.0, 13.0))
    assert moved.index(first.id) == 0 and moved[first.id].x == 12.0
    # what was there before is untouched: undo is the previous scene
    assert scene[first.id].x == 10.2 and len(scene) == 2


def test_a_scene_is_frozen(scene: Scene) -> None:
    with pytest.raises(FrozenInstanceError):
        scene.sources = ()  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        scene.sources[0].center.value[0] = 3.0


def test_a_source_of_another_scene_does_not_fit() -> None:
    with pytest.raises(ValueError, match="needs 2 fluxes, one per channel"):
        EMPTY.add(make_source("point", 3, 3, n_channels=3))
    with pytest.raises(ValueError, match="expected 2 numbers"):
        EMPTY.place("point", (3, 3), flux=[1.0])
    source = make_source("point", 3, 3, n_channels=2)
    with pytest.raises(ValueError, match="already has a source with id"):
        EMPTY.add(source, source)
    with pytest.raises(KeyError, match="no source with id 'nobody'"):
        EMPTY.remove("nobody")
    with pytest.raises(ValueError, match="no morphology 'spiral'; choose one of point"):
        EMPTY.place("spiral", (3, 3))


def test_fluxes_are_unknown_until_they_are_solved_for(scene: Scene) -> None:
    assert not scene.is_solved
    assert scene.sources[1].components[0].is_solved
    np.testing.assert_array_equal(scene.fluxes, [[np.nan, np.nan], [3.0, 4.0]])
    assert EMPTY.fluxes.shape == (0, 2)


def test_a_place_on_the_sky(scene: Scene) -> None:
    ra, dec = WCS.pixel_to_sky(12.25, 7.5)
    placed = scene.place("point", f"{ra:.9f} {dec:.9f}")
    assert (placed.sources[-1].x, placed.sources[-1].y) == pytest.approx((12.25, 7.5), abs=1e-4)
    center = EMPTY.place("point", "10:00:24 +02:12:00")
    assert (center.sources[-1].x, center.sources[-1].y) == pytest.approx((20.0, 15.0), abs=1e-3)
    without = replace(EMPTY, grid=PixelGrid((40, 50)))
    with pytest.raises(ValueError, match=r"the image has no WCS. Give pixels"):
        without.place("point", "150.1 2.2")


def test_fixed_yields_to_a_person_and_locked_to_nobody() -> None:
    free = Parameter(2.0, lower=0.5, upper=4.0)
    assert free.is_free and float(free.edited(9.0).value) == 4.0
    fixed = free.with_status(Status.FIXED)
    assert not fixed.is_free and float(fixed.edited(3.0).value) == 3.0
    with pytest.raises(LockedParameterError, match="locked; unlock it"):
        free.with_status(Status.LOCKED).edited(3.0)
    with pytest.raises(ValueError, match=r"lower ≤ upper bound, got 2\.0 and 1\.0"):
        Parameter(1.0, lower=2.0, upper=1.0)


def test_a_locked_source_cannot_be_dragged(scene: Scene) -> None:
    locked = scene.sources[0].with_status(Status.LOCKED)
    assert locked.is_locked
    with pytest.raises(LockedParameterError):
        locked.moved(1.0, 1.0)
    parameters = [
        locked.center,
        *(p for c in locked.components for p in (c.spectrum, *c.morphology.parameters.values())),
    ]
    assert {p.status for p in parameters} == {Status.LOCKED}


@pytest.mark.parametrize("kind", MORPHOLOGIES)
def test_any_kind_becomes_any_other_and_keeps_what_both_have(kind: str) -> None:
    source = make_source(kind, 8.0, 9.0, n_channels=2, flux=[5.0, 7.0], half_light_radius=3.0, radius=9)
    for other in MORPHOLOGIES:
        changed = source.retyped(other)
        assert changed.kind == other and changed.id == source.id and changed.radius == 9
        assert (changed.x, changed.y) == (8.0, 9.0)
        np.testing.assert_array_equal(changed.flux, [5.0, 7.0])
        if "point" not in (kind, other):
            assert changed.components[0].morphology.half_light_radius_guess == pytest.approx(3.0, rel=0.35)


@pytest.mark.parametrize("kind", ["galaxy", "free-form"])
def test_a_box_resized_keeps_its_pixels_around_the_center(kind: str) -> None:
    source = make_source(kind, 8.0, 9.0, n_channels=2, radius=6)
    name = "correction" if kind == "galaxy" else "pixels"
    stirred = source.components[0].morphology.parameters[name].at(np.arange(169.0).reshape(13, 13))
    component = replace(
        source.components[0], morphology=source.components[0].morphology.with_parameters(**{name: stirred})
    )
    larger = component.resized(10).morphology.parameters[name].value
    assert larger.shape == (21, 21)
    np.testing.assert_array_equal(larger[4:17, 4:17], stirred.value)
    assert larger.sum() == stirred.value.sum()
    back = component.resized(10).resized(6).morphology.parameters[name].value
    np.testing.assert_array_equal(back, stirred.value)
    np.testing.assert_array_equal(fit_box(stirred.value, 2), stirred.value[4:9, 4:9])


def test_constraints_are_replaced_by_kind_and_never_in_place() -> None:
    before = FreeForm.of_size(2.0, 5)
    after = before.with_constraint(Constraint(ConstraintKind.SYMMETRY, 0.1, active=False))
    assert before.constraint(ConstraintKind.SYMMETRY) == Constraint(ConstraintKind.SYMMETRY, 0.5)
    assert after.constraint(ConstraintKind.SYMMETRY) == Constraint(ConstraintKind.SYMMETRY, 0.1, active=False)
    assert len(after.constraints) == len(before.constraints)
    assert before.constraint(ConstraintKind.CORRECTION) is None
    with pytest.raises(ValueError, match="strength of symmetry must not be negative"):
        Constraint(ConstraintKind.SYMMETRY, -1.0)


def test_a_start_is_of_the_size_that_was_asked_for() -> None:
    for size in (0.7, 2.0, 5.0):
        galaxy = Galaxy.of_size(size, 15)
        assert galaxy.amplitudes.value.sum() == pytest.approx(1.0)
        assert galaxy.half_light_radius_guess == pytest.approx(size, rel=0.35)
        free_form = FreeForm.of_size(size, 25)
        assert free_form.pixels.value.sum() == pytest.approx(1.0)
    assert start_morphology("gaussian", 0.01, 15).half_light_radius_guess == 0.35


def test_a_box_has_a_size() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        Component(start_morphology("point", 1.0, 5), Parameter(np.ones(2)), radius=0)
