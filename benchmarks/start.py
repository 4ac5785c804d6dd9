#!/usr/bin/env python3
"""How soon the engine and the window are there: importing `deblend`, and opening the widget in napari.

Each is the median of several processes of their own, with bytecode and the display there already.

    python benchmarks/start.py [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from measured import Row, write

PROJECT = Path(__file__).resolve().parents[1]
PART = "start"
TIMES = 5
IMPORT = "import time; started = time.perf_counter(); import deblend; print(time.perf_counter() - started)"
WIDGET = """
import time
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
for _ in range(20):
    QApplication.processEvents()
started = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
QApplication.processEvents()
print(time.perf_counter() - started)
viewer.close()
"""


def median(code: str) -> float:
    """Return the median of the seconds that a program prints, each time in a new process, behind one that warms up."""
    found = []
    for _ in range(TIMES + 1):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found.append(float(done.stdout.split()[-1]))
    return float(np.median(found[1:]))


def main() -> int:
    sys.path[:0] = [str(PROJECT), str(PROJECT / "docs")]
    from demo import has_display, on_virtual_display

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("QT_API", "pyqt5")
    if not has_display():
        return on_virtual_display(__file__, *sys.argv[1:])
    rows = [
        Row(PART, "import deblend", median(IMPORT), "s", 1.5, of=f"median of {TIMES}"),
        Row(PART, "the widget opens in napari", median(WIDGET), "s", 1.0, of=f"median of {TIMES}"),
    ]
    for row in rows:
        print(f"{row.name:40} {row.value:6.2f} s  (goal: at most {row.limit:g})")
    if options.json:
        write(options.json, rows)
    return int(not all(row.is_met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
