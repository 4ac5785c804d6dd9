"""Handles on the image: a real mouse drags the ends of an ellipse and the edges of a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Status, make_source
from deblend.scene import axis_ratio, major_angle
from napari_deblend.handle_shapes import SEEN, Handle, dragged
from tests.plugin.conftest import STARS

SHIFT = Qt.KeyboardModifier.ShiftModifier


def sizes(source: Any) -> tuple[float, float, float]:
    """Return half-light radius, axis ratio and angle [rad] of a source's first component."""
    morphology = source.components[0].morphology
    eta = morphology.parameters["ellipticity"].value
    return morphology.half_light_radius_guess, axis_ratio(eta), major_angle(eta)


@pytest.mark.parametrize("kind", ["gaussian", "sersic", "galaxy", "spline"])
def test_an_ellipse_goes_where_its_ends_are_dragged(kind: str) -> None:
    source = make_source(kind, 10.0, 12.0, n_channels=1, flux=(1.0,), half_light_radius=2.0)
    size = source.components[0].morphology.half_light_radius_guess
    one = dragged(source, 0, Handle.MAJOR, 6.0, 6.0)
    # the minor axis stays as it was
    a, b = np.hypot(6.0, 6.0) / SEEN, size
    assert sizes(one) == pytest.approx((np.sqrt(a * b), b / a, np.pi / 4))
    other = dragged(one, 0, Handle.MINOR, 2.0, -2.0)
    assert sizes(other) == pytest.approx((np.sqrt(a * np.hypot(2, 2) / SEEN), np.hypot(2, 2) / SEEN / a, np.pi / 4))
    larger = dragged(one, 0, Handle.MAJOR, 0.0, 12.0, keeps_shape=True)
    assert abs(sizes(larger)[2]) == pytest.approx(np.pi / 2) and sizes(larger)[1] == pytest.approx(b / a)


def test_a_box_is_as_large_as_its_edge_is_far() -> None:
    source = make_source("learned", 10.0, 12.0, n_channels=1, flux=(1.0,), radius=9)
    boxed = dragged(source, 0, Handle.LEFT, -20.6, 3.0)
    assert boxed.radius == 20 and boxed.components[0].is_box_held
    assert dragged(source, 0, Handle.TOP, 0.0, 900.0).radius == 127
    round_one = dragged(source, 0, Handle.MINOR, 0.0, 8.0)
    assert round_one.components[0].morphology.half_light_radius_guess == pytest.approx(8.0 / SEEN)


@pytest.fixture
def galaxy(bench: Any, observation: Any, settle: Callable[[Any], None], qtbot: Any) -> Any:
    """The workbench with a round galaxy, a Gaussian and a star, the second one selected."""
    bench.open([observation])
    kinds = ("galaxy", "gaussian", "point")
    bench.document.add(*(make_source(k, x, y, n_channels=3) for k, (x, y, _) in zip(kinds, STARS, strict=True)))
    bench.document.select([bench.document.scene.sources[1].id])
    settle(bench)
    qtbot.wait(50)
    return bench


@pytest.mark.gui
@pytest.mark.gl
def test_a_drag_of_an_end_reshapes_in_one_step_while_the_model_follows(
    galaxy: Any, make_hands: Any, settle: Callable[[Any], None]
) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    source = document.selected[0]
    shown: list[int] = []
    galaxy.framed.connect(lambda frame: shown.append(frame.revision))
    hands.press(source.x + 4.0, source.y)
    for step in range(1, 21):
        hands.move(source.x + 4.0 + 0.2 * step, source.y + 0.4 * step)
    assert len(shown) >= 2, "the model did not follow the mouse"
    hands.release(source.x + 8.0, source.y + 8.0)
    settle(galaxy)
    a = np.hypot(8.0, 8.0) / SEEN
    assert sizes(document.scene[source.id]) == pytest.approx((np.sqrt(2 * a), 2 / a, np.pi / 4), rel=0.05)
    assert document.undo_label == "Reshape source 2"
    # the handle is where the mouse has left it
    place = galaxy.handles.layer.data[list(Handle).index(Handle.MAJOR)]
    np.testing.assert_allclose(place, (source.y + 8.0, source.x + 8.0), atol=0.3)
    document.undo()
    assert sizes(document.scene[source.id])[:2] == pytest.approx((2.0, 1.0))


@pytest.mark.gui
@pytest.mark.gl
def test_a_drag_of_an_edge_resizes_the_box_and_one_of_the_center_moves(galaxy: Any, make_hands: Any) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    source = document.selected[0]
    edge = source.y - source.radius - 0.5
    hands.drag((source.x, edge), (source.x, edge + 5.0))
    assert document.scene[source.id].radius == 10 and document.undo_label == "Resize the box of source 2"
    hands.drag((source.x, source.y), (source.x + 3.0, source.y))
    assert document.scene[source.id].x == pytest.approx(source.x + 3.0, abs=0.15)


