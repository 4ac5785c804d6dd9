"""The way in: the dock is there before its code is, and becomes the widget by itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from napari_deblend import door
from napari_deblend.widgets import DeblendWidget

pytestmark = pytest.mark.gui

FRESH = """
    import os, sys, traceback
    import napari
    from qtpy.QtTest import QTest

    def until(is_so):
        while not is_so():
            QTest.qWait(20)

    def tried():
        before = set(sys.modules)
        _, dock = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        assert not loaded & {"jax", "deblend", "astropy"}, loaded
        until(dock.isVisible)
        assert dock.label.text() == "Getting ready…" and dock.widget is None
        # a person need not wait for it
        viewer.open_sample("napari-deblend", "blend")
        until(lambda: dock.widget is not None)
        assert dock.widget.bench.document.is_open
        until(lambda: dock.widget.isVisible() and dock.widget.size() == dock.size())
        assert dock.width() >= dock.widget.minimumWidth()

    viewer = napari.Viewer(show=True)
    try:
        tried()
        viewer.close()
        print("opened")
    except Exception:
        traceback.print_exc()
        # a viewer that is not closed keeps its process
        sys.stderr.flush()
        os._exit(1)
"""


def test_the_dock_is_there_before_its_code(bench: Any) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FRESH)], capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("opened\n"), done.stderr


def test_where_the_code_is_loaded_it_is_the_widget(bench: Any) -> None:
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    assert isinstance(widget, DeblendWidget)


def test_what_cannot_be_loaded_is_said(
    bench: Any, wait: Callable[..., None], monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    monkeypatch.setattr(door, "BEHIND", "napari_deblend.nowhere")
    widget = door.Door(bench.viewer)
    qtbot.addWidget(widget)
    widget.show()
    wait(lambda: "nowhere" in widget.label.text())
    assert "Install it anew" in widget.label.text() and widget.widget is None
