#!/usr/bin/env python3
"""What comes out where nobody says what is there: sources are found, fitted and measured as `deblend fit` does it.

    python benchmarks/unaided.py --set real spirals generated crowded --scenes 30 --seed 1
    python benchmarks/unaided.py --set real --deeper 4 --save deep.json

Scenes are those of `scene_sets.py`, `--deeper` times as bright over their noise. A true source is found where one that
was found lies within half a FWHM or, for galaxies, within their half-light radius, one to one. Scores: *found*, the
share of true sources of a signal to noise above 10 that were; *excess*, sources that are none, per true one, and the
light of theirs [of all]; and the errors of fluxes in i, where a source that was not found is wrong by all of its flux.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# a thread each for small matrices costs more than it gains
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from blends import FWHM, PIXEL, Blend
from jaxtyping import Float
from scene_sets import scene_sets
from scipy.optimize import linear_sum_assignment

from deblend import Scene, Search, StopRule, begun_anew, detect, fit, uneven
from deblend.detect.search import HIDDEN_ROUNDS
from deblend.infer import FitSettings

TARGET_SNR = 10.0
N_DRAWS = 400
SEEN_WITHIN = 0.5
"""[FWHM]"""


@dataclass
class Found:
    """What was found in one scene, next to its truth; fluxes are those in i."""

    snr: list[float]
    blendedness: list[float]
    is_star: list[bool]
    truth: list[float]
    flux: list[float]
    """Of the source that stands for each true one; NaN where there is none."""
    excess: list[float]
    """Fluxes of all others."""
    chi2: float
    seconds: float
    outcome: str


def half_light_radii(blend: Blend) -> Float[np.ndarray, " source"]:
    """Return the radius that holds half of every source's light in i, as seen [pix]."""
    y, x = np.indices(blend.images.shape[1:])
    radii = []
    for k, picture in enumerate(blend.templates[:, blend.band_i]):
        distance = np.hypot(x - blend.x[k], y - blend.y[k]).ravel()
        order = np.argsort(distance)
        light = np.cumsum(picture.ravel()[order])
        radii.append(distance[order][np.searchsorted(light, 0.5 * light[-1])])
    return np.array(radii)


def stands_for(blend: Blend, scene: Scene) -> np.ndarray:
    """Return which source of a scene stands for each true one; -1 for none."""
    reach = np.maximum(SEEN_WITHIN * FWHM[2] / PIXEL, np.where(blend.is_star, 0.0, half_light_radii(blend)))
    x, y = (np.array([getattr(source, axis) for source in scene.sources]) for axis in "xy")
    distance = np.hypot(blend.x[:, None] - x, blend.y[:, None] - y) / reach[:, None]
    result = np.full(len(blend.x), -1)
    if len(x):
        # of those near enough the brighter one, and a little the nearer one
        flux = scene.fluxes[:, blend.band_i]
        cost = np.where(distance <= 1.0, distance - np.log(np.maximum(flux, 1e-3 * flux.max()))[None], 1e3)
        rows, columns = linear_sum_assignment(cost)
        near = distance[rows, columns] <= 1.0
        result[rows[near]] = columns[near]
    return result


def deepened(blend: Blend, by: float) -> Blend:
    """Return the blend so many times as bright over the same noise."""
    images = blend.images + (by - 1.0) * blend.truth.sum(axis=0)
    return dataclasses.replace(blend, images=images, flux=by * blend.flux)


def looked_at(blend: Blend, passes: int, hidden: int, keeps_kinds: bool) -> Found:
    """Find, fit and measure what is in one scene, in the steps of `deblend fit`."""
    started, observations = time.process_time(), [blend.observation]
    search = Search(detect(observations, solve=False), passes, hidden)
    settings = FitSettings()
    running = fit(search.start, observations, dataclasses.replace(settings, stop=StopRule.ROUGH))
    best = running.run()
    while (more := search.after(best.scene, observations, [best.model(0)], best.sources())) is not None:
        running.edit(more)
        best = running.run()
    running.settings = settings
    best = running.edit(search.freed(best.scene))
    if not keeps_kinds:
        while not (best.outcome.is_final or running.has_slowed):
            best = next(running)
    anew = () if keeps_kinds else uneven(best.scene, observations)
    if not anew:
        best = running.run()
        anew = () if keeps_kinds else uneven(best.scene, observations)
    if anew:
        again = fit(begun_anew(best.scene, anew, observations), observations, settings, running.program)
        again.run()
        if again.state.outcome.is_success:
            running, best = again, again.best
        else:
            running.edit(best.scene)
            best = running.run()
    if faded := search.faded(best.scene, observations, best.sources()):
        running.edit(best.scene.remove(*faded))
        best = running.run()
    of, flux = stands_for(blend, best.scene), best.scene.fluxes[:, blend.band_i]
    return Found(
        blend.snr.tolist(),
        blend.blendedness.tolist(),
        blend.is_star.tolist(),
        blend.flux[:, blend.band_i].tolist(),
        np.where(of >= 0, flux[of], np.nan).tolist(),
        np.delete(flux, of[of >= 0]).tolist(),
        best.chi2,
        time.process_time() - started,
        running.state.outcome.name,
    )


