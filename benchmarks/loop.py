#!/usr/bin/env python3
"""The waits of a person at the window, each next to its goal: open, look, detect, edit, fit, inspect, add, export.

The real window is driven with real mouse and key events, on its own display where there is none, through the loop of
the work on the HSC scene and on the sample of two telescopes. A wait ends when the canvas has drawn the answer. The
numbers are of this machine at this moment: with other work beside it they say little.

    python benchmarks/loop.py [--data FOLDER] [--scene hsc_cosmos_35|two_telescopes …] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "docs")]
SAMPLE = PROJECT / "sample_data" / "two_telescopes"
SCENES = ("hsc_cosmos_35", "two_telescopes")
CONVERGED = 1.01
"""How near the last chi² a fit counts as done, as a factor."""
DRAGS, EDITS = 40, 12
"""How many moves of a drag, and edits of each other kind, are timed."""
KEY_NAMES = {".": "Period", ",": "Comma", "[": "BracketLeft", "]": "BracketRight"}
PATIENCE = 180.0
"""After which a wait is given up [s]."""


@dataclass(frozen=True)
class Wait:
    """What was waited for in one step of the loop."""

    scene: str
    step: str
    what: str
    goal: float
    """Longest wait that is good [s]; for a rate the least that is good [1/s]."""
    seconds: list[float] = field(default_factory=list)
    unit: str = "s"
    quantile: float = 0.5

    @property
    def value(self) -> float:
        return float(np.quantile(self.seconds, self.quantile))

    @property
    def is_met(self) -> bool:
        return self.value >= self.goal if self.unit == "1/s" else self.value <= self.goal

    @property
    def line(self) -> str:
        scale, unit = (1000.0, "ms") if self.unit == "s" and self.goal < 1.0 else (1.0, self.unit)
        goal = f"{'≥' if self.unit == '1/s' else '≤'} {scale * self.goal:.3g} {unit}"
        met = "met" if self.is_met else "MISSED"
        return f"{self.scene:15} {self.step:10} {self.what:44} {scale * self.value:9.4g} {unit:4} {goal:11} {met}"


class Loop:
    """One person, one scene, one window."""

    def __init__(self, scene: str) -> None:
        import napari
        from qtpy.QtTest import QTest

        from napari_deblend.compat import canvas_of
        from napari_deblend.workbench import Workbench
        from tests.plugin.conftest import Hands

        class Bot:
            """What `Hands` needs of pytest-qt, from Qt itself."""

            mousePress, mouseRelease = QTest.mousePress, QTest.mouseRelease
            keyClick, wait = QTest.keyClick, QTest.qWait

        self.scene, self.waits = scene, list[Wait]()
        self.viewer = napari.Viewer(title="Deblend", show=True)
        self.viewer.window.resize(1500, 960)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
        self.bench = Workbench.of(self.viewer)
        self.hands = Hands(self.bench, Bot)
        self.failures: list[str] = []
        self.bench.failed.connect(lambda _, sentence: self.failures.append(sentence))
        self._draws, self._drawn_revision = 0, -1
        canvas_of(self.viewer).events.draw.connect(self._on_draw)

    def _on_draw(self, event: Any) -> None:
        self._draws += 1
        frame = self.bench.frame
        self._drawn_revision = -1 if frame is None else frame.revision

    # waiting -----------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], object], what: str) -> float:
        """Let the window live until a condition holds; return how long that took [s]."""
        from qtpy.QtWidgets import QApplication

        begin = time.perf_counter()
        while not condition():
            QApplication.processEvents()
            # Qt's own loop sleeps too: without it this one would keep the interpreter from the other threads
            time.sleep(0.0005)
            if self.failures:
                raise SystemExit(f"{self.scene}: {what}: {self.failures[0]}")
            if time.perf_counter() - begin > PATIENCE:
                raise SystemExit(f"{self.scene}: {what} did not happen within {PATIENCE:g} s.")
        return time.perf_counter() - begin

    def drawn_after(self, gesture: Callable[[], None], condition: Callable[[], object], what: str) -> float:
        """Return the time from a gesture until a condition holds and the canvas was drawn after that [s]."""
        begin = time.perf_counter()
        gesture()
        self.until(condition, what)
        draws = self._draws
        self.hands.native.update()
        self.until(lambda: self._draws > draws, what)
        return time.perf_counter() - begin

    def repainted_after(self, edit: Callable[[], None], what: str) -> float:
        """Return the time from an edit until the canvas has drawn the model that answers it [s]."""
        begin, revision = time.perf_counter(), self.bench.document.revision
        edit()
        self.until(lambda: self.bench.document.revision > revision, what)
        self.until(lambda: self._drawn_revision >= self.bench.document.revision, what)
        return time.perf_counter() - begin

    def settle(self) -> None:
        """Wait until nothing changes any more."""
        settled: list[bool] = []
        self.bench.settled.connect(note := lambda: settled.append(True))
        self.bench.pulse.settle_later()
        self.until(lambda: settled and self.is_answered, "A quiet window")
        self.bench.settled.disconnect(note)

    @property
    def is_answered(self) -> bool:
        frame = self.bench.frame
        return frame is not None and frame.revision == self.bench.document.revision

    def note(self, step: str, what: str, goal: float, *seconds: float, **options: Any) -> None:
        wait = Wait(self.scene, step, what, goal, list(seconds), **options)
        self.waits.append(wait)
        print(wait.line, flush=True)

    def press(self, name: str) -> None:
        """Press the key of an action, with the canvas in focus."""
        from qtpy.QtCore import Qt

        from napari_deblend.actions import ACTIONS

        *modifiers, letter = ACTIONS[name].key.split("-")
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
        self.hands.key(getattr(Qt.Key, f"Key_{KEY_NAMES.get(letter, letter)}"), held)

    # the loop ----------------------------------------------------------------------------------------------------

    def run(self, images: list[str], psf: list[str], scratch: Path) -> None:
        """Go through every row of the table."""
        self._open(images, psf)
        self._look()
        self._detect()
        self._fit()
        self._inspect()
        self._edit()
        self._add_missed()
        self._register()
        self._isolate()
        self._export(scratch)

    def _open(self, images: list[str], psf: list[str]) -> None:
        wait = self.drawn_after(
            lambda: self.bench.load(images, psf=psf), lambda: self.bench.document.is_open, "Opening"
        )
        self.note("open", "files to their first picture", 2.0, wait)
        self.settle()

    def _look(self) -> None:
        keys = ("look_at_model", "look_at_residual", "look_at_component", "look_at_data", "toggle_color", "blink")
        both = [self.drawn_after(lambda name=name: self.press(name), lambda: True, name) for name in keys]  # type: ignore[misc]
        self.press("look_at_data")
        self.press("toggle_color")
        self.note("look", "key to another view", 0.1, *both)
        sides = [
            self.drawn_after(lambda: self.press("toggle_panels"), lambda on=on: self.bench.panels.is_on is on, "Panels")  # type: ignore[misc]
            for on in (True, False)
        ]
        self.note("look", "key to all side by side, and back", 0.3, *sides)

    def _detect(self) -> None:
        from napari_deblend.jobs import PEAKS

        found: list[object] = []
        self.bench.result.connect(note := lambda name, _: found.append(name) if name == PEAKS else None)
        waits = []
        for threshold in (6.0, 5.5, 5.0):
            found.clear()
            waits.append(
                self.drawn_after(lambda t=threshold: self.bench.preview_peaks(t), lambda: found, "A preview")  # type: ignore[misc]
            )
        self.bench.result.disconnect(note)
        self.note("detect", "threshold to rings", 0.4, *waits)
        document = self.bench.document
        wait = self.drawn_after(lambda: self.press("find_sources"), lambda: document.scene.sources, "Detection")
        self.note("detect", f"key to the markers of {len(document.scene.sources)} sources", 0.4, wait)
        self.until(lambda: self.is_answered, "The first model")
        self.settle()

    def _fit(self) -> None:
        """Fit twice: the first run has to compile, which the goal of the first picture leaves out."""
        from napari_deblend.runner import Phase

        bench = self.bench
        self.press("look_at_model")
        self.settle()
        for is_warm in (False, True):
            frames: list[tuple[float, float]] = []
            number = bench.frame.fit_number

            def on_frame(frame: Any, frames: list[tuple[float, float]] = frames, number: int = number) -> None:
                if frame.fit_number > number and frame.iteration >= 1:
                    frames.append((time.perf_counter(), frame.chi2))

            bench.framed.connect(on_frame)
            begin = time.perf_counter()
            first = self.drawn_after(
                lambda: self.press("fit_or_pause"), partial(self._is_fitted_since, number), "A picture"
            )
            self.until(lambda: bench.phase is Phase.IDLE, "The end of the fit")
            bench.framed.disconnect(on_frame)
            near = next(moment for moment, chi2 in frames if chi2 <= CONVERGED * frames[-1][1]) - begin
            case = "warm" if is_warm else "cold"
            self.note("fit", f"key to the first changed picture, {case}", 0.5 if is_warm else 5.0, first)
            self.note("fit", f"to within 1 % of the last χ² {frames[-1][1]:.3f}, {case}", 5.0, near)
            if len(frames) > 2:
                rate = (len(frames) - 1) / (frames[-1][0] - frames[0][0])
                self.note("fit", f"pictures a second, {case}", 5.0, rate, unit="1/s")
            if not is_warm:
                # away from the minimum again, so that there is something to fit
                source = bench.document.scene.sources[0]
                aside = {source.id: (source.x + 1.0, source.y)}
                self.repainted_after(partial(bench.document.move, aside), "A move")
        self.settle()

    def _is_fitted_since(self, number: int) -> bool:
        """Tell whether the frame that is shown is of a later fit than that of a number."""
        frame = self.bench.frame
        return frame is not None and frame.fit_number > number and frame.iteration >= 1

    def _inspect(self) -> None:
        readings: list[Any] = []
        self.bench.hover.read.connect(readings.append)
        waits = []
        for source in self.bench.document.scene.sources[:EDITS]:
            readings.clear()
            begin = time.perf_counter()
            self.hands.hover(source.x, source.y)
            self.until(lambda: any(reading.place for reading in readings), "A reading")
            waits.append(time.perf_counter() - begin)
        self.bench.hover.read.disconnect(readings.append)
        self.note("inspect", "pointer to flux and owner", 0.1, *waits)
        self.until(lambda: self.bench.leftovers.blobs is not None, "The list of what is left over")
        if self.bench.leftovers.blobs:
            wait = self.drawn_after(
                lambda: self.press("next_residual"), lambda: self.bench.leftovers.chosen is not None, "A residual"
            )
            self.note("inspect", "key to the worst residual", 0.1, wait)
        self.viewer.fit_to_view()

    def _edit(self) -> None:
        """Every edit is timed until the model with fluxes solved again is on the canvas."""
        from qtpy.QtCore import Qt

        document, hands = self.bench.document, self.hands
        self.press("look_at_model")
        self.settle()
        height, width = document.scene.grid.shape
        source = document.scene.sources[len(document.scene.sources) // 2]
        hands.press(source.x, source.y)
        hands.move(source.x + 3.0, source.y)
        steps = np.linspace(0.0, 2.0 * np.pi, DRAGS + 1)[1:]
        places = [(source.x + 3.0 * np.cos(t), source.y + 3.0 * np.sin(t)) for t in steps]
        waits = [self.repainted_after(lambda p=place: hands.move(*p, pause=0), "A drag") for place in places]  # type: ignore[misc]
        hands.release(*places[-1])
        self._note_edits("a drag", waits)
        rng = np.random.default_rng(5)
        shift = Qt.KeyboardModifier.ShiftModifier

        def add() -> None:
            hands.click(*(rng.uniform(0.15, 0.85, 2) * (width, height)), shift)

        added = len(document.scene.sources)
        waits = [self.repainted_after(add, "Adding") for _ in range(EDITS)]
        self._note_edits("Shift and a click", waits)
        count = len(document.scene.sources) - added
        # the marker that was added last is selected, and goes; then the one before it
        waits = []
        for _ in range(count):
            document.select([document.scene.sources[-1].id])
            waits.append(self.repainted_after(lambda: self.press("delete_selected"), "Deleting"))
        self._note_edits("delete", waits)
        waits = [self.repainted_after(lambda: self.press("undo"), "Undo") for _ in range(EDITS)]
        self._note_edits("undo", waits)
        first = document.scene.sources[0]
        second = min(document.scene.sources[1:], key=lambda s: np.hypot(s.x - first.x, s.y - first.y))
        document.select([first.id, second.id])
        merged = self.repainted_after(lambda: self.press("merge_sources"), "Merging")
        self.note("edit", "merge to its picture", 0.15, merged)
        self.press("undo")
        self.settle()

    def _note_edits(self, what: str, waits: list[float]) -> None:
        self.note("edit", f"{what} to its picture: median", 0.1, *waits)
        self.note("edit", f"{what} to its picture: 95 %", 0.15, *waits, quantile=0.95)

    def _add_missed(self) -> None:
        """Take the faintest source away, and click on what it leaves in the residual."""
        from qtpy.QtCore import Qt

        from napari_deblend.runner import Phase

        document = self.bench.document
        missed = min(document.scene.sources, key=lambda source: float(np.sum(source.flux)))
        document.select([missed.id])
        self.repainted_after(lambda: self.press("delete_selected"), "Deleting")
        self.press("look_at_residual")
        self.settle()
        count = len(document.scene.sources)
        begin = time.perf_counter()
        self.hands.click(missed.x, missed.y, Qt.KeyboardModifier.ShiftModifier)
        self.until(lambda: len(document.scene.sources) > count, "A source from the residual")
        self.until(lambda: self._drawn_revision >= document.revision, "Its picture")
        self.note("add missed", "click on the residual to the new model", 1.5, time.perf_counter() - begin)
        begin = time.perf_counter()
        self.press("fit_or_pause")
        self.until(lambda: self.bench.phase is Phase.RUNNING, "The fit")
        self.until(lambda: self.bench.phase is Phase.IDLE, "The end of the fit")
        self.note("add missed", "all refitted with it", 5.0, time.perf_counter() - begin)

    def _register(self) -> None:
        """Fit a shift of every image but the first."""
        from napari_deblend.runner import Phase

        calibrating = self.widget.findChild(_calibrating())
        begin = time.perf_counter()
        calibrating.form["shift"].value = True
        self.until(lambda: self.is_answered, "The model with shifts")
        self.press("fit_or_pause")
        self.until(lambda: self.bench.phase is Phase.RUNNING, "The fit")
        self.until(lambda: self.bench.phase is Phase.IDLE, "The end of the fit")
        self.note("register", "shift of each image, switched on and fitted", 2.0, time.perf_counter() - begin)
        self.settle()

    def _isolate(self) -> None:
        sources = self.bench.document.scene.sources
        self.bench.document.select([sources[0].id])
        layers = self.bench.layers
        wait = self.drawn_after(lambda: self.press("look_at_component"), self._has_component, "A source alone")
        self.note("isolate", "key to a source alone", 0.1, wait)
        waits = [
            self.drawn_after(lambda: self.press("next_source"), self._has_component, "The next source")
            for _ in sources[:EDITS]
        ]
        self.note("isolate", "key to the next source alone", 0.1, *waits)
        assert layers.shows_components

    def _has_component(self) -> bool:
        """Tell whether the picture of the selected source is there."""
        from napari_deblend.views import Role

        layers, selection = self.bench.layers, self.bench.document.selection
        layer = layers.layer(Role.COMPONENTS, layers.seen_by)
        sources = self.bench.document.scene.sources
        chosen = layers.component_row < len(sources) and sources[layers.component_row].id == selection[-1]
        return bool(chosen and layer is not None and np.any(layer.data[layers.component_row]))

    def _export(self, folder: Path) -> None:
        from napari_deblend.exporting import write_all, write_catalog, write_session_script

        bench = self.bench
        told: list[str] = []
        bench.told.connect(told.append)
        jobs: dict[str, Callable[[], None]] = {
            "catalog": lambda: write_catalog(bench, folder / "catalog.ecsv"),
            "catalog, models, residuals, regions": lambda: write_all(bench, folder / "all"),
            "script": lambda: write_session_script(bench, folder / "session.py"),
        }
        for what, job in jobs.items():
            begin = time.perf_counter()
            job()
            self.until(lambda: not bench.exporting.is_busy, what)
            self.note("export", what, 1.0, time.perf_counter() - begin)
        begin = time.perf_counter()
        path = folder / "session.asdf"
        bench.keeper.save(path)
        self.until(lambda: bench.keeper.path == path, "Saving")
        self.note("export", "session", 1.0, time.perf_counter() - begin)
        missing = [
            name for name in ("catalog.ecsv", "all", "session.py", "session.asdf") if not (folder / name).exists()
        ]
        if missing:
            raise SystemExit(f"{self.scene}: {', '.join(missing)} was not written: {told[-1]}")


def _calibrating() -> type:
    from napari_deblend.widgets.calibrating import Calibrating

    return Calibrating


def files_of(scene: str, data: Path) -> tuple[list[str], list[str]]:
    """Return images and PSFs of a scene; ends the program where they are not there."""
    if scene == "two_telescopes":
        return [str(SAMPLE / f"{name}.fits") for name in ("hsc", "hst")], [
            str(SAMPLE / f"psf-{name}.fits") for name in ("hsc", "hst")
        ]
    images = [data / scene / f"calexp-HSC-{band}.fits" for band in "GRIZY"]
    if not images[0].exists():
        raise SystemExit(f"{images[0]} is not there; name the folder of the test images with --data.")
    return [str(path) for path in images], []


def main() -> int:
    """Print the table; exit status 1 where a goal is missed."""
    from demo import has_display, on_virtual_display

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    default = os.environ.get("DEBLEND_DATA", PROJECT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of the test images")
    parser.add_argument("--scene", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--json", type=Path, help="keep all waits in this file")
    options = parser.parse_args()
    os.environ.setdefault("QT_API", "pyqt5")
    if not has_display():
        return on_virtual_display(__file__, *sys.argv[1:])
    waits: list[Wait] = []
    with tempfile.TemporaryDirectory() as scratch:
        # work that is kept, and what a person has set, is of this run alone
        os.environ["DEBLEND_CONFIG"] = str(Path(scratch) / "settings")
        for scene in options.scene:
            folder = Path(scratch) / scene
            folder.mkdir()
            loop = Loop(scene)
            try:
                loop.run(*files_of(scene, options.data), folder)
            finally:
                loop.viewer.close()
                waits += loop.waits
    met = sum(wait.is_met for wait in waits)
    print(f"{met} of {len(waits)} goals met.")
    if options.json:
        lines = [asdict(wait) | {"value": wait.value, "is_met": wait.is_met} for wait in waits]
        options.json.write_text(json.dumps(lines, indent=1), encoding="utf-8")
    return 0 if met == len(waits) else 1


if __name__ == "__main__":
    raise SystemExit(main())
