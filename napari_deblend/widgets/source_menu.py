"""The menu of a source: all that can be done to what is selected, where the mouse or the keyboard asks for it.

Everything in it is an action of the table, with its key, or an edit that the lists offer too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QPoint
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QMenu

from deblend import Status, uneven
from napari_deblend.actions import ACTIONS, perform
from napari_deblend.compat import canvas_of, main_window
from napari_deblend.composing import kinds, retyped
from napari_deblend.document import named
from napari_deblend.keys import qt_text
from napari_deblend.widgets.presets import fill_with_presets
from napari_deblend.widgets.source_table import STATUS_TEXT
from napari_deblend.workbench import Workbench

SEVERAL = ("merge_sources", "group_selected")
"""What needs two sources at least."""
PAINTED = ("erase_paint", "forget_paint")
"""What needs paint."""
LAST = (
    ("show_parameters", "show_constraints", "bound_colors", "show_plots"),
    ("look_at_isolated", "look_at_component"),
    ("duplicate_sources", "split_sources", "merge_sources", "group_selected", "toggle_dust"),
    ("delete_selected",),
)
PAINT = ("paint_belongs", "paint_nothing", *PAINTED)


def show_source_menu(bench: Workbench, at_pointer: bool) -> QMenu:
    """Open the menu of the selected sources, at the pointer or at the marker of the one that was chosen last.

    Raises ValueError where none is selected.
    """
    if not bench.document.selection:
        raise ValueError("No source is selected; click its marker or its row first.")
    menu = source_menu(bench)
    menu.popup(QCursor.pos() if at_pointer else _place_of_marker(bench))
    return menu


def source_menu(bench: Workbench) -> QMenu:
    """Return a menu of what can be done to the selected sources."""
    document, constraining = bench.document, bench.constraining
    selected = document.selected
    last, ids = selected[-1], document.selection
    menu = QMenu(main_window(bench.viewer))
    menu.setObjectName("source menu")
    menu.setToolTipsVisible(True)
    menu.aboutToHide.connect(menu.deleteLater)
    kind = last.kind if len({s.kind for s in selected}) == 1 else "several kinds"
    # a section's title is not seen in every style
    menu.addAction(f"{named(selected)}: {kind}").setEnabled(False)
    menu.addSeparator()

    types = menu.addMenu("Change type")
    for name in kinds():
        _add(
            types,
            name,
            partial(_said, bench, document.retype, ids, name, retyped),
            all(s.kind == name for s in selected),
        )
    freedom = menu.addMenu("The fit may change it")
    for status, text in STATUS_TEXT.items():
        is_so = all(s.center.status is status for s in selected)
        _add(freedom, text, partial(_said, bench, document.set_status, ids, status), is_so)
    freedom.addSeparator()
    _add_action(freedom, bench, "toggle_lock")

    asked = menu.addMenu("Constraints")
    for line in constraining.lines:
        is_on = line.constraint.active
        switch = partial(_said, bench, constraining.switch, line.kind, not is_on)
        _add(asked, line.kind.info.label, switch, is_on).setToolTip(line.kind.info.help)
    asked.setToolTipsVisible(True)
    presets = menu.addMenu("Presets")
    presets.setToolTipsVisible(True)
    fill_with_presets(presets, bench)

    menu.addSeparator()
    _add_action(menu, bench, "fit_uneven", bool(set(uneven(document.scene, document.observations)) & set(ids)))
    _add_action(menu, bench, "toggle_limit")
    for name in PAINT:
        has_paint = any(s.claimed is not None or s.barred is not None for s in selected)
        is_possible = has_paint if name in PAINTED else name == "paint_belongs" or last.can_be_barred
        _add_action(menu, bench, name, is_possible)
    for group in LAST:
        menu.addSeparator()
        for name in group:
            is_possible = len(selected) > 1 or name not in SEVERAL
            _add_action(menu, bench, name, is_possible and not (name == "delete_selected" and _any_locked(bench)))
    return menu


def _any_locked(bench: Workbench) -> bool:
    return any(source.center.status is Status.LOCKED for source in bench.document.selected)


def _add(menu: QMenu, text: str, do: Callable[..., Any], is_on: bool) -> Any:
    action = menu.addAction(text)
    action.setCheckable(True)
    action.setChecked(is_on)
    action.triggered.connect(lambda _: do())
    return action


def _add_action(menu: QMenu, bench: Workbench, name: str, is_possible: bool = True) -> None:
    """Write an action with its key, which is bound elsewhere."""
    action = ACTIONS[name]
    text = f"{action.title}\t{qt_text(action.key)}" if action.key else action.title
    item = menu.addAction(text)
    item.setObjectName(name)
    item.setEnabled(is_possible)
    item.triggered.connect(lambda _: perform(bench, name))


def _said(bench: Workbench, edit: Callable[..., Any], *what: Any) -> None:
    """Make an edit; what cannot be done is said in the window."""
    try:
        edit(*what)
    except ValueError as error:
        bench.tell(str(error))


def _place_of_marker(bench: Workbench) -> QPoint:
    """Return where the marker of the source that was chosen last is on the screen, or the nearest place in view."""
    canvas, layer, source = canvas_of(bench.viewer), bench.markers.layer, bench.document.selected[-1]
    if layer is None:
        return QCursor.pos()
    world = layer.data_to_world((source.y, source.x))
    view = canvas.view
    column, row = (view.transform * view.scene.transform).map([world[-1], world[-2]])[:2]
    size = canvas.native.size()
    inside = QPoint(min(max(round(float(column)), 0), size.width()), min(max(round(float(row)), 0), size.height()))
    place: QPoint = canvas.native.mapToGlobal(inside)
    return place
