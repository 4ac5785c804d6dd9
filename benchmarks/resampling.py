#!/usr/bin/env python3
"""What it costs to see a fine model through telescopes of other pixels: forward and transpose, next to bare FFTs.

The model lies on 275² pixels of 0.03″. HSC sees five bands on 50² pixels of 0.168″, HST one on 250² of its own; then
HSC turned by 30°, and HST images that are turned against each other. The bare convolution is a transform of every
channel of the padded sky, times a kernel, and back, and its transpose, with the same library in the same process, turn
by turn with ours. Goal: at most 3 times that, below 1 GB.

    python benchmarks/resampling.py [--json FILE]
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from measured import Row, concluded, parser_of

from deblend import Channel, Observation, Program, TangentWcs, empty_scene
from deblend.observe import gaussian_psf
from deblend.program.convolution import observe, observe_adjoint

PART = "telescopes"
GOAL, GOAL_MEMORY = 3.0, 1000.0
MODEL = 275
FULL_WIDTHS = {"HSC": 4.0, "HST": 3.4}
"""Of the PSFs [own pix]."""
REPEATS = 40


def telescope(name: str, bands: str, side: int, scale: float, angle: float = 0.0) -> Observation:
    """Return an observation of `side`² pixels of `scale` [arcsec], turned by `angle` [deg]."""
    turn = np.radians(angle)
    matrix = scale * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs = TangentWcs((150.0, 2.0), ((side - 1) / 2, (side - 1) / 2), tuple(map(tuple, matrix)))
    images = np.zeros((len(bands), side, side))
    channels = [Channel(name, band) for band in bands]
    psf = gaussian_psf(FULL_WIDTHS[name])
    return Observation.from_arrays(images, psf, np.ones_like(images), channels=channels, name=name, wcs=wcs)


def bare_convolution(layout: Any) -> Callable[[], Any]:
    """Return a function that convolves every channel of the padded sky and back, by FFTs, and does nothing else."""
    rng = np.random.default_rng(1)
    size = tuple(scipy.fft.next_fast_len(n, real=True) for n in layout.canvas_shape)
    sky = jnp.asarray(rng.normal(size=(layout.n_channels, *layout.canvas_shape)).astype(np.float32))
    kernel = jnp.asarray(np.fft.rfft2(rng.normal(size=(layout.n_channels, *size))).astype(np.complex64))

    def both(kernel: Any, sky: Any) -> Any:
        seen = jnp.fft.irfft2(jnp.fft.rfft2(sky, s=size) * kernel, s=size)
        return jnp.fft.irfft2(jnp.fft.rfft2(seen) * jnp.conj(kernel), s=size)

    compiled = jax.jit(both)
    return lambda: jax.block_until_ready(compiled(kernel, sky))


def seconds(*calls: Callable[[], Any]) -> list[float]:
    """Return the least of several runs of every call [s], taken in turns, after one that compiles."""
    for call in calls:
        jax.block_until_ready(call())
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            jax.block_until_ready(call())
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


def compare(title: str, observations: list[Observation]) -> Row:
    """Print and return what the whole costs next to the bare convolution."""
    program = Program(observations, empty_scene(observations), standard_groups=True)
    layout, data = program.layout, jax.tree.map(jnp.asarray, program.data)
    rng = np.random.default_rng(1)
    canvas = jnp.asarray(rng.normal(size=(layout.n_channels, *layout.canvas_shape)).astype(np.float32))

    def both(data: Any, canvas: Any) -> Any:
        return observe_adjoint(layout, data, observe(layout, data, canvas))

    seeing = jax.jit(both)
    ours, plain = seconds(lambda: seeing(data, canvas), bare_convolution(layout))
    sky = f"sky {layout.canvas_shape[0]:4d}²"
    print(f"{title:34s} {sky}  {1e3 * ours:7.1f} ms  {1e3 * plain:7.1f} ms  {ours / plain:5.2f}")
    of = f"{1e3 * ours:.1f} ms to {1e3 * plain:.1f} ms"
    return Row(PART, f"{title}, there and back, to bare FFTs", ours / plain, "", GOAL, of=of)


def main() -> int:
    options = parser_of(__doc__).parse_args()
    print(f"{'':34s} {'':9s} {'resampled':>10s}  {'bare FFTs':>10s}  ratio (goal: at most {GOAL:g})")
    hst = telescope("HST", "w", MODEL - 25, 0.03)
    rows = [
        compare("5 × 50² HSC + 250² HST", [hst, telescope("HSC", "grizy", 49, 0.168)]),
        compare("5 × 50² HSC, turned, + 250² HST", [hst, telescope("HSC", "grizy", 40, 0.168, 30.0)]),
    ]
    compare("5 × 180² HST, turned, + 250² HST", [hst, telescope("HST", "vijhk", 180, 0.03, 30.0)])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    rows.append(Row(PART, "memory of all of these", memory, "MB", GOAL_MEMORY))
    print(f"Largest memory of this process: {memory:.0f} MB (goal: below {GOAL_MEMORY:g})")
    return concluded(rows, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
