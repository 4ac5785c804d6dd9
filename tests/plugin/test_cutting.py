"""Cutting out in the window: of a large file by its overview, of open images; by mouse, words and keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from qtpy.QtCore import Qt

from deblend import Observation, TangentWcs
from deblend.observe import gaussian_psf
from napari_deblend.actions import perform
from napari_deblend.reader import read
from napari_deblend.views import METADATA_KEY, Role
from napari_deblend.widgets.cutting import CuttingSection

pytestmark = pytest.mark.gui

WIDE = (700, 900)
"""Shape of what is called large here."""


@pytest.fixture
def mosaic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compressed image of stars, its PSF beside it, in a program that calls it large."""
    monkeypatch.setattr("deblend.io.overview.LARGE", 600)
    rng = np.random.default_rng(5)
    data = rng.normal(size=WIDE)
    y, x = np.mgrid[-9:10, -9:10]
    for _ in range(60):
        row, column = rng.integers(10, WIDE[0] - 10), rng.integers(10, WIDE[1] - 10)
        data[row - 9 : row + 10, column - 9 : column + 10] += 80 * np.exp(-(x**2 + y**2) / 2 / 2.0**2)
    header = TangentWcs((150.1, 2.2), (449.5, 349.5), ((-0.2, 0.0), (0.0, 0.2))).to_header()
    header["FILTER"], header["BUNIT"] = "HSC-I", "nJy"
    path = tmp_path / "calexp-mosaic.fits.fz"
    fits.CompImageHDU(data.astype("f4"), header, compression_type="RICE_1").writeto(path)
    fits.writeto(tmp_path / "psf-mosaic.fits.fz", gaussian_psf(4.7))
    return path


@pytest.fixture
def overview(bench: Any, mosaic: Path, wait: Callable[..., None]) -> Any:
    """The workbench with the overview of the mosaic."""
    bench.load([str(mosaic)])
    wait(lambda: bench.cutting.overview is not None and bench.cutting.overview.is_whole)
    return bench


@pytest.fixture
def section(bench: Any, qtbot: Any) -> CuttingSection:
    section = CuttingSection(bench)
    qtbot.addWidget(section)
    return section


