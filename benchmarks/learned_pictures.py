#!/usr/bin/env python3
"""Make the pictures of docs/priors.md from what `learned.py` and `expectation.py` have left in results/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from learned_blends import BANDS, PSFS
from learned_rows import WAYS
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
BAND = BANDS.index("i")
SOFTENING = 0.03
"""Brightness at which the stretch turns from linear to logarithmic [peak]."""
MOST_SIGMA = 4.0
"""Of residuals that are told apart."""
MARGIN = 4
"""Pixels of an image's rim that are not shown."""
INCH, DPI = 0.62, 95
SAMPLES_IN_ROW = 8


def stretched(image: Float[np.ndarray, "y x"], peak: float) -> Float[np.ndarray, "y x"]:
    return np.arcsinh(image / peak / SOFTENING)


def show(axes: Any, image: Float[np.ndarray, "y x"], **how: Any) -> None:
    inner = slice(MARGIN, -MARGIN)
    axes.imshow(image[inner, inner], origin="lower", interpolation="nearest", **how)


def ways_picture(kept: Path, target: Path) -> None:
    """Write both galaxies of one blend by every way, and what is left of the image, behind all PSFs."""
    with np.load(kept) as arrays:
        shown = dict(arrays)
    ways = ["truth", *(way for way in WAYS if f"{next(iter(PSFS))}: {way}" in shown)]
    figure = Figure(figsize=(9 * INCH + 1.9, len(ways) * INCH + 0.4), dpi=DPI)
    grid = figure.subplots(len(ways), 9, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    figure.subplots_adjust(
        left=1.85 / figure.get_figwidth(), right=0.995, bottom=0.005, top=1 - 0.4 / figure.get_figheight()
    )
    for block, (psf, sigma) in enumerate(PSFS.items()):
        image, truth = shown[psf][BAND], shown[f"{psf}: truth"][:, BAND]
        for row, way in enumerate(ways):
            light = shown[f"{psf}: {way}"][:, BAND]
            left = image - light.sum(axis=0)
            for column, own in enumerate(light):
                peak = float(truth[column].max())
                show(grid[row, 3 * block + column], stretched(own, peak), cmap="gray", vmin=-1.0, vmax=4.2)
            show(grid[row, 3 * block + 2], left, cmap="RdBu", vmin=-MOST_SIGMA, vmax=MOST_SIGMA)
        grid[0, 3 * block + 1].set_title(f"PSF of {sigma:g} px ({psf})", fontsize=7, pad=12)
        for column, title in enumerate(("one", "other", "left")):
            grid[0, 3 * block + column].text(
                0.5, 1.06, title, transform=grid[0, 3 * block + column].transAxes, ha="center", fontsize=6
            )
    for row, way in enumerate(ways):
        grid[row, 0].text(-0.1, 0.5, way, transform=grid[row, 0].transAxes, ha="right", va="center", fontsize=7)
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig(target)


def laps_picture(kept: Path, target: Path) -> None:
    """Write samples of every lap's prior, galaxies as they were seen, and held-out errors by lap."""
    rows = {row["name"]: row["error"] for row in json.loads(kept.read_text())["rows"]}
    with np.load(kept.with_suffix(".npz")) as arrays:
        samples = dict(arrays)
    laps = [name for name in rows if name.startswith("lap")]
    order = ["seen", "first", *laps, "of the package"]
    figure = Figure(figsize=(SAMPLES_IN_ROW * INCH + 3.9, len(order) * INCH + 0.2), dpi=DPI)
    parts: Any = figure.subfigures(1, 2, width_ratios=(SAMPLES_IN_ROW * INCH + 1.1, 2.8))
    grid = parts[0].subplots(len(order), SAMPLES_IN_ROW, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    parts[0].subplots_adjust(left=0.18, right=0.99, bottom=0.02, top=0.98)
    for row, name in enumerate(order):
        for axes, picture in zip(grid[row], samples[name], strict=False):
            peak = float(picture.max())
            axes.imshow(stretched(picture, peak), origin="lower", cmap="gray", vmin=-1.0, vmax=4.2)
        grid[row, 0].text(-0.1, 0.5, name, transform=grid[row, 0].transAxes, ha="right", va="center", fontsize=7)
    for axes in grid.ravel():
        axes.set_axis_off()
    axes = parts[1].subplots()
    parts[1].subplots_adjust(left=0.24, right=0.96, bottom=0.14, top=0.95)
    by_lap = [rows[name] for name in ("first", *laps)]
    axes.errorbar(range(len(by_lap)), [v for v, _ in by_lap], [e for _, e in by_lap], marker="o", color="k", lw=1)
    value, spread = rows["of the package"]
    axes.axhspan(value - spread, value + spread, color="0.85")
    axes.axhline(value, color="0.5", lw=1)
    axes.text(0.02, value, "of the package", fontsize=6, va="bottom", color="0.3")
    axes.set_xticks(range(len(by_lap)), ["first", *(name.removeprefix("lap ") for name in laps)], fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("lap", fontsize=7)
    axes.set_ylabel("error of posterior means, held out", fontsize=7)
    axes.set_ylim(bottom=0.0)
    figure.savefig(target)


def main() -> None:
    if (RESULTS / "learned.npz").exists():
        ways_picture(RESULTS / "learned.npz", IMAGES / "learned_ways.png")
    for name, target in (("expectation", "laps.png"), ("expectation_real", "laps_real.png")):
        if (RESULTS / f"{name}.json").exists():
            laps_picture(RESULTS / f"{name}.json", IMAGES / target)


if __name__ == "__main__":
    main()
