"""A person who does anything at any time breaks nothing: a small part of `benchmarks/soak.py`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblend import FitSettings, Program
from deblend.io import replay
from tests.plugin.person import COMPILING, Ears, Person

pytestmark = pytest.mark.gui

IS_SMALL = bool(os.environ.get("CI"))
GESTURES = 100 if IS_SMALL else 400
LOOK = 50
"""Gestures between two looks at the picture."""


@pytest.mark.slow
def test_random_gestures_break_nothing_and_are_done_again_alike(
    opened: Any, make_hands: Callable[[Any], Any], wait: Callable[..., None], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path))
    opened.settings = FitSettings(max_iterations=6)
    person = Person(opened, make_hands(opened), wait, seed=1, without=COMPILING if IS_SMALL else ())
    person.begin()
    with Ears() as ears:
        for number in range(GESTURES):
            person.gesture()
            if number % LOOK == LOOK - 1:
                person.rest()
                check_picture(opened)
        person.rest()
    assert ears.heard == [] and person.told == []
    check_state(opened)
    assert not [t for t in threading.enumerate() if t.name.startswith("deblend") and not t.is_alive()]


def check_picture(bench: Any) -> None:
    """The χ² that is shown is that of a program made anew of the scene: to 4e-8 it was in 2,400 gestures."""
    scene = bench.document.scene
    fresh = Program(bench.document.observations, scene, standard_groups=True, solve=False)
    told = f"{bench.frame.chi2:.6f} is shown, {fresh.chi2:.6f} is that of the scene: {[s.kind for s in scene.sources]}"
    assert bench.frame.chi2 == pytest.approx(fresh.chi2, rel=1e-5), told


def check_state(bench: Any) -> None:
    """The picture is that of the scene, history leads back and forth, and what was fitted comes out again."""
    check_picture(bench)
    document = bench.document
    scene, seen = document.scene, document.observations
    steps = 0
    while document.undo_label is not None:
        document.undo()
        steps += 1
    for _ in range(steps):
        document.redo()
    assert [s.id for s in document.scene.sources] == [s.id for s in scene.sources]
    np.testing.assert_array_equal(document.scene.fluxes, scene.fluxes)
    session = bench.keeper.session()
    assert session.runs
    for run, end in zip(session.runs[-3:], replay(type(session)(scene, seen, runs=session.runs[-3:])), strict=True):
        assert [s.id for s in end.sources] == [s.id for s in run.end.sources]
        errors = Program(run.observations, run.end, standard_groups=True, solve=False).point_source_errors
        np.testing.assert_array_less(np.abs(end.fluxes - run.end.fluxes), 0.05 * errors + 1e-3 * np.abs(run.end.fluxes))
