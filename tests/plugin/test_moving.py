"""Something that moves: placed with one click at one epoch, found, fitted, dragged, and taken back as one thing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import Channel, Observation, Status, make_source, moving_sources
from deblend.observe import gaussian_psf
from deblend.sky import TangentWcs
from napari_deblend.actions import perform
from napari_deblend.document import Document
from napari_deblend.runner import Phase

pytestmark = pytest.mark.gui

SHAPE = (60, 66)
NIGHTS = 61000.0 + np.array([0.0, 1.0, 2.5, 4.0])
FIRST, VELOCITY = (12.0, 14.0), (9.0, 6.5)
"""[pix], [pix/day]"""
SCALE = 0.2
"""[arcsec/pix]"""
STAR = (45.0, 20.0)


def place(time: float) -> tuple[float, float]:
    x, y = np.add(FIRST, np.multiply(VELOCITY, time - NIGHTS[0]))
    return float(x), float(y)


@pytest.fixture
def nights() -> Observation:
    """Four nights of a star, and of an asteroid of S/N 40 that crosses the field."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    sigma = 3.5 / 2.3548

    def star(x0: float, y0: float, flux: float) -> np.ndarray:
        return flux / (2 * np.pi * sigma**2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / sigma**2)

    rng = np.random.default_rng(7)
    images = np.stack([star(*STAR, 900.0) + star(*place(t), 250.0) + rng.normal(size=SHAPE) for t in NIGHTS])
    channels = [Channel("LSST", "r", f"{t:.1f}") for t in NIGHTS]
    wcs = TangentWcs((150.1, 2.2), (30.0, 28.0), ((-SCALE, 0.0), (0.0, SCALE)))
    psf = [gaussian_psf(3.5)] * len(NIGHTS)
    return Observation.from_arrays(images, psf, np.ones_like(images), channels=channels, name="LSST", wcs=wcs)


@pytest.fixture
def document(nights: Observation) -> Document:
    """The nights with a moving source that was clicked in the first of them."""
    document = Document()
    document.open([nights])
    document.add(make_source("point", *STAR, n_channels=4, flux=np.ones(4)))
    document.add(*moving_sources(document.scene.channels, *FIRST, time=NIGHTS[0]), label="Add a moving source")
    return document


def places(document: Document) -> np.ndarray:
    return np.array([(s.x, s.y) for s in document.scene.sources if s.track])