# -- statistics ------------------------------------------------------------------------------------------------


def scores(found: Sequence[Found]) -> dict[str, float]:
    """Return the columns of the table."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(f, name), float) for f in found])

    truth, flux, target = column("truth"), column("flux"), column("snr") > TARGET_SNR
    is_found = np.isfinite(flux)
    error = np.abs(np.where(is_found, flux, 0.0) / truth - 1.0)
    galaxy, blended = target & (column("is_star") == 0), column("blendedness") > 0.2
    excess = column("excess")
    return {
        "found": float(is_found[target].mean()),
        "excess": len(excess) / len(truth),
        "its light": float(excess.sum() / truth.sum()),
        "median": float(np.median(error[galaxy])),
        "blended": float(np.median(error[galaxy & blended])),
        "S/N > 100": float(np.median(error[galaxy & (column("snr") > 100.0)])),
        "wrong by half": float((error[galaxy] > 0.5).mean()),
        "mean, cut at 1": float(np.minimum(error[galaxy], 1.0).mean()),
        "chi2": float(np.median([f.chi2 for f in found])),
        "CPU s": float(np.median([f.seconds for f in found])),
    }


def spread(found: Sequence[Found]) -> dict[str, float]:
    rng = np.random.default_rng(1)
    draws = [scores([found[i] for i in rng.integers(0, len(found), len(found))]) for _ in range(N_DRAWS)]
    return {name: float(np.nanstd([draw[name] for draw in draws])) for name in draws[0]}


def change(found: Sequence[Found], before: Sequence[Found]) -> str:
    """Return by how much errors, cut at 1, and excess have changed, scene by scene."""

    def error(f: Found) -> float:
        target = (np.array(f.snr) > TARGET_SNR) & ~np.array(f.is_star)
        off = np.abs(np.nan_to_num(np.array(f.flux)) / np.array(f.truth) - 1.0)[target]
        return float(np.minimum(off, 1.0).mean()) if target.any() else np.nan

    parts = []
    for name, of in (("error, cut at 1", error), ("excess", lambda f: len(f.excess) / len(f.truth))):
        by = np.array([of(a) - of(b) for a, b in zip(found, before, strict=True)])
        parts.append(f"{name} {np.nanmean(by):+.4f} ± {np.nanstd(by) / np.sqrt(np.isfinite(by).sum()):.4f}")
    return ", ".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("DEBLEND_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--set", nargs="+", metavar="NAME", default=["real", "spirals", "generated", "crowded"])
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deeper", type=float, default=1.0, metavar="FACTOR")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=HIDDEN_ROUNDS, help="rounds of trying what others may hide")
    parser.add_argument("--keep-kinds", action="store_true")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    sets = scene_sets(options.data)
    if unknown := set(options.set) - set(sets):
        raise SystemExit(f"There is no {', '.join(sorted(unknown))}; what can be made here: {', '.join(sets)}.")
    before = {} if options.against is None else json.loads(options.against.read_text())
    results: dict[str, list[Found]] = {}
    names = list(scores([Found([20.0], [0.0], [False], [1.0], [1.0], [], 1.0, 0.0, "")]))
    print(f"seed {options.seed}, {options.deeper:g} times as deep, {options.passes} passes")
    print("| set | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1), flush=True)
    for name in options.set:
        blends = (deepened(sets[name].make(options.seed, k), options.deeper) for k in range(options.scenes))
        found = results[name] = [
            looked_at(blend, options.passes, options.hidden, options.keep_kinds) for blend in blends
        ]
        value, error = scores(found), spread(found)
        cells = [f"{value[n]:.3f} ± {error[n]:.3f}" for n in names]
        print(f"| {name}, {len(found)} | " + " | ".join(cells) + " |", flush=True)
        if name in before:
            print(f"{name}: {change(found, [Found(**each) for each in before[name]])}", flush=True)
        if options.save:
            text = {n: [dataclasses.asdict(f) for f in fs] for n, fs in results.items()}
            options.save.write_text(json.dumps(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
