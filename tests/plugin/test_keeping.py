"""Nothing is ever lost: sessions by keys and clicks, work that is kept by itself, and a window that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from deblend import FitSettings, Observation
from deblend.io import read_session
from napari_deblend import keeper as keeper_module
from napari_deblend.actions import perform
from napari_deblend.kept_work import MOST_KEPT, home, not_saved
from napari_deblend.workbench import Workbench

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work is kept where only this test sees it, and soon."""
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path / "kept"))
    monkeypatch.setattr(keeper_module, "DELAY", 50)
    return tmp_path


def dock(bench: Any) -> Any:
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    return widget


def places(bench: Any) -> list[tuple[float, float]]:
    return [(source.x, source.y) for source in bench.document.scene.sources]


def test_a_session_is_saved_and_opened_with_its_history(
    opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], folder: Path, monkeypatch: Any, qtbot: Any
) -> None:
    path = folder / "my work.asdf"
    asked: list[bool] = []

    def ask(*args: object) -> tuple[str, str]:
        asked.append(True)
        return str(path.with_suffix("")), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    widget = dock(opened)
    opened.settings = FitSettings(max_iterations=3)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.frame is not None and opened.frame.sentence)
    settle(opened)
    qtbot.mouseClick(widget.save_button, Qt.MouseButton.LeftButton)
    wait(path.is_file)
    wait(lambda: opened.keeper.is_saved)
    assert "Saved as" in widget.sentence.text()
    saved, fluxes, at = opened.document.scene, opened.document.scene.fluxes, places(opened)
    # the second time it is not asked where
    opened.document.move({saved.sources[0].id: (21.0, 25.0)})
    assert not opened.keeper.is_saved
    settle(opened)
    qtbot.keyClick(widget, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    wait(lambda: opened.keeper.is_saved)
    assert len(asked) == 1
    assert read_session(path).scene.sources[0].x == 21.0
    # work on something else; the session comes back whole, and its history goes on
    opened.document.delete([saved.sources[1].id])
    settle(opened)
    opened.keeper.open(path)
    wait(lambda: len(opened.document.scene) == 3)
    settle(opened)
    assert opened.keeper.is_saved
    assert places(opened)[0] == (21.0, 25.0)
    assert opened.settings == FitSettings(max_iterations=3)
    perform(opened, "undo")
    settle(opened)
    assert places(opened) == at
    np.testing.assert_allclose(opened.document.scene.fluxes, fluxes, rtol=0.1)
    # and what was left unsaved for it is offered
    assert [work.title for work in not_saved()] == ["HSC: 2 sources"]


def test_a_session_opens_as_it_was_left(
    opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], folder: Path
) -> None:
    """To the last digit of every flux: nothing is solved for anew."""
    opened.settings = FitSettings(max_iterations=2)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.frame is not None and opened.frame.sentence)
    opened.keeper.save(folder / "work.asdf")
    wait(lambda: opened.keeper.is_saved)
    scene, chi2 = opened.document.scene, opened.frame.chi2
    viewer = opened.viewer
    viewer.layers.clear()
    viewer.open(str(folder / "work.asdf"), plugin="napari-deblend")
    wait(lambda: opened.document.scene is not scene and opened.runner is not None)
    settle(opened)
    np.testing.assert_array_equal(opened.document.scene.fluxes, scene.fluxes)
    assert places(opened) == [(s.x, s.y) for s in scene.sources]
    assert opened.frame.chi2 == pytest.approx(chi2, rel=1e-5)
    assert {layer.name for layer in viewer.layers} >= {"HSC data", "HSC model", "HSC residual", "sources"}


def test_a_file_that_is_no_session_is_said_and_nothing_changes(
    opened: Any, wait: Callable[..., None], folder: Path
) -> None:
    told: list[str] = []
    opened.told.connect(told.append)
    (folder / "broken.asdf").write_bytes(b"#ASDF 1.0.0\nnapari_deblend: {}\n...\n")
    scene = opened.document.scene
    opened.load([str(folder / "broken.asdf")])
    wait(lambda: any("broken.asdf: cannot be read" in sentence for sentence in told))
    assert opened.document.scene is scene


