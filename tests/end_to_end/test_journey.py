"""The whole path in a real window: open the sample, detect, drag a source, fit, write the catalog."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_deblend.compat import canvas_of
from napari_deblend.runner import Phase
from napari_deblend.views import Role

pytestmark = [pytest.mark.gui, pytest.mark.gl, pytest.mark.slow, pytest.mark.usefixtures("as_shipped")]

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def test_from_the_sample_to_the_catalog(make_napari_viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    def wait(condition: Callable[[], object], timeout: int = 180) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=1000 * timeout)

    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 900)

    # open the sample, and the widget beside it
    viewer.open_sample("napari-deblend", "blend")
    _, widget = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench = widget.bench
    wait(lambda: bench.document.is_open)
    assert "arcsec" in str(viewer.layers.units[-1])

    # the threshold acts live, and a button makes sources of what it finds
    widget.detection.number.setValue(7.0)
    wait(lambda: widget.detection.found.text().endswith("found"))
    widget.findChild(QPushButton, "find_sources").click()
    wait(lambda: bench.document.is_open and len(bench.document.scene))
    wait(lambda: bench.frame is not None and bench.frame.revision == bench.document.revision)
    n_sources = len(bench.document.scene)
    assert 8 <= n_sources <= 20
    assert widget.sources.model.rowCount() == n_sources
    chi2_detected = bench.frame.chi2

    # drag a source away: the model follows, and is worse
    source = bench.document.scene.sources[0]
    drag(bench, qtbot, (source.x, source.y), (source.x + 5.0, source.y + 4.0))
    wait(lambda: bench.frame.revision == bench.document.revision)
    moved = bench.document.scene[source.id]
    np.testing.assert_allclose((moved.x - source.x, moved.y - source.y), (5.0, 4.0), atol=0.3)
    assert bench.frame.chi2 > chi2_detected

    # take it back by key, then drag a little, which the fit has to mend
    qtbot.keyClick(canvas_of(viewer).native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: bench.frame.revision == bench.document.revision)
    assert bench.frame.chi2 == pytest.approx(chi2_detected, rel=1e-3)
    drag(bench, qtbot, (source.x, source.y), (source.x + 1.2, source.y - 0.8))
    wait(lambda: bench.frame.revision == bench.document.revision)
    chi2_dragged = bench.frame.chi2

    # fit, and watch
    widget.looking.buttons[next(v for v in widget.looking.buttons if v.value == "Residual")].click()
    pictures: list[int] = []
    bench.framed.connect(lambda frame: pictures.append(frame.iteration))
    widget.fitting.go.click()
    wait(lambda: bench.frame.sentence and bench.phase is Phase.IDLE)
    assert len(set(pictures)) >= 3, "the fit was not watched"
    assert bench.frame.chi2 < min(chi2_dragged, 3.0)
    assert bench.document.scene.is_solved and len(bench.document.scene) == n_sources
    assert bench.document.undo_label == "Fit"
    assert np.abs(bench.layers.layer(Role.RESIDUAL).data).max() > 0

    # write the catalog
    widget.exporting.write_catalog(tmp_path / "catalog.ecsv")
    wait(lambda: (tmp_path / "catalog.ecsv").is_file())
    catalog = Table.read(tmp_path / "catalog.ecsv")
    assert len(catalog) == n_sources
    flux = next(name for name in catalog.colnames if name.startswith("flux_") and "err" not in name)
    assert str(catalog[flux].unit) == "nJy"

    viewer.close()
    wait(lambda: not [t for t in threading.enumerate() if t.name.startswith("deblend")])


def drag(bench: Any, qtbot: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag with the left button from one pixel of the scene to another."""
    canvas = canvas_of(bench.viewer)

    def place(x: float, y: float) -> QPoint:
        north, east = bench.markers.layer.data_to_world((y, x))
        column, row = (canvas.view.transform * canvas.view.scene.transform).map([east, north])[:2]
        return QPoint(round(float(column)), round(float(row)))

    qtbot.mousePress(canvas.native, LEFT, NONE, place(*start))
    for part in np.linspace(0.0, 1.0, 8)[1:]:
        point = QPointF(place(*(np.array(start) + part * (np.array(end) - np.array(start)))))
        event = QMouseEvent(QEvent.Type.MouseMove, point, point, Qt.MouseButton.NoButton, LEFT, NONE)
        QApplication.sendEvent(canvas.native, event)
        qtbot.wait(10)
    qtbot.mouseRelease(canvas.native, LEFT, NONE, place(*end))
