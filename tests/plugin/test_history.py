"""Runs: states of the curve that a click goes back to, the list of runs, comparing, steps, and who takes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from deblend import make_source
from napari_deblend.actions import perform
from napari_deblend.comparing import Manner
from napari_deblend.participation import Participation
from napari_deblend.runner import Phase
from napari_deblend.views import Role, View
from tests.plugin.conftest import STARS

pytestmark = pytest.mark.gui


@pytest.fixture
def galaxies(bench: Any, observation: Any, settle: Callable[[Any], None]) -> Any:
    """The workbench with galaxies on the three stars, a little off."""
    bench.open([observation])
    bench.document.add(*(make_source("galaxy", x + 0.6, y - 0.5, n_channels=3) for x, y, _ in STARS))
    bench.document.select(())
    settle(bench)
    return bench


def dock(bench: Any) -> Any:
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    return widget


def fitted(bench: Any, wait: Callable[..., None], iterations: int = 3) -> None:
    before = len(bench.history.runs)
    bench.settings = replace(bench.settings, max_iterations=iterations, tolerance=1e-12)
    perform(bench, "fit_or_pause")
    wait(lambda: len(bench.history.runs) == before + 1 and bench.phase is Phase.IDLE)


def click_on_curve(widget: Any, point: int, qtbot: Any, wait: Callable[..., None]) -> None:
    """Click the state of that number, once the curve is laid out."""
    curve = widget.fitting.curve
    widget._scroll.ensureWidgetVisible(curve)
    wait(lambda: len(curve.values) > point and curve.isVisible() and curve.getPlotItem().getViewBox().width() > 50)
    qtbot.wait(100)
    place = curve.mapFromScene(curve.place_of(point))
    qtbot.mouseMove(curve.viewport(), QPoint(place.x(), place.y()))
    qtbot.mouseClick(curve.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place.x(), place.y()))


def numbers(scene: Any) -> np.ndarray:
    """All that a fit finds of a scene."""
    return np.concatenate([np.concatenate([s.center.value, s.flux]) for s in scene.sources])


def test_a_click_on_the_curve_goes_back_to_that_state_as_one_step(
    galaxies: Any, wait: Callable[..., None], settle: Callable[[Any], None], qtbot: Any
) -> None:
    bench, widget = galaxies, dock(galaxies)
    fitted(bench, wait)
    curve, states, end = bench.frame.curve, bench.frame.states, bench.document.scene
    assert len(states) == len(curve) == 4
    click_on_curve(widget, 1, qtbot, wait)
    wait(lambda: bench.document.undo_label == "Go back to iteration 1")
    settle(bench)
    # to the last digit: no flux is solved anew
    np.testing.assert_array_equal(numbers(bench.document.scene), numbers(states[1]))
    assert bench.frame.chi2 == pytest.approx(curve[1], rel=1e-4)
    perform(bench, "next_state")
    settle(bench)
    assert bench.document.scene is states[2]
    perform(bench, "undo")
    perform(bench, "undo")
    settle(bench)
    np.testing.assert_array_equal(numbers(bench.document.scene), numbers(end))


def test_going_back_stops_a_fit_that_runs(
    galaxies: Any, wait: Callable[..., None], settle: Callable[[Any], None], qtbot: Any
) -> None:
    bench, widget = galaxies, dock(galaxies)
    bench.settings = replace(bench.settings, max_iterations=100_000, tolerance=1e-30)
    perform(bench, "fit_or_pause")
    wait(lambda: bench.frame is not None and len(bench.frame.curve) > 3)
    click_on_curve(widget, 2, qtbot, wait)
    wait(lambda: bench.phase is Phase.IDLE and bench.document.undo_label.startswith("Go back"))
    settle(bench)
    # the curve goes on under the mouse: the label says what was hit
    state = bench.history.runs[0].state(int(bench.document.undo_label.split()[-1]))
    np.testing.assert_array_equal(numbers(bench.document.scene), numbers(state))
    assert len(bench.history.runs) == 1


def test_runs_are_listed_gone_back_to_and_kept_in_a_session(
    galaxies: Any, wait: Callable[..., None], settle: Callable[[Any], None], qtbot: Any, tmp_path: Path
) -> None:
    bench, widget = galaxies, dock(galaxies)
    fitted(bench, wait)
    first = bench.document.scene
    bench.document.delete([first.sources[2].id])
    settle(bench)
    fitted(bench, wait)
    table = widget.fitting.runs.table
    assert [table.item(line, 5).text() for line in range(table.rowCount())] == ["2", "3"]
    assert table.item(0, 2).text() == "Gauss-Newton" and table.item(0, 3).text() == "3"
    table.setFocus()
    table.setCurrentCell(1, 0)
    assert bench.history.chosen is bench.history.runs[0]
    assert tuple(widget.fitting.curve.values) == bench.history.runs[0].run.curve
    qtbot.keyClick(widget, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    settle(bench)
    np.testing.assert_array_equal(numbers(bench.document.scene), numbers(first))
    assert bench.document.undo_label == "Go back to run 1"
    chi2 = [past.run.chi2 for past in bench.history.runs]
    bench.rounds.wanted, bench.rounds.classifies = 2, True
    bench.keeper.save(tmp_path / "work.asdf")
    wait((tmp_path / "work.asdf").is_file)
    wait(lambda: not bench.keeper._thread.is_busy)
    bench.rounds.wanted, bench.rounds.classifies = 0, False
    scene = bench.document.scene
    bench.keeper.open(tmp_path / "work.asdf")
    wait(lambda: bench.document.scene is not scene)
    settle(bench)
    assert [past.run.chi2 for past in bench.history.runs] == chi2
    assert table.rowCount() == 2 and (bench.rounds.wanted, bench.rounds.classifies) == (2, True)
    assert widget.detection.rounds.value() == 2
    bench.history.choose(bench.history.runs[1])
    told: list[str] = []
    bench.told.connect(told.append)
    click_on_curve(widget, 1, qtbot, wait)
    wait(lambda: any("its start and its end are kept" in sentence for sentence in told))
    perform(bench, "go_back_to_run")
    settle(bench)
    assert len(bench.document.scene) == 2


def test_an_earlier_state_is_compared_with_the_present_one(
    galaxies: Any, wait: Callable[..., None], settle: Callable[[Any], None], qtbot: Any
) -> None:
    bench, widget = galaxies, dock(galaxies)
    fitted(bench, wait, 5)
    bench.document.move({bench.document.scene.sources[0].id: (28.0, 24.0)})
    settle(bench)
    bench.layers.look_at(View.RESIDUAL)
    runs = widget.fitting.runs
    widget.fitting.runs_fold.expand(animate=False)
    wait(lambda: runs.compare.isVisible() and runs.compare.height() > 10)
    qtbot.mouseClick(runs.compare, Qt.MouseButton.LeftButton)
    wait(lambda: bench.comparing.layer is not None)
    present, earlier = bench.layers.layer(Role.RESIDUAL), bench.comparing.layer
    wait(lambda: np.abs(np.asarray(present.data)).max() > 8)
    # the fitted state leaves noise, the moved one a star
    assert np.abs(np.asarray(earlier.data)).max() < 6
    assert tuple(earlier.contrast_limits) == tuple(present.contrast_limits)
    # they take turns
    wait(lambda: earlier.visible)
    wait(lambda: not earlier.visible)
    perform(bench, "other_manner")
    assert bench.comparing.manner is Manner.SIDE_BY_SIDE and runs.manner.currentText() == "Side by side"
    beside = bench.comparing.layer
    assert beside.visible and present.visible
    a, b = beside.extent.world[:, -1], present.extent.world[:, -1]
    assert max(a) <= min(b) or max(b) <= min(a)
    # the view of both is the same
    bench.layers.look_at(View.MODEL, color=True)
    assert bench.comparing.layer.rgb
    bench.layers.look_at(View.DATA)
    assert bench.comparing.layer is None and bench.comparing.is_on
    bench.layers.look_at(View.RESIDUAL)
    name = bench.comparing.layer.name
    assert name.startswith("A: run 1, χ² ")
    qtbot.mouseClick(runs.compare, Qt.MouseButton.LeftButton)
    assert bench.comparing.layer is None and name not in bench.viewer.layers
    perform(bench, "compare_with_last_step")
    wait(lambda: bench.comparing.layer is not None)
    assert "before “Move" in bench.comparing.layer.name
    # whoever deletes the layer has compared enough
    bench.viewer.layers.remove(bench.comparing.layer)
    assert not bench.comparing.is_on


def test_comparing_leaves_a_fit_that_runs_alone(galaxies: Any, wait: Callable[..., None]) -> None:
    bench = galaxies
    fitted(bench, wait, 2)
    before = bench.frame.chi2
    # one that was left to itself might rest before it is compared with
    perform(bench, "step_fit")
    wait(lambda: bench.phase is Phase.PAUSED)
    perform(bench, "compare_with_run")
    wait(lambda: bench.comparing.layer is not None)
    count = len(bench.frame.curve)
    perform(bench, "step_fit")
    wait(lambda: len(bench.frame.curve) == count + 1)
    assert bench.frame.chi2 <= before * 1.001
    perform(bench, "fit_or_pause")
    wait(lambda: bench.phase is Phase.IDLE)
    assert bench.comparing.is_on and bench.frame.chi2 <= before * 1.001


def test_a_step_is_one_iteration(galaxies: Any, wait: Callable[..., None], qtbot: Any) -> None:
    bench, widget = galaxies, dock(galaxies)
    bench.settings = replace(bench.settings, tolerance=1e-12)
    qtbot.mouseClick(widget.fitting.step, Qt.MouseButton.LeftButton)
    wait(lambda: bench.phase is Phase.PAUSED and bench.frame.iteration == 1)
    qtbot.wait(200)
    assert bench.frame.iteration == 1 and widget.fitting.go.text() == "Go on"
    qtbot.keyClick(widget, Qt.Key.Key_G, Qt.KeyboardModifier.AltModifier)
    wait(lambda: bench.frame.iteration == 2)
    qtbot.wait(200)
    assert bench.frame.iteration == 2
    perform(bench, "fit_or_pause")
    wait(lambda: bench.frame.iteration > 3)
    perform(bench, "step_fit")
    wait(lambda: bench.phase in (Phase.PAUSED, Phase.IDLE))
    perform(bench, "cancel_fit") if bench.phase is Phase.PAUSED else None
    wait(lambda: bench.phase is Phase.IDLE)


def test_only_what_takes_part_changes(
    galaxies: Any, wait: Callable[..., None], settle: Callable[[Any], None], qtbot: Any
) -> None:
    bench, widget = galaxies, dock(galaxies)
    who = widget.fitting.who
    who.setFocus()
    qtbot.keyClick(who, Qt.Key.Key_Down)
    assert bench.participation is Participation.SELECTED
    told: list[str] = []
    bench.told.connect(told.append)
    perform(bench, "fit_or_pause")
    assert "No source is selected" in told[-1]
    before = bench.document.scene
    bench.document.select([before.sources[1].id])
    fitted(bench, wait)
    after = bench.document.scene
    for row in (0, 2):
        assert after.sources[row] is before.sources[row]
    assert after.sources[1].center.is_free
    moved = np.hypot(*(after.sources[1].center.value - np.array(STARS[1][:2])))
    assert moved < 0.3 < np.hypot(*(before.sources[1].center.value - np.array(STARS[1][:2])))
    assert widget.fitting.runs.table.item(0, 5).text() == "1 of 3"
    perform(bench, "undo")
    settle(bench)
    np.testing.assert_allclose(numbers(bench.document.scene), numbers(before), rtol=1e-3)