def test_work_that_was_not_saved_is_offered_by_the_next_window(
    opened: Any,
    make_napari_viewer: Any,
    wait: Callable[..., None],
    settle: Callable[[Any], None],
    make_observation: Callable[..., Observation],
    qtbot: Any,
) -> None:
    opened.document.move({opened.document.scene.sources[2].id: (46.5, 40.5)})
    settle(opened)
    at, fluxes = places(opened), opened.document.scene.fluxes
    assert not_saved() == []
    opened.viewer.close()
    wait(lambda: id(opened.viewer) not in Workbench._open)
    (work,) = not_saved()
    assert work.title == "HSC: 3 sources" and work.when.startswith("today at ")
    bench = Workbench.of(make_napari_viewer(show=True))
    widget = dock(bench)
    wait(widget.kept_work.isVisible)
    assert "HSC: 3 sources" in widget.kept_work.sentence.text()
    qtbot.mouseClick(widget.kept_work.restore, Qt.MouseButton.LeftButton)
    wait(lambda: bench.document.is_open)
    settle(bench)
    assert not widget.kept_work.isVisible()
    assert places(bench) == at
    np.testing.assert_array_equal(bench.document.scene.fluxes, fluxes)
    perform(bench, "undo")
    settle(bench)
    assert places(bench)[2] == (47.0, 41.0)
    # it is kept in a folder of its own by now, and the former one is gone
    wait(lambda: not work.folder.exists())
    wait(lambda: len(list(home().iterdir())) == 1)
    # other images take the place of the work, which is kept
    bench.open([make_observation(name="HST")])
    assert [w.title for w in not_saved()] == ["HSC: 3 sources"]
    bench.close()


def test_work_can_be_discarded_and_an_empty_window_leaves_none(
    opened: Any, make_napari_viewer: Any, observation: Observation, wait: Callable[..., None], qtbot: Any
) -> None:
    wait(lambda: any(home().glob("*/journal-*")))
    opened.close()
    assert len(not_saved()) == 1
    bench = Workbench.of(make_napari_viewer(show=True))
    widget = dock(bench)
    qtbot.mouseClick(widget.kept_work.discard, Qt.MouseButton.LeftButton)
    assert not widget.kept_work.isVisible()
    assert not_saved() == [] and not list(home().iterdir())
    bench.open([observation])
    bench.close()
    assert not list(home().iterdir())


def test_only_the_latest_works_are_kept(opened: Any, folder: Path) -> None:
    for k in range(MOST_KEPT + 2):
        work = home() / f"{k}"
        work.mkdir(parents=True)
        (work / "about.json").write_text(f'{{"title": "{k}", "process": 1, "started": 0, "is_closed": true}}')
        os.utime(work / "about.json", (1000 + k, 1000 + k))
    assert [work.title for work in not_saved()] == [str(k) for k in range(MOST_KEPT + 1, 1, -1)]
    assert not (home() / "0").exists()


def test_a_disk_that_refuses_is_told_once(
    opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], monkeypatch: Any, folder: Path
) -> None:
    opened.keeper.begin()
    (folder / "kept").mkdir(exist_ok=True)
    told: list[str] = []
    opened.told.connect(told.append)
    monkeypatch.setattr("napari_deblend.kept_work.home", lambda: folder / "file" / "work")
    (folder / "file").write_text("")
    for k in range(3):
        opened.document.move({opened.document.scene.sources[0].id: (20.5 + k, 24.0)})
        settle(opened)
    wait(lambda: any("The work could not be kept" in sentence for sentence in told))
    assert sum("The work could not be kept" in sentence for sentence in told) == 1