def drag_over(bench: Any, qtbot: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse from pixel to pixel (x, y) of the image that is cut."""
    from qtpy.QtCore import QEvent, QPoint, QPointF
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    from napari_deblend.compat import canvas_of

    canvas, layer = canvas_of(bench.viewer), bench.cutting.box_layer
    qtbot.wait(100)

    def place(x: float, y: float) -> QPoint:
        world = layer.data_to_world((y, x))
        column, row = (canvas.view.transform * canvas.view.scene.transform).map([world[1], world[0]])[:2]
        return QPoint(round(float(column)), round(float(row)))

    qtbot.mousePress(canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place(*start))
    for part in np.linspace(0.0, 1.0, 7)[1:]:
        point = QPointF(place(*(np.array(start) + part * (np.array(end) - np.array(start)))))
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            point,
            point,
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas.native, event)
        qtbot.wait(10)
    qtbot.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place(*end))


def test_a_large_file_is_not_read_but_shown_small_with_a_box_in_its_middle(overview: Any, mosaic: Path) -> None:
    assert not overview.document.is_open
    picture = overview.cutting.picture
    assert picture.name == f"{mosaic.name} overview" and picture.visible
    assert picture.data.shape == (350, 450), "every second row, means of two"
    assert overview.cutting.text == "300:600,200:500"
    # the small picture lies where the image does
    corner = picture.data_to_world((-0.5, -0.5))
    np.testing.assert_allclose(corner, overview.cutting.box_layer.data_to_world((-0.5, -0.5)), atol=1e-6)
    np.testing.assert_allclose(
        overview.cutting.box_layer.data[0], [(199.5, 299.5), (199.5, 599.5), (499.5, 599.5), (499.5, 299.5)]
    )


def test_words_and_enter_open_the_piece(
    overview: Any, section: CuttingSection, qtbot: Any, wait: Callable[..., None], mosaic: Path
) -> None:
    """Keyboard alone; then the overview comes back for another piece, at its old place."""
    assert "900 × 700 px: choose the piece" in section.about.text()
    assert "300 × 300 px (60.0″ × 60.0″) around 10:00:24.00 +02:12:00.0" in section.description.text()
    section.words.clear()
    qtbot.keyClicks(section.words, "10:00:24 +02:12:00 20arcs")
    assert "arcs" in section.description.text() and not section.cut_button.isEnabled()
    qtbot.keyClicks(section.words, "ec")
    assert "100 × 100 px (20.0″ × 20.0″)" in section.description.text()
    qtbot.keyClick(section.words, Qt.Key.Key_Return)
    wait(lambda: overview.document.is_open)
    (observation,) = overview.document.observations
    assert observation.shape == (100, 100)
    np.testing.assert_allclose(observation.images, Observation.read(mosaic, cutout="400:500,300:400").images)
    assert overview.cutting.picture not in overview.viewer.layers and overview.cutting.box_layer is None
    # the piece lies where it is on the overview: pixel (0, 0) of one is (400, 300) of the other
    data = overview.layers.layer(Role.DATA)
    there = overview.cutting.picture.data_to_world(((300 - 0.5) / 2, (400 - 0.5) / 2))
    np.testing.assert_allclose(data.data_to_world((0, 0, 0))[-2:], there, atol=0.01)
    section.overview.click()
    assert overview.cutting.is_of_file and overview.cutting.text == "300:600,200:500"
    section.overview.click()
    assert not overview.cutting.is_of_file


def test_a_box_is_drawn_with_the_mouse_and_cut_out(
    overview: Any, section: CuttingSection, qtbot: Any, wait: Callable[..., None]
) -> None:
    section.draw_button.click()
    drag_over(overview, qtbot, (100, 120), (260, 240))
    wait(lambda: overview.cutting.text != "300:600,200:500")
    box = overview.cutting.box
    # a pixel of the screen is nearly two of the image
    np.testing.assert_allclose((box.x, box.y), ((100, 260), (120, 240)), atol=4)
    assert section.words.text() == overview.cutting.text and len(overview.cutting.box_layer.data) == 1
    qtbot.mouseClick(section.cut_button, Qt.MouseButton.LeftButton)
    wait(lambda: overview.document.is_open)
    assert overview.document.observations[0].shape == box.shape
    assert f"x {box.x[0]} to {box.x[1] - 1}" in "".join(overview.document.observations[0].notes)


def test_naparis_own_reader_shows_the_overview_and_the_workbench_takes_it(
    bench: Any, mosaic: Path, wait: Callable[..., None]
) -> None:
    ((pixels, options, kind),) = read(str(mosaic))
    assert kind == "image" and pixels.shape == (350, 450) and METADATA_KEY in options["metadata"]
    bench.viewer.open(mosaic, plugin="napari-deblend")
    wait(lambda: bench.cutting.overview is not None and bench.cutting.overview.is_whole)
    assert len([layer for layer in bench.viewer.layers if "overview" in layer.name]) == 1
    perform(bench, "cut_out")
    wait(lambda: bench.document.is_open)
    assert bench.document.observations[0].shape == (300, 300)


def test_a_deleted_overview_is_let_go(overview: Any, section: CuttingSection) -> None:
    overview.viewer.layers.remove(overview.cutting.picture)
    assert overview.cutting.request is None and overview.cutting.box_layer is None
    assert not section.words.isEnabled() and not section.cut_button.isEnabled()


def test_open_images_are_cut_and_undo_brings_all_back(
    opened: Any, section: CuttingSection, qtbot: Any, settle: Callable[[Any], None]
) -> None:
    """What lies outside is said; sources inside stay on their stars, and redo cuts again."""
    sentences: list[str] = []
    opened.told.connect(sentences.append)
    whole, scene = opened.document.observations, opened.document.scene
    fluxes = scene.fluxes
    qtbot.keyClicks(section.words, "10:42,14:40")
    qtbot.mouseClick(section.cut_button, Qt.MouseButton.LeftButton)
    assert "source 3 lies outside of it and comes back with Undo" in sentences[-1]
    (piece,) = opened.document.observations
    np.testing.assert_array_equal(piece.images, whole[0].images[:, 14:40, 10:42])
    places = [(s.x, s.y) for s in opened.document.scene.sources]
    np.testing.assert_allclose(places, [(s.x - 10, s.y - 14) for s in scene.sources[:2]], atol=1e-6)
    settle(opened)
    np.testing.assert_allclose(opened.document.scene.fluxes, fluxes[:2], rtol=0.1)
    assert opened.layers.layer(Role.DATA).data.shape == (3, 26, 32)
    perform(opened, "undo")
    assert opened.document.observations is whole and len(opened.document.scene) == 3
    settle(opened)
    assert opened.layers.layer(Role.DATA).data.shape == (3, 60, 66)
    perform(opened, "redo")
    assert opened.document.observations[0].shape == (26, 32)
    assert opened.markers.layer is not None and len(opened.markers.layer.data) == 2


def test_a_box_is_drawn_over_a_source_without_moving_it(
    opened: Any, hands: Any, section: CuttingSection, wait: Callable[..., None]
) -> None:
    """By keys and mouse alone: Shift-B, drag, Shift-X."""
    scene = opened.document.scene
    hands.key(Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    hands.drag((20.0, 24.0), (50.0, 45.0))
    wait(lambda: opened.cutting.box is not None)
    assert opened.document.scene is scene
    np.testing.assert_allclose((opened.cutting.box.x, opened.cutting.box.y), ((20, 50), (24, 45)), atol=1)
    hands.key(Qt.Key.Key_X, Qt.KeyboardModifier.ShiftModifier)
    assert opened.document.observations[0].shape == opened.document.observations[0].images.shape[1:]
    assert opened.document.undo_label is not None and opened.document.undo_label.startswith("Cut out x")


def test_what_cannot_be_cut_is_said(opened: Any, section: CuttingSection, qtbot: Any) -> None:
    sentences: list[str] = []
    opened.told.connect(sentences.append)
    perform(opened, "cut_out")
    assert "There is no box" in sentences[-1]
    qtbot.keyClicks(section.words, "500:600,0:20")
    assert "misses this image" in section.description.text()
    perform(opened, "cut_out")
    assert "HSC: the cut-out" in sentences[-1] and opened.document.observations[0].shape == (60, 66)
