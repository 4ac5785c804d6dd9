"""The pointer that keys move does what the mouse does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

pytestmark = [pytest.mark.gui, pytest.mark.gl]

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


def begin(hands: Any) -> None:
    hands.key(Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)


def press(hands: Any, qtbot: Any, *keys: Any, modifier: Any = NONE) -> None:
    """Press keys one after another; napari listens to at most one move in 5 ms."""
    for key in keys:
        hands.key(key, modifier)
        qtbot.wait(10)


def test_keys_drag_a_source_as_one_step_and_add_another(opened: Any, hands: Any, qtbot: Any) -> None:
    document = opened.document
    source = document.scene.sources[1]
    document.select([source.id])
    begin(hands)
    assert opened.key_pointer.is_on
    start = hands.place(source.x, source.y)
    press(hands, qtbot, Qt.Key.Key_Space, *[Qt.Key.Key_Right] * 3, Qt.Key.Key_Down)
    press(hands, qtbot, *[Qt.Key.Key_Right] * 2, modifier=SHIFT)
    press(hands, qtbot, Qt.Key.Key_Space)
    moved = document.scene.sources[1]
    ended = hands.place(moved.x, moved.y)
    # by 3 steps and 2 fine ones; half a pixel of the screen is lost on either end
    assert np.allclose([ended.x() - start.x(), ended.y() - start.y()], [32, 10], atol=1.5)
    document.undo()
    assert (document.scene.sources[1].x, document.scene.sources[1].y) == (source.x, source.y)

    count = len(document.scene.sources)
    press(hands, qtbot, *[Qt.Key.Key_Left] * 6)
    press(hands, qtbot, Qt.Key.Key_Space, Qt.Key.Key_Space, modifier=SHIFT)
    assert len(document.scene.sources) == count + 1
    added = hands.place(document.scene.sources[-1].x, document.scene.sources[-1].y)
    assert (added - start - QPoint(32 - 60, 10)).manhattanLength() <= 20, "it settles on the light nearby"
    press(hands, qtbot, Qt.Key.Key_Escape)
    assert not opened.key_pointer.is_on


def test_keys_paint_a_stroke(opened: Any, hands: Any, qtbot: Any) -> None:
    hands.key(Qt.Key.Key_O, SHIFT)
    begin(hands)
    press(hands, qtbot, Qt.Key.Key_Space, *[Qt.Key.Key_Up] * 4, Qt.Key.Key_Space, Qt.Key.Key_Escape)
    observation = opened.document.observations[0]
    hidden = opened.document.scene.hidden_in(observation.channels[0])
    assert hidden is not None
    rows, columns = np.nonzero(hidden)
    assert np.ptp(rows) > np.ptp(columns), "a stroke up the screen"
    assert not opened.key_pointer.is_on
