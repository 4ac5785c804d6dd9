#!/usr/bin/env python3
"""What it costs to open a large mosaic and read a 300 × 300 cut-out of it into an observation.

The mosaic is 20,000 × 20,000 px of seeded noise with stars, written strip by strip as a plain image or RICE-compressed
(in rows, as fpack does, or in square tiles), with its weights beside it. Reading happens in a process of its own, whose
time and peak memory are printed: of the imports alone, and of the whole. Goal: 2 s, 500 MB.

    python benchmarks/mosaic.py [--side 20000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

GOAL_SECONDS, GOAL_MEGABYTES = 2.0, 500.0
STRIP = 500
"""Rows that are made at once."""
TILES = {"plain": None, "rows": (1, 0), "squares": (200, 200)}
"""How the mosaic is stored: uncompressed, or in tiles of (height, width), 0 for all of it."""
SCALE = 0.2 / 3600
PROBE = """
import json, re, sys, time
def megabytes():
    # not ru_maxrss, which a process inherits from the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
began = time.perf_counter()
from deblend import Observation
from deblend.io import overviews
imported, light = time.perf_counter(), megabytes()
path, psf, cutout = sys.argv[1:]
piece = Observation.read(path, psf=psf, cutout=cutout)
read, heavy = time.perf_counter(), megabytes()
views = overviews(path)
first = last = next(views)
seen = time.perf_counter()
for last in views:
    pass
print(json.dumps({
    "import_seconds": imported - began, "import_megabytes": light, "seconds": read - imported, "megabytes": heavy,
    "shape": piece.shape, "sum": float(piece.images.sum()), "overview_seconds": seen - read,
    "whole_overview_seconds": time.perf_counter() - read, "overview_shape": last.pixels.shape,
    "overview_megabytes": megabytes(),
}))
"""


def strip(first: int, rows: int, side: int) -> np.ndarray:
    """Return rows `first` to `first + rows` of the mosaic: noise of 1, and a star on every 100th pixel both ways."""
    image = np.random.default_rng(first).normal(size=(rows, side)).astype(np.float32)
    image[(np.arange(first, first + rows) % 100 == 0)[:, None] & (np.arange(side) % 100 == 0)[None]] += 500.0
    return image


def header_of(side: int) -> fits.Header:
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "BUNIT": "nJy"})
    header["CRPIX1"] = header["CRPIX2"] = side / 2 + 0.5
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -SCALE, 0.0, 0.0, SCALE
    header["FILTER"] = "HSC-I"
    return header


def make(folder: Path, kind: str, side: int) -> Path:
    """Write the mosaic of one kind, never holding more than the strip at hand or the compressed bytes."""
    path = folder / (f"mosaic_{kind}.fits" + ("" if kind == "plain" else ".fz"))
    plain = folder / "mosaic_plain.fits"
    if not plain.exists():
        header = header_of(side)
        ordered = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side})
        ordered.extend(header)
        stream = fits.StreamingHDU(str(plain), ordered)
        for first in range(0, side, STRIP):
            stream.write(strip(first, min(STRIP, side - first), side).astype(">f4"))
        stream.close()
    tile = TILES[kind]
    if tile is not None:
        with fits.open(plain, memmap=True) as hdus:
            shape = (tile[0] or side, tile[1] or side)
            compressed = fits.CompImageHDU(
                hdus[0].data, hdus[0].header, compression_type="RICE_1", tile_shape=shape, quantize_level=16
            )
            compressed.writeto(path)
    return path


def measure(path: Path, folder: Path, side: int) -> dict[str, float]:
    """Return seconds and megabytes of a process that reads the middle 300 × 300 px of a mosaic."""
    psf = folder / "psf.fits"
    y, x = np.mgrid[-10:11, -10:11]
    fits.writeto(psf, np.exp(-(x**2 + y**2) / 2 / 1.5**2), overwrite=True)
    command = [sys.executable, "-c", PROBE, str(path), str(psf), "150.0 2.0 300px"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=TILES, default=list(TILES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for kind in arguments.kinds:
            path = make(folder, kind, arguments.side)
            found = measure(path, folder, arguments.side)
            print(
                f"{kind}: {path.stat().st_size / 1e6:.0f} MB on disk, {found['shape']} read in {found['seconds']:.2f} "
                f"s (goal {GOAL_SECONDS:g}), imports {found['import_seconds']:.2f} s; peak {found['megabytes']:.0f} MB "
                f"(goal {GOAL_MEGABYTES:.0f}), {found['import_megabytes']:.0f} MB of them imports; overview: first in "
                f"{found['overview_seconds']:.2f} s, whole in {found['whole_overview_seconds']:.2f} s, peak "
                f"{found['overview_megabytes']:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
