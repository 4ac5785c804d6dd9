#!/usr/bin/env python3
"""How soon a fit has explained the image, next to scarlet2: cold, compiled before, and a second time in one process.

Seconds are from where imports are done to the first state of χ² ≤ 1.35, each of either program timed the same three
ways; where one never comes there, the time of all its steps counts, and the ratio is a lower bound. Each is as it
comes; only where it was compiled before scarlet2 is told to keep what it compiles, which it does not by itself.

    python benchmarks/peers.py [--data FOLDER] [--iterations 1000] [--json FILE]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare_scarlet2 import history_of_peer, peer_python, run, save_scene
from measured import Row, concluded, parser_of

PART = "peers"
LEVEL = 1.35
WAYS = {"cold": 2.0, "compiled before": 10.0, "again in one process": 50.0}
"""How many times faster it has to be."""


def seconds_to(steps: Sequence[Sequence[float]], since: float) -> tuple[float, bool]:
    """Return the wall seconds (iteration, χ², wall, CPU) until χ² is low enough, and whether it ever is."""
    there = next((step for step in steps if step[1] <= LEVEL), None)
    return (steps[-1] if there is None else there)[2] - since, there is not None


def ours(scene: Path, cache: Path) -> dict[str, tuple[float, bool]]:
    """Return the seconds of this program, each of three ways."""
    found = {}
    for way in ("cold", "compiled before"):
        record = run(sys.executable, "run_deblend.py", scene, 60, JAX_COMPILATION_CACHE_DIR=str(cache))
        found[way] = seconds_to(record["steps"], record["imports"][0])
    found["again in one process"] = seconds_to(record["steps_again"], record["again"][0])
    return found


def of_peer(scene: Path, cache: Path, iterations: int) -> tuple[str, dict[str, tuple[float, bool]]]:
    """Return the name of the peer and its seconds, each of three ways."""
    python, found = peer_python(), {}
    keep = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    chi2 = run(python, "run_scarlet2.py", scene, iterations, "trace")["chi2"]

    def timed(**environment: str) -> dict[str, Any]:
        return run(python, "run_scarlet2.py", scene, iterations, "time", **environment)

    cold, _, kept = timed(), timed(**keep), timed(**keep)
    for way, record in (("cold", cold), ("compiled before", kept)):
        found[way] = seconds_to(history_of_peer(chi2, record), record["imports"][0])
    again = cold | {"ready": (0.0, 0.0), "first_step": cold["again"]}
    found["again in one process"] = seconds_to(history_of_peer(chi2, again), 0.0)
    return cold["program"], found


def main() -> int:
    parser = parser_of(__doc__, of_scene=True)
    parser.add_argument("--iterations", type=int, default=1000, help="of scarlet2 (default 1000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scene = Path(name) / "scene.npz"
        print(save_scene(options.data, scene), flush=True)
        own = ours(scene, Path(name) / "cache")
        peer, theirs = of_peer(scene, Path(name) / "peer_cache", options.iterations)
    rows = []
    for way, least in WAYS.items():
        (mine, is_there), (other, is_other) = own[way], theirs[way]
        of = f"{other:.2f} s{'' if is_other else ' and not there'} to {mine:.2f} s"
        ratio = other / mine if is_there else 0.0
        rows.append(Row(PART, f"to χ² ≤ {LEVEL:g}, {peer} to this, {way}", ratio, "", least, is_least=True, of=of))
    return concluded(rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
