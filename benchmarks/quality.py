#!/usr/bin/env python3
"""How right the fluxes of blended galaxies are: fits of blends of real galaxies against their truth.

    python benchmarks/quality.py --blends 24 --seed 1 --save default.json
    python benchmarks/quality.py --blends 24 --seed 1 --set correction=0.2 --against default.json

Sources are placed at their true positions, or off by `--position-error`; stars are fitted as points. Everything is
counted over galaxies, in i unless said otherwise; errors come from drawing blends again. The floor knows the true
picture of every source and solves for fluxes only. `--set` tries a setting: `correction` and `positivity` (of galaxies;
0 switches them off), `center_scatter`, `size` (factor on starting sizes), `box_scale`, a field of FitSettings, or a
constant of the engine by its NAME. `--against` prints what changes from a saved run, blend by blend.
Needs the stamps in `cosmos_stamps` of DEBLEND_DATA, or of `--data`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# a thread each for small matrices costs more than it gains
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from blends import BANDS, Blend, Galaxies, make_blend
from scipy.optimize import nnls

from deblend import Constraint, ConstraintKind, FitSettings, Scene, Source, compilations, fit, scene_from_positions
from deblend.detect import start

N_DRAWS = 400
G, R, I = (BANDS.index(band) for band in "gri")  # noqa: E741
CLIP = 1.0
"""Relative errors are cut there before they are averaged, so that one lost source does not outweigh all others."""
SCENE_SETTINGS = ("correction", "positivity", "center_scatter")


@dataclass
class Result:
    """What a fit of one blend found, next to the truth; fluxes are (source, band)."""

    is_star: list[bool]
    snr: list[float]
    blendedness: list[float]
    truth: list[list[float]]
    flux: list[list[float]]
    floor: list[list[float]]
    chi2: float
    iterations: int
    seconds: float | None
    """CPU time of the fit; None where something was compiled in it."""
    outcome: str


def run(blend: Blend, kind: str, shifts: np.ndarray, settings: dict[str, Any]) -> Result:
    """Fit one blend; `shifts` are the errors of its positions (source, xy) [pix]."""
    observations = (blend.observation,)
    x, y = blend.x + shifts[:, 0], blend.y + shifts[:, 1]
    scene = scene_from_positions(observations, x, y, kind=kind, box_scale=settings.get("box_scale", 1.0))
    scene = scene.with_sources(
        with_settings(source.retyped("point") if is_star else source, settings)
        for source, is_star in zip(scene.sources, blend.is_star, strict=True)
    )
    fields = {f.name for f in dataclasses.fields(FitSettings)}
    fit_settings = FitSettings(**{name: value for name, value in settings.items() if name in fields})
    before, started = compilations(), time.process_time()
    fit_ = fit(unsolved(scene), observations, fit_settings)
    best = fit_.run()
    seconds = time.process_time() - started if compilations() == before else None
    return Result(
        blend.is_star.tolist(),
        blend.snr.tolist(),
        blend.blendedness.tolist(),
        blend.flux.tolist(),
        best.scene.fluxes.tolist(),
        floor(blend).tolist(),
        best.chi2,
        fit_.state.iteration,
        seconds,
        fit_.state.outcome.name,
    )


def floor(blend: Blend) -> np.ndarray:
    """Return non-negative fluxes (source, band) for the true pictures."""
    result = np.zeros_like(blend.flux)
    for band in range(len(BANDS)):
        result[:, band] = nnls(blend.templates[:, band].reshape(len(blend.x), -1).T, blend.images[band].ravel())[0]
    return result


def with_settings(source: Source, settings: dict[str, Any]) -> Source:
    component = source.components[0]
    morphology = component.morphology
    for name, constraint in (("correction", ConstraintKind.CORRECTION), ("positivity", ConstraintKind.POSITIVITY)):
        if name in settings and morphology.constraint(constraint) is not None:
            strength = float(settings[name])
            morphology = morphology.with_constraint(Constraint(constraint, strength, strength > 0))
    scatter = settings.get("center_scatter", source.center_scatter)
    return replace(source, components=(replace(component, morphology=morphology),), center_scatter=scatter)


def unsolved(scene: Scene) -> Scene:
    """Return the scene with no flux known."""
    sources = []
    for source in scene.sources:
        component = source.components[0]
        spectrum = component.spectrum.at(np.full(len(scene.channels), np.nan))
        sources.append(replace(source, components=(replace(component, spectrum=spectrum),)))
    return scene.with_sources(sources)


def set_constant(name: str, value: Any) -> None:
    """Change a constant of the engine wherever it is known."""
    modules = [m for key, m in sys.modules.items() if key.split(".")[0] == "deblend" and hasattr(m, name)]
    if not modules:
        raise SystemExit(f"There is no setting {name}; see --help.")
    for module in modules:
        setattr(module, name, value)


def apply_globally(settings: dict[str, Any]) -> None:
    """Apply those settings that are no argument of anything; before anything is compiled."""
    fields = {f.name for f in dataclasses.fields(FitSettings)}
    for name, value in settings.items():
        if name == "size":
            start.half_light_radius = scaled(start.half_light_radius, value)
        elif name not in fields and name not in SCENE_SETTINGS and name != "box_scale":
            set_constant(name, value)


def scaled(function: Callable[..., float], factor: float) -> Callable[..., float]:
    return lambda *args: factor * function(*args)


def parsed(setting: str) -> tuple[str, Any]:
    name, _, value = setting.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


# -- statistics ------------------------------------------------------------------------------------------------


class Galaxy(dict[str, np.ndarray]):
    """Columns over the galaxies of several blends."""

    @staticmethod
    def of(results: list[Result], which: str) -> Galaxy:
        """Collect `flux` or `floor`."""
        use = ~np.concatenate([r.is_star for r in results])
        truth, found = (np.concatenate([getattr(r, name) for r in results])[use] for name in ("truth", which))
        with np.errstate(divide="ignore", invalid="ignore"):
            color = -2.5 * np.log10(found[:, G] / found[:, R] * truth[:, R] / truth[:, G])
        return Galaxy(
            error=found[:, I] / truth[:, I] - 1.0,
            color=color,
            snr=np.concatenate([r.snr for r in results])[use],
            blendedness=np.concatenate([r.blendedness for r in results])[use],
        )


def median_error(g: Galaxy, keep: np.ndarray | None = None) -> float:
    error = np.abs(g["error"] if keep is None else g["error"][keep])
    return float(np.median(error)) if error.size else np.nan


def color_scatter(g: Galaxy) -> float:
    color = g["color"][np.isfinite(g["color"])]
    return float(1.4826 * np.median(np.abs(color - np.median(color)))) if color.size else np.nan


STATISTICS: dict[str, Callable[[Galaxy], float]] = {
    "median ΔF/F": median_error,
    "S/N 20-100": lambda g: median_error(g, (g["snr"] > 20) & (g["snr"] < 100)),
    "blended > 0.2": lambda g: median_error(g, g["blendedness"] > 0.2),
    "bias": lambda g: float(np.median(g["error"])),
    "g-r": color_scatter,
    "wrong by 50 %": lambda g: float(np.mean(np.abs(g["error"]) > 0.5)),
    "mean, cut at 1": lambda g: float(np.mean(np.minimum(np.abs(g["error"]), CLIP))),
}


def draws(results: list[Result]) -> list[list[int]]:
    """Return which blends to take, drawn with repetition, the same for every run of so many blends."""
    rng = np.random.default_rng(len(results))
    return [list(rng.integers(0, len(results), len(results))) for _ in range(N_DRAWS)]


def with_error(statistic: Callable[[list[int]], float], samples: list[list[int]]) -> tuple[float, float]:
    everything = list(range(len(samples[0])))
    return statistic(everything), float(np.nanstd([statistic(sample) for sample in samples]))


def show_table(results: list[Result]) -> None:
    samples = draws(results)
    print("| |" + "|".join(STATISTICS) + "|\n|" + "---|" * (len(STATISTICS) + 1))
    for title, which in (("fit", "flux"), ("floor", "floor")):
        cells = []
        for statistic in STATISTICS.values():

            def taken(take: list[int], s: Callable[[Galaxy], float] = statistic, w: str = which) -> float:
                return s(Galaxy.of([results[i] for i in take], w))

            value, error = with_error(taken, samples)
            cells.append(f"{value:.3f} ± {error:.3f}")
        print(f"| {title} | " + " | ".join(cells) + " |")
    stars = np.concatenate([r.is_star for r in results])
    truth, found = (np.concatenate([getattr(r, name) for r in results])[stars, I] for name in ("truth", "flux"))
    seconds = [r.seconds for r in results if r.seconds is not None]
    iterations = [r.iterations for r in results]
    outcomes = {name: [r.outcome for r in results].count(name) for name in sorted({r.outcome for r in results})}
    print(f"{len(results)} blends, {np.sum(~stars)} galaxies, {stars.sum()} stars", end="")
    print(f" (median ΔF/F {np.median(np.abs(found / truth - 1)):.3f})" if stars.any() else "", end="")
    print(f"; mean chi² {np.mean([r.chi2 for r in results]):.4f}", end="")
    print(f"; iterations {np.mean(iterations):.1f}, most {max(iterations)}", end="")
    print(f"; CPU s per fit {np.median(seconds):.2f} (median of {len(seconds)})" if seconds else "", end="")
    print("; " + ", ".join(f"{name.lower()} {n}" for name, n in outcomes.items()))


def show_difference(results: list[Result], before: list[Result]) -> None:
    """Print what changed, over the same blends."""
    if [r.truth for r in results] != [r.truth for r in before]:
        raise SystemExit("The saved run is of other blends; use the same --blends and --seed.")
    samples = draws(results)
    cells = []
    for name, statistic in STATISTICS.items():

        def change(take: list[int], s: Callable[[Galaxy], float] = statistic) -> float:
            new, old = (Galaxy.of([each[i] for i in take], "flux") for each in (results, before))
            return s(new) - s(old)

        value, error = with_error(change, samples)
        cells.append(f"{name} {value:+.4f} ± {error:.4f}")
    chi2 = np.mean([r.chi2 for r in results]) - np.mean([r.chi2 for r in before])
    iterations = np.mean([r.iterations for r in results]) - np.mean([r.iterations for r in before])
    print("change: " + "; ".join(cells) + f"; chi² {chi2:+.4f}; iterations {iterations:+.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("DEBLEND_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--blends", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", default="galaxy", help="what galaxies are fitted as")
    parser.add_argument("--position-error", type=float, default=0.0, help="rms per axis [pix]")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    folder = options.data / "cosmos_stamps"
    if not folder.is_dir():
        raise SystemExit("The stamps of galaxies are absent; name their folder with --data or DEBLEND_DATA.")
    settings = dict(parsed(setting) for setting in options.set)
    apply_globally(settings)
    galaxies = Galaxies.read(folder)
    results = []
    for number in range(options.blends):
        blend = make_blend(galaxies, options.seed, number)
        shifts = np.random.default_rng((options.seed, number, 1)).normal(size=(len(blend.x), 2))
        results.append(run(blend, options.kind, options.position_error * shifts, settings))
    if options.save:
        options.save.write_text(json.dumps([dataclasses.asdict(r) for r in results]))
    print(" ".join([options.kind, *options.set, f"position error {options.position_error:g} px, seed {options.seed}"]))
    show_table(results)
    if options.against:
        show_difference(results, [Result(**r) for r in json.loads(options.against.read_text())])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
