"""Pixels are painted for a source by a real mouse: what belongs to it, where nothing of it is; the model follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deblend.actions import perform
from napari_deblend.painting import NOTHING, OWN, STRIPE, Brush
from tests.plugin.conftest import STARS

pytestmark = [pytest.mark.gui, pytest.mark.gl]

ALT = Qt.KeyboardModifier.AltModifier
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
X, Y, _ = STARS[0]


@pytest.fixture
def galaxy(opened: Any, settle: Callable[[Any], None]) -> Any:
    """The workbench with its first source a galaxy, selected."""
    first = opened.document.scene.sources[0].id
    opened.document.select([first])
    opened.document.retype([first], "galaxy")
    settle(opened)
    return opened


def painted(bench: Any, name: str) -> np.ndarray:
    area = getattr(bench.document.scene.sources[0], name)
    shape = bench.document.scene.grid.shape
    return np.zeros(shape, bool) if area is None else area.on(shape)


def test_strokes_are_steps_that_the_model_follows(
    galaxy: Any, make_hands: Any, settle: Callable[[Any], None], qtbot: Any
) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    places = [(s.x, s.y) for s in document.scene.sources]
    before = galaxy.frame
    hands.key(Qt.Key.Key_N, ALT)
    assert galaxy.painting.brush is Brush.NOTHING
    hands.drag((X - 6.0, Y + 5.0), (X + 6.0, Y + 5.0), steps=12)
    nothing = painted(galaxy, "barred")
    assert nothing[round(Y + 5), round(X)] and 40 < nothing.sum() < 150
    assert [(s.x, s.y) for s in document.scene.sources] == places
    assert document.undo_label == f"Paint where nothing of source {document.scene.sources[0].name} is"
    labels = galaxy.painting.layer.data
    assert set(np.unique(labels[nothing])) == {NOTHING, STRIPE}, "striped, for who cannot tell colors apart"
    settle(galaxy)
    assert galaxy.frame is not before
    # its light there is gone, before the PSF of the telescope blurs it
    (support,) = [g.support for g in galaxy.runner._machine.program.data.groups if g.support is not None]
    assert np.count_nonzero(support[0] == 0) == nothing.sum()
    hands.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(galaxy, "barred").any() and not galaxy.painting.layer.data.any()
    hands.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    np.testing.assert_array_equal(painted(galaxy, "barred"), nothing)
    # the other brush takes over what it goes over
    hands.key(Qt.Key.Key_B, ALT)
    assert galaxy.painting.brush is Brush.BELONGS
    hands.drag((X, Y + 5.0), (X + 6.0, Y + 5.0))
    own = painted(galaxy, "claimed")
    assert own[round(Y + 5), round(X + 3)] and not (own & painted(galaxy, "barred")).any()
    assert np.all(galaxy.painting.layer.data[own] == OWN)
    hands.key(Qt.Key.Key_E, ALT)
    hands.drag((X - 6.0, Y + 5.0), (X + 8.0, Y + 5.0), steps=12)
    assert not painted(galaxy, "claimed").any() and not painted(galaxy, "barred").any()
    assert document.undo_label.startswith("Erase")
    hands.key(Qt.Key.Key_E, ALT)
    assert galaxy.painting.brush is None and galaxy.viewer.layers.selection.active is galaxy.markers.layer
    qtbot.wait(20)


def test_the_picture_follows_while_the_mouse_paints(galaxy: Any, make_hands: Any, wait: Callable[..., None]) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    hands.key(Qt.Key.Key_B, ALT)
    hands.press(X, Y)
    revision = document.revision
    for k in range(12):
        hands.move(X + 0.5 * k, Y, pause=15)
    assert document.in_gesture and document.revision > revision
    wait(lambda: galaxy.frame.revision == document.revision)
    hands.release(X + 6.0, Y)
    assert not document.in_gesture and painted(galaxy, "claimed")[round(Y), round(X + 5)]
    document.undo()
    assert document.scene.sources[0].claimed is None


def test_only_what_is_chosen_shows_its_paint(galaxy: Any, make_hands: Any) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    hands.key(Qt.Key.Key_B, ALT)
    hands.drag((X, Y), (X + 3.0, Y))
    own = painted(galaxy, "claimed")
    document.select([document.scene.sources[1].id])
    data = galaxy.painting.layer.data
    assert np.all(data[own] != OWN) and np.all(data[own] > 0), "of another source: seen, but not as its own"
    document.select([document.scene.sources[0].id])
    assert np.all(galaxy.painting.layer.data[own] == OWN)
    perform(galaxy, "forget_paint")
    assert not galaxy.painting.layer.data.any() and document.undo_label.startswith("Erase all paint of source")


def test_what_cannot_be_painted_is_said(opened: Any) -> None:
    said: list[str] = []
    opened.told.connect(said.append)
    perform(opened, "paint_belongs")
    assert said[-1] == "No source is selected; click the marker of the source to paint for first."
    document = opened.document
    document.select([document.scene.sources[0].id])
    perform(opened, "paint_nothing")
    assert "Make it a galaxy or free-form first" in said[-1]
    perform(opened, "forget_paint")
    assert said[-1] == "Nothing is painted for what is selected."
    perform(opened, "toggle_lock")
    perform(opened, "paint_belongs")
    assert "locked; unlock first" in said[-1] and opened.painting.layer is None
