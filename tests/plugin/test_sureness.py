"""Draws in the window: by keys and buttons, live, paused and stopped, stale after an edit, looked at and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Method, empty_scene, make_source
from deblend.infer.diffusion.known_prior import gaussian_of_generated, known_prior
from napari_deblend.actions import perform
from napari_deblend.drawing import Drawing, DrawKind, DrawPhase, DrawSettings
from napari_deblend.runner import ERROR
from napari_deblend.widgets.source_table import FLUX

pytestmark = pytest.mark.gui
ALT = Qt.KeyboardModifier.AltModifier
TIP = Qt.ItemDataRole.ToolTipRole


@pytest.fixture
def widget(opened: Any) -> Any:
    """The dock on the small blend of three stars, its fluxes solved."""
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    opened.sureness.settings = DrawSettings(draws=40, seed=2)
    return widget


@pytest.fixture
def drawn(widget: Any, opened: Any, make_hands: Any, wait: Callable[..., None]) -> Any:
    """The dock once forty Gaussian draws were asked for by the key, and made."""
    make_hands(opened).key(Qt.Key.Key_U, ALT)
    wait(lambda: opened.sureness.phase is DrawPhase.DONE and opened.sureness.drawn.n_done == 40)
    return widget


def error_of(text: str) -> float:
    return float(text.split("±")[1].replace(",", ""))


def test_draws_by_key_give_errors_to_the_table_and_go_stale_with_an_edit(
    drawn: Any, opened: Any, wait: Callable[..., None]
) -> None:
    sureness, source = opened.sureness, opened.document.scene.sources[1]
    # a star alone, matched to its PSF: noise 1 nJy per pixel, of sigma 3.5 / 2.355 pix plus what neighbors trade
    error = sureness.flux_errors(source.id)
    alone = np.sqrt(4 * np.pi) * 3.5 / 2.355
    assert np.all(error > 0.6 * alone) and np.all(error < 3.0 * alone)
    model = drawn.sources.model
    text = model.data(model.index(1, FLUX))
    assert error_of(text) == pytest.approx(error[model.channel], rel=0.06)
    before = sureness.drawn
    opened.document.move({source.id: (35.0, 31.0)})
    assert sureness.is_stale and sureness.drawn is before, "kept"
    assert "stale" in drawn.sureness.heading.text()
    assert "±" not in model.data(model.index(1, FLUX)), "the errors are of another scene"
    perform(opened, "undo")
    wait(lambda: opened.frame.revision == opened.document.revision)
    assert not sureness.is_stale


def test_mean_deviation_and_draws_are_looked_at_by_key(
    drawn: Any, opened: Any, make_hands: Any, wait: Callable[..., None]
) -> None:
    sureness, hands = opened.sureness, make_hands(opened)
    source = opened.document.scene.sources[2]
    opened.document.select([source.id])
    hands.key(Qt.Key.Key_W, ALT)
    mean = sureness.layers.layer(DrawKind.MEAN)
    wait(lambda: np.any(mean.data))
    component = opened.runner._machine.shown.component(2, 0)
    np.testing.assert_allclose(mean.data.sum(axis=(1, 2)), component.sum(axis=(1, 2)), rtol=0.05)
    hands.key(Qt.Key.Key_W, ALT)
    deviation = sureness.layers.layer(DrawKind.DEVIATION)
    wait(lambda: np.any(deviation.data))
    assert deviation.visible and not mean.visible
    deviation.contrast_limits = (0.0, 3.0)
    of_source = np.array(deviation.data)
    opened.document.select(())
    wait(lambda: not np.allclose(deviation.data, of_source))
    assert deviation.data.sum() > of_source.sum(), "all sources scatter, not only the one"
    assert list(deviation.contrast_limits) == [0.0, 3.0], "limits are a person's"
    hands.key(Qt.Key.Key_W, ALT)
    draws, dims = sureness.layers.layer(DrawKind.DRAW), opened.viewer.dims
    assert draws.data.shape == (40, 3, 3, 60, 66)
    seen = []
    for step in (0, 7):
        dims.set_current_step(dims.ndim - 5, step)
        wait(lambda s=step: np.any(draws.data[s, 0]))
        seen.append(draws.data[step, 0].sum())
        expected = sureness.drawn.quantities["flux_total"][step, 0]
        assert seen[-1] == pytest.approx(expected, rel=0.02)
    assert seen[0] != seen[1]
    assert not np.any(draws.data[20]), "only what is in view is rendered"
    hands.key(Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    wait(lambda: sureness.layers.kind is None)
    assert not draws.visible
    before = sureness.drawn
    hands.key(Qt.Key.Key_U, ALT)
    wait(lambda: sureness.drawn is not before and sureness.drawn.n_done == 40)
    assert not np.any(sureness.layers.layer(DrawKind.DRAW).data[7, 0]), "those of the draws before are let go"


def test_the_panel_has_diagnosis_plots_and_percentiles_of_chains(
    widget: Any, opened: Any, make_hands: Any, wait: Callable[..., None], qtbot: Any
) -> None:
    method, sureness = widget.fitting.method, opened.sureness
    place = next(k for k in range(method.count()) if method.itemData(k) is Method.NUTS)
    method.setCurrentIndex(place)
    method.activated.emit(place)
    assert widget.fitting.draw_form["chains"].visible
    widget.fitting.draw_form["chains"].value = 2
    widget.fitting.draw_form["draws"].value = 60
    assert sureness.settings == DrawSettings(60, 2)
    make_hands(opened).key(Qt.Key.Key_Y, ALT)
    qtbot.mouseClick(widget.fitting.draw, Qt.MouseButton.LeftButton)
    wait(lambda: sureness.phase is DrawPhase.DONE and sureness.drawn.n_done == 60)
    panel = widget.sureness
    assert "2 chains: R-hat" in panel.diagnosis.text() and "divergent" in panel.diagnosis.text()
    wait(lambda: panel.choices[0].currentText().startswith("flux_"))
    panel._show_plots()
    wait(lambda: len(panel.corner.plots) == 6 and not panel.corner.is_drawing)
    panel.tabs.setCurrentWidget(panel.trace)
    wait(lambda: len(panel.trace.plots) == 3 and not panel.trace.is_drawing)
    lines = panel.trace.plots[0, 0].listDataItems()
    assert [len(line.xData) for line in lines] == [30, 30], "a line for each chain"
    panel.tabs.setCurrentWidget(panel.table)
    low, middle, high = (float(panel.table.item(0, k).text()) for k in (1, 2, 3))
    told = np.percentile(sureness.drawn.quantities["flux_HSC_g"][:, 0], (16, 50, 84))
    np.testing.assert_allclose((low, middle, high), told, rtol=1e-3)


def test_draws_wait_go_on_and_stop_and_are_written(
    widget: Any, opened: Any, make_hands: Any, wait: Callable[..., None], qtbot: Any, tmp_path: Path
) -> None:
    sureness, hands = opened.sureness, make_hands(opened)
    sureness.settings = DrawSettings(draws=100_000)
    hands.key(Qt.Key.Key_U, ALT)
    wait(lambda: sureness.drawn is not None and sureness.drawn.n_done > 1)
    hands.key(Qt.Key.Key_U, ALT)
    wait(lambda: sureness.phase is DrawPhase.PAUSED)
    # the window takes the last news
    qtbot.wait(200)
    n = sureness.drawn.n_done
    qtbot.wait(300)
    assert sureness.drawn.n_done == n
    hands.key(Qt.Key.Key_U, ALT)
    wait(lambda: sureness.drawn.n_done > n)
    hands.key(Qt.Key.Key_U, Qt.KeyboardModifier.ControlModifier | ALT)
    wait(lambda: sureness.phase is DrawPhase.DONE, timeout=5)
    told: list[str] = []
    opened.told.connect(told.append)
    sureness.write(tmp_path / "draws")
    wait(lambda: any("draws are in" in sentence for sentence in told))
    names = {path.name for path in (tmp_path / "draws").iterdir()}
    assert {"samples.fits", "mean.fits", "std.fits", "covariances.fits", "percentiles.ecsv"} <= names


def test_an_edit_is_answered_while_draws_are_made(widget: Any, opened: Any, wait: Callable[..., None]) -> None:
    sureness, source = opened.sureness, opened.document.scene.sources[0]
    sureness.settings = DrawSettings(draws=100_000)
    perform(opened, "draw_or_pause")
    wait(lambda: sureness.drawn is not None and sureness.drawn.n_done > 1)
    opened.document.move({source.id: (21.0, 24.0)})
    wait(lambda: opened.frame.revision == opened.document.revision)
    assert sureness.is_busy and sureness.is_stale
    perform(opened, "look_at_model")
    perform(opened, "next_draw_view")
    wait(lambda: opened.viewer.canvas.overlays.text.text.endswith("stale"))
    perform(opened, "look_at_model")
    assert opened.viewer.canvas.overlays.text.text.startswith("Model")


def test_what_a_method_does_not_take_is_said(observation: Any) -> None:
    scene = empty_scene([observation]).add(make_source("free-form", 34.0, 30.0, n_channels=3, flux=(9.0, 9.0, 9.0)))
    drawing = Drawing([observation], scene, Method.NUTS, DrawSettings(draws=4))
    drawing.close()
    assert "NUTS is for profiles" in drawing.mailbox.take()[ERROR]
    assert drawing.phase is DrawPhase.FAILED and not drawing.is_alive


@pytest.fixture
def diffused(
    widget: Any, opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The dock once the first two stars are galaxies, the first is selected, and pictures were drawn of both under a
    Gaussian in place of the network, which compiles in no time; it is said to be unproved."""
    unproved = replace(known_prior(gaussian_of_generated(32)), is_calibrated=False)
    monkeypatch.setattr("deblend.infer.diffusion.sampler.known_prior", lambda _: unproved)
    sources, method, sureness = opened.document.scene.sources, widget.fitting.method, opened.sureness
    opened.document.retype([source.id for source in sources[:2]], "galaxy")
    settle(opened)
    opened.document.select([sources[0].id])
    place = next(k for k in range(method.count()) if method.itemData(k) is Method.DIFFUSION)
    method.setCurrentIndex(place)
    method.activated.emit(place)
    sureness.settings = DrawSettings(draws=6)
    perform(opened, "show_sureness")
    perform(opened, "draw_or_pause")
    wait(lambda: sureness.phase is DrawPhase.DONE and sureness.drawn.n_done == 6, timeout=120)
    return widget


