"""Whoever does not see the window, or has no mouse: everything has a name, and Tab goes there."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QScrollBar,
    QWidget,
)

from napari_deblend.document import Change
from napari_deblend.widgets.guide import Guide
from napari_deblend.widgets.learning import LearningDialog
from napari_deblend.widgets.opening import IMAGE, RolesDialog
from napari_deblend.widgets.parts import Fold

USED = (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit, QAbstractItemView, pg.PlotWidget)
PARTS = (QComboBox, QAbstractSpinBox)
"""What is made of other widgets, which need no names of their own."""
OF_QT = ("QTableCornerButton", "QToolButton")
"""Buttons that Qt makes in tables and rows of tabs, and names."""

pytestmark = [pytest.mark.gui, pytest.mark.gl]


def used(root: QWidget) -> list[QWidget]:
    """Return what a person uses in a widget: buttons, inputs, lists and plots."""

    def is_part(widget: QWidget) -> bool:
        above = widget.parentWidget()
        while above is not None and above is not root:
            if isinstance(above, PARTS):
                return True
            above = above.parentWidget()
        return False

    return [
        widget
        for widget in root.findChildren(QWidget)
        if isinstance(widget, USED)
        and not isinstance(widget, QScrollBar | QHeaderView)
        and widget.metaObject().className() not in OF_QT
        and not is_part(widget)
    ]


def name_of(widget: QWidget) -> str:
    """Return what a screen reader says of a widget."""
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    return widget.accessibleName() or text


def test_everything_that_is_used_has_a_name_and_is_reached_by_tab(opened: Any, qtbot: Any) -> None:
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    for part in widget.findChildren(Fold):
        part.expand(animate=False)
    opened.document.retype([opened.document.scene.sources[0].id], "galaxy")
    opened.document.select([opened.document.scene.sources[0].id])
    opened.document.scene_changed.emit(Change.EDIT)
    qtbot.wait(50)
    every = used(widget)
    assert len(every) > 100
    nameless = [w for w in every if not any(letter.isalnum() for letter in name_of(w))]
    assert not [(type(w).__name__, w.objectName(), w.toolTip(), type(w.parentWidget()).__name__) for w in nameless]
    unexplained = [w for w in every if isinstance(w, QAbstractButton) and not (w.toolTip() or w.text())]
    assert not [w.accessibleName() for w in unexplained]
    unreached = [w for w in every if not w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert not [(type(w).__name__, name_of(w)) for w in unreached if not isinstance(w, pg.PlotWidget)]
    roles = RolesDialog(opened, {"/somewhere/image.fits": IMAGE}, "Which is which?", widget)
    for dialog in (Guide(widget), roles, LearningDialog(opened)):
        qtbot.addWidget(dialog)
        assert all(name_of(w) for w in used(dialog))
