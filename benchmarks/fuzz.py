#!/usr/bin/env python3
"""Every reader of the program against damaged files: bytes, header cards, words, nodes of JSON and YAML.

    python benchmarks/fuzz.py --cases 20000 --seed 0

Counts what must not happen: an exception that is no sentence, more than 5 s of the processor, more than 1 GB of memory,
anything run, fetched or written. Each case comes again by its number: `--only NAME --case N` shows what it does.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("QT_API", "pyqt5")
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "engine")]

from tests.fuzzing.seeds import Seed, seeds
from tests.fuzzing.trials import Defect, Watch, attempts, case_of

CHUNK = 50
ROOM = 4 * 2**30
"""Of addresses, beyond what a process has at the start: what a bomb asks for beyond is refused [bytes]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20000, help="in all, the same number of each kind of file")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", default="", help="kinds of files with this in their name")
    parser.add_argument("--case", type=int, help="do this one, and show it")
    parser.add_argument("--keep", type=Path, help="write the damaged file of --case here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deblend-fuzz-") as made:
        begin(Path(made) / "seeds")
        everything = {seed.name: seed for seed in _seeds.values() if arguments.only in seed.name}
        if arguments.case is not None:
            show(next(iter(everything.values())), arguments.case, Path(made) / "one", arguments.keep)
            return
        each = -(-arguments.cases // len(everything))
        start, tally, found = time.time(), Counter[str](), []
        last = arguments.seed + each
        with ProcessPoolExecutor(
            arguments.workers, get_context("spawn"), begin, (Path(made) / "of_workers", True)
        ) as pool:
            jobs = [
                pool.submit(work, name, range(first, min(first + CHUNK, last)), Path(made) / "work")
                for name in everything
                for first in range(arguments.seed, last, CHUNK)
            ]
            for job in jobs:
                name, number, defects = job.result()
                tally[name] += number
                found += defects
                for defect in defects:
                    print(f"{defect.seed} {defect.case}: {defect.what}", flush=True)
        print(
            f"{tally.total()} cases of {len(tally)} kinds of files in {time.time() - start:.0f} s: {len(found)} defects"
        )
        for what, number in Counter((d.seed, d.what[:60]) for d in found).most_common():
            print(f"{number:5d}  {what[0]}: {what[1]}")


_seeds: dict[str, Seed] = {}
_watches: list[Watch] = []


def begin(folder: Path, is_limited: bool = False) -> None:
    """Make the seeds of a process, and set how much memory it may ask for."""
    own = folder / str(os.getpid())
    own.mkdir(parents=True)
    _seeds.update({seed.name: seed for seed in seeds(own)})
    if is_limited:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, now + ROOM))
        _watches.append(Watch())


def work(name: str, numbers: range, folder: Path) -> tuple[str, int, list[Defect]]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        return name, len(numbers), list(attempts(_seeds[name], numbers, Path(own), _watches[0]))


def show(seed: Seed, case: int, folder: Path, keep: Path | None) -> None:
    files = case_of(seed, case)
    if keep is not None:
        for name, content in files.items():
            (keep / name).parent.mkdir(parents=True, exist_ok=True)
            (keep / name).write_bytes(content)
    for defect in attempts(seed, [case], folder, Watch()):
        print(defect.what)
        print(defect.trace)


if __name__ == "__main__":
    main()
