"""Dust in the window: put in front of a source and taken away, its numbers edited, all of it undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from deblend import Dust, make_source, start_dust
from napari_deblend.dusting import with_dust_kind
from napari_deblend.widgets.source_table import FLUX, KIND, NAME

pytestmark = pytest.mark.gui


@pytest.fixture
def galaxy(opened: Any, settle: Callable[[Any], None]) -> Any:
    """The workbench with its middle source an extended one that is selected."""
    document = opened.document
    document.retype([document.scene.sources[1].id], "sersic")
    document.select([document.scene.sources[1].id])
    settle(opened)
    return opened


@pytest.fixture
def widget(galaxy: Any) -> Any:
    _, widget = galaxy.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    return widget


def dust(bench: Any) -> Dust | None:
    return bench.document.scene.sources[1].dust


def line(bench: Any, key: str) -> Any:
    return next(each for group in bench.parameters.groups for each in group.lines if each.key == key)


def test_depths_are_what_they_are_set_to() -> None:
    layer = start_dust(2.0, 12, n_channels=3, extinction="free", kind="gaussian", depth=0.4)
    np.testing.assert_allclose(layer.depths, 0.4)
    other = layer.with_depths(np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(other.depths, [0.1, 0.2, 0.3])
    assert other.depth == pytest.approx(0.2)
    source = make_source("sersic", 5.0, 6.0, n_channels=3).dimmed(other)
    np.testing.assert_allclose(with_dust_kind(source, "exponential").dust.depths, other.depths)
    with pytest.raises(ValueError, match="point"):
        with_dust_kind(source, "point")


def test_a_key_dims_the_source_and_again_takes_it_back(
    galaxy: Any, widget: Any, make_hands: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    machine, before = galaxy.runner._machine, galaxy.document.scene
    hands = make_hands(galaxy)
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    hands.key(Qt.Key.Key_D, modifiers)
    settle(galaxy)
    source = galaxy.document.scene.sources[1]
    assert source.dust is not None and source.dust.depth == pytest.approx(0.3)
    # less than the flux without dust gets through, and least in the blue
    seen = machine.shown.component(1, 0).sum(axis=(1, 2)) / source.flux
    assert np.all(seen < 0.97) and seen[0] < seen[1] < seen[2]
    model, above = widget.sources.model, widget.sources.model.index(1, 0)
    wait(lambda: model.rowCount(above) == 2)
    cells = [model.index(1, column, above).data() for column in (NAME, KIND, FLUX)]
    assert cells == ["dust", "galaxy", "τ 0.3"]
    hands.key(Qt.Key.Key_D, modifiers)
    assert dust(galaxy) is None
    galaxy.document.undo()
    assert dust(galaxy) is not None
    galaxy.document.undo()
    assert galaxy.document.scene is before
    settle(galaxy)
    wait(lambda: model.rowCount(above) == 0)


def test_its_numbers_are_edited_and_undone(
    galaxy: Any, widget: Any, qtbot: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    button = widget.findChild(QPushButton, "toggle_dust")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(galaxy)
    parameters, machine = galaxy.parameters, galaxy.runner._machine
    before, shown = galaxy.document.scene, machine.shown.component(1, 0)
    parameters.set_value(line(galaxy, "dust.depth.0"), 1.2)
    settle(galaxy)
    assert dust(galaxy).depth == pytest.approx(1.2) and line(galaxy, "dust.depth.0").value == pytest.approx(1.2)
    assert np.abs(machine.shown.component(1, 0) - shown).max() > 0.1
    parameters.set_value(line(galaxy, "dust.size"), 1.5)
    parameters.set_value(line(galaxy, "dust.axis_ratio"), 0.5)
    parameters.set_value(line(galaxy, "dust.total_to_selective"), 4.0)
    parameters.set_value(line(galaxy, "dust.radius"), 9)
    settle(galaxy)
    layer = dust(galaxy)
    assert layer.morphology.half_light_radius_guess == pytest.approx(1.5, rel=0.3) and layer.radius == 9
    assert layer.extinction.total_to_selective == 4.0 and line(galaxy, "dust.axis_ratio").value == pytest.approx(0.5)
    with pytest.raises(ValueError, match="R_V lies between"):
        parameters.set_value(line(galaxy, "dust.total_to_selective"), 9.0)
    with pytest.raises(ValueError, match="not negative"):
        parameters.set_value(line(galaxy, "dust.depth.0"), -1.0)
    model = widget.sources.model
    wait(lambda: model.rowCount(model.index(1, 0)) == 2)
    assert model.setData(model.index(1, KIND, model.index(1, 0)), "gaussian")
    assert dust(galaxy).morphology.label == "gaussian"
    assert not model.setData(model.index(1, KIND, model.index(1, 0)), "point")
    assert "Dust has no morphology" in widget.sentence.text()
    for _ in range(6):
        galaxy.document.undo()
    assert galaxy.document.scene is before
    settle(galaxy)


def test_a_part_alone_is_dimmed_and_a_star_is_not(galaxy: Any, widget: Any, settle: Callable[[Any], None]) -> None:
    from napari_deblend.actions import perform

    document = galaxy.document
    perform(galaxy, "split_sources")
    settle(galaxy)
    view, model = widget.sources.view, widget.sources.model
    view.setCurrentIndex(model.index(1, NAME, model.index(1, 0)))
    assert galaxy.constraining.part == 1
    perform(galaxy, "toggle_dust")
    settle(galaxy)
    assert dust(galaxy).behind == (1,) and model.rowCount(model.index(1, 0)) == 3
    # the row of the dust chooses the source, and no component
    view.setCurrentIndex(model.index(2, NAME, model.index(1, 0)))
    assert galaxy.constraining.part is None and document.selection == (document.scene.sources[1].id,)
    document.select([document.scene.sources[0].id])
    before = document.scene
    perform(galaxy, "toggle_dust")
    assert document.scene is before and "redder star" in widget.sentence.text()
