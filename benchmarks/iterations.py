#!/usr/bin/env python3
"""What an iteration of the solver costs: next to the bare FFTs that it needs, and with more and more sources.

An iteration of Gauss-Newton takes up to so many products with the normal matrix, a linearization and a trial; each is
about one convolution of every channel and its transpose. The bare ones are transforms of every channel of the padded
sky, times a kernel, and back, with the same library, in turn with ours. With more sources in boxes of the same sizes
the same code runs, so that neither compiling nor anything but the sources' own part may take longer.

    python benchmarks/iterations.py [--data FOLDER] [--json FILE]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jax
import numpy as np
from astropy.table import Table
from measured import Row, concluded, empty_cache, parser_of
from resampling import bare_convolution

from deblend import (
    FitSettings,
    Observation,
    Program,
    Scene,
    compilations,
    empty_scene,
    fit,
    make_source,
    read_observations,
    scene_from_positions,
)
from deblend.observe import gaussian_psf

PART = "iterations"
GOAL_FFT, GOAL_COMPILE = 3.0, 1.3
NUMBERS = (10, 30, 100, 300, 1000)
SIDE = 512
"""Of the sky with more and more sources [pix]."""
REPEATS = 20


def patch(folder: Path) -> tuple[Observation, Scene]:
    """Return the images of a folder, and sources where it says that they are."""
    (observation,) = read_observations(sorted(map(str, folder.glob("calexp-*.fits"))))
    peaks = folder / "peaks.csv"
    table = Table.read(peaks) if peaks.exists() else Table.read(folder / "truth.ecsv")
    return observation, scene_from_positions(
        [observation], np.asarray(table["x"], float), np.asarray(table["y"], float)
    )


def against_transforms(observation: Observation, scene: Scene) -> Row:
    """Return how much longer an iteration takes than the bare transforms that it needs."""
    running = fit(scene, [observation], FitSettings(tolerance=1e-12))
    running.run()
    convolve = bare_convolution(running.program.layout)
    convolve()
    steps, plain = [], []
    for _ in range(REPEATS):
        running.edit(scene)
        next(running)
        started = time.perf_counter()
        next(running)
        steps.append(time.perf_counter() - started)
        started = time.perf_counter()
        convolve()
        plain.append(time.perf_counter() - started)
    n = running.settings.inner_iterations + 2
    step, one = float(np.median(steps)), float(np.median(plain))
    of = f"{1e3 * step:.1f} ms to {n} × {1e3 * one:.2f} ms"
    return Row(PART, "an iteration, to the bare FFTs", step / (n * one), "", GOAL_FFT, of=of)


def crowd(n: int) -> tuple[Observation, Scene]:
    """Return a sky with so many sources, all of one kind in boxes of one size."""
    rng = np.random.default_rng(n)
    images = rng.normal(size=(3, SIDE, SIDE))
    sky = Observation.from_arrays(images, gaussian_psf(4.0), np.ones_like(images), channels=list("gri"))
    scene = empty_scene([sky])
    places = rng.uniform(20, SIDE - 20, (n, 2))
    flux = np.full(3, 500.0)
    return sky, scene.add(*(make_source("galaxy", x, y, n_channels=3, radius=9, flux=flux) for x, y in places))


def with_more_sources() -> list[Row]:
    """Return what compiling takes, and an iteration, with many sources to with few."""
    compiling, steps = {}, {}
    for n in NUMBERS:
        jax.clear_caches()
        sky, scene = crowd(n)
        before, started = compilations(), time.perf_counter()
        program = Program([sky], scene)
        running = fit(scene, [sky], FitSettings(tolerance=1e-12), program)
        next(running), next(running)
        first = time.perf_counter() - started
        running.edit(scene)
        times = []
        for _ in range(5):
            next(running)
            started = time.perf_counter()
            next(running)
            times.append(time.perf_counter() - started)
            running.edit(scene)
        steps[n] = float(np.median(times))
        compiling[n] = first - 2 * steps[n]
        print(
            f"  {n:5d} sources: {compilations() - before} parts compiled, ready after {first:.1f} s, "
            f"an iteration {1e3 * steps[n]:.1f} ms",
            flush=True,
        )
    few, many = NUMBERS[0], NUMBERS[-1]
    return [
        Row(
            PART,
            f"compiling with {many} sources, to {few}",
            compiling[many] / compiling[few],
            "",
            GOAL_COMPILE,
            of=f"{compiling[many]:.1f} s to {compiling[few]:.1f} s",
        ),
        Row(
            PART,
            f"an iteration with {many} sources, to {few}, a source",
            steps[many] / many / (steps[few] / few),
            "",
            1.0,
            of=f"{1e3 * steps[many]:.0f} ms to {1e3 * steps[few]:.1f} ms",
        ),
    ]


def main() -> int:
    options = parser_of(__doc__, of_scene=True).parse_args()
    with empty_cache():
        rows = [against_transforms(*patch(options.data)), *with_more_sources()]
    return concluded(rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
