"""The dock widget in a real window: every section shows the work and changes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QItemSelectionModel, Qt

from deblend import FitSettings, Status
from napari_deblend.actions import perform
from napari_deblend.runner import Phase
from napari_deblend.sample import sample_folder
from napari_deblend.views import Role, View
from napari_deblend.widgets.opening import IMAGE, LEAVE, MASK, PSF, WEIGHTS, RolesDialog, guessed_role
from napari_deblend.widgets.settings import form
from napari_deblend.widgets.source_table import FLUX, KIND, LOCK, NAME, SNR, X

pytestmark = pytest.mark.gui


@pytest.fixture
def widget(opened: Any) -> Any:
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    assert widget.bench is opened
    return widget


def cell(widget: Any, line: int, column: int) -> str:
    return str(widget.sources.model.index(line, column).data())


def test_the_table_shows_every_source_and_its_flux_in_the_chosen_band(widget: Any, opened: Any) -> None:
    model, scene = widget.sources.model, opened.document.scene
    assert model.rowCount() == 3
    assert [cell(widget, k, NAME) for k in range(3)] == ["1", "2", "3"]
    assert cell(widget, 1, X) == f"{scene.sources[1].x:.2f}"
    for channel in range(3):
        widget.sources.channel.setCurrentIndex(channel)
        shown = float(cell(widget, 2, FLUX).replace(",", ""))
        assert shown == pytest.approx(scene.sources[2].flux[channel], rel=0.01)
        header = model.headerData(FLUX, Qt.Orientation.Horizontal)
        assert header == f"{scene.channels[channel].band} [nJy]"


def test_rows_and_markers_are_selected_together(widget: Any, opened: Any) -> None:
    model, view, scene = widget.sources.model, widget.sources.view, opened.document.scene
    flags = QItemSelectionModel.SelectionFlag
    view.selectionModel().select(model.index(1, 0), flags.ClearAndSelect | flags.Rows)
    assert opened.document.selection == (scene.sources[1].id,)
    assert set(opened.markers.layer.selected_data) == {1}
    opened.markers.layer.selected_data = {0, 2}
    assert {i.row() for i in view.selectionModel().selectedRows()} == {0, 2}
    opened.document.select(())
    assert not view.selectionModel().selectedRows()
    assert not opened.markers.layer.selected_data


def test_what_is_typed_into_the_table_is_an_edit(widget: Any, opened: Any) -> None:
    model, document = widget.sources.model, opened.document
    assert model.setData(model.index(0, NAME), "quasar")
    assert model.setData(model.index(0, X), "21.5")
    assert model.setData(model.index(0, KIND), "sersic")
    assert model.setData(model.index(0, LOCK), "locked")
    source = document.scene.sources[0]
    assert (source.name, source.x, source.kind, source.center.status) == ("quasar", 21.5, "sersic", Status.LOCKED)
    assert opened.markers.layer.features["name"][0] == "quasar"
    for _ in range(4):
        document.undo()
    assert document.scene.sources[0].name == "1"


def test_what_cannot_be_is_said_and_not_done(widget: Any, opened: Any) -> None:
    model = widget.sources.model
    before = opened.document.scene
    assert not model.setData(model.index(0, X), "left")
    assert "must be a number" in widget.sentence.text()
    assert not model.setData(model.index(0, NAME), "2")
    assert "choose another name" in widget.sentence.text()
    perform(opened, "delete_selected")
    assert "No source is selected" in widget.sentence.text()
    assert opened.document.scene is before


def test_the_signal_to_noise_is_measured_when_the_work_rests(
    widget: Any, opened: Any, wait: Callable[..., None]
) -> None:
    opened.document.rename(opened.document.scene.sources[0].id, "first")
    wait(lambda: cell(widget, 0, SNR) != "–")
    assert float(cell(widget, 2, SNR).replace(",", "")) > 5


def test_undo_and_redo_buttons_follow_the_history(widget: Any, opened: Any, settle: Callable[[Any], None]) -> None:
    source = opened.document.scene.sources[0]
    opened.document.move({source.id: (22.0, 22.0)})
    settle(opened)
    assert widget.undo_button.isEnabled() and not widget.redo_button.isEnabled()
    assert "Move source 1" in widget.undo_button.toolTip()
    widget.undo_button.click()
    assert opened.document.scene[source.id].x == source.x
    settle(opened)
    widget.redo_button.click()
    assert opened.document.scene[source.id].x == 22.0


def test_keys_work_in_the_dock_too(widget: Any, opened: Any, qtbot: Any) -> None:
    source = opened.document.scene.sources[0]
    opened.document.move({source.id: (22.0, 22.0)})
    opened.viewer.window.activate()
    widget.sources.view.setFocus()
    qtbot.waitUntil(widget.sources.view.hasFocus)
    qtbot.keyClick(widget.sources.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert opened.document.scene[source.id].x == source.x


def test_the_threshold_acts_live_and_detect_makes_sources(
    widget: Any, opened: Any, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    counts = []
    for threshold in (6.0, 40.0):
        widget.detection.found.setText("")
        widget.detection.number.setValue(threshold)
        wait(lambda: widget.detection.found.text())
        counts.append(int(widget.detection.found.text().split()[0]))
        assert len(next(layer for layer in opened.viewer.layers if layer.name == "candidates").data) == counts[-1]
    assert counts[0] >= 3 and counts[0] >= counts[1]
    widget.detection.slider.setValue(0)
    assert widget.detection.number.value() == pytest.approx(2.0)
    widget.detection.number.setValue(5.0)
    widget.detection.kind.setCurrentText("point")
    perform(opened, "find_sources")
    wait(lambda: str(opened.document.undo_label).startswith("Detect"))
    settle(opened)
    assert {s.kind for s in opened.document.scene.sources} == {"point"}
    assert not any(layer.visible for layer in opened.viewer.layers if layer.name == "candidates")
    wait(lambda: "candidates" not in [layer.name for layer in opened.viewer.layers])
    opened.document.undo()
    assert len(opened.document.scene) == 3


def test_fit_pause_go_on_and_stop_by_button(widget: Any, opened: Any, wait: Callable[..., None]) -> None:
    opened.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    before = opened.document.scene
    widget.fitting.go.click()
    wait(lambda: widget.fitting.go.text() == "Pause")
    widget.fitting.go.click()
    wait(lambda: opened.phase in (Phase.PAUSED, Phase.IDLE))
    if opened.phase is Phase.PAUSED:
        assert widget.fitting.go.text() == "Go on"
        widget.fitting.stop.click()
    wait(lambda: opened.phase is Phase.IDLE)
    wait(lambda: "The best state is kept" in widget.sentence.text())
    assert widget.fitting.numbers.text().startswith("χ² ")
    assert opened.document.undo_label == "Fit"
    opened.document.undo()
    assert opened.document.scene is before


def test_the_curve_shows_every_iteration(widget: Any, opened: Any, wait: Callable[..., None]) -> None:
    perform(opened, "fit_or_pause")
    wait(lambda: opened.frame.sentence)
    np.testing.assert_allclose(widget.fitting.curve.values, opened.frame.curve)
    assert len(opened.frame.curve) == opened.frame.iteration + 1


def test_a_fit_shows_in_the_activity_dock(widget: Any, opened: Any, wait: Callable[..., None]) -> None:
    opened.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.phase is Phase.RUNNING)
    bar = opened.activity._bar
    assert bar is not None and bar.total == 100_000
    perform(opened, "cancel_fit")
    wait(lambda: opened.phase is Phase.IDLE)
    assert opened.activity._bar is None


def test_views_are_switched_by_button_and_key(widget: Any, opened: Any, make_hands: Any) -> None:
    def shown() -> set[Role]:
        layers = {role: opened.layers.layer(role) for role in Role}  # None where nobody has asked for it yet
        return {role for role, layer in layers.items() if layer is not None and layer.visible}

    assert shown() == {Role.DATA_COLOR}
    widget.looking.buttons[View.RESIDUAL].click()
    assert shown() == {Role.RESIDUAL}
    hands = make_hands(opened)
    hands.key(Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    assert shown() == {Role.MODEL_COLOR} and widget.looking.buttons[View.MODEL].isChecked()
    hands.key(Qt.Key.Key_H)
    assert shown() == {Role.MODEL} and not widget.looking.color.isChecked()
    hands.key(Qt.Key.Key_Q)
    assert shown() == {Role.DATA}
    for role in (Role.MODEL, Role.RESIDUAL, Role.COMPONENTS):
        hands.key(Qt.Key.Key_W)
        assert shown() == {role}


def test_a_tick_measures_the_noise_and_keeps_the_scene(
    widget: Any, opened: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    tick = widget.observations.correlated
    scene, white, chi2 = opened.document.scene, opened.document.observations, opened.frame.chi2
    assert tick.isVisible() and not tick.isChecked()
    tick.click()
    wait(lambda: opened.is_noise_correlated)
    settle(opened)
    assert [s.id for s in opened.document.scene.sources] == [s.id for s in scene.sources]
    # its noise is white, so that hardly anything changes
    assert opened.frame.chi2 == pytest.approx(chi2, rel=0.1) and opened.frame.chi2 != chi2
    assert "noise was measured in blank sky" in opened.document.observations[0].notes[-1]
    assert opened.document.undo_label is not None
    tick.click()
    settle(opened)
    assert not opened.is_noise_correlated and not tick.isChecked()
    assert [o.notes for o in opened.document.observations] == [o.notes for o in white]
    assert opened.frame.chi2 == pytest.approx(chi2, rel=1e-3)


def test_where_blank_sky_is_missing_the_tick_goes_back(
    widget: Any, bench: Any, make_observation: Callable[..., Any], wait: Callable[..., None]
) -> None:
    bench.open([make_observation(size=(14, 13))])
    said: list[str] = []
    bench.told.connect(said.append)
    widget.observations.correlated.click()
    wait(lambda: any("too few" in sentence for sentence in said))
    assert not widget.observations.correlated.isChecked() and not bench.is_noise_correlated


def test_the_settings_form_is_made_of_the_settings() -> None:
    seen: list[FitSettings] = []
    container = form(FitSettings(), seen.append)
    container["max_iterations"].value = 7
    container["tolerance"].value = "1e-5"
    assert seen[-1] == FitSettings(max_iterations=7, tolerance=1e-5)
    container["tolerance"].value = "soon"
    assert seen[-1].tolerance == 1e-5


def test_everything_is_written(widget: Any, opened: Any, wait: Callable[..., None], tmp_path: Path) -> None:
    widget.exporting.write_all(tmp_path)
    wait(lambda: "are in" in widget.sentence.text())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"catalog.ecsv", "models.fits", "residuals.fits", "components.fits", "regions.reg"}
    widget.exporting.write_catalog(tmp_path / "sources.fits")
    wait(lambda: "sources.fits" in widget.sentence.text())
    from astropy.table import Table

    assert len(Table.read(tmp_path / "sources.fits")) == 3


def test_a_folder_that_cannot_be_written_is_said(
    widget: Any, opened: Any, wait: Callable[..., None], tmp_path: Path
) -> None:
    widget.exporting.write_catalog(tmp_path / "nowhere" / "catalog.ecsv")
    wait(lambda: "nowhere" in widget.sentence.text())
    assert opened.runner.is_alive


def test_closing_the_dock_closes_no_work(widget: Any, opened: Any, qtbot: Any) -> None:
    opened.viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    qtbot.wait(50)
    opened.document.move({opened.document.scene.sources[0].id: (22.0, 22.0)})
    opened.tell("still here")
    _, again = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    assert again.bench is opened
    assert cell(again, 0, X) == "22.00"


def test_the_sample_is_adopted_by_the_widget(viewer: Any, wait: Callable[..., None]) -> None:
    viewer.open_sample("napari-deblend", "blend")
    _, widget = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench = widget.bench
    wait(lambda: bench.document.is_open)
    assert bench.layers.layer(Role.DATA) in viewer.layers
    assert len([layer for layer in viewer.layers if layer.name.endswith(" data")]) == 1
    notes = bench.document.observations[0].notes
    from qtpy.QtWidgets import QLabel

    texts = " ".join(label.text() for label in widget.findChildren(QLabel))
    assert notes and all(note in texts for note in notes)


def test_files_are_read_in_their_roles(bench: Any, wait: Callable[..., None]) -> None:
    from napari_deblend.widgets.opening import load

    roles = {str(p): guessed_role(str(p)) for p in sample_folder().glob("*.fits")}
    assert sorted(set(roles.values())) == [IMAGE, PSF]
    load(bench, roles)
    wait(lambda: bench.document.is_open)
    assert len(bench.document.observations[0].channels) == 5


def test_weights_and_masks_go_with_the_images_that_their_names_tell(
    bench: Any, wait: Callable[..., None], tmp_path: Path
) -> None:
    """Two images, weights for one of them and a mask for both."""
    from astropy.io import fits

    from napari_deblend.widgets.opening import load

    rng = np.random.default_rng(4)
    mask = np.zeros((30, 30), "i2")
    mask[3, 4] = 1
    psf = np.exp(-0.5 * ((np.mgrid[:15, :15] - 7.0) ** 2).sum(axis=0) / 2.0)
    data = {"a_g": rng.normal(size=(30, 30)), "a_r": rng.normal(size=(30, 30)), "a_r_rms": np.ones((30, 30))}
    for name, values in {**data, "a_mask": mask, "a_psf": psf}.items():
        fits.writeto(tmp_path / f"{name}.fits", values)
    load(bench, {str(p): guessed_role(str(p)) for p in tmp_path.glob("*.fits")})
    wait(lambda: bench.document.is_open)
    (seen,) = bench.document.observations
    assert not seen.weights[:, 3, 4].any() and seen.n_unmasked == 2 * 899
    np.testing.assert_allclose(seen.weights[1, 9], 1.0)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("calexp-HSC-G.fits", IMAGE),
        ("psf-HSC-G.fits", PSF),
        ("hst_psf.fits", PSF),
        ("weight.fits", WEIGHTS),
        ("f814w_wht.fits", WEIGHTS),
        ("f814w_rms.fits", WEIGHTS),
        ("legacysurvey-1501p022-maskbits.fits.fz", MASK),
        ("truth.fits.gz", LEAVE),
        ("ngc_psfree.fits", IMAGE),
    ],
)
def test_roles_are_guessed_by_name(name: str, role: str) -> None:
    assert guessed_role(f"/somewhere/{name}") == role


def test_a_file_without_its_psf_is_asked_for_and_nothing_is_lost(
    opened: Any, wait: Callable[..., None], tmp_path: Path, qtbot: Any
) -> None:
    from astropy.io import fits

    fits.writeto(tmp_path / "lonely.fits", np.random.default_rng(0).normal(size=(20, 20)))
    before = opened.document.scene
    failures: list[tuple[str, str]] = []
    opened.failed.connect(lambda job, sentence: failures.append((job, sentence)))
    opened.load([str(tmp_path / "lonely.fits")])
    wait(lambda: failures)
    assert "PSF" in failures[0][1] and "lonely.fits" in failures[0][1]
    assert opened.document.scene is before
    dialog = RolesDialog(opened, {str(tmp_path / "lonely.fits"): IMAGE}, failures[0][1])
    qtbot.addWidget(dialog)
    dialog.add({str(sample_folder() / "psf-HSC-G.fits"): PSF})
    assert list(dialog.roles.values()) == [IMAGE, PSF]
    dialog._accept()
    wait(lambda: opened.document.observations[0].name == "lonely")
