#!/usr/bin/env python3
"""Hours of a person at the window, compressed: seeded random gestures with undo and redo while fits run.

    python benchmarks/soak.py --gestures 5000 --seed 1

Nothing may be heard of an exception, from no thread; no thread may be left; memory may not grow by more than 5 % behind
the first third; and in the end the picture is that of the scene, undo and redo lead back and forth, and the last fits,
done again from the history, end where they did.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "docs")]
WARM_UP, MOST_GROWTH = 1 / 3, 0.05
EVERY = 100
"""Gestures between two looks at the memory."""
PATIENCE = 300.0
"""[s]"""


def main() -> int:
    from demo import has_display, on_virtual_display

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gestures", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=np.inf, help="end after so long, whatever was done")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--light", action="store_true", help="without what makes a new program")
    options = parser.parse_args()
    os.environ.setdefault("QT_API", "pyqt5")
    if not has_display():
        return on_virtual_display(__file__, *sys.argv[1:])
    from tests.plugin.person import COMPILING

    with tempfile.TemporaryDirectory() as scratch:
        # work that is kept, and what a person has set, is of this run alone
        os.environ["DEBLEND_CONFIG"] = str(Path(scratch) / "settings")
        return soak(options.gestures, 60.0 * options.minutes, options.seed, COMPILING if options.light else ())


def soak(n: int, seconds: float, seed: int, without: Collection[str]) -> int:
    """Do it, print what came of it, and return 1 where something was wrong."""
    import napari
    from qtpy.QtTest import QTest

    from deblend import FitSettings, compilations, make_source
    from napari_deblend.keys import bind
    from napari_deblend.workbench import Workbench
    from tests.plugin.conftest import STARS, Hands, _observation
    from tests.plugin.person import Ears, Person, history_of, memory
    from tests.plugin.test_soak import check_state

    class Bot:
        """What `Hands` needs of pytest-qt, from Qt itself."""

        mousePress, mouseRelease = QTest.mousePress, QTest.mouseRelease
        keyClick, wait = QTest.keyClick, QTest.qWait

    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            QTest.qWait(5)
            if time.monotonic() > end:
                raise TimeoutError("What was waited for did not happen.")

    before = {thread.ident for thread in threading.enumerate()}
    viewer = napari.Viewer(title="Deblend", show=True)
    viewer.window.resize(1200, 900)
    viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench = Workbench.of(viewer)
    bind(bench)
    bench.open([_observation()])
    bench.document.add(*(make_source("point", x, y, n_channels=3) for x, y, _ in STARS))
    bench.settings = FitSettings(max_iterations=12)
    wait(lambda: bench.frame is not None and bench.frame.revision == bench.document.revision)
    person, held, start = Person(bench, Hands(bench, Bot), wait, seed, without), [], time.time()
    person.begin()
    n_told = 0
    with Ears() as ears:
        for number in range(n):
            person.gesture()
            if (number + 1) % EVERY == 0:
                person.rest()
                held.append((number + 1, memory() / 2**20))
                said = f"{held[-1][1]:.0f} MB, {compilations()} parts compiled, {len(bench.history.runs)} fits"
                said += f", history of {history_of(bench) / 2**20:.0f} MB, {len(ears.heard)} heard"
                print(f"{number + 1:5d} gestures, {said}", flush=True)
            for sentence in [*ears.heard, *person.told][n_told:]:
                print(f"  behind {person.log[-3:]}: {sentence}", flush=True)
            n_told = len(ears.heard) + len(person.told)
            if time.time() - start > seconds:
                break
        person.rest()
        check_state(bench)
        bench.close()
        viewer.close()
        # a thread that looks for files ends by itself after three seconds
        QTest.qWait(4000)
    warm = [size for number, size in held if number >= WARM_UP * held[-1][0]]
    growth = warm[-1] / warm[0] - 1.0
    left = [t.name for t in threading.enumerate() if t.ident not in before and t.name.startswith("deblend")]
    done = ", ".join(f"{name} {count}" for name, count in Counter(person.log).most_common(12))
    print(f"{len(person.log)} gestures ({done}, …) in {time.time() - start:.0f} s; state as of a replay.")
    said = f"{warm[0]:.0f} to {warm[-1]:.0f} MB ({100 * growth:+.1f} %)"
    print(f"memory behind the first third: {said}; threads left: {left or 'none'}")
    for sentence in (*ears.heard, *person.told):
        print(f"  heard: {sentence}")
    return int(bool(ears.heard or person.told or left or growth > MOST_GROWTH))


if __name__ == "__main__":
    raise SystemExit(main())
