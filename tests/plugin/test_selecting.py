"""Several sources chosen at once by a real mouse and real keys; groups, and what is kept of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deblend.selecting import inside

pytestmark = [pytest.mark.gui, pytest.mark.gl]

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
ALT = Qt.KeyboardModifier.AltModifier


def trace(hands: Any, places: list[tuple[float, float]], modifier: Any = None) -> None:
    """Drag through places of the image."""
    hands.press(*places[0], modifier)
    for start, end in itertools.pairwise(places):
        for part in np.linspace(0.0, 1.0, 7)[1:]:
            hands.move(*(np.array(start) + part * (np.array(end) - np.array(start))))
    hands.release(*places[-1], modifier)


def test_a_point_is_inside_of_a_bent_outline_or_not() -> None:
    bent = np.array([(0, 0), (0, 4), (4, 4), (4, 3), (1, 3), (1, 0)], float)
    np.testing.assert_array_equal(inside(bent, np.array([(0.5, 0.5), (3.0, 3.5), (3.0, 1.0)])), [True, True, False])
    assert not inside(bent[:2], np.array([(0.0, 2.0)])).any()


def test_control_and_a_drag_add_what_is_in_a_rectangle(opened: Any, hands: Any) -> None:
    first, second, third = opened.document.scene.sources
    opened.document.select([third.id])
    # a rectangle of the window, whose sides are not those of the turned image
    trace(hands, [(14.0, 30.0), (26.0, 18.0)], CONTROL)
    assert set(opened.document.selection) == {third.id, first.id}
    label = opened.document.undo_label
    assert label == "Add 3 sources" and second.id not in opened.document.selection


def test_alt_and_a_drag_select_what_it_goes_around(opened: Any, hands: Any) -> None:
    first, second, third = opened.document.scene.sources
    opened.document.select([first.id])
    around = [(28.0, 26.0), (40.0, 26.0), (54.0, 38.0), (54.0, 46.0), (42.0, 46.0), (28.0, 34.0)]
    trace(hands, around, ALT)
    assert set(opened.document.selection) == {second.id, third.id}


def test_a_key_has_the_next_drag_select_also_from_above_a_marker(opened: Any, hands: Any) -> None:
    first, _, third = opened.document.scene.sources
    hands.key(Qt.Key.Key_S, CONTROL | SHIFT)
    trace(hands, [(first.x, first.y + 5), (first.x - 6, first.y), (first.x, first.y - 6), (first.x + 6, first.y)])
    assert opened.document.selection == (first.id,) and opened.document.scene[first.id].x == first.x
    hands.key(Qt.Key.Key_S, SHIFT)
    hands.key(Qt.Key.Key_S, SHIFT)
    assert opened.gestures.region is None
    hands.drag((third.x, third.y), (third.x + 3.0, third.y))
    assert opened.document.scene[third.id].x > third.x + 2.5


def test_keys_select_all_group_and_ungroup(
    opened: Any, hands: Any, settle: Callable[[Any], None], tmp_path: Path
) -> None:
    from deblend.io.session import read_session, write_session

    first, second, third = (source.id for source in opened.document.scene.sources)
    hands.key(Qt.Key.Key_A, CONTROL | SHIFT)
    assert opened.document.selection == (first, second, third)
    opened.document.select([first, third])
    hands.key(Qt.Key.Key_G, CONTROL | SHIFT)
    assert [s.group for s in opened.document.scene.sources] == ["A", "", "A"]
    assert opened.document.undo_label == "Group 2 sources as A"
    settle(opened)
    assert [s.group for s in opened.document.scene.sources] == ["A", "", "A"], "an answer must not forget it"
    opened.document.select([third])
    hands.key(Qt.Key.Key_U, SHIFT)
    assert set(opened.document.selection) == {first, third}
    write_session(tmp_path / "grouped.asdf", opened.document.session(opened.settings))
    assert [s.group for s in read_session(tmp_path / "grouped.asdf").scene.sources] == ["A", "", "A"]
    hands.key(Qt.Key.Key_U, CONTROL | SHIFT)
    assert not any(s.group for s in opened.document.scene.sources)
    opened.document.undo()
    opened.document.undo()
    assert not any(s.group for s in opened.document.scene.sources)
    said: list[str] = []
    opened.told.connect(said.append)
    opened.document.select([second])
    hands.key(Qt.Key.Key_G, CONTROL | SHIFT)
    assert "Select two sources" in said[-1]
