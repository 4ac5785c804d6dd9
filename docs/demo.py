#!/usr/bin/env python3
"""Open a patch of sky that two telescopes saw, find its sources and fit them live: `make demo`.

Where there is no display it does the same on a virtual one, and leaves pictures, catalog and models in
`demo_output/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PROJECT = Path(__file__).resolve().parents[1]
OUTPUT = PROJECT / "demo_output"
WINDOW = (1500, 960)
UNATTENDED = "--unattended"
THRESHOLD = 5.0
"""Of the detection [sigma]."""


def has_display() -> bool:
    """Tell whether a window can be seen here."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def on_virtual_display(*arguments: str) -> int:
    """Run a Python script in a process of its own whose windows open on Xvfb; return its exit status.

    A process of its own, since Qt keeps its connection until the interpreter has ended, and the display has to
    outlive that.
    """
    server = shutil.which("Xvfb")
    if server is None:
        raise SystemExit("There is no display, and no Xvfb to make a virtual one; install the system package xvfb.")
    read, write = os.pipe()
    screen = f"{WINDOW[0] + 100}x{WINDOW[1] + 100}x24"
    command = [server, "-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp"]
    display = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as numbers:
            number = numbers.readline().strip()
        if not number:
            raise SystemExit("Xvfb ended before it could open a display.")
        settings = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
        settings |= {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
        # what nobody looks at is no work of anybody's to be kept, and nobody's settings hold for it
        with tempfile.TemporaryDirectory(prefix="napari-deblend-") as folder:
            settings |= {"DEBLEND_CONFIG": folder, "NAPARI_CONFIG": str(Path(folder) / "settings.yaml")}
            return subprocess.run([sys.executable, *arguments], env=settings).returncode
    finally:
        display.terminate()
        display.wait()


class Director:
    """Drives the real window as a person would, a step at a time, while it stays alive."""

    def __init__(self) -> None:
        import napari

        from napari_deblend.workbench import Workbench

        self.viewer = napari.Viewer(title="Deblend", show=True)
        self.viewer.window.resize(*WINDOW)
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
        self.bench = Workbench.of(self.viewer)
        self.is_open = True
        self.bench.closed.connect(self._on_closed)

    def _on_closed(self) -> None:
        self.is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # the thread behind the window ends with it, and the program with the thread
        if self.is_open:
            self.viewer.close()

    def do(self, action: str) -> None:
        """Do an action of the command palette."""
        from napari_deblend.actions import ACTIONS

        ACTIONS[action].do(self.bench)

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 180.0) -> None:
        """Let the window live until a condition holds; ends the program where the window is closed meanwhile."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + timeout
        while not condition():
            if not self.is_open:
                raise SystemExit(0)
            if time.monotonic() > end:
                raise SystemExit(f"{what} did not happen within {timeout:g} seconds.")
            QApplication.processEvents()
            time.sleep(0.005)

    def rest(self, seconds: float) -> None:
        """Let the window live for a while."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end, "Time")

    @property
    def is_answered(self) -> bool:
        """Whether the picture shows the present scene."""
        frame = self.bench.frame
        return frame is not None and frame.revision == self.bench.document.revision

    def open_sample(self, name: str = "two_telescopes") -> None:
        self.viewer.open_sample("napari-deblend", name)
        self.wait(lambda: self.bench.document.is_open and self.is_answered, "Opening the sample")

    def find_sources(self) -> None:
        self.bench.preview_peaks(THRESHOLD)
        self.rest(0.5)
        self.do("find_sources")
        self.wait(lambda: self.bench.document.scene.sources, "Detection")
        self.wait(lambda: self.is_answered, "The first model")

    def start_fit(self) -> None:
        self.do("fit_or_pause")

    def find_missed(self) -> None:
        """Look for sources in what the fit leaves over, and wait for the answer."""
        from napari_deblend.jobs import MISSED

        done: list[str] = []
        self.bench.result.connect(lambda name, outcome: done.append(name) if name == MISSED else None)
        self.do("find_missed")
        self.wait(lambda: done, "A look at the residual")
        self.wait(lambda: self.is_answered, "The model with what was missed")

    def finish_fit(self) -> None:
        bench = self.bench
        self.wait(lambda: bench.runner is not None and not bench.runner.is_running, "The end of the fit", 900.0)
        self.wait(lambda: bench.frame is not None and bench.frame.sentence, "The fitted model")

    def look(self, action: str, path: Path) -> None:
        """Look at something and save a picture of the window."""
        self.do(action)
        self.wait(lambda: self.is_answered, "The picture")
        self.rest(1.0)
        self.screenshot(path)

    def show_constraints(self, preset: str, path: Path) -> None:
        """Ask what a preset asks of the selected source, and save a picture of what that would do."""
        self.do("show_constraints")
        self.do(preset)
        self.wait(lambda: self.bench.constraining.thumbnails is not None, "The constrained component")
        self.wait(lambda: self.is_answered, "The constrained model")
        self.rest(1.0)
        self.screenshot(path)

    def unfold(self, action: str, path: Path) -> None:
        """Unfold a part of the panel by its action, and save a picture of the window with it in view."""
        self.wait(lambda: self.is_answered, "The present model")
        self.do(action)
        self.rest(4.0)
        self.screenshot(path)

    def fold_constraints(self) -> None:
        """Have the list of constraints out of sight again."""
        self.widget.hide_constraints()
        self.rest(0.5)

    def screenshot(self, path: Path) -> None:
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        from napari_deblend.compat import main_window

        # napari greets PyQt5 with a warning, right where the scale bar is
        for toast in main_window(self.viewer).findChildren(NapariQtNotification):
            toast.close()
        self.rest(0.3)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.viewer.screenshot(path=str(path), canvas_only=False, flash=False)

    def write_results(self, folder: Path) -> None:
        from napari_deblend.export import WRITTEN, folder_job

        done: list[Any] = []
        said: list[str] = []
        self.bench.result.connect(lambda name, outcome: done.append(outcome) if name == WRITTEN else None)
        self.bench.told.connect(said.append)
        self.bench.runner.submit(WRITTEN, folder_job(folder))
        self.wait(lambda: done or said, "Writing the results", 900.0)
        if not done:
            raise SystemExit(said[-1])


