"""The menu of a source: by right click on its marker and by key; all in it is done, shown with its key, and undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QMenu

from deblend import ConstraintKind, Status
from napari_deblend.actions import ACTIONS
from napari_deblend.keys import qt_text
from napari_deblend.painting import Brush
from tests.plugin.conftest import STARS

pytestmark = [pytest.mark.gui, pytest.mark.gl]

X, Y, _ = STARS[1]
REST = 300
"""After a menu has closed [ms]: without a window manager its window is left late, which would close the next one."""


@pytest.fixture
def right_click(opened: Any, hands: Any, qtbot: Any) -> Callable[..., QMenu | None]:
    """A right click at a pixel of the scene; what menu it opens."""

    def click(x: float, y: float) -> QMenu | None:
        place = hands.place(x, y)
        qtbot.mousePress(hands.native, Qt.MouseButton.RightButton, pos=place)
        qtbot.mouseRelease(hands.native, Qt.MouseButton.RightButton, pos=place)
        qtbot.wait(50)
        popup = QApplication.activePopupWidget()
        return popup if isinstance(popup, QMenu) else None

    return click


def item(menu: QMenu, name: str) -> Any:
    """Return an item by the name of its action, or by its text."""
    return next(a for a in menu.actions() if name in (a.objectName(), a.text()))


def choose(qtbot: Any, menu: QMenu, *path: str) -> None:
    """Click through a menu and those in it."""
    for name in path:
        action = item(menu, name)
        qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
        qtbot.wait(50)
        menu = action.menu() or menu
    qtbot.wait(REST)


def test_a_right_click_chooses_and_opens_and_everything_is_done(
    opened: Any, right_click: Any, qtbot: Any, settle: Callable[[Any], None]
) -> None:
    document = opened.document
    menu = right_click(X, Y)
    assert menu is not None
    source = document.scene.sources[1]
    assert document.selection == (source.id,)
    texts = [a.text() for a in menu.actions()]
    assert texts[0] == f"source {source.name}: point"
    for name in ("paint_belongs", "toggle_limit", "delete_selected", "split_sources"):
        action = ACTIONS[name]
        assert f"{action.title}\t{qt_text(action.key)}" in texts
    assert not item(menu, "merge_sources").isEnabled() and not item(menu, "paint_nothing").isEnabled()
    choose(qtbot, menu, "Change type", "galaxy")
    assert document.scene.sources[1].kind == "galaxy" and QApplication.activePopupWidget() is None
    settle(opened)

    menu = right_click(X, Y)
    assert item(menu, "paint_nothing").isEnabled()
    label = ConstraintKind.MONOTONIC.info.label
    choose(qtbot, menu, "Constraints", label)
    assert document.scene.sources[1].components[0].morphology.constraint(ConstraintKind.MONOTONIC).active
    menu = right_click(X, Y)
    assert item(item(menu, "Constraints").menu(), label).isChecked()
    choose(qtbot, menu, "The fit may change it", "fixed")
    assert document.scene.sources[1].center.status is Status.FIXED
    choose(qtbot, right_click(X, Y), "paint_belongs")
    assert opened.painting.brush is Brush.BELONGS
    opened.painting.draw(Brush.BELONGS)
    choose(qtbot, right_click(X, Y), "delete_selected")
    assert len(document.scene) == 2
    for _ in range(4):
        document.undo()
    assert document.scene.sources[1].kind == "point"


def test_elsewhere_the_right_button_zooms(opened: Any, right_click: Any, hands: Any) -> None:
    assert right_click(5.0, 5.0) is None and opened.document.selection == ()


def test_an_outline_opens_it_too(opened: Any, right_click: Any, settle: Callable[[Any], None]) -> None:
    document = opened.document
    source = document.scene.sources[1]
    document.select([source.id])
    document.retype([source.id], "galaxy")
    settle(opened)
    radius = document.scene.sources[1].radius
    menu = right_click(round(X) + 0.3 * radius, round(Y) - radius - 0.5)
    assert menu is not None
    menu.close()


def test_keys_open_it_at_the_marker(opened: Any, hands: Any, qtbot: Any) -> None:
    document = opened.document
    said: list[str] = []
    opened.told.connect(said.append)
    hands.key(Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
    assert said == ["No source is selected; click its marker or its row first."]
    ids = [s.id for s in document.scene.sources]
    document.select(ids[:2])
    for key, modifier in ((Qt.Key.Key_Menu, None), (Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)):
        hands.key(key, modifier)
        qtbot.wait(50)
        menu = QApplication.activePopupWidget()
        assert isinstance(menu, QMenu), key
        place = hands.native.mapFromGlobal(menu.pos()) - hands.place(X, Y)
        assert abs(place.x()) + abs(place.y()) < 40
        assert menu.actions()[0].text() == "2 sources: point" and item(menu, "merge_sources").isEnabled()
        menu.close()
        qtbot.wait(REST)
