"""Ends: whatever a person closes, opens or deletes during a run, the thread ends and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from deblend import FitSettings, Observation
from napari_deblend.actions import perform
from napari_deblend.runner import Phase
from napari_deblend.workbench import Workbench

pytestmark = pytest.mark.gui


@pytest.fixture
def running(opened: Any, wait: Callable[..., None]) -> Any:
    opened.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.phase is Phase.RUNNING)
    return opened


def machines() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("deblend")]


def test_closing_the_viewer_ends_the_thread(running: Any, wait: Callable[..., None]) -> None:
    runner = running.runner
    running.viewer.close()
    wait(lambda: not runner.is_alive and not machines())


def test_closing_the_window_joins_the_thread(running: Any, wait: Callable[..., None], qtbot: Any) -> None:
    from napari_deblend.compat import main_window

    _, _widget = running.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    window, viewer = main_window(running.viewer), running.viewer
    with qtbot.waitSignal(window.destroyed, timeout=60_000):
        viewer.close()
    assert not machines()
    assert id(viewer) not in Workbench._open


def test_deleting_all_layers_ends_the_thread_and_keeps_the_work(
    running: Any, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    runner = running.runner
    told: list[str] = []
    running.told.connect(told.append)
    running.viewer.layers.clear()
    wait(lambda: not runner.is_alive)
    assert running.phase is Phase.CLOSED
    assert any("Show layers" in sentence for sentence in told)
    assert len(running.document.scene) == 3
    running.document.undo()
    perform(running, "show_layers")
    settle(running)
    assert running.frame.scene.is_solved
    assert len(running.markers.layer.data) == 3


def test_opening_other_data_ends_the_old_thread_and_shows_the_new(
    running: Any, wait: Callable[..., None], make_observation: Callable[..., Observation], settle: Callable[[Any], None]
) -> None:
    old, layers = running.runner, list(running.layers)
    other = make_observation(size=(50, 50), bands="gr", name="LSST")
    running.open([other])
    assert running.runner is not old
    assert len(running.document.scene) == 0
    assert not any(layer in running.viewer.layers for layer in layers)
    wait(lambda: not old.is_alive)
    settle(running)
    assert running.frame.scene.channels == other.channels
    assert {layer.name for layer in running.layers} >= {"LSST data", "LSST model"}


def test_opening_again_and_again_leaves_one_thread(
    bench: Any, wait: Callable[..., None], make_observation: Callable[..., Observation]
) -> None:
    for seed in range(4):
        bench.open([make_observation(seed=seed)])
    wait(lambda: machines() == ["deblend machine"])


def test_the_runner_is_not_a_daemon(opened: Any) -> None:
    threads = [thread for thread in threading.enumerate() if thread.name == "deblend machine"]
    assert threads and not any(thread.daemon for thread in threads)
