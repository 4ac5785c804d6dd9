"""While something is dragged its component is seen as it was, now, and as asked; the window does not wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Constraint, ConstraintKind
from tests.plugin.conftest import STARS

pytestmark = [pytest.mark.gui, pytest.mark.gl]

X, Y, _ = STARS[0]


@pytest.fixture
def galaxy(opened: Any, settle: Callable[[Any], None]) -> Any:
    """The workbench with its first source a symmetric galaxy, selected, beside the widget."""
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    document = opened.document
    first = document.scene.sources[0].id
    document.select([first])
    document.retype([first], "galaxy")
    opened.constraining.switch(ConstraintKind.SYMMETRIC, True)
    settle(opened)
    return widget


def test_center_strokes_and_every_handle_show_before_and_after(
    galaxy: Any, make_hands: Any, wait: Callable[..., None], qtbot: Any
) -> None:
    bench, panel = galaxy.bench, galaxy.dragged
    hands, document = make_hands(bench), bench.document
    assert document.scene.sources[0].components[0].morphology.constraint(ConstraintKind.SYMMETRIC) == Constraint(
        ConstraintKind.SYMMETRIC
    )
    assert not panel.isVisible()

    shown: list[float] = []
    show = panel._show

    def timed() -> None:
        begin = time.perf_counter()
        show()
        shown.append(time.perf_counter() - begin)

    bench.dragging.changed.disconnect(show)
    bench.dragging.changed.connect(timed)

    def drag(
        start: tuple[float, float], end: tuple[float, float], answered: bool = False, changes: bool = True
    ) -> None:
        hands.press(*start)
        for share in np.linspace(0.1, 1.0, 10):
            hands.move(*(np.array(start) + share * (np.array(end) - np.array(start))))
        wait(panel.isVisible)
        if answered:
            shown.clear()
            for share in np.linspace(1.0, 0.5, 20):
                hands.move(*(np.array(start) + share * (np.array(end) - np.array(start))), pause=40)
            # some a second, the last one where the mouse is
            wait(lambda: len(shown) >= 3)
            assert max(shown) < 0.025, "what the window does for it"
        pictures = bench.dragging.pictures
        assert pictures.now.shape == pictures.was.shape == pictures.asked.shape
        assert not changes or not np.array_equal(pictures.was, pictures.now)
        assert "of its light goes" in panel.sentence.text()
        hands.release(*end)
        assert not panel.isVisible() and bench.dragging.pictures is None

    # the first time compiles
    drag((X, Y), (X + 2.4, Y + 1.6))
    drag((X + 2.4, Y + 1.6), (X, Y), answered=True)
    hands.key(Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    drag((X - 3.0, Y + 2.0), (X + 3.0, Y + 2.0))
    hands.key(Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    qtbot.wait(20)
    # the circle that the center stays in, whose light is what it was, then the ellipse, and an edge of the box
    hands.key(Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)
    qtbot.wait(50)
    for index, (dx, dy), changes, said in (
        (8, (-3.0, 3.0), False, "Limit the center of"),
        (0, (3.0, 1.0), True, "Reshape"),
        (4, (3.0, 0.0), False, "Resize the box of"),
    ):
        y, x = bench.handles.layer.data[index]
        drag((x, y), (x + dx, y + dy), changes=changes)
        assert document.undo_label == f"{said} source 1"


def test_of_stars_nothing_is_shown(galaxy: Any, make_hands: Any, qtbot: Any) -> None:
    bench = galaxy.bench
    hands = make_hands(bench)
    x, y, _ = STARS[2]
    hands.drag((x, y), (x + 2.0, y), steps=10)
    qtbot.wait(100)
    assert bench.dragging.pictures is None and not galaxy.dragged.isVisible()
