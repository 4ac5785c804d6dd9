#!/usr/bin/env python3
"""The numbers of the first release, by the command line alone, each next to its goal.

On the HSC scene: chi² at every iteration, seconds with an empty and with a filled compilation cache, memory, and
whether fluxes stay when boxes grow by half. On the simulated blend and on the sample: fluxes and colors against the
truth. Every fit is a process of its own. Exit status 1 where a goal is missed.

    python benchmarks/first_light.py [--data FOLDER]      (default: DEBLEND_DATA, else ../shared/data)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table

HERE = Path(__file__).resolve().parent
SKY_VARIANCE = 19.9
"""Of the simulated blend [counts²]; its light adds as much variance as it has counts."""


@dataclass(frozen=True)
class Fit:
    """What a run of `deblend fit` left."""

    summary: dict[str, Any]
    catalog: QTable
    fluxes: np.ndarray
    """Sum of every source's picture per band, (source, band), in the input's unit."""
    wall: float
    memory: float
    """Largest resident memory of the process [MB]."""


def deblend_fit(*arguments: object, out: Path, cache: Path) -> Fit:
    """Run `deblend fit` with a compilation cache in a process of its own."""
    command = [sys.executable, "-m", "deblend", "fit", *map(str, arguments), "--out", str(out), "--quiet"]
    settings = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=settings)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code
    if code not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with status {code}.")
    with fits.open(out / "components.fits") as file:
        pictures = {hdu.header["SOURCE"]: hdu.data.sum(axis=(1, 2)) for hdu in file if "SOURCE" in hdu.header}
    return Fit(
        json.loads((out / "summary.json").read_text()),
        QTable.read(out / "catalog.ecsv"),
        np.array([pictures[row] for row in sorted(pictures)], float),
        wall,
        usage.ru_maxrss / 1024,
    )


class Goals:
    """Prints numbers next to their goals and remembers whether all were met."""

    def __init__(self) -> None:
        self.met = True

    def show(self, what: str, value: float, low: float, high: float, unit: str = "") -> None:
        good = low <= value <= high
        self.met &= good
        goal = f"≤ {high:g}" if low == -np.inf else f"{low:g} to {high:g}"
        print(f"  {what:58} {value:9.4g} {unit:6} goal {goal:14} {'met' if good else 'MISSED'}")

    def at_most(self, what: str, value: float, high: float, unit: str = "") -> None:
        self.show(what, value, -np.inf, high, unit)


def hsc(folder: Path, scratch: Path, goals: Goals) -> None:
    """Seven sources of a real scene: speed, memory, and fluxes that do not hang on the size of the boxes."""
    images = sorted(folder.glob("calexp-*.fits"))
    stamps = [argument for p in images for argument in ("--psf", p.with_name(p.name.replace("calexp", "psf")))]
    peaks = ("--peaks", folder / "peaks.csv")
    cache = scratch / "cache"
    cold = deblend_fit(*images, *stamps, *peaks, out=scratch / "cold", cache=cache)
    warm = deblend_fit(*images, *stamps, *peaks, out=scratch / "warm", cache=cache)
    large = deblend_fit(*images, *stamps, *peaks, "--box-scale", 1.5, out=scratch / "large", cache=cache)

    print(f"\n{folder.name}: {len(warm.catalog)} sources")
    for name, fit in (("cold", cold), ("warm", warm)):
        phases = "  ".join(f"{phase} {s:.2f}" for phase, s in fit.summary["seconds"].items())
        print(f"  {name}: {phases}   process {fit.wall:.1f} s, {fit.memory:.0f} MB")
    iterations = trace(images, folder / "peaks.csv", cache)
    print("  chi² by iteration: " + "  ".join(f"{i}: {c:.4g}" for i, c in iterations))

    goals.show("chi² per pixel", warm.summary["chi2"], 0.95, 1.20)
    early = [c for i, c in iterations if i <= 20]
    goals.show("chi² per pixel after at most 20 iterations", early[-1], 0.95, 1.20)
    goals.at_most("solving, CPU", warm.summary["seconds"]["fit_cpu"], 0.5, "s")
    goals.at_most("from files to the fit, empty cache, without imports", job_seconds(cold), 15, "s")
    goals.at_most("from files to the fit, filled cache, without imports", job_seconds(warm), 1.0, "s")
    goals.at_most("memory", max(cold.memory, warm.memory), 800, "MB")
    goals.show("chi² per pixel with boxes larger by half", large.summary["chi2"], 0.95, 1.20)
    column = next(name for name in warm.catalog.colnames if name.startswith("flux_") and name.endswith("_i"))
    error = np.asarray(warm.catalog[column.replace("flux_", "flux_err_")].value, float)
    before, after = (np.asarray(fit.catalog[column].value, float) for fit in (warm, large))
    change = np.abs(after - before)
    print("  i flux with boxes larger by half, change and two error bars:")
    for row, (flux, c, e) in enumerate(zip(before, change, error, strict=True)):
        size = max(abs(flux), 1e-9) / 100
        print(f"    source {row}: {flux:10.1f} nJy  {c / size:6.1f} %  {2 * e / size:6.1f} %")
    beyond = int(np.sum((change > 0.1 * np.abs(before)) & (change > 2 * error)))
    goals.at_most("sources whose i flux changes by more than both", beyond, 0)


def job_seconds(fit: Fit) -> float:
    seconds = fit.summary["seconds"]
    return sum(seconds[phase] for phase in ("read", "detect", "prepare", "fit"))


def trace(images: list[Path], peaks: Path, cache: Path) -> list[tuple[int, float]]:
    """Return (iteration, chi²) of a fit through the Python interface, in a process of its own."""
    code = (
        "import json, sys; from deblend import Observation, fit, scene_from_positions;"
        "from deblend.io import read_peaks;"
        "paths = sys.argv[2:]; o = (Observation.read(*paths, psf=[p.replace('calexp', 'psf') for p in paths]),);"
        "s = scene_from_positions(o, *read_peaks(sys.argv[1], o[0]));"
        "print(json.dumps([(t.iteration, t.chi2) for t in fit(s, o)]))"
    )
    settings = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", code, str(peaks), *map(str, images)]
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return [(int(i), float(c)) for i, c in json.loads(done.stdout.splitlines()[-1])]


def simulated(folder: Path, scratch: Path, goals: Goals) -> None:
    """Seven simulated sources at their true positions: fluxes and colors against the truth."""
    truth = fits.getdata(folder / "truth.fits").astype(float)
    weights = 1 / (np.clip(truth.sum(axis=0), 0, None) + SKY_VARIANCE)
    fits.writeto(scratch / "weights.fits", weights)
    fit = deblend_fit(
        *(folder / "image.fits", "--psf", folder / "psf.fits", "--weights", scratch / "weights.fits"),
        *("--peaks", folder / "components.csv", "--bands", "u,g,r,i,z,y"),
        out=scratch / "simulated",
        cache=scratch / "cache",
    )
    flux = truth.sum(axis=(2, 3))
    snr = np.sqrt((truth**2 * weights).sum(axis=(2, 3)))
    relative = np.abs(fit.fluxes / flux - 1)
    bright = snr > 20
    print(f"\n{folder.name}: {len(flux)} sources, chi² {fit.summary['chi2']:.4f}")
    stars = np.array([str(s) == "True" for s in Table.read(folder / "components.csv")["is_star"]])
    for row in range(len(flux)):
        changes = "  ".join(f"{100 * (f / t - 1):+7.1f}" for f, t in zip(fit.fluxes[row], flux[row], strict=True))
        print(f"    {'star  ' if stars[row] else 'galaxy'} {row}: ΔF/F [%] ugrizy {changes}   S/N {snr[row].max():.0f}")
    goals.at_most("median |ΔF/F|, S/N > 20", float(np.median(relative[bright])), 0.07)
    g, r = 1, 2
    use = bright[:, g] & bright[:, r] & (fit.fluxes[:, g] > 0) & (fit.fluxes[:, r] > 0)
    color = -2.5 * np.log10(fit.fluxes[use, g] / fit.fluxes[use, r]) + 2.5 * np.log10(flux[use, g] / flux[use, r])
    scatter = 1.4826 * float(np.median(np.abs(color - np.median(color))))
    goals.at_most(f"scatter (NMAD) of g-r, {use.sum()} sources", scatter, 0.07, "mag")


def sample(folder: Path, scratch: Path) -> None:
    """The sample blend at its true positions: what is left of every object, without a goal."""
    truth = fits.getdata(folder / "truth.fits.gz").astype(float)
    table = Table.read(folder / "truth.ecsv")
    table["x", "y"].write(scratch / "positions.csv", format="ascii.csv", overwrite=True)
    images = [folder / f"calexp-HSC-{band}.fits" for band in "GRIZY"]
    fit = deblend_fit(*images, "--peaks", scratch / "positions.csv", out=scratch / "sample", cache=scratch / "cache")
    flux = truth.sum(axis=(2, 3))
    print(f"\n{folder.name}: {len(flux)} sources, chi² {fit.summary['chi2']:.4f}, ΔF/F [%] in grizy")
    for name, f, t, snr in zip(table["name"], fit.fluxes, flux, table["snr"], strict=True):
        print(f"    {name:18}" + "  ".join(f"{100 * c:+7.1f}" for c in f / t - 1) + f"   S/N {snr:.0f}")
    relative = np.abs(fit.fluxes / flux - 1)
    print(f"  median |ΔF/F| {np.median(relative):.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("DEBLEND_DATA", HERE.parents[1] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit("The test images are absent; name their folder with --data or DEBLEND_DATA.")
    goals = Goals()
    with tempfile.TemporaryDirectory() as scratch:
        hsc(options.data / "hsc_cosmos_35", Path(scratch), goals)
        simulated(options.data / "sim_matched", Path(scratch), goals)
        sample(HERE.parent / "sample_data", Path(scratch))
    return 0 if goals.met else 1


if __name__ == "__main__":
    raise SystemExit(main())
