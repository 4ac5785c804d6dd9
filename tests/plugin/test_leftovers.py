"""What is left over: a list that is gone through by key and click, and from which sources are added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deblend.actions import perform
from napari_deblend.views import View

pytestmark = pytest.mark.gui

SHIFT, CONTROL, ALT = (
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)


@pytest.fixture
def missing(opened: Any, settle: Callable[[Any], None], wait: Callable[..., None]) -> Any:
    """The small blend without its third star, and the list of what that leaves over; new sources are stars."""
    wait(lambda: opened.leftovers.blobs is not None)
    third = opened.document.scene.sources[2]
    opened.document.delete([third.id])
    settle(opened)
    opened.kind = "point"
    wait(lambda: opened.leftovers.blobs and abs(opened.leftovers.blobs[0].x - third.x) < 1)
    return opened


def test_the_key_goes_to_the_worst_and_then_to_the_next(missing: Any, make_hands: Any) -> None:
    hands, camera = make_hands(missing), missing.viewer.scene.camera
    blob = missing.leftovers.blobs[0]
    camera.center = (*camera.center[:-2], *missing.markers.layer.data_to_world((0.0, 0.0))[-2:])
    hands.key(Qt.Key.Key_W, SHIFT)
    assert missing.layers.view is View.RESIDUAL and missing.leftovers.chosen == 0
    assert np.hypot(blob.x - 47.0, blob.y - 41.0) < 0.6 and blob.significance > 20
    center = missing.viewer.scene.camera.center[-2:]
    np.testing.assert_allclose(center, missing.markers.layer.data_to_world((blob.y, blob.x))[-2:])
    # what is seen well already stays where it is
    aside = camera.center = (*camera.center[:-2], center[0] + 20.0 / camera.zoom, center[1])
    missing.leftovers.go_to(0)
    np.testing.assert_allclose(camera.center, aside)
    ring = next(layer for layer in missing.viewer.layers if layer.name == "residual peak")
    np.testing.assert_allclose(ring.data, [(blob.y, blob.x)])
    hands.key(Qt.Key.Key_W, SHIFT)
    assert missing.leftovers.chosen == 1 % len(missing.leftovers.blobs)
    hands.key(Qt.Key.Key_D, SHIFT)
    assert "residual peak" not in [layer.name for layer in missing.viewer.layers]


def test_a_row_goes_there_and_the_key_adds_a_source(
    missing: Any, make_hands: Any, qtbot: Any, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    _, widget = missing.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    table = widget.leftovers.table
    assert float(table.item(0, 0).text()) > 20 and not widget.leftovers.add.isEnabled()
    place = table.visualItemRect(table.item(0, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert missing.leftovers.chosen == 0 and widget.leftovers.add.isEnabled()
    worst = missing.leftovers.blobs[0].significance
    make_hands(missing).key(Qt.Key.Key_N, CONTROL | ALT)
    wait(lambda: len(missing.document.scene) == 3)
    settle(missing)
    added = missing.document.scene.sources[-1]
    assert np.hypot(added.x - 47.0, added.y - 41.0) < 0.6
    wait(lambda: missing.leftovers.blobs[0].significance < 0.6 * worst)
    missing.document.undo()
    assert len(missing.document.scene) == 2
    missing.document.undo()
    np.testing.assert_allclose(added.flux, missing.document.scene.sources[2].flux, rtol=0.1)


def test_one_click_on_a_peak_of_the_residual_adds_a_source_at_the_peak(
    missing: Any, make_hands: Any, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    missing.layers.look_at(View.RESIDUAL)
    hands = make_hands(missing)
    hands.click(49.0, 42.0, SHIFT)
    wait(lambda: len(missing.document.scene) == 3)
    added = missing.document.scene.sources[-1]
    assert np.hypot(added.x - 47.0, added.y - 41.0) < 0.6, "it snaps to the peak"
    settle(missing)
    hands.click(12.0, 50.0, SHIFT)
    wait(lambda: len(missing.document.scene) == 4)
    assert np.hypot(missing.document.scene.sources[-1].x - 12.0, missing.document.scene.sources[-1].y - 50.0) < 3.5


def test_what_cannot_be_is_said(missing: Any, settle: Callable[[Any], None]) -> None:
    said: list[str] = []
    missing.told.connect(said.append)
    perform(missing, "add_from_residual")
    assert "No place of the residual is chosen" in said[-1]
    missing.leftovers.take([])
    perform(missing, "next_residual")
    assert "Nothing is left over" in said[-1]
