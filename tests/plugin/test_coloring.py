"""Colors are bound in the plot of the spectrum by a real mouse: added, dragged, taken away, each one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from deblend import ConstraintKind, FitSettings
from napari_deblend.actions import perform
from napari_deblend.coloring import LOOSE, LOWER, UPPER

pytestmark = pytest.mark.gui

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def plots(opened: Any, make_hands: Any, wait: Callable[..., None], qtbot: Any) -> Any:
    """The plots of the second source, unfolded and drawn."""
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    opened.document.select([opened.document.scene.sources[1].id])
    make_hands(opened).key(Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    wait(lambda: opened.source_looks.look is not None)
    qtbot.wait(100)
    return widget.source_plots


def bounds(bench: Any) -> Any:
    found = bench.coloring.bounds
    return found if found is not None and found.active else None


def on_screen(plot: Any, x: float, y: float) -> QPoint:
    scene = plot.getViewBox().mapViewToScene(QPointF(x, y))
    return QPoint(plot.mapFromScene(scene))


def drag(plot: Any, qtbot: Any, start: QPoint, end: QPoint) -> None:
    target = plot.viewport()
    qtbot.mouseMove(target, start)
    qtbot.mousePress(target, LEFT, NONE, start)
    for share in np.linspace(0.0, 1.0, 9)[1:]:
        place = QPointF(start) + share * QPointF(end - start)
        move = QMouseEvent(QEvent.Type.MouseMove, place, place, Qt.MouseButton.NoButton, LEFT, NONE)
        QApplication.sendEvent(target, move)
        qtbot.wait(20)
    qtbot.mouseRelease(target, LEFT, NONE, end)
    qtbot.wait(20)


def test_a_bound_is_added_dragged_and_taken_away(
    plots: Any, opened: Any, qtbot: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    plot, document = plots.spectrum, opened.document
    flux = document.scene.sources[1].flux
    qtbot.mouseClick(plots.colors.switch, LEFT)
    assert plots.colors.switch.isChecked() and bounds(opened).reference == 0
    np.testing.assert_allclose(bounds(opened).ratios[UPPER, 1:], LOOSE * flux[1:] / flux[0], rtol=1e-5)
    assert set(plots.colors.handles) == {(side, c) for side in (LOWER, UPPER) for c in (1, 2)}
    settle(opened)
    qtbot.wait(400)

    handle = plots.colors.handles[UPPER, 2]
    x, y = handle.pos().x(), handle.pos().y()
    assert y == pytest.approx(LOOSE * document.scene.sources[1].flux[2], rel=1e-3)
    revision = document.revision
    drag(plot, qtbot, on_screen(plot, x, y), on_screen(plot, x, 0.93 * y))
    assert document.revision > revision + 2, "it is live"
    assert not document.in_gesture and document.undo_label == "Drag a color bound"
    ratio = bounds(opened).ratios[UPPER, 2]
    assert ratio == pytest.approx(0.93 * LOOSE * flux[2] / flux[0], rel=0.02)
    # it does not pass the other one
    settle(opened)
    lower = plots.colors.handles[LOWER, 2].pos()
    drag(plot, qtbot, on_screen(plot, lower.x(), lower.y()), on_screen(plot, lower.x(), 1.3 * y))
    low, high = bounds(opened).ratios[:, 2]
    assert low == pytest.approx(high)
    document.undo()
    document.undo()
    assert bounds(opened).ratios[UPPER, 2] == pytest.approx(LOOSE * flux[2] / flux[0], rel=1e-5)
    # a double click on a band takes its bounds away, and one more brings them back
    place = on_screen(plot, x, float(np.mean(plot.getViewBox().viewRange()[1])))
    qtbot.wait(500)
    for is_bound in (False, True):
        qtbot.mousePress(plot.viewport(), LEFT, NONE, place)
        qtbot.mouseRelease(plot.viewport(), LEFT, NONE, place)
        qtbot.mouseDClick(plot.viewport(), LEFT, NONE, place)
        qtbot.mouseRelease(plot.viewport(), LEFT, NONE, place)
        qtbot.wait(600)
        assert bounds(opened).is_bound(2) is is_bound


def test_a_fit_keeps_what_is_bound(plots: Any, opened: Any, wait: Callable[..., None]) -> None:
    document, coloring = opened.document, opened.coloring
    before = document.scene.sources[1].flux
    perform(opened, "bound_colors")
    coloring.drag(UPPER, 2, 0.9 * before[2])
    coloring.drag(LOWER, 2, 0.8 * before[2])
    opened.settings = FitSettings(max_iterations=60)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.frame.sentence)
    after = document.scene.sources[1].flux
    assert after[2] / after[0] == pytest.approx(0.9 * before[2] / before[0], rel=0.02)


def test_another_reference_says_the_same(plots: Any, opened: Any) -> None:
    perform(opened, "bound_colors")
    before = bounds(opened)
    opened.coloring.refer_to(1)
    after = bounds(opened)
    assert after.reference == 1 and not after.is_bound(1)
    np.testing.assert_allclose(after.ratios[:, 0], 1.0 / before.ratios[::-1, 1], rtol=1e-6)
    np.testing.assert_allclose(after.fluxes[:, 2], before.fluxes[:, 2], rtol=1e-6)
    perform(opened, "bound_colors")
    assert bounds(opened) is None and not plots.colors.handles
    constraint = opened.constraining.component.morphology.constraint(ConstraintKind.COLOR_BOUNDS)
    assert not constraint.active and constraint.setting("reference") == 1.0


def test_what_cannot_be_is_said(opened: Any) -> None:
    said: list[str] = []
    opened.told.connect(said.append)
    perform(opened, "bound_colors")
    assert said == ["No source is selected; click its marker or its row first."]
    opened.document.select([opened.document.scene.sources[1].id])
    with pytest.raises(ValueError, match="Colors are relative to this band"):
        opened.coloring.toggle_channel(0)
