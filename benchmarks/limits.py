#!/usr/bin/env python3
"""How right fluxes can be at all: what noise alone leaves to know of blended Sérsic galaxies, as one table.

    python benchmarks/limits.py --set generated easy --scenes 12 --seed 101

The floor of `quality.py` knows the true picture of every source. A fit does not: center, size, axis ratio, angle and
index have to be found in the same pixels. The inverse of the Fisher matrix of all of that bounds the errors of every
unbiased estimate (Cramér 1946; Rao 1945), linearized at the truth; with the spread that these galaxies have added as a
Gaussian belief, it is about what the best estimate could reach that knows the population (van Trees 1968).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from blends import Blend, drawn, transfers
from jaxtyping import Float
from scene_sets import AXIS_RATIOS, INDICES, SIZES, drawn_spectrum, generate, scene_sets
from scores import LEAST_BLENDED_SNR

SETS = "generated", "easy", "crowded", "equal-colors"
"""Those whose galaxies are all Sérsic profiles."""
CENTER_SCATTER = 0.3
"""How well places are known [pix]."""
UNIFORM = 1 / np.sqrt(12.0)
"""Standard deviation of a uniform distribution of range 1."""
BELIEFS = {
    "center": CENTER_SCATTER,
    "size": UNIFORM * float(np.log(SIZES[1] / SIZES[0])),
    "axis ratio": UNIFORM * float(np.log(AXIS_RATIOS[1] / AXIS_RATIOS[0])),
    "angle": UNIFORM * np.pi,
    "index": UNIFORM * float(np.log(INDICES[1] / INDICES[0])),
}
"""Standard deviations of a Gaussian that is as wide as the population; logarithms but for center and angle [rad]."""
STEPS = {"center": 0.02, "size": 0.01, "axis ratio": 0.01, "angle": 0.05, "index": 0.02}
"""Of differences that derivatives are taken from."""
KNOWN: dict[str, tuple[str, ...]] = {
    "all shapes known (floor)": (),
    "and not where they are": ("center",),
    "and not how large": ("center", "size"),
    "and not how flat": ("center", "size", "axis ratio", "angle"),
    "nothing known": ("center", "size", "axis ratio", "angle", "index"),
}
BELIEVED = "nothing known but what galaxies are like"
N_DRAWS = 200


def pictures(blend: Blend, source: int, **off: float) -> Float[np.ndarray, "band y x"]:
    """Return a source with its flux, off in its parameters by so much; "x" and "y" stand for its center."""
    x, y = blend.x[source] + off.get("x", 0.0), blend.y[source] + off.get("y", 0.0)
    (part,) = blend.things[source]
    spectrum = part.spectrum
    if part.sersic is not None and set(off) - {"x", "y"}:
        index, size, ratio, angle = part.sersic
        shape = (
            index * np.exp(off.get("index", 0.0)),
            size * np.exp(off.get("size", 0.0)),
            min(ratio * np.exp(off.get("axis ratio", 0.0)), 1.0),
            angle + np.degrees(off.get("angle", 0.0)),
        )
        spectrum = drawn_spectrum(np.random.default_rng(0), generate.sersic(*shape))
    return blend.flux[source][:, None, None] * np.stack([drawn(spectrum * each, x, y) for each in transfers()])


def derivatives(blend: Blend, source: int) -> Iterator[tuple[str, Float[np.ndarray, "band y x"]]]:
    """Yield the derivatives of the image by each parameter of a source but its fluxes, with their names."""
    for name, step in STEPS.items():
        if name != "center" and blend.is_star[source]:
            continue
        for axis in ("x", "y") if name == "center" else (name,):
            # an axis ratio is 1 at most
            back = 2 * step if name == "axis ratio" else step
            ahead = 0.0 if name == "axis ratio" else step
            change = pictures(blend, source, **{axis: ahead}) - pictures(blend, source, **{axis: -back})
            yield name, change / (ahead + back)


def errors(blend: Blend) -> dict[str, Float[np.ndarray, " galaxy"]]:
    """Return the least errors of the galaxies' fluxes in i, relative to them, by what is known."""
    sigma = np.sqrt(blend.variance)
    names, rows, wanted = [], [], []
    for source in range(len(blend.x)):
        for band in range(len(blend.bands)):
            if band == blend.band_i and not blend.is_star[source]:
                wanted.append(len(names))
            image = np.zeros_like(blend.images)
            image[band] = blend.truth[source, band]
            names.append("flux")
            rows.append((image / sigma).ravel())
        for name, change in derivatives(blend, source):
            names.append(name)
            rows.append((change / sigma).ravel())
    fisher = np.array(rows) @ np.array(rows).T
    belief = np.array([BELIEFS.get(name, np.inf) ** -2.0 for name in names])
    result = {}
    for label, free in (*KNOWN.items(), (BELIEVED, KNOWN["nothing known"])):
        # a place is told with any fit
        only_place = np.where(np.array(names) == "center", belief, 0.0)
        matrix = fisher + np.diag(belief if label == BELIEVED else only_place)
        used = np.flatnonzero([name == "flux" or name in free for name in names])
        inverse = np.linalg.inv(matrix[np.ix_(used, used)])
        result[label] = np.sqrt(np.diagonal(inverse))[np.searchsorted(used, wanted)]
    return result


def median_of(error: Float[np.ndarray, " galaxy"], normal: Float[np.ndarray, "draw galaxy"]) -> float:
    """Return the median |ΔF/F| that is expected of errors that are normal."""
    return float(np.median(np.abs(normal * error), axis=1).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("DEBLEND_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sets = scene_sets(options.data)
    print(f"seed {options.seed}, {options.scenes} scenes; expected median |ΔF/F|, and its ratio to the floor\n")
    print("| set | what is known | all | S/N 20-100 | blended > 0.2 |\n|---|---|---|---|---|")
    for name in options.set:
        blends = [sets[name].make(options.seed, number) for number in range(options.scenes)]
        found = [errors(blend) for blend in blends]
        is_galaxy = np.concatenate([~blend.is_star for blend in blends])
        snr, blendedness = (
            np.concatenate([getattr(blend, which) for blend in blends])[is_galaxy] for which in ("snr", "blendedness")
        )
        normal = np.random.default_rng(0).normal(size=(N_DRAWS, len(snr)))
        parts = (snr > 0, (snr > 20) & (snr < 100), (blendedness > 0.2) & (snr > LEAST_BLENDED_SNR))
        floors = None
        for label in found[0]:
            error = np.concatenate([each[label] for each in found])
            medians = [median_of(error[part], normal[:, part]) for part in parts]
            floors = floors or medians
            cells = [f"{m:.3f} ({m / f:.1f}×)" for m, f in zip(medians, floors, strict=True)]
            print("| " + " | ".join([name, label, *cells]) + " |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
