#!/usr/bin/env python3
"""kill -9 at random moments of a fit, of saving, of keeping work and of a batch: what is left is whole, and goes on.

    python benchmarks/faults.py --trials 100 --seed 0

Of each trial: a process is begun, killed after a random time, and whatever lies there is read. A file that is there has
to be whole; work that was said to be kept has to open; a batch has to go on, and to end with the catalog that it would
have had. Prints a line per kind: trials, how many were killed in the middle, and what was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from deblend.io import read_journal, read_session

SHARES = {"fit": 0.2, "save": 0.25, "journal": 0.2, "autosave": 0.2, "batch": 0.15}
"""Of the trials."""
WORK = """
    import sys, itertools
    from pathlib import Path
    import numpy as np
    from deblend import Observation, Scene, make_source
    from deblend.io import Journal, Session, write_session
    from deblend.observe import gaussian_psf

    images = np.random.default_rng(1).normal(size=(2, 200, 200))
    seen = Observation.from_arrays(images, gaussian_psf(3.0), np.ones_like(images), channels=["g", "i"])
    sources = [make_source("free-form", 0.0, 4.0 + k, n_channels=2, flux=[1.0, 2.0]) for k in range(20)]
    scene = Scene(seen.grid, seen.channels).add(*sources)
    def work(k):
        return Session(scene.moved({sources[0].id: (k, 4.0)}), (seen,))
"""
LOOPS = {
    "save": "write_session(Path(sys.argv[1]) / 'work.asdf', work(k))",
    "journal": "journal.keep(work(k))",
    "autosave": "progress.keep(work(k))",
}
BEFORE = {
    "save": "",
    "journal": """
    from deblend.io.session import journal as module
    module.LONG = 2_000_000
    journal = Journal(Path(sys.argv[1]) / "journal")
    """,
    "autosave": """
    import os
    os.environ["DEBLEND_CONFIG"] = sys.argv[1]
    from napari_deblend.kept_work import WorkInProgress
    progress = WorkInProgress()
    """,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=tuple(SHARES), action="append")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    n_wrong = 0
    with tempfile.TemporaryDirectory(prefix="deblend-faults-") as made:
        for kind in arguments.only or SHARES:
            start, n = time.time(), max(round(arguments.trials * SHARES[kind]), 1)
            folder = Path(made) / kind
            folder.mkdir()
            trials = {"fit": fits_killed, "batch": batch_killed}.get(
                kind, lambda f, m, r, k=kind: loop_killed(k, f, m, r)
            )
            n_killed, wrong = trials(folder, n, rng)
            n_wrong += len(wrong)
            print(
                f"{kind}: {n} trials, {n_killed} killed at work, {len(wrong)} wrong, {time.time() - start:.0f} s",
                flush=True,
            )
            for sentence in wrong:
                print(f"  {sentence}", flush=True)
    sys.exit(1 if n_wrong else 0)


def killed(command: list[str], after: float, ready: Callable[[str], bool] | None = None) -> tuple[bool, list[str]]:
    """Begin a process, kill it some time after it is ready; return whether it was at work, and what it has said."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = []
        if ready is not None:
            for line in process.stdout:
                said.append(line)
                if ready(line):
                    break
        try:
            process.wait(after)
            is_killed = False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            is_killed = True
        said += process.stdout.readlines()
    return is_killed, said


def loop_killed(kind: str, folder: Path, n: int, rng: random.Random) -> tuple[int, list[str]]:
    """Kill what saves or keeps work again and again; what was told to be kept, or one more, has to be there."""
    code = textwrap.dedent(WORK) + textwrap.dedent(BEFORE[kind])
    code += f"for k in itertools.count():\n    {LOOPS[kind]}\n    print(k, flush=True)\n"
    wrong, n_killed = [], 0
    for trial in range(n):
        place = folder / str(trial)
        place.mkdir()
        is_killed, said = killed([sys.executable, "-c", code, str(place)], rng.uniform(0.0, 1.0), lambda line: True)
        n_killed += is_killed
        try:
            if kind == "save":
                session = read_session(place / "work.asdf")
            elif kind == "journal":
                session = read_journal(place / "journal")
            else:
                session = kept_in(place)
            last = int(said[-1]) if said[-1].endswith("\n") else int(said[-2])
            if session is None or session.scene.sources[0].x - last not in (0, 1):
                wrong.append(f"trial {trial}: {last} was kept, found {session and session.scene.sources[0].x}")
        except Exception as error:
            wrong.append(f"trial {trial}: {type(error).__name__}: {error}")
    return n_killed, wrong


def kept_in(place: Path) -> object:
    os.environ["DEBLEND_CONFIG"] = str(place)
    from napari_deblend.kept_work import not_saved

    works = not_saved()
    return works[0].read() if works else None


