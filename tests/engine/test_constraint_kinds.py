"""Kinds of constraint, as a person says them: what is offered is taken by a solver, and nonsense is told."""

from __future__ import annotations

import pytest

from deblend import Constraint, ConstraintKind, offered_constraints
from deblend.constraints import PROXIMAL_OPERATORS, RESIDUALS
from deblend.program.asked import PIXEL_KINDS, SPECTRUM_KINDS
from deblend.scene import CONSTRAINT_INFO, FreeForm, Galaxy, Handling


def test_every_kind_is_described_in_a_label_and_a_sentence() -> None:
    assert set(CONSTRAINT_INFO) == set(ConstraintKind)
    labels = [kind.info.label for kind in ConstraintKind]
    assert len(set(labels)) == len(labels)
    for kind in ConstraintKind:
        info = kind.info
        assert info.help.endswith(".") and info.help.count(". ") == 0, info.help
        assert 0 < info.strength <= info.greatest_strength
        for setting in info.settings:
            assert not setting.choices or setting.default in setting.choices


def test_every_kind_has_the_operator_that_its_handling_says() -> None:
    proximal = {kind for kind in ConstraintKind if kind.info.handling is Handling.PROXIMAL}
    assert set(PROXIMAL_OPERATORS) == proximal
    assert {*RESIDUALS, ConstraintKind.CORRECTION, ConstraintKind.LEARNED_PRIOR} == set(ConstraintKind) - proximal


def test_what_no_solver_takes_is_neither_offered_nor_accepted() -> None:
    offered = offered_constraints()
    assert {c.kind for m in (FreeForm.of_size(2.0, 5), Galaxy.of_size(2.0, 5)) for c in m.constraints} <= set(offered)
    for kind in ConstraintKind:
        if kind in offered:
            assert Constraint(kind).strength == kind.info.strength
        else:
            with pytest.raises(ValueError, match=f"No solver takes the constraint '{kind.value}' yet"):
                Constraint(kind)


def test_what_is_offered_with_an_operator_is_put_onto_components() -> None:
    proximal = {kind for kind in offered_constraints() if kind.info.handling is Handling.PROXIMAL}
    # positivity is a bound or a residual of the program, and normalization to an interval acts as bounds
    assert {*PIXEL_KINDS, *SPECTRUM_KINDS} == proximal - {ConstraintKind.POSITIVITY, ConstraintKind.NORMALIZATION}


def test_settings_are_checked_and_have_defaults() -> None:
    plain = Constraint(ConstraintKind.MONOTONIC)
    assert (plain.setting("weights"), plain.setting("tolerance")) == ("angle", 0.0)
    given = Constraint(ConstraintKind.MONOTONIC, settings=(("weights", "flat"), ("tolerance", 0.1)))
    assert (given.setting("weights"), given.setting("tolerance")) == ("flat", 0.1)
    for settings, message in [
        ((("weight", "flat"),), "has no setting 'weight'; it has: weights, tolerance"),
        ((("weights", "round"),), "is one of nearest, flat, angle; got 'round'"),
        ((("tolerance", (0.1, 0.2)),), "is one number"),
    ]:
        with pytest.raises(ValueError, match=message):
            Constraint(ConstraintKind.MONOTONIC, settings=settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'lower' of color-bounds is a number per channel"):
        Constraint(ConstraintKind.COLOR_BOUNDS, settings=(("lower", 0.1),))
    with pytest.raises(ValueError, match="is a share from 0 to 1"):
        Constraint(ConstraintKind.MONOTONIC, 1.5)
    with pytest.raises(ValueError, match="strength of monotonic must not be negative, got nan"):
        Constraint(ConstraintKind.MONOTONIC, float("nan"))