CHILD = """
    import os, sys, signal
    from pathlib import Path
    import napari
    from qtpy.QtWidgets import QApplication
    from deblend import FitSettings, make_source
    from deblend.io import read_observations
    from deblend.program import compiled
    from napari_deblend.actions import perform
    from napari_deblend.runner import Phase
    from napari_deblend.workbench import Workbench

    compiled.OPTIONS["xla_backend_optimization_level"] = "0"

    def fit_until(is_reached):
        # the fit comes to rest within a second, and begins again
        while not (bench.phase is Phase.RUNNING and is_reached()):
            QApplication.processEvents()
            if bench.runner is not None and not bench.runner.is_running:
                perform(bench, "fit_or_pause")

    bench = Workbench.of(napari.Viewer(show=True))
    bench.open(read_observations([sys.argv[1]]))
    for x, y in ((22.0, 30.0), (35.5, 28.0)):
        bench.document.add(make_source("gaussian", x, y, n_channels=len(bench.document.scene.channels)))
    bench.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    fit_until(lambda: bench.frame is not None and bench.frame.curve)
    kept = bench.keeper._kept
    fit_until(lambda: bench.keeper._kept != kept)
    print(*(s.id for s in bench.document.scene.sources), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process as POSIX does")
def test_a_window_that_is_killed_in_the_middle_of_a_fit_loses_nothing(
    bench: Any, sample_folder: Path, wait: Callable[..., None], settle: Callable[[Any], None], qtbot: Any
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(sample_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    widget = dock(bench)
    assert "2 sources" in widget.kept_work.sentence.text()
    qtbot.mouseClick(widget.kept_work.restore, Qt.MouseButton.LeftButton)
    wait(lambda: bench.document.is_open)
    settle(bench)
    assert [source.id for source in bench.document.scene.sources] == done.stdout.split()[-2:]
    assert bench.document.undo_label == "Fit"
    assert bench.document.scene.is_solved


def test_sources_are_written_as_regions_and_come_back_as_one_step(
    opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], folder: Path, monkeypatch: Any, qtbot: Any
) -> None:
    widget = dock(opened)
    path = folder / "sources"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    perform(opened, "export_regions")
    wait(lambda: "are regions in" in widget.sentence.text())
    assert path.with_suffix(".reg").is_file()
    at = places(opened)
    opened.document.delete([source.id for source in opened.document.scene.sources])
    settle(opened)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path.with_suffix(".reg")), ""))
    qtbot.keyClick(widget, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    wait(lambda: len(opened.document.scene) == 3)
    settle(opened)
    # a source starts where the light is, near the place that is given
    np.testing.assert_allclose(places(opened), at, atol=0.3)
    assert opened.document.undo_label == "Add 3 sources from sources.reg"
    perform(opened, "undo")
    assert not opened.document.scene.sources
    # nothing to write is a sentence
    perform(opened, "export_regions")
    assert "There is nothing to write yet" in widget.sentence.text()


def test_writing_is_told_stopped_and_leaves_a_fit_that_runs_alone(
    opened: Any, wait: Callable[..., None], folder: Path
) -> None:
    told: list[str] = []
    opened.told.connect(told.append)
    from napari_deblend.exporting import write_catalog
    from napari_deblend.runner import Phase

    write_catalog(opened, folder / "catalog.vot")
    perform(opened, "cancel_fit")
    wait(lambda: not opened.exporting.is_busy)
    assert told[-1].startswith("Stopped") and not (folder / "catalog.vot").exists()
    opened.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    perform(opened, "fit_or_pause")
    wait(lambda: opened.phase is Phase.RUNNING and len(opened.frame.curve) > 2)
    chi2 = opened.frame.chi2
    write_catalog(opened, folder / "catalog.parquet")
    wait(lambda: not opened.exporting.is_busy)
    assert (folder / "catalog.parquet").is_file() and any("Error bars: " in sentence for sentence in told)
    count = len(opened.frame.curve)
    # on a busy machine it has come to rest by itself meanwhile
    wait(lambda: len(opened.frame.curve) > count + 2 or opened.phase is Phase.IDLE)
    assert opened.phase is Phase.RUNNING or opened.frame.is_success
    assert opened.frame.chi2 == pytest.approx(chi2, rel=0.01)
    perform(opened, "cancel_fit")
    wait(lambda: opened.phase is Phase.IDLE)


AS_COMPILED = """
import runpy, sys
from deblend.program import compiled
# tests compile with less care than users do, which rounds differently
compiled.OPTIONS["xla_backend_optimization_level"] = "0"
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_a_script_of_the_session_does_the_same_work_again(
    opened: Any, wait: Callable[..., None], settle: Callable[[Any], None], folder: Path
) -> None:
    """With an edit in the middle of a fit, another fit of one source, and an edit between; to 1e-6."""
    from astropy.table import Table

    from deblend import make_source, measure
    from deblend.cli import main
    from napari_deblend.exporting import write_session_script
    from napari_deblend.participation import Participation
    from napari_deblend.runner import Phase

    opened.document.retype([opened.document.scene.sources[2].id], "galaxy")
    settle(opened)
    opened.settings = FitSettings(max_iterations=6, tolerance=1e-12)
    perform(opened, "step_fit")
    wait(lambda: opened.phase is Phase.PAUSED and opened.frame.iteration == 1)
    opened.document.move({opened.document.scene.sources[0].id: (20.6, 24.4)})
    settle(opened)
    opened.document.add(make_source("gaussian", 40.0, 20.0, n_channels=3))
    settle(opened)
    perform(opened, "fit_or_pause")
    wait(lambda: len(opened.history.runs) == 1 and opened.phase is Phase.IDLE)
    opened.document.delete([opened.document.scene.sources[3].id])
    settle(opened)
    opened.document.select([opened.document.scene.sources[2].id])
    opened.participation = Participation.SELECTED
    perform(opened, "fit_or_pause")
    wait(lambda: len(opened.history.runs) == 2 and opened.phase is Phase.IDLE)
    first = opened.history.runs[0].run
    assert [edit.after for edit in first.edits] == [2, 2] and len(first.curve) > 4
    path = folder / "again" / "work.py"
    write_session_script(opened, path)
    wait(lambda: not opened.exporting.is_busy)
    done = subprocess.run([sys.executable, "-c", AS_COMPILED, str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = Table.read(path.with_name("work_catalog.ecsv"), format="ascii.ecsv")
    scene = opened.document.scene
    wanted = measure(scene, opened.document.observations, errors=False).table
    for name in ("x", "y", "flux_HSC_g", "flux_HSC_r", "flux_HSC_i", "half_light_radius"):
        np.testing.assert_allclose(np.asarray(found[name]), wanted[name].value, rtol=1e-6, err_msg=name)
    # it reads as what was done
    text = path.read_text()
    assert "# run 2, of" in text and "label" not in text and "Galaxy(" in text and "Edit(2, run_1_edit_1)" in text
    # and so does the command line
    opened.keeper.save(folder / "work.asdf")
    wait(lambda: opened.keeper.is_saved)
    assert main(["run", str(folder / "work.asdf"), "--out", str(folder / "out"), "--no-errors", "-q"]) == 0
    again = read_session(folder / "out" / "session.asdf").scene
    np.testing.assert_allclose(again.fluxes, scene.fluxes, rtol=1e-6)


def test_a_file_that_has_changed_since_is_said_when_a_session_is_opened(
    bench: Any, sample_folder: Path, wait: Callable[..., None], settle: Callable[[Any], None], folder: Path
) -> None:
    import shutil

    there = folder / "images"
    shutil.copytree(sample_folder, there)
    bench.load([str(path) for path in sorted(there.glob("calexp-*.fits"))])
    wait(lambda: bench.document.is_open)
    bench.add_at(40.0, 40.0)
    settle(bench)
    bench.keeper.save(folder / "work.asdf")
    wait(lambda: bench.keeper.is_saved)
    files = read_session(folder / "work.asdf").files
    assert len(files) == len(list(there.glob("calexp-*.fits")))
    first = Path(files[0].path)
    first.write_bytes(first.read_bytes()[:-1] + b"!")
    told: list[str] = []
    bench.told.connect(told.append)
    scene = bench.document.scene
    bench.keeper.open(folder / "work.asdf")
    wait(lambda: bench.document.scene is not scene)
    settle(bench)
    assert any(sentence.startswith("Opened work.asdf") and f"{first.name} has changed" in sentence for sentence in told)
    # who saves again still knows where the images came from
    assert bench.keeper.session().files == files
