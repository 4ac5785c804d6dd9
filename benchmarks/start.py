#!/usr/bin/env python3
"""How soon the engine and the window are there: importing `deblend`, and opening the widget in napari.

Each is the median of several processes of their own, with bytecode and the display there already.

    python benchmarks/start.py [--json FILE]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from measured import Row, concluded, parser_of

PROJECT = Path(__file__).resolve().parents[1]
PART = "start"
TIMES = 5
IMPORT = "import time; started = time.perf_counter(); import deblend; print(time.perf_counter() - started)"
IMPORT_ALL = IMPORT.replace("deblend;", "deblend; deblend.fit;")
WIDGET = """
import time
import napari
from qtpy.QtTest import QTest
viewer = napari.Viewer(show=True)
QTest.qWait(500)
started = time.perf_counter()
_, dock = viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
while not dock.isVisible():
    QTest.qWait(1)
there = time.perf_counter() - started
while dock.widget is None or not dock.widget.isVisible():
    QTest.qWait(10)
print(there, time.perf_counter() - started)
viewer.close()
"""


def medians(code: str) -> list[float]:
    """Return the medians of the seconds that a program prints, each time a new process, behind one that warms up."""
    found = []
    for _ in range(TIMES + 1):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found.append([float(word) for word in done.stdout.splitlines()[-1].split()])
    return np.median(found[1:], axis=0).tolist()


def main() -> int:
    sys.path[:0] = [str(PROJECT), str(PROJECT / "docs")]
    from demo import has_display, on_virtual_display

    options = parser_of(__doc__).parse_args()
    os.environ.setdefault("QT_API", "pyqt5")
    if not has_display():
        return on_virtual_display(__file__, *sys.argv[1:])
    (importing,), (there, ready) = medians(IMPORT), medians(WIDGET)
    measured = {
        "import deblend": (importing, 1.5),
        "import deblend, and JAX with its first use": (medians(IMPORT_ALL)[0], 3.0),
        "the dock is there, once it is asked for": (there, 1.0),
        "what belongs into it is, too": (ready, 5.0),
    }
    rows = [Row(PART, name, value, "s", goal, of=f"median of {TIMES}") for name, (value, goal) in measured.items()]
    return concluded(rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
