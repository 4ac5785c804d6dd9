"""Constraints act in the order that a person says, and can be looked at without a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Constraint, ConstraintKind, Program, Scene, make_source
from deblend.constraints import inward_weights_about, nearest_monotonic, symmetric_minimum
from deblend.infer import Glimpse
from deblend.scene import ACTING_ORDER, FreeForm, acting_order
from tests.engine.blobs import seen

K = ConstraintKind
PLACES = ((30.0, 30.0, 900.0, 1.5), (36.0, 33.0, 500.0, 1.2))


def free_form(*kinds: ConstraintKind) -> FreeForm:
    """Return pixels with these constraints, added one after another."""
    result = FreeForm.of_size(2.0, 5)
    for kind in kinds:
        result = result.with_constraint(Constraint(kind))
    return result


def acting(morphology: FreeForm) -> list[ConstraintKind]:
    return [c.kind for c in morphology.constraints if c.kind in ACTING_ORDER]


def test_what_is_added_takes_its_usual_place() -> None:
    one, other = (K.CONNECTED, K.MONOTONIC, K.L1), (K.L1, K.CONNECTED, K.MONOTONIC)
    assert acting(free_form(*one)) == acting(free_form(*other)) == [K.L1, K.MONOTONIC, K.CONNECTED]


def test_what_is_changed_keeps_its_place() -> None:
    turned = free_form(K.L1, K.MONOTONIC, K.SYMMETRIC).with_acting_order((K.MONOTONIC, K.L1, K.SYMMETRIC))
    assert acting(turned) == [K.MONOTONIC, K.L1, K.SYMMETRIC]
    assert acting(turned.with_constraint(Constraint(K.L1, 0.7))) == [K.MONOTONIC, K.L1, K.SYMMETRIC]
    # soft ones are left where they are
    assert [c.kind for c in turned.constraints][:3] == [K.POSITIVITY, K.SYMMETRY, K.MONOTONICITY]


def test_kinds_change_places_among_themselves() -> None:
    order = acting_order((K.CONNECTED, K.L1))
    assert order[ACTING_ORDER.index(K.L1)] is K.CONNECTED and order[ACTING_ORDER.index(K.CONNECTED)] is K.L1
    assert [k for k in order if k not in (K.L1, K.CONNECTED)] == [
        k for k in ACTING_ORDER if k not in (K.L1, K.CONNECTED)
    ]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Two free-form sources, one of them with a bump at its side, on the middles of pixels."""
    from deblend import empty_scene

    rng = np.random.default_rng(4)

    def bumpy(x: float, y: float, flux: float) -> Any:
        source = make_source("free-form", x, y, n_channels=2, flux=(flux, flux / 2), radius=7)
        (component,) = source.components
        pixels = component.morphology.pixels.value * rng.uniform(0.3, 1.7, size=(15, 15))
        morphology = component.morphology.with_parameters(pixels=component.morphology.pixels.at(pixels / pixels.sum()))
        return replace(source, components=(replace(component, morphology=replace(morphology, constraints=())),))

    return empty_scene([seen(*PLACES)]).add(*(bumpy(x, y, flux) for x, y, flux, _ in PLACES))


def asked(scene: Scene, *constraints: Constraint) -> Scene:
    """Return the scene with these constraints on its first source, in this order."""
    first = scene.sources[0]
    (component,) = first.components
    morphology = replace(component.morphology, constraints=constraints)
    return scene.replace(replace(first, components=(replace(component, morphology=morphology),)))


def test_a_glimpse_is_the_operators_one_after_another(scene: Scene) -> None:
    """Of two that do not commute, in both orders, against the operators themselves."""
    program = Program([seen(*PLACES)], scene, solve=False)
    source = scene.sources[0]
    pair = Constraint(K.SYMMETRIC_MINIMUM), Constraint(K.MONOTONIC)
    results = []
    for constraints in (pair, pair[::-1]):
        program.take(asked(scene, *constraints))
        found = Glimpse.of(program, source.id).lights()
        assert found.before.shape == (15, 15)
        np.testing.assert_allclose(found.flux_after, found.flux_before)
        np.testing.assert_allclose(found.flux_before, source.flux, rtol=1e-4)
        expected: Any = jnp.asarray(found.before)
        for constraint in constraints:
            expected = _operators[constraint.kind](expected)
        np.testing.assert_allclose(found.after, expected, atol=1e-4 * float(found.before.max()))
        results.append(found.after)
    assert np.abs(results[0] - results[1]).max() > 3e-3 * results[0].max()


def _monotonic(pixels: Any) -> Any:
    side, angle = pixels.shape[0], jnp.asarray(2)
    weights = inward_weights_about(side, jnp.zeros(2), angle).astype(pixels.dtype)
    return nearest_monotonic(pixels, weights, jnp.zeros(()), jnp.ones(()))


_operators: dict[ConstraintKind, Callable[[Any], Any]] = {
    K.SYMMETRIC_MINIMUM: lambda pixels: symmetric_minimum(pixels, jnp.zeros(2), jnp.ones(())),
    K.MONOTONIC: _monotonic,
}


def test_what_is_off_leaves_the_light_and_colors_change_fluxes_only(scene: Scene) -> None:
    program = Program([seen(*PLACES)], scene, solve=False)
    source = scene.sources[0]
    program.take(asked(scene, Constraint(K.MONOTONIC, active=False), Constraint(K.BAND_RATIOS)))
    found = Glimpse.of(program, source.id).lights()
    np.testing.assert_allclose(found.after, found.before)
    assert found.flux_before[0] == pytest.approx(2 * found.flux_before[1], rel=1e-4)
    assert found.flux_after[0] == pytest.approx(found.flux_after[1], rel=1e-4)


def test_another_order_or_strength_or_source_compiles_nothing(
    scene: Scene, compiles_nothing: Callable[[Callable[[], Any]], None]
) -> None:
    program = Program([seen(*PLACES)], scene, solve=False)
    first, second = (source.id for source in scene.sources)
    orders = ((K.MONOTONIC, K.L1), (K.L1, K.MONOTONIC), (K.SYMMETRIC,))

    def look() -> None:
        for kinds in orders:
            program.take(asked(scene, *map(Constraint, kinds)))
            for source_id in (first, second):
                Glimpse.of(program, source_id).lights()

    look()
    compiles_nothing(look)


def test_settings_that_do_not_fit_are_said(scene: Scene) -> None:
    program = Program([seen(*PLACES)], scene, solve=False)
    wrong = asked(scene, Constraint(K.BAND_RATIOS, settings=(("ratios", (1.0, 2.0, 3.0)),)))
    with pytest.raises(ValueError, match="needs a number for each of 2 channels, got 3"):
        program.take(wrong)
        Glimpse.of(program, wrong.sources[0].id)
