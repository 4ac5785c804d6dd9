"""Opens and closes the window a number of times, with work in it, and prints what the process holds after each.

`test_leaks.py` runs it, with settings of nobody's in the environment.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import napari
import numpy as np
import psutil
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication

from deblend import Observation, make_source
from deblend.observe import gaussian_psf
from deblend.program import compiled
from napari_deblend.workbench import Workbench

compiled.OPTIONS["xla_backend_optimization_level"] = "0"
PATIENCE = 120.0
"""How long an answer may take [s]."""


def live(until: Callable[[], object], limit: float = PATIENCE) -> None:
    """Let the window live until something holds."""
    end = time.monotonic() + limit
    while not until():
        if time.monotonic() > end:
            raise SystemExit("The window did not answer in time.")
        QApplication.processEvents()
        time.sleep(0.002)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def star() -> Observation:
    """Return a star with noise of 1 nJy in two bands."""
    y, x = np.mgrid[:48, :50]
    image = 10.0 * np.exp(-((x - 24.0) ** 2 + (y - 22.0) ** 2) / 2 / 2.2**2)
    images = np.random.default_rng(5).normal(size=(2, 48, 50)) + image
    return Observation.from_arrays(images, [gaussian_psf(3.5)] * 2, np.ones_like(images), channels=["g", "r"])


def cycle(observation: Observation) -> list[weakref.ref[Any]]:
    """Open the window, do some work in it with the dock closed and opened meanwhile, and close it."""
    viewer = napari.Viewer(show=False)
    _, dock = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench = Workbench.of(viewer)
    bench.tour.begin()
    bench.open([observation])
    bench.document.add(make_source("point", 24.0, 22.0, n_channels=2))
    live(lambda: bench.frame is not None and bench.frame.revision == bench.document.revision)
    gone = [weakref.ref(bench), weakref.ref(dock)]
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    del dock
    live(lambda: True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench.panels.begin()
    rested: list[bool] = []
    bench.settled.connect(lambda: rested.append(True))
    live(lambda: rested)
    gone += [weakref.ref(dock), weakref.ref(bench.runner)]
    viewer.close()
    live(lambda: True)
    return gone


def main() -> None:
    observation, process = star(), psutil.Process()
    gone: list[weakref.ref[Any]] = []
    for _ in range(int(sys.argv[1])):
        gone += cycle(observation)
        gc.collect()
        held = {
            "memory": process.memory_info().rss / 2**20,
            "widgets": len(QApplication.allWidgets()),
            "threads": len(threading.enumerate()),
            "alive": sorted(type(thing()).__name__ for thing in gone if thing() is not None),
            "files": process.num_fds() if sys.platform != "win32" else 0,
        }
        print(json.dumps(held), flush=True)


if __name__ == "__main__":
    main()