@pytest.mark.gui
@pytest.mark.gl
def test_handles_are_of_the_chosen_source_alone(galaxy: Any, make_hands: Any) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    first, _, star = document.scene.sources
    assert len(galaxy.handles.layer.data) == 8
    hands.click(star.x, star.y)
    assert document.selection == (star.id,) and not len(galaxy.handles.layer.data)
    hands.click(first.x, first.y)
    np.testing.assert_allclose(galaxy.handles.layer.data[4], (first.y, first.x + first.radius + 0.5))
    # a marker under a handle is what is meant
    document.move({star.id: (first.x + first.radius + 0.5, first.y)})
    hands.click(first.x + first.radius + 0.5, first.y)
    assert document.selection == (star.id,)
    document.select([first.id])
    # a layer that a person deletes stays away until it is asked for
    galaxy.viewer.layers.remove(galaxy.handles.layer)
    assert galaxy.handles.outline is None
    document.select([document.scene.sources[1].id])
    assert galaxy.handles.layer is None
    galaxy.resume()
    assert len(galaxy.handles.layer.data) == 8


@pytest.mark.gui
@pytest.mark.gl
def test_a_locked_source_keeps_its_shape_and_the_window_says_why(galaxy: Any, make_hands: Any) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    document.set_status(document.selection, Status.LOCKED)
    source, said = document.selected[0], []
    galaxy.told.connect(said.append)
    hands.drag((source.x + 4.0, source.y), (source.x + 8.0, source.y))
    assert sizes(document.scene[source.id]) == sizes(source) and any("locked" in sentence for sentence in said)


@pytest.mark.gui
@pytest.mark.gl
def test_an_ellipse_is_dragged_while_a_fit_runs(
    galaxy: Any, make_hands: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    from deblend import FitSettings
    from napari_deblend.actions import perform

    hands, document = make_hands(galaxy), galaxy.document
    galaxy.settings = FitSettings(max_iterations=100000, tolerance=1e-30)
    perform(galaxy, "fit_or_pause")
    wait(lambda: galaxy.frame is not None and galaxy.frame.iteration > 0)
    place = galaxy.handles.layer.data[0]
    source = document.selected[0]
    hands.drag((place[1], place[0]), (source.x, source.y + 12.0))
    settle(galaxy)
    assert document.undo_label == "Reshape source 2"
    document.undo()
    settle(galaxy)


@pytest.mark.gui
@pytest.mark.gl
def test_a_center_is_kept_in_a_circle_that_is_drawn(
    galaxy: Any, make_hands: Any, settle: Callable[[Any], None]
) -> None:
    hands, document = make_hands(galaxy), galaxy.document
    star = document.scene.sources[2]
    document.select([star.id])
    hands.key(Qt.Key.Key_J, SHIFT)
    assert document.scene[star.id].center_limit == 2.0 and len(galaxy.handles.layer.data) == 1
    settle(galaxy)
    at = galaxy.handles.layer.data[0]
    assert np.hypot(at[0] - star.y, at[1] - star.x) == pytest.approx(2.0)
    hands.drag((at[1], at[0]), (star.x - 4.0, star.y + 3.0))
    assert document.scene[star.id].center_limit == pytest.approx(5.0, abs=0.2)
    assert document.undo_label == "Limit the center of source 3"
    hands.drag((star.x, star.y), (star.x + 2.0, star.y))
    assert document.scene[star.id].anchor[0] == pytest.approx(star.x + 2.0, abs=0.2)
    hands.key(Qt.Key.Key_J, SHIFT)
    assert np.isinf(document.scene[star.id].center_limit) and not len(galaxy.handles.layer.data)
    document.undo()
    document.undo()
    document.undo()
    assert document.scene[star.id].center_limit == 2.0


@pytest.mark.gui
@pytest.mark.gl
def test_keys_move_a_handle_as_it_is_seen(galaxy: Any, make_hands: Any, settle: Callable[[Any], None]) -> None:
    hands, document, handles = make_hands(galaxy), galaxy.document, galaxy.handles
    source = document.selected[0]

    def take() -> None:
        hands.key(Qt.Key.Key_H, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)

    def place(index: int) -> np.ndarray:
        return np.array(handles.layer.data_to_world(handles.layer.data[index]))

    take()
    assert handles.taken is Handle.MAJOR and len(np.unique(handles.layer.face_color, axis=0)) == 2
    before = place(0)
    for _ in range(5):
        hands.key(Qt.Key.Key_Up, SHIFT)
    settle(galaxy)
    moved = place(0) - before
    # up is north, by a tenth of a pixel for each press; the sky is turned
    assert moved[0] > 0.4 * 0.16 and abs(moved[1]) < 1e-6 and document.undo_label == "Reshape source 2"
    assert sizes(document.scene[source.id])[2] != pytest.approx(0.0, abs=0.01)
    take()
    assert handles.taken is Handle.MINOR
    take()
    # an edge goes outward by a pixel, whatever way it is turned; east is left
    hands.key(Qt.Key.Key_Left if place(4)[1] > place(5)[1] else Qt.Key.Key_Right, SHIFT)
    assert handles.taken is Handle.RIGHT and document.undo_label == "Resize the box of source 2"
    assert document.scene[source.id].radius == source.radius + 1
    # after the last handle it is the source again, and so it is for another one
    take()
    assert handles.taken is None and len(np.unique(handles.layer.face_color, axis=0)) == 1
    hands.key(Qt.Key.Key_Up, SHIFT)
    settle(galaxy)
    assert document.undo_label == "Move source 2"
    take()
    document.select([document.scene.sources[0].id])
    assert handles.taken is None and len(np.unique(handles.layer.face_color, axis=0)) == 1
    document.select([document.scene.sources[2].id])
    said: list[str] = []
    galaxy.told.connect(said.append)
    take()
    assert "No source with handles" in said[-1]
