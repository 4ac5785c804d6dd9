"""Data, model, residual and the chosen source side by side: one camera, every panel its own picture, all gestures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from deblend import FitSettings, Observation
from napari_deblend.actions import perform
from napari_deblend.compat import canvas_of
from napari_deblend.runner import Phase
from napari_deblend.views import PANELS, Role, View
from napari_deblend.widgets.looking import LookingRow

pytestmark = [pytest.mark.gui, pytest.mark.gl]
ALT = Qt.KeyboardModifier.AltModifier


class PanelHands:
    """Hands that act on one of the panels."""

    def __init__(self, bench: Any, hands: Any, panel: View) -> None:
        self._hands, self._canvas, self._bench = hands, canvas_of(bench.viewer), bench
        self._index = PANELS.index(panel)
        hands.place = self.place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hands, name)

    def place(self, x: float, y: float) -> QPoint:
        """Return the point of the canvas where a panel has pixel (x, y) of the scene."""
        north, east = self._bench.markers.layer.data_to_world((y, x))
        view = self._canvas.grid_views[self._index]
        column, row = (view.transform * view.scene.transform).map([east, north])[:2]
        return QPoint(round(float(column)), round(float(row)))


@pytest.fixture
def spread(opened: Any, hands: Any, qtbot: Any) -> Any:
    """The small blend, all of it side by side by the key."""
    hands.key(Qt.Key.Key_V, ALT)
    qtbot.wait(100)
    assert opened.panels.is_on
    opened.viewer.dims.set_current_step(opened.viewer.dims.ndim - 3, 0)
    return opened


@pytest.fixture
def in_panel(spread: Any, make_hands: Callable[[Any], Any]) -> Callable[[View], PanelHands]:
    return lambda panel: PanelHands(spread, make_hands(spread), panel)


def visible(bench: Any) -> list[Role]:
    return [role for role in Role if (layer := bench.layers.layer(role, bench.layers.seen_by)) and layer.visible]


def cell(bench: Any, layer: Any) -> tuple[int, int]:
    viewer = bench.viewer
    return viewer.canvas.grid.position(viewer.layers.index(layer), viewer.layers)


def titles(bench: Any) -> list[str]:
    return [layer._overlays["deblend_title"].text for layer in bench.layers if layer.visible]


def test_each_panel_has_its_picture_and_the_layer_of_markers_is_over_the_data(spread: Any) -> None:
    assert visible(spread) == [Role.DATA_COLOR, Role.MODEL_COLOR, Role.RESIDUAL, Role.COMPONENTS]
    cells = [cell(spread, spread.layers.layer(role)) for role in visible(spread)]
    rows, columns = spread.viewer.canvas.grid.actual_shape(spread.viewer.layers)
    assert rows * columns == 4 and cells == list(np.ndindex(rows, columns))
    assert cell(spread, spread.markers.layer) == cells[0]
    assert titles(spread) == ["Data · gri", "Model · gri", "Residual · g [σ]", "star 1 alone · g"]


def test_the_four_show_the_same_sky_however_it_is_zoomed(spread: Any, in_panel: Any, qtbot: Any) -> None:
    camera = spread.viewer.scene.camera
    center = np.array(camera.center)
    camera.center, camera.zoom = (*center[:-2], center[-2] + 1.0, center[-1] - 0.5), 3.0 * camera.zoom
    qtbot.wait(50)
    seen = []
    for panel in PANELS:
        view = canvas_of(spread.viewer).grid_views[PANELS.index(panel)]
        width, height = view.rect.size
        seen.append(view.scene.transform.imap([width / 2, height / 2])[:2])
    np.testing.assert_allclose(seen, [camera.center[::-1][:2]] * 4, atol=0.02)


def test_the_data_panel_holds_as_much_as_was_in_view(opened: Any, hands: Any, qtbot: Any) -> None:
    """The field of the one view is in each of the panels, at the zoom that their size leaves."""
    viewer = opened.viewer
    before = viewer.scene.camera.zoom
    hands.key(Qt.Key.Key_V, ALT)
    qtbot.wait(50)
    width = np.array(viewer.canvas.viewbox_size(viewer.layers))
    extent = np.ptp(opened.layers.layer(Role.DATA).extent.world[:, -2:], axis=0)
    assert viewer.scene.camera.zoom < before
    assert np.all(extent * viewer.scene.camera.zoom <= width + 1)


def test_leaving_has_everything_as_it_was(opened: Any, hands: Any, qtbot: Any) -> None:
    viewer = opened.viewer
    perform(opened, "look_at_residual")
    viewer.scene.camera.zoom *= 1.7
    viewer.scene.camera.center = (0.0, 1.0, -0.4)
    opened.document.select([opened.document.scene.sources[1].id])
    residual = opened.layers.layer(Role.RESIDUAL)
    residual.contrast_limits = (-3.0, 4.0)
    before = viewer.scene.camera.center, viewer.scene.camera.zoom, viewer.layers.selection.active
    hands.key(Qt.Key.Key_V, ALT)
    qtbot.wait(50)
    assert opened.panels.is_on
    viewer.scene.camera.zoom *= 0.4
    viewer.scene.camera.center = (0.0, 0.0, 0.0)
    hands.key(Qt.Key.Key_V, ALT)
    qtbot.wait(50)
    assert not opened.panels.is_on and not viewer.canvas.grid.enabled
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom, viewer.layers.selection.active) == before
    assert visible(opened) == [Role.RESIDUAL] and opened.layers.view is View.RESIDUAL
    assert tuple(residual.contrast_limits) == (-3.0, 4.0)
    assert [s.name for s in opened.document.selected] == [opened.document.scene.sources[1].name]
    assert viewer.canvas.overlays.text.visible
    assert not any(layer._overlays["deblend_title"].visible for layer in opened.layers if layer.visible)
    assert "_viewbox_groups" not in vars(viewer.canvas.grid)


def test_a_marker_is_dragged_in_the_first_panel_and_the_others_follow(spread: Any, in_panel: Any, wait: Any) -> None:
    source = spread.document.scene.sources[2]
    before = np.array(spread.layers.layer(Role.COMPONENTS).data[2, 0])
    in_panel(View.DATA).drag((source.x, source.y), (source.x - 6.0, source.y + 3.0))
    moved = spread.document.scene.sources[2]
    np.testing.assert_allclose((moved.x, moved.y), (source.x - 6.0, source.y + 3.0), atol=0.5)
    assert spread.document.undo_label == "Move source 3"
    # it is selected now, so it is the one that the last panel shows
    assert spread.layers.component_row == 2
    wait(lambda: not np.allclose(spread.layers.layer(Role.COMPONENTS).data[2, 0], before))
    assert titles(spread)[3].startswith("star 3 alone")


def test_a_marker_is_chosen_and_dragged_in_any_panel_and_a_drag_elsewhere_pans(
    spread: Any, in_panel: Any, qtbot: Any
) -> None:
    hands, source = in_panel(View.RESIDUAL), spread.document.scene.sources[1]
    hands.click(source.x, source.y)
    assert [s.id for s in spread.document.selected] == [source.id]
    hands.drag((source.x, source.y), (source.x + 6.0, source.y))
    assert spread.document.scene.sources[1].x == pytest.approx(source.x + 6.0, abs=0.5)
    center = spread.viewer.scene.camera.center
    hands.drag((6.0, 50.0), (14.0, 50.0))
    assert spread.viewer.scene.camera.center != center
    hands.click(6.0, 50.0)
    assert not spread.document.selection


def test_markers_are_drawn_in_every_panel_and_go_with_it(spread: Any, qtbot: Any, wait: Any) -> None:
    drawn = spread.panel_markers.drawn
    views = canvas_of(spread.viewer).grid_views
    assert len(drawn) == 3 and [visual.parent for visual in drawn] == [view.scene for view in views[1:]]

    def places() -> np.ndarray:
        # a scene has x before y
        return drawn[1]._data["a_position"][:, 1::-1]

    layer, document = spread.markers.layer, spread.document
    on_sky = [layer.data_to_world((s.y, s.x))[-2:] for s in document.scene.sources]
    np.testing.assert_allclose(places(), on_sky, atol=1e-4)
    source = document.scene.sources[0]
    document.move({source.id: (source.x + 3.0, source.y)})
    wait(lambda: np.allclose(places()[0], layer.data_to_world((source.y, source.x + 3.0))[-2:], atol=1e-4))
    document.delete([source.id])
    wait(lambda: len(places()) == 2)
    # another size of the window may have the panels lie otherwise, which makes them anew
    spread.viewer.window.resize(1500, 620)
    qtbot.wait(100)
    wait(
        lambda: (
            [visual.parent for visual in spread.panel_markers.drawn]
            == [view.scene for view in canvas_of(spread.viewer).grid_views[1:]]
        )
    )
    perform(spread, "toggle_panels")
    assert not spread.panel_markers.drawn


def test_two_states_take_turns_in_the_panel_of_the_residual(spread: Any, wait: Callable[..., None], qtbot: Any) -> None:
    source = spread.document.scene.sources[0]
    spread.document.move({source.id: (source.x + 2.0, source.y)})
    wait(lambda: spread.frame.revision == spread.document.revision)
    perform(spread, "compare_with_last_step")
    wait(lambda: spread.comparing.layer is not None)
    earlier, residual = spread.comparing.layer, spread.layers.layer(Role.RESIDUAL)
    assert spread.panels.is_on
    assert tuple(earlier.contrast_limits) == tuple(residual.contrast_limits)
    if not earlier.visible:
        # napari gives what is hidden no cell
        spread.comparing._turn()
    assert cell(spread, earlier) == cell(spread, residual)
    said = set()
    for _ in range(2):
        spread.comparing._turn()
        said.add(residual._overlays["deblend_title"].text[0])
    assert said == {"A", "B"}
    perform(spread, "toggle_panels")
    qtbot.wait(30)
    # the view from before was of the data, where there is nothing to compare
    assert spread.comparing.is_on and spread.comparing.layer is None


def test_shift_and_click_adds_of_what_the_panel_shows(spread: Any, in_panel: Any, wait: Any) -> None:
    shift = Qt.KeyboardModifier.ShiftModifier
    in_panel(View.MODEL).click(10.0, 50.0, shift)
    assert len(spread.document.scene.sources) == 4
    spread.document.undo()
    hands = in_panel(View.RESIDUAL)
    hands.hover(12.0, 48.0)
    hands.click(12.0, 48.0, shift)
    wait(lambda: len(spread.document.scene.sources) == 4)
    assert spread.document.undo_label == "Add a source from the residual"


def test_the_pointer_reads_the_panel_it_is_over(spread: Any, in_panel: Any, qtbot: Any) -> None:
    read = []
    spread.hover.read.connect(read.append)
    for panel, said in ((View.DATA, "nJy/pix"), (View.RESIDUAL, "σ"), (View.COMPONENT, "nJy/pix")):
        in_panel(panel).hover(20.0, 24.0)
        qtbot.wait(80)
        assert spread.panels.pointed is panel
        assert read[-1].light.endswith(said), panel
    value = spread.layers.layer(Role.COMPONENTS).data[0, 0, 24, 20]
    assert f"g {value:.4g}" in read[-1].light


def test_a_fit_streams_into_all_of_them(spread: Any, hands: Any, wait: Any) -> None:
    limits = {role: spread.layers.layer(role).contrast_limits for role in (Role.RESIDUAL, Role.COMPONENTS)}
    source = spread.document.scene.sources[0]
    spread.document.move({source.id: (source.x + 1.5, source.y)})
    wait(lambda: spread.frame.revision == spread.document.revision)
    before = {role: np.array(spread.layers.layer(role).data) for role in visible(spread)[1:3]}
    component = np.array(spread.layers.layer(Role.COMPONENTS).data[0])
    spread.settings = FitSettings(max_iterations=30)
    hands.key(Qt.Key.Key_G)
    wait(lambda: spread.frame.iteration >= 1 and spread.phase is Phase.IDLE)
    for role, old in before.items():
        assert not np.allclose(np.asarray(spread.layers.layer(role).data, float), old), role
    assert not np.allclose(spread.layers.layer(Role.COMPONENTS).data[0], component)
    assert {role: spread.layers.layer(role).contrast_limits for role in limits} == limits
    assert spread.panels.is_on


def test_one_band_and_the_slider_hold_for_all(spread: Any, hands: Any) -> None:
    hands.key(Qt.Key.Key_H)
    assert visible(spread) == [Role.DATA, Role.MODEL, Role.RESIDUAL, Role.COMPONENTS] and spread.panels.is_on
    spread.viewer.dims.set_current_step(spread.viewer.dims.ndim - 3, 2)
    assert titles(spread)[:3] == ["Data · i [nJy/pix]", "Model · i [nJy/pix]", "Residual · i [σ]"]
    assert not spread.document.selection, "moving the slider of the bands has chosen a source"
    hands.key(Qt.Key.Key_U)
    assert Role.RESIDUAL_FLUX in visible(spread) and len(visible(spread)) == 4


def test_one_telescope_at_a_time(bench: Any, make_observation: Callable[..., Observation], qtbot: Any) -> None:
    bench.open([make_observation(), make_observation(size=(48, 50), bands="w", name="HST", seed=5)])
    perform(bench, "toggle_panels")
    qtbot.wait(50)
    perform(bench, "next_telescope")
    qtbot.wait(50)
    assert bench.panels.is_on and bench.layers.seen_by == 1
    assert [layer.name for layer in bench.layers if layer.visible] == [
        "HST data",
        "HST model",
        "HST residual",
        "HST components",
    ]
    assert len({cell(bench, layer) for layer in bench.layers if layer.visible}) == 4
    assert titles(bench)[0] == "Data · HST · w [nJy/pix]" and titles(bench)[3] == "No source yet"


def test_the_button_and_any_other_view_leave(spread: Any, hands: Any, observation: Observation) -> None:
    row = LookingRow(spread)
    assert row.panels.isChecked() and not row.buttons[View.DATA].isChecked()
    row.buttons[View.MODEL].click()
    assert not spread.panels.is_on and visible(spread) == [Role.MODEL_COLOR] and row.buttons[View.MODEL].isChecked()
    row.panels.click()
    assert spread.panels.is_on and row.panels.isChecked()
    # napari's own button of the grid ends it as well
    spread.viewer.canvas.grid.enabled = False
    assert not spread.panels.is_on and visible(spread) == [Role.MODEL_COLOR]
    row.panels.click()
    spread.open([observation])
    assert not spread.panels.is_on and not spread.viewer.canvas.grid.enabled
    row.deleteLater()


def test_a_panel_whose_layer_was_deleted_is_left_out(spread: Any, in_panel: Any, qtbot: Any) -> None:
    spread.viewer.layers.remove(spread.layers.layer(Role.MODEL_COLOR))
    qtbot.wait(50)
    assert cell(spread, spread.layers.layer(Role.RESIDUAL)) == tuple(np.ndindex(*spread.viewer.canvas.grid.shape))[1]
    for layer in list(spread.layers):
        spread.viewer.layers.remove(layer)
    assert not spread.panels.is_on and not spread.viewer.canvas.grid.enabled


def test_without_images_it_says_so(bench: Any) -> None:
    told: list[str] = []
    bench.told.connect(told.append)
    perform(bench, "toggle_panels")
    assert told == ["No images are open; open FITS files first."] and not bench.panels.is_on