def test_draws_without_proof_have_pictures_and_no_error_bars(
    diffused: Any, opened: Any, wait: Callable[..., None]
) -> None:
    source, sureness = opened.document.scene.sources[0], opened.sureness
    assert sureness.flux_errors(source.id) is None and not sureness.kept.is_calibrated
    panel = diffused.sureness
    assert "No error bars are told" in panel.diagnosis.text()
    perform(opened, "next_draw_view")
    mean = sureness.layers.layer(DrawKind.MEAN)
    wait(lambda: np.any(mean.data))
    perform(opened, "next_draw_view")
    wait(lambda: opened.viewer.canvas.overlays.text.text.endswith("no error bar"))
    panel.tabs.setCurrentWidget(panel.table)
    panel._show_plots()
    told = [panel.table.item(0, k).text() for k in (1, 2, 3)]
    assert told[0] == told[2] == "—" and float(told[1]) > 0
    kept = sureness.kept
    sureness.restore(kept)
    assert sureness.flux_errors(source.id) is None, "of a session, too"


def test_data_are_told_from_the_prior_pixel_by_pixel(
    diffused: Any, opened: Any, make_hands: Any, wait: Callable[..., None], qtbot: Any
) -> None:
    sureness, hands, look = opened.sureness, make_hands(opened), diffused.sureness.look
    first, second, star = opened.document.scene.sources
    for _ in range(4):
        hands.key(Qt.Key.Key_W, ALT)
    layer = sureness.layers.layer(DrawKind.SHARE)
    assert layer.visible and look.currentText() == "data against prior" and "decide" in look.itemData(4, TIP)
    x, y = round(first.x), round(first.y)
    rows, columns = np.nonzero(np.isfinite(layer.data))
    # a stamp of 31 pixels around the galaxy, cut by the image
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (y - 15, y + 15, x - 15, x + 15)
    told = next(share.picture for share in sureness.drawn.shares if share.source_id == first.id)
    np.testing.assert_allclose(layer.data[y - 15 : y + 16, x - 15 : x + 16], np.clip(told, 0, 1), atol=1e-6)
    middle, corner = layer.data[y - 2 : y + 3, x - 2 : x + 3], layer.data[y - 15 : y - 10, x - 15 : x - 10]
    assert middle.mean() > 0.7 > corner.mean(), "the data say least where there is no light"
    alone = np.array(layer.data)
    said = layer.get_status(layer.data_to_world((y, x)))["value"]
    assert said.endswith("prior") and said.startswith(f"{layer.data[y, x]:.0%}".replace("%", " % data"))
    caption = opened.viewer.canvas.overlays.text
    assert "Data (1) or prior (0)" in caption.text and "6 draws" in caption.text
    hands.hover(first.x, first.y)
    wait(lambda: said in diffused.looking.under_pointer.text(), timeout=5)
    opened.document.select(())
    assert np.isfinite(layer.data).sum() > np.isfinite(alone).sum(), "of both galaxies"
    assert np.isfinite(layer.data[round(second.y) + 9, round(second.x) + 9]) and "nearest" in caption.text
    np.testing.assert_array_equal(layer.data[y - 3 : y + 4, x - 6 : x + 1], alone[y - 3 : y + 4, x - 6 : x + 1])
    opened.document.select([star.id])
    assert not np.isfinite(layer.data).any() and "keeps its shape" in caption.text
    hands.key(Qt.Key.Key_W, ALT)
    assert sureness.layers.kind is None and not layer.visible and look.currentIndex() == 0
    # once more, and then draws that know no prior
    sureness.show(DrawKind.SHARE)
    sureness.choose(Method.GAUSSIAN)
    perform(opened, "draw_or_pause")
    wait(lambda: sureness.phase is DrawPhase.DONE and sureness.drawn.method is Method.GAUSSIAN)
    assert sureness.layers.kind is None and not layer.visible
    assert "data against prior" not in [look.itemText(k) for k in range(look.count())]
    with pytest.raises(ValueError, match="under a learned prior"):
        sureness.show(DrawKind.SHARE)


def test_without_sources_it_says_what_to_do(bench: Any, observation: Any) -> None:
    told: list[str] = []
    bench.told.connect(told.append)
    bench.open([observation])
    perform(bench, "draw_or_pause")
    perform(bench, "stop_drawing")
    perform(bench, "next_draw_view")
    assert "no sources" in told[-3] and "No draws" in told[-2] and "no draws yet" in told[-1]
