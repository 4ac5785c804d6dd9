#!/usr/bin/env python3
"""All that is to be fast, in one table: every number next to its limit, and against its peer in the same run.

    make bench
    python benchmarks/bench.py [--only PART …] [--data FOLDER] [--out FOLDER]

Each part is a process of its own. The table goes to the screen, to FOLDER/bench.json, and to FOLDER/bench.png, where
a bar says how much of its limit each number uses. Other work on the machine makes waits and rates worse than they are;
ratios stand more. The scene is that of `hsc_cosmos_35` where the test images are there, else the sample blend.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measured import Row, read, write

HERE = Path(__file__).resolve().parent
PARTS = {
    "peers": "next to scarlet2",
    "iterations": "iterations of the solver",
    "resampling": "pixels of other telescopes",
    "posterior": "draws from the posterior",
    "start": "starting",
    "loop": "waits at the window",
    "batch": "whole fields",
}
"""Scripts of this folder, and what they measure."""


def command_of(part: str, data: Path, result: Path) -> list[str]:
    """Return the command that measures a part and writes what it finds."""
    scene = data / "hsc_cosmos_35"
    options: dict[str, list[str]] = {
        "batch": ["--sides", "1024"],
        "loop": ["--data", str(data)] if scene.is_dir() else ["--scene", "two_telescopes"],
    }
    of_scene = ["--data", str(scene)] if scene.is_dir() else []
    more = options.get(part, of_scene if part in ("peers", "iterations", "posterior") else [])
    return [sys.executable, str(HERE / f"{part}.py"), *more, "--json", str(result)]


def waits(path: Path) -> list[Row]:
    """Return the waits that `loop.py` has written as rows."""
    return [
        Row(
            "loop",
            f"{wait['step']}: {wait['what']} ({wait['scene']})",
            wait["value"],
            wait["unit"],
            wait["goal"],
            is_least=wait["unit"] == "1/s",
            of=f"quantile {wait['quantile']:g} of {len(wait['seconds'])}",
        )
        for wait in json.loads(path.read_text(encoding="utf-8"))
    ]


def measure(part: str, data: Path, folder: Path) -> list[Row]:
    """Run a part and return its rows; raises SystemExit where it writes none."""
    result = folder / f"{part}.json"
    print(f"\n-- {PARTS[part]}", flush=True)
    done = subprocess.run(command_of(part, data, result))
    if not result.exists():
        raise SystemExit(f"{part}.py ended with status {done.returncode} and measured nothing.")
    return waits(result) if part == "loop" else read(result)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the table as lines of text."""
    lines = []
    for row in rows:
        bound = f"{'≥' if row.is_least else '≤'} {row.limit:g}"
        mark = "met" if row.is_met else "MISSED"
        lines.append(f"{row.name[:78]:78} {row.value:9.4g} {row.unit:4} {bound:>9}  {mark:6}  {row.of}".rstrip())
    return lines


def picture(rows: Sequence[Row], path: Path) -> None:
    """Draw how much of its limit every number uses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 0.8 + 0.2 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    colors = ["#0072b2" if row.is_met else "#d55e00" for row in rows]
    axes.barh(places, [max(row.use_of_limit, 1e-3) for row in rows], color=colors, height=0.7)
    axes.axvline(1.0, color="0.2", lw=1.0)
    axes.set(xscale="log", xlabel="of the limit (right of 1: missed)", ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(places, [f"{row.name[:70]}" for row in rows], fontsize=7)
    figure.savefig(path, dpi=130)


def main() -> int:
    """Print the table; exit status 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("DEBLEND_DATA", HERE.parents[1] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the test images")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    started, rows = time.time(), []
    with tempfile.TemporaryDirectory() as name:
        for part in options.only:
            rows += measure(part, options.data, Path(name))
    print()
    print("\n".join(table(rows)))
    met = sum(row.is_met for row in rows)
    machine = f"{os.cpu_count()} processors, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    print(f"\n{met} of {len(rows)} limits met, in {(time.time() - started) / 60:.0f} min ({machine}).")
    write(options.out / "bench.json", rows)
    picture(rows, options.out / "bench.png")
    print(f"The table is in {options.out / 'bench.json'}, its picture beside it.")
    return int(met < len(rows))


if __name__ == "__main__":
    sys.exit(main())
