"""The stretch in a real window: by slider, list and key, live, for all views, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deblend.remembered import recall_stretch
from napari_deblend.stretch import Preset, Stretch
from napari_deblend.views import Role, View

pytestmark = pytest.mark.gui

CONTROL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path))


@pytest.fixture
def row(opened: Any) -> Any:
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    return widget.looking.stretch


def limits(bench: Any, role: Role) -> tuple[float, float]:
    return tuple(bench.layers.layer(role).contrast_limits)


def test_the_slider_stretches_data_model_and_residual_alike_and_at_once(
    row: Any, opened: Any, qtbot: Any, wait: Callable[..., None]
) -> None:
    # whose layer is made when it is first looked at
    opened.layers.look_at(View.RESIDUAL, in_flux=True)
    colors = np.asarray(opened.layers.layer(Role.DATA_COLOR).data).astype(int).sum()
    row.white.setFocus()
    for _ in range(3):
        qtbot.keyClick(row.white, Qt.Key.Key_PageDown)
    white = opened.stretching.stretch.white * opened.layers.light(0).noise
    for role in (Role.DATA, Role.MODEL, Role.COMPONENTS):
        assert limits(opened, role)[1] == pytest.approx(white)
        np.testing.assert_array_equal(
            opened.layers.layer(role).colormap.controls, opened.layers.layer(Role.DATA).colormap.controls
        )
    assert limits(opened, Role.RESIDUAL_FLUX) == pytest.approx((-white, white))
    assert limits(opened, Role.RESIDUAL) == (-5.0, 5.0), "sigmas stay sigmas"
    wait(lambda: np.asarray(opened.layers.layer(Role.DATA_COLOR).data).astype(int).sum() > 1.1 * colors)
    assert row.white_text.text().endswith("σ")
    qtbot.keyClick(row.q, Qt.Key.Key_Home)
    assert opened.stretching.stretch.q == 0.0
    flat = opened.layers.layer(Role.DATA).colormap.map(np.array([0.25]))
    assert flat[0, 0] == pytest.approx(0.25, abs=0.01)


def test_colors_that_a_person_has_chosen_stay_and_no_colormap_is_listed_twice(row: Any, opened: Any) -> None:
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    data = opened.layers.layer(Role.DATA)
    data.colormap = "viridis"
    count = len(AVAILABLE_COLORMAPS)
    for place in range(90, 100):
        row.white.setValue(place)
    assert len(AVAILABLE_COLORMAPS) == count
    assert data.colormap.name == "viridis"
    assert limits(opened, Role.DATA)[1] == pytest.approx(opened.stretching.stretch.white * opened.layers.light(0).noise)


def test_models_in_color_follow_the_stretch(row: Any, opened: Any, wait: Callable[..., None]) -> None:
    opened.layers.look_at(View.MODEL)
    model = opened.layers.layer(Role.MODEL_COLOR)
    wait(lambda: model.data.any())
    before = model.data.astype(int).sum()
    row.white.setValue(row.white.value() - 60)
    wait(lambda: model.data.astype(int).sum() > 1.1 * before)
    np.testing.assert_array_equal(model.data, opened.layers.mixes[0](opened.runner._machine.shown.model(0)))


def test_keys_brighten_and_take_the_next_preset_and_it_is_remembered(
    row: Any, opened: Any, make_hands: Any, wait: Callable[..., None]
) -> None:
    hands = make_hands(opened)
    white = opened.stretching.white
    hands.key(Qt.Key.Key_BracketRight, CONTROL)
    assert opened.stretching.white == pytest.approx(white / 1.3)
    hands.key(Qt.Key.Key_BracketLeft, CONTROL)
    assert opened.stretching.white == pytest.approx(white)
    hands.key(Qt.Key.Key_A, CONTROL | ALT)
    assert opened.stretching.stretch == Stretch(Preset.ZSCALE)
    assert row.preset.currentText() == "zscale"
    wait(lambda: recall_stretch() == Stretch(Preset.ZSCALE))
    opened.stretching.set_white(40.0)
    wait(lambda: recall_stretch().white == 40.0)


def test_residuals_in_flux_are_data_less_model(
    row: Any, opened: Any, make_hands: Any, wait: Callable[..., None]
) -> None:
    hands = make_hands(opened)
    hands.key(Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    hands.key(Qt.Key.Key_U)
    layer = opened.layers.layer(Role.RESIDUAL_FLUX)
    assert layer.visible and not opened.layers.layer(Role.RESIDUAL).visible
    wait(lambda: np.nanmax(np.abs(layer.data)) > 0)
    expected = opened.document.observations[0].images - opened.runner._machine.shown.model(0)
    np.testing.assert_allclose(layer.data, expected, rtol=1e-4, atol=1e-4)
    assert "[nJy/pix]" in opened.layers.caption
    hands.key(Qt.Key.Key_U)
    assert opened.layers.layer(Role.RESIDUAL).visible


def test_the_map_of_chi2_is_a_view_with_limits_of_its_own(
    row: Any, opened: Any, make_hands: Any, wait: Callable[..., None]
) -> None:
    from deblend.measure import chi2_map

    make_hands(opened).key(Qt.Key.Key_Q, Qt.KeyboardModifier.AltModifier)
    layer = opened.layers.layer(Role.CHI2)
    assert layer.visible and opened.layers.caption.startswith("χ²")
    wait(lambda: np.nanmax(layer.data) > 0)
    expected = chi2_map(opened.document.observations[0], opened.runner._machine.shown.model(0))
    for band in range(3):
        np.testing.assert_allclose(layer.data[band], expected, rtol=1e-4)
    row.white.setValue(row.white.value() - 20)
    assert limits(opened, Role.CHI2) == (0.0, 50.0)
    source = opened.document.scene.sources[0]
    position = (0, 0, *opened.markers.layer.data_to_world((source.y, source.x)))
    value = expected[round(source.y), round(source.x)]
    assert opened.hover.reading(position).light == f"{value:.3g} χ² per pixel"


def test_the_key_shows_and_hides_color_bars_of_single_bands(row: Any, opened: Any, make_hands: Any) -> None:
    hands = make_hands(opened)
    opened.layers.look_at(View.DATA, color=False)
    for wanted in (True, False):
        before = opened.viewer.screenshot(canvas_only=True)
        hands.key(Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
        assert opened.layers.layer(Role.DATA).colorbar.visible is wanted
        assert opened.layers.layer(Role.RESIDUAL).colorbar.visible is wanted
        after = opened.viewer.screenshot(canvas_only=True)
        assert (before != after).any(), "it is drawn"


def test_what_is_not_ours_in_the_settings_folder_is_no_stretch(tmp_path: Path) -> None:
    (tmp_path / "stretch.json").write_text('{"preset": "magic", "white": "much"}')
    assert recall_stretch() == Stretch()
