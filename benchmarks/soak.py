#!/usr/bin/env python3
"""Hours of a person at the window, compressed: seeded random gestures with undo and redo while fits run.

    python benchmarks/soak.py --gestures 5000 --seed 1

Nothing may be heard of an exception, from no thread; no thread may be left. At every look the picture is that of the
scene, and in the end undo and redo lead back and forth, and the last fits, done again from the history, end where they
did.

Memory may not grow by more than 5 % behind the first third, but for compiled code: a scene of a kind that was never
there asks for code of its own, of which the most recently used parts stay (`deblend.program.compiled.MOST_READY`). What
grows while some was compiled is told apart, and may not exceed 60 MB a part.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "docs")]
WARM_UP, MOST_GROWTH, MOST_PER_PART = 1 / 3, 0.05, 60.0
"""What is not judged; of memory that nothing was compiled for; and for every part that was [MB]."""
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
    from tests.plugin.test_soak import check_picture, check_state

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
    person, start = Person(bench, Hands(bench, Bot), wait, seed, without), time.time()
    held: list[Look] = []
    person.begin()
    n_told = 0
    with Ears() as ears:
        for number in range(n):
            person.gesture()
            if (number + 1) % EVERY == 0:
                person.rest()
                held.append(Look(number + 1, memory() / 2**20, compilations()))
                check_picture(bench)
                said = f"{held[-1].size:.0f} MB, {held[-1].parts} parts compiled, {len(bench.history.runs)} fits"
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
    left = [t.name for t in threading.enumerate() if t.ident not in before and t.name.startswith("deblend")]
    done = ", ".join(f"{name} {count}" for name, count in Counter(person.log).most_common(12))
    print(f"{len(person.log)} gestures ({done}, …) in {time.time() - start:.0f} s; state as of a replay.")
    is_well, said = judged(held)
    print(f"memory behind the first third: {said}; threads left: {left or 'none'}")
    for sentence in (*ears.heard, *person.told):
        print(f"  heard: {sentence}")
    return int(bool(ears.heard or person.told or left or not is_well))


class Look(NamedTuple):
    """What was held at one time."""

    gestures: int
    size: float
    """[MB]"""
    parts: int
    """Compiled so far."""


def judged(held: Sequence[Look]) -> tuple[bool, str]:
    """Tell whether memory stays where it is but for compiled code, and say how it went."""
    warm = [look for look in held if look.gestures >= WARM_UP * held[-1].gestures]
    # code is compiled at a time when other things are made, too: what grows then is told of it
    grown, of_code, n_parts = 0.0, 0.0, warm[-1].parts - warm[0].parts
    for before, after in pairwise(warm):
        if after.parts == before.parts:
            grown += after.size - before.size
        else:
            of_code += after.size - before.size
    share = grown / warm[0].size
    said = (
        f"{warm[0].size:.0f} to {warm[-1].size:.0f} MB, of which {of_code:+.0f} MB while {n_parts} parts were compiled"
    )
    return share <= MOST_GROWTH and of_code <= MOST_PER_PART * n_parts, f"{said}, and {100 * share:+.1f} % else"


if __name__ == "__main__":
    raise SystemExit(main())