def demo_in_window() -> None:
    """The demonstration for a person; the window stays open."""
    import napari

    with Director() as director:
        director.open_sample()
        director.find_sources()
        director.do("look_at_model")
        director.start_fit()
        napari.run()


def demo_unattended() -> None:
    """The same with nobody there: everything is kept in a folder, and the window closes."""
    OUTPUT.mkdir(exist_ok=True)
    with Director() as director:
        director.open_sample()
        director.find_sources()
        director.do("look_at_model")
        director.start_fit()
        director.finish_fit()
        director.find_missed()
        director.start_fit()
        director.finish_fit()
        for telescope in ("hsc", "hst"):
            for view in ("data", "model", "residual"):
                director.look(f"look_at_{view}", OUTPUT / f"{telescope}_{view}.png")
            director.do("next_telescope")
        director.write_results(OUTPUT)
        frame = director.bench.frame
        print(f"{len(frame.scene)} sources fitted, chi² per pixel {frame.chi2:.3f}: {frame.sentence}")
    print(f"No display here: pictures of the window, catalog and models are in {OUTPUT.name}/.")


def main() -> int:
    os.environ.setdefault("QT_API", "pyqt5")
    # napari's word to those who choose PyQt5; nothing that a person who looks at a demonstration can act on
    warnings.filterwarnings("ignore", "System theme detection requires a Qt6 backend")
    if UNATTENDED in sys.argv:
        demo_unattended()
    elif has_display():
        demo_in_window()
    else:
        return on_virtual_display(__file__, UNATTENDED)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
