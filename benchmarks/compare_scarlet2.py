#!/usr/bin/env python3
"""Chi² against time, here and in scarlet2: the same images, weights, PSFs and positions, a process each.

scarlet2 is installed from the package index into an environment of its own, benchmarks/env, the first time.
Each is run with an empty and with a filled compilation cache. The clock starts when the process does, so imports,
set-up and compilation count; reading FITS does not (both are handed the same arrays). CPU seconds count all threads
and depend less than wall seconds on what else the machine does. scarlet2 fits one free-form morphology a source; this
program its default galaxies: what is compared is the way to a picture, not the accuracy of the fluxes, which chi²
does not tell.

    python benchmarks/compare_scarlet2.py [--data FOLDER] [--iterations 1000] [--csv FILE] [--png FILE]

FOLDER holds calexp-*.fits, psf-*.fits and either peaks.csv or truth.ecsv (default: the sample blend).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from deblend import Observation

HERE = Path(__file__).resolve().parent
PEER = "scarlet2==0.5.1"
LEVELS = (100.0, 30.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.35, 1.25, 1.2, 1.15, 1.1)


def peer_python() -> Path:
    """Return the Python that has scarlet2, made where it is not there yet."""
    environment = HERE / "env"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = environment / f".{PEER}"
    if not ready.exists():
        print(f"installing {PEER} into {environment.relative_to(HERE.parent)} ...", flush=True)
        venv.create(environment, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
        ready.touch()
    return python


def save_scene(folder: Path, target: Path) -> str:
    """Write images, weights, PSFs and positions as plain arrays; return a line that says what they are."""
    images = sorted(folder.glob("calexp-*.fits"))
    if not images:
        raise SystemExit(f"{folder} holds no calexp-*.fits; name a folder in the LSST/HSC layout with --data.")
    observation = Observation.read(*images, psf=[p.with_name(p.name.replace("calexp", "psf")) for p in images])
    peaks = folder / "peaks.csv"
    table = Table.read(peaks) if peaks.exists() else Table.read(folder / "truth.ecsv")
    # in counts, as scarlet2's steps expect morphologies and spectra of order one
    scale = observation.njy_per_unit[:, None, None]
    np.savez(
        target,
        images=(observation.images / scale).astype(np.float32),
        weights=(observation.weights * scale**2).astype(np.float32),
        psf=observation.psf.astype(np.float32),
        bands=np.array([channel.band for channel in observation.channels]),
        x=np.asarray(table["x"], float),
        y=np.asarray(table["y"], float),
    )
    height, width = observation.shape
    return f"{folder.name}: {len(table)} sources, {len(images)} bands of {height}×{width} px"


def run(python: Path | str, script: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """Run a fit in a process of its own and return what it recorded."""
    command = [str(python), str(HERE / script), str(arguments[0]), repr(time.time()), *map(str, arguments[1:])]
    settings = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def history_of_peer(chi2: list[float], timed: dict[str, Any]) -> list[tuple]:
    """Return scarlet2's rows (iteration, chi², wall, CPU seconds), by the clock of a run that recorded no chi²."""
    rows = [(0, chi2[0], *timed["ready"])]
    for step in range(1, len(chi2)):
        clocks = (f + (step - 1) * s for f, s in zip(timed["first_step"], timed["a_step"], strict=True))
        rows.append((step, chi2[step], *clocks))
    return rows


def first_below(rows: list[tuple], level: float) -> tuple | None:
    return next((row for row in rows if row[1] <= level), None)


def print_table(results: dict[str, tuple[dict[str, Any], list[tuple]]]) -> None:
    names = list(results)
    width = max(24, *(len(name) + 2 for name in names))
    print(f"\n{'wall s (CPU s) until':24}" + "".join(f"{name:>{width}}" for name in names))
    for key, label in (("imports", "imports are done"), ("ready", "the scene is set up")):
        print(f"{label:24}" + "".join(f"{_clock(results[n][0][key]):>{width}}" for n in names))
    firsts = [next(row for row in results[n][1] if row[0] >= 1) for n in names]
    print(f"{'the first step is done':24}" + "".join(f"{_clock(row[2:]):>{width}}" for row in firsts))
    for level in LEVELS:
        cells = []
        for name in names:
            row = first_below(results[name][1], level)
            cells.append("never" if row is None else f"{_clock(row[2:])} it {row[0]}")
        if any(cell != "never" for cell in cells):
            print(f"{f'chi² ≤ {level:g}':24}" + "".join(f"{cell:>{width}}" for cell in cells))
    ends = [results[n][1][-1] for n in names]
    print(f"{'the end':24}" + "".join(f"{_clock(row[2:])} it {row[0]}".rjust(width) for row in ends))
    print(f"{'chi² at the end':24}" + "".join(f"{row[1]:>{width}.4f}" for row in ends))


def _clock(seconds: Any) -> str:
    wall, cpu = seconds
    return f"{wall:.2f} ({cpu:.2f})"


def save_csv(path: Path, results: dict[str, tuple[dict[str, Any], list[tuple]]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["program", "iteration", "chi2", "wall_s", "cpu_s"])
        for name, (_, rows) in results.items():
            writer.writerows([name, *row] for row in rows)


def save_png(path: Path, results: dict[str, tuple[dict[str, Any], list[tuple]]], title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, (_, rows) in results.items():
        axes.plot([row[2] for row in rows], [row[1] for row in rows], ".-", label=name, markersize=3)
    axes.set(yscale="log", xlabel="wall time since the process was started [s]", ylabel="chi² per pixel", title=title)
    axes.axhline(1.0, color="0.7", lw=0.8)
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent / "sample_data")
    parser.add_argument("--iterations", type=int, default=1000, help="of scarlet2 (default 1000)")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--png", type=Path, help="needs matplotlib")
    options = parser.parse_args()
    python = peer_python()
    with tempfile.TemporaryDirectory() as name:
        scene, cache = Path(name) / "scene.npz", str(Path(name) / "cache")
        print(title := save_scene(options.data, scene))
        results: dict[str, tuple[dict[str, Any], list[tuple]]] = {}
        for label in ("deblend, first time", "deblend, compiled before"):
            record = run(sys.executable, "run_deblend.py", scene, 60, JAX_COMPILATION_CACHE_DIR=cache)
            results[label] = record, [tuple(row) for row in record["steps"]]
        chi2 = run(python, "run_scarlet2.py", scene, options.iterations, "trace")["chi2"]
        # by itself it keeps nothing; whoever sets these two variables gets the second column
        keep = {
            "JAX_COMPILATION_CACHE_DIR": str(Path(name) / "peer_cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        for label in (", first time", ", compiled before"):
            timed = run(python, "run_scarlet2.py", scene, options.iterations, "time", **keep)
            results[timed["program"] + label] = timed, history_of_peer(chi2, timed)
    print_table(results)
    if options.csv:
        save_csv(options.csv, results)
    if options.png:
        save_png(options.png, results, title)


if __name__ == "__main__":
    main()
