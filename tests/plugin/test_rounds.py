"""A fit in rounds from the window, the method that is chosen, and stars told from galaxies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Constraint, ConstraintKind, Fit, PowerLaw, Solver, make_source
from napari_deblend.actions import perform
from napari_deblend.fit_notes import METHODS, notes_of
from napari_deblend.runner import Phase
from tests.plugin.conftest import STARS


@pytest.fixture
def two_of_three(bench: Any, observation: Any, settle: Callable[[Any], None]) -> Any:
    """The workbench with galaxies on two of the three stars."""
    bench.open([observation])
    bench.document.add(*(make_source("galaxy", x, y, n_channels=3) for x, y, _ in STARS[:2]))
    settle(bench)
    return bench


def ended(bench: Any) -> bool:
    return bench.phase is Phase.IDLE and bool(bench.frame.sentence)


@pytest.mark.gui
def test_a_fit_in_rounds_finds_what_was_missed_as_one_step(
    two_of_three: Any, wait: Callable[..., None], qtbot: Any
) -> None:
    bench = two_of_three
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    before, said = bench.document.scene, []
    bench.told.connect(said.append)
    widget.detection.rounds.setFocus()
    qtbot.keyClick(widget.detection.rounds, Qt.Key.Key_Up)
    assert bench.rounds.wanted == 1
    widget.detection.classifies.click()
    assert bench.rounds.classifies
    perform(bench, "fit_or_pause")
    assert all(s.components[0].morphology.correction.status.value == "fixed" for s in bench.document.scene.sources)
    wait(lambda: any("anything extended" in sentence for sentence in said), 300)
    scene = bench.document.scene
    assert any("1 source more" in sentence for sentence in said), said
    third = min(scene.sources, key=lambda s: np.hypot(s.x - STARS[2][0], s.y - STARS[2][1]))
    assert (third.x, third.y) == pytest.approx(STARS[2][:2], abs=0.3)
    assert len(scene) == 3
    free = [s.components[0].morphology for s in scene.sources if s.kind == "galaxy"]
    assert all(morphology.correction.is_free for morphology in free)
    steps = [bench.document.undo_label]
    if str(steps[0]).startswith("Tell"):
        bench.document.undo()
    assert bench.document.undo_label == "Fit"
    bench.document.undo()
    assert bench.document.scene is before


@pytest.mark.gui
def test_a_round_that_is_stopped_leaves_sources_free(
    two_of_three: Any, wait: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # rounds that end roughly would be over before a busy machine has come to stop them
    monkeypatch.setattr(sys.modules[Fit.__module__], "ROUGH", 0.0)
    bench = two_of_three
    bench.rounds.wanted = 2
    bench.settings = replace(bench.settings, max_iterations=100_000, tolerance=1e-30)
    perform(bench, "fit_or_pause")
    wait(lambda: bench.phase is Phase.RUNNING)
    perform(bench, "cancel_fit")
    wait(lambda: all(s.components[0].morphology.correction.is_free for s in bench.document.scene.sources))
    wait(lambda: bench.phase is Phase.IDLE)
    assert len(bench.document.scene) == 2


@pytest.mark.gui
def test_the_method_is_chosen_with_its_cautions(two_of_three: Any, qtbot: Any, settle: Callable[[Any], None]) -> None:
    bench = two_of_three
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    method = widget.fitting.method
    solvers = [method.itemData(k) for k in range(method.count()) if isinstance(method.itemData(k), Solver)]
    assert solvers == list(Solver) and method.currentText() == "Gauss-Newton"
    method.setFocus()
    for _ in solvers[1:]:
        qtbot.keyClick(method, Qt.Key.Key_Down)
    assert bench.settings.solver is list(METHODS)[-1] and widget.fitting.form["solver"].value is bench.settings.solver
    bench.document.select([bench.document.scene.sources[0].id])
    bench.constraining.switch(ConstraintKind.CONNECTED, True)
    settle(bench)
    assert "Connected is not convex" in widget.fitting.notes.text()


def test_notes_name_the_method_that_takes_no_laws(make_observation: Callable[..., Any]) -> None:
    from deblend import empty_scene

    scene = empty_scene([make_observation()]).add(
        make_source("point", 20.0, 20.0, n_channels=3, flux=(1.0, 1.0, 1.0), law=PowerLaw())
    )
    assert notes_of(scene, Solver.GAUSS_NEWTON) == []
    assert notes_of(scene, Solver.LBFGSB) == ["L-BFGS-B takes no spectra that follow laws; choose another method."]
    assert notes_of(scene.with_constraint(Constraint(ConstraintKind.L0)), Solver.FISTA) == []
