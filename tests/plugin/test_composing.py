"""Sources of several components in the window: listed, split, merged, duplicated, made another kind, flagged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtWidgets import QComboBox, QPushButton

from deblend import Status, make_source
from deblend.measure import MEANINGS
from napari_deblend.actions import perform
from napari_deblend.composing import duplicated, kinds, merged, retyped, with_component
from napari_deblend.flags import MENDS, SIGNS, sentences_of, signs_of
from napari_deblend.parameter_lines import LARGEST_BOX
from napari_deblend.runner import Phase
from napari_deblend.widgets.source_menu import source_menu
from napari_deblend.widgets.source_table import FLAGS, FLUX, KIND, NAME, SNR
from tests.plugin.conftest import STARS

SHAPE = (300, 300)
LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier


def star(x: float, y: float, flux: tuple[float, ...] = (3.0, 1.0), **options: Any) -> Any:
    return make_source("point", x, y, n_channels=len(flux), flux=flux, **options)


def test_one_of_two_stars_has_their_light_in_its_middle() -> None:
    one, other = star(10.0, 10.0, (3.0, 3.0), radius=8), star(16.0, 10.0, (1.0, 1.0), radius=8)
    both = merged([one, other], SHAPE)
    assert both.kind == "galaxy" and both.id == one.id and (both.x, both.y) == (11.5, 10.0)
    np.testing.assert_allclose(both.flux, [4.0, 4.0])
    # the second moment of two points, 3 : 1 at distances 1.5 and 4.5
    assert both.components[0].morphology.half_light_radius_guess == pytest.approx(np.sqrt(6.75), rel=0.4)
    # both boxes lie in that of the one
    assert both.radius >= 4.5 + 8 and both.anchor == (11.5, 10.0)
    close = merged([one, star(10.4, 10.0, (1.0, 1.0))], SHAPE)
    assert close.kind == "point" and close.x == pytest.approx(10.1)


def test_what_lies_far_apart_is_merged_into_the_largest_box() -> None:
    """A box that holds both would be larger than any that can be computed."""
    assert merged([star(10.0, 10.0), star(290.0, 200.0)], SHAPE).radius == LARGEST_BOX


def test_a_merged_source_needs_no_larger_compiled_box_for_the_sky_beyond_the_image() -> None:
    close = [star(24.0, 24.0, radius=31), star(28.0, 24.0, radius=31)]
    assert merged(close, SHAPE).radius == 31
    apart = [star(12.0, 24.0, radius=31), star(36.0, 24.0, radius=31)]
    assert merged(apart, SHAPE).radius == 43
    assert merged(apart, (48, 48)).radius == 24


def test_what_has_no_flux_yet_is_merged_all_the_same() -> None:
    unsolved = [make_source("galaxy", x, 10.0, n_channels=2) for x in (10.0, 14.0)]
    both = merged(unsolved, SHAPE)
    assert both.x == 12.0 and np.isnan(both.flux).all()
    bulge_and_disk = retyped(star(10.0, 10.0, (5.0, 2.0)), "bulge + disk")
    more = merged([bulge_and_disk, star(11.0, 10.0, (1.0, 1.0))], SHAPE)
    assert len(more.components) == 2
    np.testing.assert_allclose(more.flux, [6.0, 3.0])


def test_a_source_is_split_and_one_part_made_another_kind() -> None:
    source = make_source("galaxy", 5.0, 6.0, n_channels=2, flux=(9.0, 3.0), half_light_radius=3.0, radius=11)
    two = retyped(source, "bulge + disk")
    assert two.kind == "de-vaucouleurs + exponential" and two.id == source.id and two.center is source.center
    np.testing.assert_allclose(two.flux, source.flux)
    assert two.components[0].morphology.half_light_radius_guess < two.components[1].morphology.half_light_radius_guess
    other = with_component(two, 1, "sersic")
    assert other.kind == "de-vaucouleurs + sersic" and other.components[0] is two.components[0]
    assert other.components[1].morphology.half_light_radius_guess == pytest.approx(
        two.components[1].morphology.half_light_radius_guess
    )
    assert {"bulge + disk", "galaxy", "point"} < set(kinds())


def test_a_duplicate_is_one_more_beside_it() -> None:
    source = replace(star(5.0, 6.0), name="quasar")
    other = duplicated(source)
    assert other.id != source.id and other.name == "" and (other.x, other.y) == other.anchor == (8.0, 6.0)
    assert other.kind == source.kind and np.isnan(other.flux).all()


def test_every_flag_has_a_sign_and_a_mend() -> None:
    assert set(SIGNS) == set(MENDS) == set(MEANINGS) and len(set(SIGNS.values())) == len(SIGNS)
    assert signs_of(("moved", "zero_flux")) == "↷ ∅"
    first, second = sentences_of(("moved", "zero_flux")).splitlines()
    assert "more than a pixel" in first and "Drag it back" in first and "no light" in second


@pytest.fixture
def widget(opened: Any) -> Any:
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    return widget


def click(widget: Any, qtbot: Any, index: QModelIndex, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    view = widget.sources.view
    view.scrollTo(index)
    place = view.visualRect(index)
    qtbot.mouseClick(view.viewport(), LEFT, modifier, QPoint(place.left() + 8, place.center().y()))


@pytest.mark.gui
def test_a_source_is_split_by_a_key_and_its_parts_are_rows(
    widget: Any, opened: Any, qtbot: Any, settle: Callable[[Any], None]
) -> None:
    model, view, document = widget.sources.model, widget.sources.view, opened.document
    before = document.scene
    click(widget, qtbot, model.index(1, NAME))
    assert document.selection == (before.sources[1].id,)
    opened.viewer.window.activate()
    view.setFocus()
    qtbot.waitUntil(view.hasFocus)
    qtbot.keyClick(view, Qt.Key.Key_B, CONTROL)
    assert document.scene.sources[1].kind == "de-vaucouleurs + exponential"
    assert document.undo_label == "Split source 2 into bulge and disk"
    settle(opened)
    above = model.index(1, 0)
    assert [model.rowCount(model.index(k, 0)) for k in range(3)] == [0, 2, 0] and view.isExpanded(above)
    assert model.index(0, KIND, above).data() == "deV" and model.parent(model.index(1, 0, above)) == above
    parts = [float(model.index(k, FLUX, above).data().replace(",", "")) for k in range(2)]
    assert sum(parts) == pytest.approx(float(model.index(1, FLUX).data().replace(",", "")), rel=0.02)
    # a click on a part chooses it, also for its constraints
    click(widget, qtbot, model.index(1, NAME, above))
    assert document.selection == (before.sources[1].id,) and opened.constraining.part == 1
    assert opened.constraining.members == ((before.sources[1].id, 1),)
    assert model.setData(model.index(1, KIND, above), "sersic")
    assert document.scene.sources[1].kind == "de-vaucouleurs + sersic"
    settle(opened)
    document.undo()
    document.undo()
    assert document.scene is before
    settle(opened)
    assert not model.has_components


@pytest.mark.gui
def test_two_are_merged_and_one_duplicated_by_buttons(
    widget: Any, opened: Any, qtbot: Any, settle: Callable[[Any], None]
) -> None:
    model, document = widget.sources.model, opened.document
    before = document.scene
    said: list[str] = []
    opened.told.connect(said.append)
    buttons = {name: widget.findChild(QPushButton, name) for name in ("merge_sources", "duplicate_sources")}
    click(widget, qtbot, model.index(0, NAME))
    qtbot.mouseClick(buttons["merge_sources"], LEFT)
    assert "Select two sources" in said[-1] and document.scene is before
    click(widget, qtbot, model.index(1, NAME), CONTROL)
    assert len(document.selection) == 2
    qtbot.mouseClick(buttons["merge_sources"], LEFT)
    assert [s.kind for s in document.scene.sources] == ["galaxy", "point"] and len(document.selection) == 1
    settle(opened)
    assert model.rowCount() == 2 and document.undo_label == "Merge 2 sources"
    document.undo()
    assert document.scene is before
    settle(opened)
    document.select([before.sources[2].id])
    qtbot.mouseClick(buttons["duplicate_sources"], LEFT)
    settle(opened)
    assert model.rowCount() == 4 and document.selected[0].name == "4"
    assert document.scene.sources[3].x == pytest.approx(STARS[2][0] + 3.0)
    document.set_status([s.id for s in document.scene.sources], Status.LOCKED)
    document.select([s.id for s in document.scene.sources][:2])
    qtbot.mouseClick(buttons["merge_sources"], LEFT)
    assert "locked; unlock first" in said[-1]


@pytest.mark.gui
def test_the_kinds_of_the_table_hold_those_of_several_components(widget: Any, opened: Any, qtbot: Any) -> None:
    model, view = widget.sources.model, widget.sources.view
    index = model.index(0, KIND)
    qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    qtbot.waitUntil(lambda: view.viewport().findChild(QComboBox) is not None)
    combo = view.viewport().findChild(QComboBox)
    assert [combo.itemText(k) for k in range(combo.count())] == kinds()
    combo.hidePopup()
    combo.setCurrentText("bulge + disk")
    combo.activated.emit(combo.currentIndex())
    qtbot.waitUntil(lambda: len(opened.document.scene.sources[0].components) == 2)


@pytest.mark.gui
def test_flags_are_signs_with_a_sentence(widget: Any, opened: Any, wait: Callable[..., None]) -> None:
    model, document = widget.sources.model, opened.document
    source = document.scene.sources[0]
    anchored = replace(source, anchor=(source.x - 2.0, source.y))
    document.change([source.id], lambda _: anchored, "Place elsewhere")
    wait(lambda: model.index(0, FLAGS).data() != "")
    assert SIGNS["moved"] in model.index(0, FLAGS).data() and model.index(0, SNR).data() != "–"
    assert "more than a pixel" in model.index(0, FLAGS).data(Qt.ItemDataRole.ToolTipRole)
    assert model.index(2, FLAGS).data() == ""


@pytest.mark.gui
def test_an_uneven_galaxy_is_flagged_and_fitted_anew_as_one_step(
    widget: Any, opened: Any, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    model, document, said = widget.sources.model, opened.document, []
    opened.told.connect(said.append)
    perform(opened, "fit_uneven")
    assert "No galaxy is known to be uneven" in said[-1]
    star, other, _ = document.scene.sources
    galaxy = replace(make_source("galaxy", star.x, star.y, n_channels=3, flux=star.flux, radius=9), id=star.id)
    part = galaxy.components[0]
    correction = part.morphology.correction
    lopsided = correction.at(np.where(np.indices(correction.value.shape)[1] > 9, 0.6, -0.6))
    part = replace(part, morphology=replace(part.morphology, correction=lopsided))
    document.change([star.id], lambda _: replace(galaxy, components=(part,), name=star.name), "Make it lopsided")
    wait(lambda: SIGNS["uneven"] in model.index(0, FLAGS).data())
    assert "neither smooth nor elliptical" in model.index(0, FLAGS).data(Qt.ItemDataRole.ToolTipRole)
    settle(opened)
    before = document.scene
    for source, is_possible in ((other, False), (star, True)):
        document.select([source.id])
        entry = next(a for a in source_menu(opened).actions() if a.objectName() == "fit_uneven")
        assert entry.isEnabled() is is_possible
    entry.trigger()
    assert document.undo_label == "Fit" and document.scene.sources[0].kind == "learned"
    wait(lambda: opened.phase is Phase.IDLE and bool(opened.frame.sentence))
    settle(opened)
    fitted = document.scene.sources[0]
    assert fitted.kind == "learned" and np.isfinite(fitted.flux).all() and fitted.name == star.name
    assert not any("tables" in sentence for sentence in said), said
    document.undo()
    assert document.scene is before
