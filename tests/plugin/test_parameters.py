"""Every number of a source in the window: read, typed, stepped, bounded, freed, linked, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QComboBox, QLineEdit

from deblend import BlackBody, Channel, Status, make_source
from deblend.scene import MORPHOLOGIES, axis_ratio, ellipticity_of, major_angle
from napari_deblend.parameter_lines import angle_on_pixels, angle_on_sky, groups_of
from napari_deblend.runner import Phase
from napari_deblend.widgets.parameter_table import FIT, LINK, LOWER, UPPER
from tests.plugin.conftest import STARS

CHANNELS = (Channel("HSC", "g"), Channel("HSC", "r"))
LEFT, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier


@pytest.mark.parametrize("kind", sorted(MORPHOLOGIES))
def test_every_number_of_every_kind_has_a_line_that_changes_it(kind: str) -> None:
    source = make_source(kind, 10.0, 12.0, n_channels=2, flux=(3.0, 1.0), half_light_radius=3.0, radius=9)
    lines = [line for group in groups_of(source, CHANNELS, (10.0, 12.0), None) for line in group.lines]
    assert len({line.key for line in lines}) == len(lines)
    named = {line.key.split(".")[1] for line in lines if "." in line.key}
    wanted = {name for name in source.components[0].morphology.parameters if name != "ellipticity"}
    assert wanted <= named and {"flux", "radius"} <= named
    for line in lines:
        if line.changed is None or line.key in ("x", "y"):
            continue
        number = line.value + (2 if line.key.endswith("radius") and "half" not in line.key else 0.25)
        if line.key.endswith("axis_ratio"):
            number = 0.6
        if line.key.endswith("angle"):
            with pytest.raises(ValueError, match="round"):
                line.changed(source, 30.0)
            continue
        changed = {c.key: c for g in groups_of(line.changed(source, number), CHANNELS, (0, 0), None) for c in g.lines}
        assert changed[line.key].value == pytest.approx(number), line.key


def test_position_angles_run_from_north_to_east() -> None:
    sky = np.array([[0.2, 0.0], [0.0, -0.2]])  # y to the north, x to the west
    assert angle_on_sky(np.pi / 2, sky) == pytest.approx(0.0)
    assert angle_on_sky(0.0, sky) == pytest.approx(90.0)
    # between y and minus x: north-east
    assert angle_on_sky(0.75 * np.pi, sky) == pytest.approx(45.0)
    for degrees in (0.0, 30.0, 135.0):
        assert angle_on_sky(angle_on_pixels(degrees, sky), sky) == pytest.approx(degrees)
    eta = ellipticity_of(0.4, 0.3)
    assert axis_ratio(eta) == pytest.approx(0.4) and major_angle(eta) == pytest.approx(0.3)
    assert abs(major_angle(ellipticity_of(2.0, 0.0))) == pytest.approx(np.pi / 2)


def test_what_is_fixed_in_a_law_is_a_line_too() -> None:
    source = make_source("gaussian", 1.0, 2.0, n_channels=2, flux=(1.0, 1.0), law=BlackBody())
    lines = {line.key: line for group in groups_of(source, CHANNELS, (1.0, 2.0), None) for line in group.lines}
    hot = lines["0.temperature"].changed
    assert hot is not None and lines["0.temperature"].unit == "K" and lines["0.flux.0"].changed is None
    law = hot(source, 9000.0).law
    assert law is not None and float(law.parameters["temperature"].value) == 9000.0


@pytest.fixture
def table(bench: Any, observation: Any, settle: Callable[[Any], None], qtbot: Any) -> Any:
    """The section of numbers, for the first of two Sérsic profiles and a star."""
    bench.open([observation])
    kinds = ("sersic", "sersic", "point")
    bench.document.add(*(make_source(k, x, y, n_channels=3) for k, (x, y, _) in zip(kinds, STARS, strict=True)))
    bench.document.select([bench.document.scene.sources[0].id])
    settle(bench)
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench.viewer.window.activate()
    canvas = bench.viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_E, SHIFT)
    qtbot.waitUntil(widget.parameters.view.hasFocus)
    qtbot.wait(50)
    return widget.parameters


def type_into(table: Any, qtbot: Any, index: QModelIndex, text: str) -> None:
    """Open a cell by F2, type, and press Return."""
    table.view.setFocus()
    table.view.scrollTo(index)
    table.view.setCurrentIndex(index)
    qtbot.keyClick(table.view, Qt.Key.Key_F2)
    qtbot.waitUntil(lambda: table.view.findChild(QLineEdit) is not None)
    editor = table.view.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, text)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: table.view.findChild(QLineEdit) is None)


@pytest.mark.gui
def test_lines_that_are_painted_once_more_are_of_the_source_that_they_were_made_of(table: Any) -> None:
    """Qt may ask for them when the source is of another kind already, and has no such numbers."""
    model, bench = table.model, table.model._bench
    (first, *_) = bench.document.scene.sources
    before = [model._text(line, LOWER) for group in model.groups for line in group.lines]
    with bench.document.scene_changed.blocked():
        bench.document.retype([first.id], "point")
    after = [model._text(line, LOWER) for group in model.groups for line in group.lines]
    assert before == after and len(before) > 5


def test_a_number_is_typed_and_fluxes_follow(table: Any, bench: Any, qtbot: Any, settle: Callable[[Any], None]) -> None:
    document, model = bench.document, table.model
    before = document.scene.sources[0]
    type_into(table, qtbot, model.index_of("0.half_light_radius"), "5.5")
    source = document.scene[before.id]
    assert float(source.components[0].morphology.half_light_radius.value) == 5.5
    assert document.undo_label == "Half-light radius 5.5 of source 1"
    settle(bench)
    assert document.scene[before.id].flux.sum() > 1.2 * before.flux.sum(), "its fluxes were not solved for again"
    assert model.index_of("0.half_light_radius").data() == "5.5"
    document.undo()
    settle(bench)
    assert model.index_of("0.half_light_radius").data() == "2"
    said: list[str] = []
    bench.told.connect(said.append)
    type_into(table, qtbot, model.index_of("0.index"), "9")
    assert (
        "between its bounds, 0.5 and 4" in said[-1]
        and document.scene.sources[0].components[0].morphology.index.value == 1.0
    )
    type_into(table, qtbot, model.index_of("0.index"), "much")
    assert said[-1] == "index n must be a number, got 'much'."


@pytest.mark.gui
def test_a_place_an_angle_and_a_box_are_typed(
    table: Any, bench: Any, qtbot: Any, settle: Callable[[Any], None]
) -> None:
    document, model = bench.document, table.model
    source_id = document.selection[0]
    type_into(table, qtbot, model.index_of("x"), "22.25")
    assert document.scene[source_id].x == pytest.approx(22.25)
    type_into(table, qtbot, model.index_of("0.axis_ratio"), "0.5")
    type_into(table, qtbot, model.index_of("0.angle"), "30")
    settle(bench)
    assert float(model.index_of("0.angle").data()) == pytest.approx(30.0, abs=0.01)
    assert float(model.index_of("0.axis_ratio").data()) == pytest.approx(0.5, abs=1e-3)
    type_into(table, qtbot, model.index_of("0.radius"), "20")
    component = document.scene[source_id].components[0]
    assert component.radius == 20 and component.is_box_held


@pytest.mark.gui
def test_a_typed_flux_is_kept(table: Any, bench: Any, qtbot: Any, settle: Callable[[Any], None]) -> None:
    document, model = bench.document, table.model
    source_id = document.selection[0]
    said: list[str] = []
    bench.told.connect(said.append)
    type_into(table, qtbot, model.index_of("0.flux.1"), "123")
    settle(bench)
    spectrum = document.scene[source_id].components[0].spectrum
    assert spectrum.status is Status.FIXED and spectrum.value[1] == 123.0
    assert "fixed now" in said[0]


@pytest.mark.gui
def test_bounds_are_typed_and_hold_in_a_fit(
    table: Any, bench: Any, qtbot: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    from napari_deblend.actions import perform

    document, model = bench.document, table.model
    source_id = document.selection[0]
    type_into(table, qtbot, model.index_of("0.half_light_radius", LOWER), "3")
    morphology = document.scene[source_id].components[0].morphology
    assert (morphology.half_light_radius.lower, float(morphology.half_light_radius.value)) == (3.0, 3.0)
    said: list[str] = []
    bench.told.connect(said.append)
    type_into(table, qtbot, model.index_of("0.half_light_radius", UPPER), "1")
    assert "lower ≤ upper" in said[-1]
    type_into(table, qtbot, model.index_of("0.index", UPPER), "12")
    assert "what can be drawn" in said[-1]
    settle(bench)
    # the light is that of a star: without its bound it would shrink
    perform(bench, "fit_or_pause")
    wait(lambda: bench.phase is Phase.RUNNING)
    wait(lambda: bench.phase is not Phase.RUNNING)
    fitted = document.scene[source_id].components[0].morphology
    assert float(fitted.half_light_radius.value) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.gui
def test_one_parameter_is_fixed_by_a_choice(table: Any, bench: Any, qtbot: Any) -> None:
    document, model = bench.document, table.model
    index = model.index_of("0.index", FIT)
    table.view.scrollTo(index)
    qtbot.mouseClick(table.view.viewport(), LEFT, pos=table.view.visualRect(index).center())
    qtbot.waitUntil(lambda: table.view.viewport().findChild(QComboBox) is not None)
    combo = table.view.viewport().findChild(QComboBox)
    combo.hidePopup()
    combo.setCurrentText("fixed")
    combo.activated.emit(combo.currentIndex())
    morphology = document.selected[0].components[0].morphology
    assert morphology.index.status is Status.FIXED and morphology.half_light_radius.is_free
    assert document.undo_label == "Fix the index n of source 1"


@pytest.mark.gui
def test_a_parameter_is_linked_and_goes_along(table: Any, bench: Any, settle: Callable[[Any], None]) -> None:
    document, model = bench.document, table.model
    first, second, _ = document.scene.sources
    document.change([second.id], lambda s: replace(s, components=(s.components[0],)), "Nothing")
    assert bench.parameters.partners(model.line(model.index_of("0.index"))) == {"source 2": (second.id, 0)}
    assert model.setData(model.index_of("0.index"), "2.5")
    document.select([second.id])
    assert model.setData(model.index_of("0.index", LINK), "source 1")
    assert float(document.scene[second.id].components[0].morphology.index.value) == 2.5
    assert model.index_of("0.index", LINK).data() == "source 1"
    assert document.undo_label == "Link the index n of source 2 with source 1"
    assert model.setData(model.index_of("0.index"), "1.5")
    assert model.setData(model.index_of("0.index", UPPER), "3")
    shared = document.scene[first.id].components[0].morphology.index
    assert (float(shared.value), shared.upper) == (1.5, 3.0)
    settle(bench)
    assert model.setData(model.index_of("0.index", LINK), "–")
    assert not document.scene.links
    document.undo()
    assert len(document.scene.links) == 1


@pytest.mark.gui
def test_arrow_keys_change_a_number_at_once_as_one_step(
    table: Any, bench: Any, qtbot: Any, settle: Callable[[Any], None]
) -> None:
    document, model = bench.document, table.model
    source, label = document.selected[0], document.undo_label
    index = model.index_of("0.half_light_radius")
    table.view.setCurrentIndex(index)

    def opened() -> QLineEdit:
        qtbot.keyClick(table.view, Qt.Key.Key_F2)
        qtbot.waitUntil(lambda: table.view.findChild(QLineEdit) is not None)
        editor: QLineEdit = table.view.findChild(QLineEdit)
        return editor

    def size() -> float:
        return float(document.scene[source.id].components[0].morphology.half_light_radius.value)

    editor = opened()
    for _ in range(3):
        qtbot.keyClick(editor, Qt.Key.Key_Up)
    assert size() == pytest.approx(2.3) and document.in_gesture
    settle(bench)
    qtbot.keyClick(editor, Qt.Key.Key_Escape)
    assert size() == 2.0 and document.undo_label == label and not document.in_gesture
    qtbot.waitUntil(lambda: table.view.findChild(QLineEdit) is None)
    editor = opened()
    qtbot.keyClick(editor, Qt.Key.Key_Up, SHIFT)
    qtbot.keyClick(editor, Qt.Key.Key_Down)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not document.in_gesture)
    assert size() == pytest.approx(2.9) and document.undo_label == "Half-light radius of source 1"
    document.undo()
    assert size() == 2.0


@pytest.mark.gui
def test_a_locked_source_refuses_and_says_so(table: Any, bench: Any) -> None:
    document, model = bench.document, table.model
    document.set_status(document.selection, Status.LOCKED)
    said: list[str] = []
    bench.told.connect(said.append)
    before = document.scene
    assert not model.setData(model.index_of("0.index"), "2")
    assert document.scene is before and said[-1] == "Cannot change source 1: locked; unlock first."


@pytest.mark.gui
def test_a_number_is_typed_while_a_fit_runs(
    table: Any, bench: Any, qtbot: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    from deblend import FitSettings
    from napari_deblend.actions import perform

    bench.settings = FitSettings(max_iterations=100000, tolerance=1e-30)
    document, model = bench.document, table.model
    perform(bench, "fit_or_pause")
    wait(lambda: bench.frame is not None and bench.frame.iteration > 1)
    model.setData(model.index_of("0.index", FIT), "fixed")
    model.setData(model.index_of("0.index"), "3")
    settle(bench)
    wait(lambda: bench.phase is Phase.IDLE)
    assert float(document.selected[0].components[0].morphology.index.value) == 3.0
