#!/usr/bin/env python3
"""How right the fluxes, colors and shapes of blended galaxies are: fits of scenes with known truth, as one table.

    python benchmarks/quality.py                                         # all sets, all usual rows
    python benchmarks/quality.py --set real crowded --scenes 30 --seed 1 --rows default floor --save default.json
    python benchmarks/quality.py --set real --rows default --setting correction=0.2 --against default.json

Sets are those of `scene_sets.py`; `real` and `sim-matched` need the folders `cosmos_stamps` and `sim_matched` of
DEBLEND_DATA, or of `--data`. Sources are placed at their true positions, or off by `--position-error`; stars are
fitted as points. The floor knows the true picture of every source and solves for fluxes only. scarlet2 runs in a
process and an environment of its own. Scores are explained in `scores.py`; errors come from drawing the scenes again.

`--setting` tries something in all rows that are the engine's: `kind` (what galaxies are fitted as), `correction` and
`positivity` (of galaxies; 0 switches them off), `center_scatter`, `size` (factor on starting sizes), `box_scale`, a
field of FitSettings, or a constant of the engine by its NAME. `--against` says what changes from a saved run.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# a thread each for small matrices costs more than it gains
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from blends import Blend
from rows import FLOOR, PEER, ROWS, USUAL, Settings, at_the_floor, fitted, fitted_by_peer
from scene_sets import scene_sets
from scores import HEADER, Result, cells, change

from deblend import FitSettings
from deblend.detect import start

SCENE_SETTINGS = ("kind", "correction", "positivity", "center_scatter", "box_scale")


def set_constant(name: str, value: Any) -> None:
    """Change a constant of the engine wherever it is known."""
    modules = [m for key, m in sys.modules.items() if key.split(".")[0] == "deblend" and hasattr(m, name)]
    if not modules:
        raise SystemExit(f"There is no setting {name}; see --help.")
    for module in modules:
        setattr(module, name, value)


def apply_globally(settings: Settings) -> None:
    """Apply those settings that are no argument of anything; before anything is compiled."""
    fields = {f.name for f in dataclasses.fields(FitSettings)}
    for name, value in settings.items():
        if name == "size":
            start.half_light_radius = scaled(start.half_light_radius, value)
        elif name not in fields and name not in SCENE_SETTINGS:
            set_constant(name, value)


def scaled(function: Callable[..., float], factor: float) -> Callable[..., float]:
    return lambda *args: factor * function(*args)


def parsed(setting: str) -> tuple[str, Any]:
    name, _, value = setting.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def in_row(name: str, blends: list[Blend], shifts: list[np.ndarray], settings: Settings) -> list[Result]:
    """Return what one row finds in the scenes of a set; scenes that scarlet2 had no time for are left out."""
    if name == FLOOR:
        return [at_the_floor(blend) for blend in blends]
    if name == PEER:
        found, said = fitted_by_peer(blends, shifts)
        print(said, end="", file=sys.stderr)
        return [result for result in found if result is not None]
    return [fitted(blend, ROWS[name], shift, settings) for blend, shift in zip(blends, shifts, strict=True)]


def line(values: list[str]) -> str:
    return "| " + " | ".join(values) + " |"


def summary(results: list[Result]) -> str:
    """Return how many scenes and galaxies there are, and how fits ended where one did not converge."""
    galaxies = sum(np.count_nonzero(~np.array(r.is_star)) for r in results)
    outcomes = [r.outcome for r in results]
    other = {o: outcomes.count(o) for o in sorted(set(outcomes) - {"CONVERGED", "SOLVED", "STUCK"})}
    said = "".join(f"; {o.lower().replace('_', ' ')} {n}" for o, n in other.items())
    return f"{len(results)}, {galaxies}{said}"


def saved(path: Path) -> dict[str, dict[str, list[Result]]]:
    """Return the results of a saved run, by set and row."""
    runs = json.loads(path.read_text())
    return {s: {r: [Result(**each) for each in rs] for r, rs in rows.items()} for s, rows in runs.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("DEBLEND_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--set", nargs="+", metavar="NAME", help="default: all that can be made")
    parser.add_argument("--rows", nargs="+", metavar="NAME", default=list(USUAL), help=f"of {', '.join(ROWS)}, ...")
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--position-error", type=float, default=0.0, help="rms per axis [pix]")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    sets = scene_sets(options.data)
    chosen = options.set or list(sets)
    for name, known in (*((n, sets) for n in chosen), *((n, [*ROWS, PEER, FLOOR]) for n in options.rows)):
        if name not in known:
            raise SystemExit(f"There is no {name!r}; what can be made here: {', '.join(known)}.")
    settings = dict(parsed(setting) for setting in options.setting)
    apply_globally(settings)
    before = saved(options.against) if options.against else {}
    results: dict[str, dict[str, list[Result]]] = {}
    print(f"seed {options.seed}, position error {options.position_error:g} px", *options.setting, sep=", ")
    print(line(HEADER) + "\n|" + "---|" * len(HEADER), flush=True)
    changes = []
    for name in chosen:
        n = options.scenes if sets[name].most is None else min(options.scenes, sets[name].most)
        blends = [sets[name].make(options.seed, number) for number in range(n)]
        shifts = [
            options.position_error * np.random.default_rng((options.seed, k, 1)).normal(size=(len(blend.x), 2))
            for k, blend in enumerate(blends)
        ]
        results[name] = {}
        for row in options.rows:
            found = results[name][row] = in_row(row, blends, shifts, settings)
            if not found:
                continue
            print(line([name, row, summary(found), *cells(found, "floor" if row == FLOOR else "flux")]), flush=True)
            if row in before.get(name, {}):
                changes.append(f"{name}, {row}: {change(found, before[name][row])}")
            if options.save:
                options.save.write_text(
                    json.dumps({s: {r: [dataclasses.asdict(x) for x in rs] for r, rs in rows.items()}
                                for s, rows in results.items()})
                )  # fmt: skip
    print(*changes, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
