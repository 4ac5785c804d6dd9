"""A real mouse and real keys on a real window: every gesture becomes an edit of the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Observation, make_source
from deblend.observe import gaussian_psf
from napari_deblend.machine import Picture, PictureKind
from napari_deblend.views import Role

pytestmark = [pytest.mark.gui, pytest.mark.gl]

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def places(bench: Any) -> np.ndarray:
    return np.array([(s.x, s.y) for s in bench.document.scene.sources])


def test_a_click_on_a_marker_selects_its_source_and_a_click_beside_it_none(opened: Any, hands: Any) -> None:
    second = opened.document.scene.sources[1]
    hands.click(second.x, second.y)
    assert opened.document.selection == (second.id,)
    assert set(opened.markers.layer.selected_data) == {1}
    hands.click(10.0, 50.0)
    assert opened.document.selection == ()


def test_control_and_a_click_add_to_the_selection_and_take_from_it(opened: Any, hands: Any) -> None:
    first, second, _ = opened.document.scene.sources
    hands.click(first.x, first.y)
    hands.click(second.x, second.y, CONTROL)
    assert set(opened.document.selection) == {first.id, second.id}
    hands.click(first.x, first.y, CONTROL)
    assert opened.document.selection == (second.id,)


def test_a_drag_moves_the_source_in_one_step_and_repaints_the_model_while_it_moves(
    opened: Any, hands: Any, settle: Callable[[Any], None]
) -> None:
    source = opened.document.scene.sources[0]
    before = places(opened)
    shown: list[int] = []
    opened.framed.connect(lambda frame: shown.append(frame.revision))
    hands.press(source.x, source.y)
    for step in range(1, 31):
        hands.move(source.x + 0.2 * step, source.y + 0.1 * step)
    live = len(shown)
    hands.release(source.x + 6.0, source.y + 3.0)
    settle(opened)
    assert live >= 2, "the model did not follow the mouse"
    np.testing.assert_allclose(places(opened)[0], before[0] + (6.0, 3.0), atol=0.15)
    np.testing.assert_array_equal(places(opened)[1:], before[1:])
    assert opened.document.undo_label == "Move source 1"
    np.testing.assert_allclose(opened.markers.layer.data[0], places(opened)[0][::-1], atol=1e-9)
    opened.document.undo()
    np.testing.assert_allclose(places(opened), before)
    assert opened.document.undo_label == "Add 3 sources"


def test_the_fluxes_are_solved_again_where_the_source_was_dropped(
    opened: Any, hands: Any, settle: Callable[[Any], None]
) -> None:
    source = opened.document.scene.sources[0]
    flux = opened.document.scene.sources[0].flux.sum()
    hands.drag((source.x, source.y), (12.0, 50.0))
    settle(opened)
    assert opened.document.scene.sources[0].flux.sum() < 0.2 * flux


def test_a_drag_of_several_moves_all_of_them(opened: Any, hands: Any) -> None:
    first, second, third = opened.document.scene.sources
    before = places(opened)
    opened.document.select([first.id, second.id])
    hands.drag((second.x, second.y), (second.x + 4.0, second.y - 3.0))
    np.testing.assert_allclose(places(opened)[:2] - before[:2], [(4.0, -3.0)] * 2, atol=0.15)
    assert (opened.document.scene[third.id].x, opened.document.scene[third.id].y) == (third.x, third.y)


def test_a_locked_source_stays_and_the_window_says_why(opened: Any, hands: Any) -> None:
    from deblend import Status

    source = opened.document.scene.sources[0]
    opened.document.set_status([source.id], Status.LOCKED)
    told: list[str] = []
    opened.told.connect(told.append)
    hands.drag((source.x, source.y), (source.x + 5.0, source.y))
    assert opened.document.scene[source.id].x == source.x
    assert opened.document.undo_label == "Lock source 1"
    assert any("locked" in sentence for sentence in told)


def test_a_drag_beside_the_markers_pans_and_edits_nothing(opened: Any, hands: Any) -> None:
    label, camera = opened.document.undo_label, tuple(opened.viewer.scene.camera.center)
    hands.drag((10.0, 50.0), (16.0, 50.0))
    assert opened.document.undo_label == label
    assert tuple(opened.viewer.scene.camera.center) != camera


@pytest.mark.parametrize("on_top", [False, True])
def test_shift_and_a_click_add_a_source_also_on_top_of_another(
    opened: Any, hands: Any, settle: Callable[[Any], None], on_top: bool
) -> None:
    there = opened.document.scene.sources[0]
    x, y = (there.x, there.y) if on_top else (12.0, 50.0)
    hands.click(x, y, SHIFT)
    settle(opened)
    assert len(opened.document.scene) == 4
    added = opened.document.scene.sources[-1]
    assert abs(added.x - x) < 1.5 and abs(added.y - y) < 1.5
    assert added.name == "4"
    assert opened.document.selection == (added.id,)
    assert opened.document.scene.is_solved
    opened.document.undo()
    assert len(opened.document.scene) == 3


def test_a_source_added_on_the_light_of_a_large_one_has_its_own_size(bench: Any, make_hands: Any, settle: Any) -> None:
    y, x = np.mgrid[:120, :120]
    image = 40.0 * np.exp(-np.hypot(x - 60, y - 60) / 14) + 15.0 * np.exp(-0.5 * ((x - 80) ** 2 + (y - 68) ** 2) / 4)
    noisy = image + np.random.default_rng(1).normal(size=image.shape)
    bench.open([Observation.from_arrays(noisy, gaussian_psf(3.5), np.ones_like(noisy))])
    large = make_source("galaxy", 60.0, 60.0, n_channels=1, half_light_radius=20.0, radius=55)
    bench.document.add(large)
    settle(bench)
    make_hands(bench).click(80.0, 68.0, SHIFT)
    settle(bench)
    added = bench.document.scene.sources[-1]
    assert added.id != large.id and added.radius <= 19


def test_in_add_mode_a_plain_click_adds(opened: Any, hands: Any) -> None:
    hands.key(Qt.Key.Key_N)
    assert str(opened.markers.layer.mode) == "add"
    hands.click(12.0, 50.0)
    assert len(opened.document.scene) == 4
    hands.key(Qt.Key.Key_N)
    hands.click(50.0, 10.0)
    assert len(opened.document.scene) == 4


def test_keys_add_move_and_delete(opened: Any, hands: Any, qtbot: Any) -> None:
    source = opened.document.scene.sources[0]
    hands.move(12.0, 50.0)
    opened.viewer.cursor.position = tuple(opened.markers.layer.data_to_world((50.0, 12.0)))
    hands.key(Qt.Key.Key_N, SHIFT)
    assert len(opened.document.scene) == 4
    opened.document.select([source.id])
    corner = hands.place(source.x, source.y)
    hands.key(Qt.Key.Key_Left, SHIFT)
    moved = opened.document.scene[source.id]
    assert np.hypot(moved.x - source.x, moved.y - source.y) == pytest.approx(0.1)
    far = hands.place(source.x + 30 * (moved.x - source.x), source.y + 30 * (moved.y - source.y))
    assert far.x() < corner.x() and abs(far.y() - corner.y()) <= 2, "left must be left on the screen"
    opened.viewer.layers.selection.active = opened.markers.layer
    hands.key(Qt.Key.Key_Delete)
    assert source.id not in {s.id for s in opened.document.scene.sources}
    hands.key(Qt.Key.Key_Z, CONTROL)
    assert source.id in {s.id for s in opened.document.scene.sources}
    hands.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert source.id not in {s.id for s in opened.document.scene.sources}


def test_after_deletion_every_marker_keeps_its_own_name(opened: Any, hands: Any) -> None:
    first = opened.document.scene.sources[0]
    opened.document.delete([first.id])
    assert list(opened.markers.layer.features["name"]) == ["2", "3"]
    np.testing.assert_allclose(opened.markers.layer.data, places(opened)[:, ::-1])


def test_naparis_own_select_tool_drags_through_the_document_too(opened: Any, hands: Any) -> None:
    source = opened.document.scene.sources[1]
    opened.viewer.layers.selection.active = opened.markers.layer
    opened.markers.layer.mode = "select"
    hands.drag((source.x, source.y), (source.x + 4.0, source.y))
    assert opened.document.scene[source.id].x == pytest.approx(source.x + 4.0, abs=0.15)
    assert opened.document.undo_label == "Move source 2"


def test_points_pasted_with_naparis_own_tools_leave_the_document_alone(opened: Any) -> None:
    opened.markers.layer.add([(5.0, 5.0)])
    assert len(opened.document.scene) == 3
    assert len(opened.markers.layer.data) == 3


def test_markers_lie_on_their_stars_on_the_sky(opened: Any) -> None:
    data, markers = opened.layers.layer(Role.DATA), opened.markers.layer
    source = opened.document.scene.sources[2]
    np.testing.assert_allclose(
        data.data_to_world((0, source.y, source.x))[-2:], markers.data_to_world((source.y, source.x)), atol=1e-6
    )


def test_choosing_a_source_chooses_its_component(opened: Any, settle: Callable[[Any], None], wait: Any) -> None:
    from napari_deblend.actions import perform

    perform(opened, "look_at_component")
    third = opened.document.scene.sources[2]
    opened.document.select([third.id])
    assert opened.layers.component_row == 2
    picture = Picture(PictureKind.COMPONENT, 0, third.id)
    wait(lambda: picture in opened.frame.pictures)
    layer = opened.layers.layer(Role.COMPONENTS)
    np.testing.assert_allclose(layer.data[2, 1], opened.frame.pictures[picture][1])
    opened.viewer.dims.set_current_step(opened.viewer.dims.ndim - 4, 0)
    assert opened.document.selection == (opened.document.scene.sources[0].id,)


def test_alt_and_a_digit_choose_what_the_next_click_adds(
    opened: Any, hands: Any, settle: Callable[[Any], None]
) -> None:
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    hands.key(Qt.Key.Key_5, Qt.KeyboardModifier.AltModifier)
    hands.click(12.0, 50.0, SHIFT)
    assert opened.document.scene.sources[-1].kind == "sersic" and widget.detection.kind.currentText() == "sersic"
    hands.key(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    hands.click(50.0, 12.0, SHIFT)
    assert opened.document.scene.sources[-1].kind == "point"
    settle(opened)
