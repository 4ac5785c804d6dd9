"""Pixels are hidden and uncovered by a real mouse; the fit leaves them out, and undo brings them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deblend.runner import Phase
from tests.plugin.conftest import STARS

pytestmark = [pytest.mark.gui, pytest.mark.gl]

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
X, Y, _ = STARS[2]


def hidden(bench: Any) -> np.ndarray | None:
    found: np.ndarray | None = bench.document.scene.hidden_in(bench.document.observations[0].channels[0])
    return found


def test_a_stroke_hides_and_keys_take_it_back(opened: Any, hands: Any, settle: Callable[[Any], None]) -> None:
    document = opened.document
    before = document.scene
    places = [(s.x, s.y) for s in before.sources]
    hands.key(Qt.Key.Key_O, SHIFT)
    assert opened.viewer.layers.selection.active is opened.masking.layer
    # across a marker, which is not dragged
    hands.drag((X - 8.0, Y), (X + 8.0, Y), steps=12)
    pixels = hidden(opened)
    assert pixels is not None and pixels[round(Y), round(X)] and 50 < pixels.sum() < 150
    assert [(s.x, s.y) for s in document.scene.sources] == places
    assert document.undo_label == f"Hide {pixels.sum()} pixels of HSC"
    settle(opened)
    assert opened.frame.pictures is not None
    hands.key(Qt.Key.Key_Z, CONTROL)
    assert hidden(opened) is None and not opened.masking.layer.data.any()
    hands.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    np.testing.assert_array_equal(hidden(opened), pixels)
    np.testing.assert_array_equal(opened.masking.layer.data == 1, pixels)
    # uncovered by the eraser, in the middle
    hands.key(Qt.Key.Key_I, SHIFT)
    hands.drag((X - 1.0, Y), (X + 1.0, Y))
    left = hidden(opened)
    assert left is not None and not left[round(Y), round(X)] and 0 < left.sum() < pixels.sum()
    assert document.undo_label.startswith("Uncover")
    hands.key(Qt.Key.Key_I, SHIFT)
    assert opened.viewer.layers.selection.active is opened.markers.layer
    hands.drag((X, Y), (X + 3.0, Y))
    assert document.scene.sources[2].x == pytest.approx(X + 3.0, abs=0.2)


def test_what_is_hidden_is_left_out_of_fluxes_and_of_chi2(
    opened: Any, hands: Any, settle: Callable[[Any], None]
) -> None:
    from napari_deblend.actions import perform

    document = opened.document
    star = document.scene.sources[2]
    document.delete([star.id])
    settle(opened)
    without = opened.frame.chi2
    hands.key(Qt.Key.Key_O, SHIFT)
    opened.masking.layer.brush_size = 16
    hands.drag((X - 1.0, Y), (X + 1.0, Y))
    settle(opened)
    assert opened.frame.chi2 < 0.7 * without, "the star that no source is placed for still counts"
    perform(opened, "uncover_all")
    settle(opened)
    assert opened.frame.chi2 == pytest.approx(without, rel=1e-3) and hidden(opened) is None
    said: list[str] = []
    opened.told.connect(said.append)
    perform(opened, "uncover_all")
    assert said == ["No pixel of HSC is hidden by hand."]


def test_a_polygon_hides_what_is_in_it(opened: Any, hands: Any, qtbot: Any) -> None:
    hands.key(Qt.Key.Key_H, CONTROL | SHIFT)
    assert str(opened.masking.layer.mode) == "polygon"
    corners = [(5.0, 45.0), (15.0, 45.0), (15.0, 55.0), (5.0, 55.0)]
    for corner in corners:
        hands.click(*corner)
        qtbot.wait(20)
    hands.key(Qt.Key.Key_Return)
    pixels = hidden(opened)
    assert pixels is not None and pixels[50, 10] and not pixels[50, 20]
    assert len(opened.document.scene) == 3


def test_pixels_are_hidden_while_a_fit_runs(
    opened: Any, hands: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    from deblend import FitSettings
    from napari_deblend.actions import perform

    opened.settings = FitSettings(max_iterations=100000, tolerance=1e-30)
    hands.key(Qt.Key.Key_O, SHIFT)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.frame is not None and opened.frame.iteration > 0)
    hands.drag((5.0, 50.0), (15.0, 50.0))
    settle(opened)
    wait(lambda: opened.phase is Phase.IDLE)
    pixels = hidden(opened)
    assert pixels is not None and pixels[50, 10], "an answer of the fit must not forget it"