def fits_killed(folder: Path, n: int, rng: random.Random) -> tuple[int, list[str]]:
    """Kill `deblend fit` anywhere between its start and its end; then it is run to its end over what is left."""
    images = blend_in(folder)
    command = [sys.executable, "-m", "deblend", "fit", *images, "--psf", "gaussian:3px", "--passes", "0", "-q"]
    start = time.time()
    subprocess.run([*command, "--out", str(folder / "first")], check=False, stdout=subprocess.DEVNULL)
    start, whole = time.time(), time.time() - start
    subprocess.run([*command, "--out", str(folder / "first")], check=False, stdout=subprocess.DEVNULL)
    whole = time.time() - start
    wrong, n_killed = [], 0
    for trial in range(n):
        # half of them where files are written
        after = rng.uniform(0.75, 1.05) * whole if trial % 2 else rng.uniform(0.0, whole)
        is_killed, _ = killed([*command, "--out", str(folder / "out")], after)
        n_killed += is_killed
        wrong += [f"trial {trial}: {sentence}" for sentence in broken_in(folder / "out")]
    done = subprocess.run([*command, "--out", str(folder / "out")], check=False, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        wrong.append(f"the last run ended with {done.returncode}")
    wrong += [f"in the end: {sentence}" for sentence in broken_in(folder / "out")]
    return n_killed, wrong


def broken_in(out: Path) -> list[str]:
    """Return a sentence per file that is not whole; hidden ones are what was being written."""
    readers: dict[str, Callable[[Path], object]] = {
        ".fits": read_fits, ".ecsv": QTable.read, ".json": lambda p: json.loads(p.read_text()),
        ".asdf": read_session, ".reg": lambda p: p.read_text(), ".html": lambda p: p.read_text().index("</html>"),
        ".parquet": QTable.read, ".npz": lambda p: np.load(p)["frame"],
    }  # fmt: skip
    wrong = []
    for path in out.rglob("*") if out.is_dir() else ():
        if path.is_file() and not path.name.startswith(".part-") and path.suffix in readers:
            try:
                readers[path.suffix](path)
            except Exception as error:
                wrong.append(f"{path.name}: {type(error).__name__}: {error}")
    return wrong


def read_fits(path: Path) -> None:
    with fits.open(path) as hdus:
        hdus.verify("exception")
        for hdu in hdus:
            np.asarray(hdu.data)


def blend_in(folder: Path) -> list[str]:
    """Write a small blend in two bands; return its files."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:48, :48]
    light = sum(
        f * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for f, a, b in ((40, 18, 20), (30, 27, 25), (25, 36, 36))
    )
    files = []
    for band in "gr":
        path = folder / f"image_{band}.fits"
        header = fits.Header({"FILTER": band, "BUNIT": "nJy"})
        fits.PrimaryHDU((light + rng.normal(size=light.shape)).astype("f4"), header).writeto(path)
        files.append(str(path))
    return files


def batch_killed(folder: Path, n: int, rng: random.Random) -> tuple[int, list[str]]:
    """Kill one batch again and again; in the end its catalog is that of one that was left alone."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from simulated_field import simulated

    observation = simulated(192, seed=5, n_sources=40, bands=2).observation(2)
    files = []
    for band, image in zip("gr", observation.images, strict=True):
        path = folder / f"field_{band}.fits"
        fits.PrimaryHDU(image.astype("f4"), fits.Header({"FILTER": band, "BUNIT": "nJy"})).writeto(path)
        files.append(str(path))
    command = [sys.executable, "-m", "deblend", "batch", *files, "--psf", "gaussian:3px", "-q", "--workers", "1"]
    command += ["--max-iterations", "5", "--out"]
    start = time.time()
    subprocess.run([*command, str(folder / "alone")], check=False, stdout=subprocess.DEVNULL)
    whole = time.time() - start
    wrong, n_killed = [], 0
    for trial in range(n):
        is_killed, _ = killed([*command, str(folder / "killed")], rng.uniform(0.2, 0.6) * whole)
        n_killed += is_killed
        wrong += [f"trial {trial}: {sentence}" for sentence in broken_in(folder / "killed")]
    subprocess.run([*command, str(folder / "killed")], check=False, stdout=subprocess.DEVNULL)
    alone, again = (QTable.read(folder / name / "catalog.fits") for name in ("alone", "killed"))
    if len(alone) != len(again):
        wrong.append(f"{len(again)} sources in place of {len(alone)}")
    else:
        for name in (c for c in alone.colnames if c.startswith("flux_")):
            a, b = (np.asarray(table[name].value, float) for table in (alone, again))
            if not np.array_equal(a, b, equal_nan=True):
                wrong.append(f"{name} differs by up to {np.nanmax(np.abs(a - b)):.2g}")
    return n_killed, wrong


if __name__ == "__main__":
    main()