def test_a_click_places_it_and_the_fit_finds_its_motion(
    bench: Any, nights: Observation, settle: Any, wait: Callable[..., None], make_hands: Any
) -> None:
    bench.open([nights])
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    # a detection in the mean of all nights takes the asteroid for as many faint stars
    ghost = make_source("point", *place(NIGHTS[1]), n_channels=4)
    bench.document.add(make_source("point", *STAR, n_channels=4), ghost)
    settle(bench)
    button = widget.sources.moving
    assert button.isVisibleTo(widget.sources) and not widget.sources.motions.isVisibleTo(widget.sources)
    hands = make_hands(bench)
    hands.key(Qt.Key.Key_J)
    assert button.isChecked() and not bench.layers.color
    assert "where it is at LSST r 61001.0" in widget.sentence.text()
    bench.viewer.dims.set_current_step(bench.viewer.dims.ndim - 3, 2)
    assert bench.layers.channel.time == NIGHTS[2]
    hands.click(*np.add(place(NIGHTS[2]), (0.7, -0.5)))
    wait(lambda: bench.document.undo_label == "Add a moving source")
    assert not button.isChecked() and "stands out along its path" in widget.sentence.text()
    members = [s for s in bench.document.scene.sources if s.track]
    assert "takes the place of 1" in widget.sentence.text()
    assert [s.name for s in bench.document.scene.sources if s.track is None] == ["1"]
    assert [s.name for s in members] == [f"m1 #{k}" for k in (1, 2, 3, 4)]
    assert len(members) == 4 and len(bench.document.selection) == 4
    assert [s.track.is_placed for s in members] == [False, False, True, False]
    start, along = bench.paths.layer.data[0]
    np.testing.assert_allclose(start[::-1], place(NIGHTS[0]), atol=4)
    settle(bench)
    perform(bench, "fit_or_pause")
    wait(lambda: bench.frame is not None and bench.frame.sentence and bench.phase is Phase.IDLE, timeout=300)
    (motion,) = bench.document.scene.motions.values()
    # S/N 40 and a registration of 0.1 px at each of four nights know it to 0.04 px/day
    np.testing.assert_allclose(motion.velocity, VELOCITY, atol=0.15)
    wait(lambda: "±" in widget.sources.motions.text(), timeout=300)
    said = widget.sources.motions.text()
    assert said.startswith("m1 moves by (-1") and "mas/day (east, north), seen at 4 epochs" in said
    east, east_error, north, north_error = map(float, re.findall(r"-?[0-9]+[.][0-9]+", said))
    assert abs(east + 1000 * SCALE * VELOCITY[0]) < 4 * east_error < 100
    assert abs(north - 1000 * SCALE * VELOCITY[1]) < 4 * north_error < 100
    start, along = bench.paths.layer.data[0]
    np.testing.assert_allclose(along[::-1], np.multiply(VELOCITY, 4.0), atol=0.6)
    bench.document.undo()
    bench.document.undo()
    assert [s.track for s in bench.document.scene.sources] == [None, None] and bench.paths.layer is None
    wait(lambda: not widget.sources.motions.isVisibleTo(widget.sources))
    bench.document.redo()
    assert bench.paths.layer is not None


def test_where_nothing_can_move_it_is_said(opened: Any) -> None:
    said: list[str] = []
    opened.told.connect(said.append)
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    assert not widget.sources.moving.isVisibleTo(widget.sources)
    perform(opened, "toggle_moving")
    assert "has no epoch; what moves needs to know when each image was taken" in said[-1]
    assert not opened.gestures.is_placing


def test_a_second_press_lets_it_be(bench: Any, nights: Observation) -> None:
    bench.open([nights])
    perform(bench, "toggle_moving")
    assert bench.gestures.is_placing
    perform(bench, "toggle_moving")
    assert not bench.gestures.is_placing and not bench.document.scene.sources


def test_a_marker_that_is_dragged_turns_the_path(document: Document) -> None:
    """About the epoch that was clicked; then about the one furthest away of those that were placed."""
    before = document.scene
    members = [s for s in before.sources if s.track]
    with document.gesture("Move"):
        for x, y in ((20.0, 20.0), place(NIGHTS[3])):
            document.move({members[3].id: (x, y)})
    np.testing.assert_allclose(places(document), [place(t) for t in NIGHTS], atol=1e-9)
    document.move({members[1].id: (30.0, 31.0)})
    line = places(document)
    np.testing.assert_allclose(line[3], place(NIGHTS[3]), atol=1e-9)
    np.testing.assert_allclose(line[1], (30.0, 31.0))
    (motion,) = document.scene.motions.values()
    np.testing.assert_allclose(line, [motion.at(t) for t in NIGHTS], atol=1e-9)
    # all epochs together are moved as they are
    document.move({s.id: (s.x + 1, s.y - 2) for s in document.scene.sources if s.track})
    np.testing.assert_allclose(places(document), np.add(line, (1, -2)))
    for _ in range(3):
        document.undo()
    assert document.scene is before


def test_it_is_one_thing_however_many_epochs_it_has(document: Document) -> None:
    (star, first, *_) = document.scene.sources
    document.set_status([first.id], Status.LOCKED)
    assert [s.is_locked for s in document.scene.sources] == [False, True, True, True, True]
    with pytest.raises(ValueError, match="locked"):
        document.delete([first.id])
    document.undo()
    document.delete([first.id])
    assert [s.id for s in document.scene.sources] == [star.id]
    document.undo()
    assert len(document.scene.motions) == 1
