"""How fast a whole field is fitted, and what that takes: simulated fields of several sizes, written as FITS files.

    python benchmarks/batch.py --sides 512 1024 2048 4096 --workers 2

For each field it prints how many of the sources were found, blends and sources a second by the wall and per second of
the processors, compilations, the most memory that any process held, how fluxes of sources that are alone compare with
the truth, and how those of guests agree with those that count. Cost per source should not depend on the size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from measured import Row
from measured import write as write_rows
from scipy.spatial import cKDTree
from simulated_field import BANDS, NOISE, Field, simulated

from deblend.cli import main as deblend

GOAL_RATE, GOAL_COMPILATIONS, GOAL_MEMORY = 30.0, 12.0, 4000.0
ALONE = 10.0
"""Without another source within this, the truth of a source is certain [pix]."""


def write(field: Field, folder: Path) -> list[str]:
    """Write images, PSFs and weights of a field, a file each per band; return the arguments that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    images, companions = [], []
    for k, band in enumerate(BANDS):
        header = field.wcs.to_header()
        header["FILTER"], header["BUNIT"], header["SURVEY"] = band, "nJy", "SIM"
        paths = [str(folder / f"{what}-{band}.fits") for what in ("field", "psf", "weight")]
        fits.PrimaryHDU(field.images[k], header).writeto(paths[0], overwrite=True)
        fits.PrimaryHDU(field.psf[k]).writeto(paths[1], overwrite=True)
        fits.PrimaryHDU(np.full(field.images[k].shape, NOISE[k] ** -2.0, np.float32)).writeto(paths[2], overwrite=True)
        images.append(paths[0])
        companions += ["--psf", paths[1], "--weights", f"ivar:{paths[2]}"]
    return [*images, *companions]


def children_seconds() -> float:
    """Return the processor's seconds of this process and of those that it has started and that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measured(field: Field, arguments: list[str], out: Path, workers: int) -> dict[str, float]:
    """Fit a field and return the numbers."""
    wall, processor = time.perf_counter(), children_seconds()
    status = deblend(["batch", *arguments, "--workers", str(workers), "--out", str(out), "-q"])
    assert status == 0, f"exit status {status}"
    wall, processor = time.perf_counter() - wall, children_seconds() - processor
    summary, table = json.loads((out / "summary.json").read_text()), QTable.read(out / "catalog.fits")
    places = np.column_stack([table["x"].value, table["y"].value])
    truth = cKDTree(np.column_stack([field.x, field.y]))
    distance, nearest = truth.query(places)
    alone = (distance < 1.0) & (truth.query_ball_point(places, ALONE, return_length=True) == 1)
    flux = np.column_stack([table[f"flux_SIM_{band}"].value for band in BANDS])[alone]
    error = np.column_stack([table[f"flux_err_SIM_{band}"].value for band in BANDS])[alone]
    off = flux - field.fluxes[nearest[alone]]
    bright = flux[:, 2] > 30 * error[:, 2]
    return {
        "placed": len(field.x),
        "sources": len(table),
        "blends": summary["n_blends"],
        "fit_s": summary["seconds"]["fit"],
        "detect_s": summary["seconds"]["detect"],
        "wall_s": wall,
        "cpu_s": processor,
        "blends/s": summary["n_blends"] / summary["seconds"]["fit"],
        "sources/s": len(table) / summary["seconds"]["fit"],
        "cpu_ms/source": 1e3 * processor / len(table),
        "compilations": summary["compilations"],
        "MB": max(summary["memory_mb"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "failed": summary["n_failed"],
        "chi2": summary["median_chi2"],
        "pull": 1.4826 * np.median(np.abs(off / error)),
        "bright_%": 100.0 * np.median(np.abs(off[bright, 2] / field.fluxes[nearest[alone]][bright, 2])),
        "guests": summary["n_guests"],
        "border": summary.get("border_scatter_in_errors") or np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048, 4096], help="[pix]")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--errors", default="held", help="as of `deblend batch`")
    parser.add_argument("--passes", default="0", help="as of `deblend batch`")
    parser.add_argument("--folder", type=Path, help="keep fields and results here")
    parser.add_argument("--json", type=Path, help="keep rates, compilations and memory in this file")
    given = parser.parse_args()
    rows: list[Row] = []
    with TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for side in given.sides:
            field = simulated(side, given.seed)
            arguments = [*write(field, folder / f"field_{side}"), "--errors", given.errors, "--passes", given.passes]
            out = folder / f"out_{side}_{given.workers}_{given.errors}_{given.passes}"
            numbers = measured(field, arguments, out, given.workers)
            print(f"{side}²: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()), flush=True)
            rows += rows_of(side, given.workers, numbers)
    if given.json:
        write_rows(given.json, rows)


def rows_of(side: int, workers: int, numbers: dict[str, float]) -> list[Row]:
    """Return what is asked of a batch on two cores, next to what it did."""
    where = f"{side}², {workers} workers"
    return [
        Row("batch", f"sources a second, {where}", numbers["sources/s"], "1/s", GOAL_RATE, is_least=True),
        Row("batch", f"compilations, {where}", numbers["compilations"], "", GOAL_COMPILATIONS),
        Row("batch", f"most memory of a process, {where}", numbers["MB"], "MB", GOAL_MEMORY),
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
