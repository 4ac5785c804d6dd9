#!/usr/bin/env python3
"""Whether errors are as large as they are said to be: pulls, ranks and coverage on simulated blends.

    python benchmarks/calibration.py pulls --scenes 300               # (fit - truth) / error, of parametric blends
    python benchmarks/calibration.py ranks --scenes 100               # of the truth among draws of NUTS
    python benchmarks/calibration.py coverage --scenes 40 --data DIR  # of light that is pixels under a regularizer

Truth of `pulls` and `ranks` is drawn from the very beliefs that fits have and seen by the engine itself, with noise: so
what is tested is whether errors follow from the data, not whether galaxies look as is believed. For `coverage` truth is
from `scene_sets`, which is drawn elsewhere: a regularizer biases what is fitted, on purpose, and the error that goes
with it is measured, as the share of a flux that has to be added, in squares, for 68 % of intervals to hold the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from jaxtyping import Float
from scipy import stats

from deblend import (
    FitSettings,
    LogNormal,
    Normal,
    Observation,
    Parameter,
    Program,
    Scene,
    Source,
    Status,
    empty_scene,
    fit,
    make_source,
    sample,
)
from deblend.infer.errors import draw
from deblend.observe import gaussian_psf

SHAPE, BANDS, NOISE = (48, 48), ("g", "i"), np.array([1.0, 0.8])
"""Size of the images [pix], channels and noise of a pixel [nJy]."""
PSFS = gaussian_psf(2.8), gaussian_psf(3.3)
KINDS = "point", "gaussian", "exponential", "sersic"
SNR = 12.0, 100.0
"""Range of the signal to noise in the second band, were the source alone."""
LEAST_SNR = 10.0
"""Of a channel whose pulls count."""
COLORS = -0.3, 1.0
"""Range of the difference of magnitudes."""
SIZES, INDICES = (1.0, 3.0), (0.7, 2.5)
SEPARATIONS = 3.0, 9.0
ROUNDNESS = 0.5
"""Standard deviation of both components of the ellipticity, as the engine believes."""
OFFSET = 0.1
"""Of each channel's own place [pix], as the engine believes."""
PLACE = 0.3
"""Of where sources are placed [pix]."""
RADIUS = 12
LEVEL = 0.6827
BINS = (10, 30), (30, 100), (100, 1000)
"""Of the signal to noise."""


def blank() -> Observation:
    weights = np.broadcast_to(NOISE[:, None, None] ** -2.0, (2, *SHAPE))
    return Observation.from_arrays(np.zeros((2, *SHAPE)), PSFS, weights, channels=list(BANDS), name="blend")


def seen(model: Float[np.ndarray, "band y x"], rng: np.random.Generator) -> Observation:
    """Return an observation of a model through noise."""
    images = model + rng.normal(size=model.shape) * NOISE[:, None, None]
    weights = np.broadcast_to(NOISE[:, None, None] ** -2.0, images.shape)
    return Observation.from_arrays(images, PSFS, weights, channels=list(BANDS), name="blend")


def unit_snr(program: Program, scene: Scene) -> Float[np.ndarray, "source band"]:
    """Return the signal to noise of each source, were it alone and of flux 1 nJy."""
    program.take(scene)
    return np.array(
        [
            [np.sqrt(np.sum(columns[0].on((2, *SHAPE))[k] ** 2)) / noise for k, noise in enumerate(NOISE)]
            for columns in program.pictures_of(scene)
        ]
    )


# -- pulls ---------------------------------------------------------------------------------------------------------


def drawn_source(rng: np.random.Generator, kind: str, x: float, y: float) -> Source:
    """Return a source of a kind, as fits believe in it, with a flux of 1 nJy."""
    size = float(np.exp(rng.uniform(*np.log(SIZES))))
    source = make_source(kind, x, y, n_channels=2, flux=np.ones(2), half_light_radius=size, radius=RADIUS)
    component = source.components[0]
    shape = component.morphology.parameters
    changed = {}
    if "ellipticity" in shape:
        changed["ellipticity"] = shape["ellipticity"].at(np.clip(ROUNDNESS * rng.standard_normal(2), -2.0, 2.0))
    if "index" in shape:
        changed["index"] = shape["index"].at(rng.uniform(*INDICES))
    component = replace(component, morphology=component.morphology.with_parameters(**changed))
    offsets = source.channel_offsets.at(np.clip(OFFSET * rng.standard_normal((2, 2)), -0.4, 0.4))
    return replace(source, components=(component,), channel_offsets=offsets)


def drawn_blend(
    program: Program, rng: np.random.Generator, kinds: Sequence[str]
) -> tuple[Scene, Float[np.ndarray, "source band"]]:
    """Return two or three sources that overlap, with their signal to noise per band."""
    places = [np.array(SHAPE[::-1]) / 2 - 0.5 + rng.uniform(-2.0, 2.0, 2)]
    while len(places) < 2 + int(rng.random() < 0.5):
        angle, apart = rng.uniform(0, 2 * np.pi), rng.uniform(*SEPARATIONS)
        new = places[0] + apart * np.array([np.cos(angle), np.sin(angle)])
        if min(np.hypot(*(new - other)) for other in places) > SEPARATIONS[0]:
            places.append(new)
    scene = empty_scene([blank()]).add(*(drawn_source(rng, str(rng.choice(list(kinds))), *place) for place in places))
    per_flux = unit_snr(program, scene)
    snr = np.exp(rng.uniform(*np.log(SNR), len(places)))
    red = snr / per_flux[:, 1]
    fluxes = np.stack([red * 10 ** (-0.4 * rng.uniform(*COLORS, len(places))), red], axis=1)
    return with_fluxes(scene, fluxes), fluxes * per_flux


def with_fluxes(scene: Scene, fluxes: Float[np.ndarray, "source band"]) -> Scene:
    return scene.with_sources(
        replace(s, components=(replace(s.components[0], spectrum=s.components[0].spectrum.at(flux)),))
        for s, flux in zip(scene.sources, fluxes, strict=True)
    )


def told(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return where a fit begins: places that are off by what is said of them, round sources, and no fluxes."""
    sources = []
    for source in scene.sources:
        x, y = source.center.value + PLACE * rng.standard_normal(2)
        start = make_source(
            source.kind,
            x,
            y,
            n_channels=2,
            half_light_radius=(source.components[0].morphology.half_light_radius_guess or 2.0) * rng.uniform(0.8, 1.25),
            radius=RADIUS,
            id=source.id,
        )
        center = Parameter(start.center.value, priors=(Normal(x, PLACE), Normal(y, PLACE)))
        sources.append(replace(start, center=center))
    return scene.with_sources(sources)


def numbers_of(scene: Scene) -> dict[str, np.ndarray]:
    """Return fluxes (source, band), colors (source,) and places (source, xy)."""
    fluxes = scene.fluxes
    colors = -2.5 * np.log10(np.maximum(fluxes[:, 0], 1e-3) / np.maximum(fluxes[:, 1], 1e-3))
    return {"flux": fluxes, "color": colors, "place": np.array([[s.x, s.y] for s in scene.sources])}


@dataclass
class Pulls:
    """(value - truth) / error of many sources."""

    values: dict[str, list[float]] = field(default_factory=lambda: {"flux": [], "color": [], "place": []})
    kinds: dict[str, list[str]] = field(default_factory=lambda: {"flux": [], "color": [], "place": []})
    snrs: dict[str, list[float]] = field(default_factory=lambda: {"flux": [], "color": [], "place": []})
    n_unsettled: int = 0

    def add(self, name: str, kind: str, snr: float, values: Any) -> None:
        for value in np.ravel(values):
            self.values[name].append(float(value))
            self.kinds[name].append(kind)
            self.snrs[name].append(snr)


def scene_of_kinds(kinds: Sequence[str]) -> Scene:
    """Return a scene with every kind: programs that begin with it have the same groups, and compile once."""
    return empty_scene([blank()]).add(*map(placeholder, kinds))


def placeholder(kind: str) -> Source:
    source = make_source(kind, 24.0, 24.0, n_channels=2, flux=np.ones(2), radius=RADIUS)
    # of which something is believed, so that the group has room for that
    return replace(source, center=source.center.believed(Normal(24.0, PLACE)))


def pulls(
    n_scenes: int,
    n_draws: int = 64,
    seed: int = 0,
    method: str = "gaussian",
    kinds: Sequence[str] = KINDS,
    progress: Callable[[int], Any] = lambda _: None,
) -> Pulls:
    """Return the pulls of `n_scenes` blends that are fitted with their own families; errors are those of draws."""
    result, telescope = Pulls(), Program([blank()], scene_of_kinds(kinds), solve=False)
    for number in range(n_scenes):
        rng = np.random.default_rng((seed, number))
        truth, snr = drawn_blend(telescope, rng, kinds)
        telescope.take(truth)
        observation = seen(np.asarray(telescope.model(), float), rng)
        program = Program([observation], scene_of_kinds(kinds), solve=False)
        fitted = fit(told(truth, rng), [observation], FitSettings(), program).run().scene
        sampling = sample(fitted, [observation], method, n_draws, number, program)
        drawn = [numbers_of(draw.scene) for draw in sampling]
        result.n_unsettled += not sampling.sampler.has_settled
        expected, found = numbers_of(truth), numbers_of(sampling.mode)
        for name, true in expected.items():
            values = np.stack([each[name] for each in drawn])
            middle = values.mean(axis=0) if method == "nuts" else found[name]
            off = (middle - true) / values.std(axis=0, ddof=1)
            for k, source in enumerate(truth.sources):
                bright = snr[k] > LEAST_SNR
                if name == "flux":
                    for band in np.flatnonzero(bright):
                        result.add(name, source.kind, float(snr[k, band]), off[k, band])
                elif bright.all() if name == "color" else bright.any():
                    result.add(name, source.kind, float(snr[k].max()), off[k])
        progress(number + 1)
    return result


def told_of(result: Pulls, n_draws: int) -> Iterator[str]:
    """Yield mean and standard deviation of pulls, with their errors, as lines of a table.

    A deviation of n draws is itself off, and makes pulls wider by √((n - 1)/(n - 3)): that is taken off.
    """
    wider = np.sqrt((n_draws - 1) / (n_draws - 3))
    for name, values in result.values.items():
        kinds, snrs, pull = np.array(result.kinds[name]), np.array(result.snrs[name]), np.array(values) / wider
        rows = [("all", np.ones(len(pull), bool)), *((kind, kinds == kind) for kind in KINDS)]
        rows += [("S/N < 20", snrs < 20), ("S/N > 20", snrs > 20)]
        for label, chosen in rows:
            n = int(chosen.sum())
            if n > 1:
                mean, deviation = pull[chosen].mean(), pull[chosen].std(ddof=1)
                yield (
                    f"{name:6s} {label:12s} {n:5d}  mean {mean:+.3f} ± {1 / np.sqrt(n):.3f}  sd {deviation:.3f} ± "
                    f"{1 / np.sqrt(2 * n):.3f}  |pull| < 1: {np.mean(np.abs(pull[chosen]) < 1):.3f}"
                )


# -- ranks ---------------------------------------------------------------------------------------------------------

BELIEVED_FLUXES = LogNormal(700.0, 0.4), LogNormal(900.0, 0.4)
BELIEVED_SIZE = LogNormal(2.0, 0.25)
N_RANKED, N_BINS, THINNED = 19, 5, 3
"""Draws that a truth is ranked among, bins of the ranks, and every how manyth draw counts."""


def believed_scene(rng: np.random.Generator | None) -> Scene:
    """Return a star on a galaxy with a prior of every number that is free; drawn from these where there is an `rng`."""
    scene = empty_scene([blank()])
    for kind, (x, y) in (("point", (21.0, 23.0)), ("gaussian", (25.0, 24.5))):
        source = make_source(kind, x, y, n_channels=2, flux=np.full(2, 800.0), half_light_radius=2.0, radius=RADIUS)
        center = Parameter(source.center.value, priors=(Normal(x, PLACE), Normal(y, PLACE)))
        component = source.components[0]
        spectrum = replace(component.spectrum, priors=BELIEVED_FLUXES)
        shape = component.morphology.parameters
        if "half_light_radius" in shape:
            shape["half_light_radius"] = shape["half_light_radius"].believed(BELIEVED_SIZE)
        if rng is not None:
            center = center.at(center.value + PLACE * rng.standard_normal(2))
            spectrum = spectrum.at([p.median * np.exp(p.deviation * rng.standard_normal()) for p in BELIEVED_FLUXES])
            if shape:
                size = BELIEVED_SIZE.median * np.exp(BELIEVED_SIZE.deviation * rng.standard_normal())
                shape["half_light_radius"] = shape["half_light_radius"].at(size)
                shape["ellipticity"] = shape["ellipticity"].at(ROUNDNESS * rng.standard_normal(2))
        component = replace(component, spectrum=spectrum, morphology=component.morphology.with_parameters(**shape))
        held = source.channel_offsets.with_status(Status.FIXED)
        scene = scene.add(replace(source, center=center, components=(component,), channel_offsets=held))
    return scene


def shape_numbers(scene: Scene) -> dict[str, float]:
    """Return every free number of such a scene by name."""
    result = {}
    for source in scene.sources:
        result |= {f"x of {source.kind}": source.x, f"y of {source.kind}": source.y}
        result |= {f"flux {k} of {source.kind}": float(f) for k, f in enumerate(source.flux)}
        for name, parameter in source.components[0].morphology.parameters.items():
            result |= {f"{name} {k} of {source.kind}": float(v) for k, v in enumerate(np.ravel(parameter.value))}
    return result


def ranks(n_scenes: int, seed: int = 0, progress: Callable[[int], Any] = lambda _: None) -> dict[str, list[int]]:
    """Return where the truth of each number lies among draws of NUTS, from 0 to `N_RANKED`, scene by scene."""
    result: dict[str, list[int]] = {}
    telescope = Program([blank()], believed_scene(None))
    for number in range(n_scenes):
        rng = np.random.default_rng((seed, number, 1))
        truth = believed_scene(rng)
        telescope.take(truth)
        observation = seen(np.asarray(telescope.model(), float), rng)
        program = Program([observation], truth)
        sampling = sample(truth, [observation], "nuts", THINNED * N_RANKED, number, program, n_chains=1, spread=1.0)
        drawn = [shape_numbers(draw.scene) for draw in sampling][THINNED - 1 :: THINNED]
        for name, true in shape_numbers(truth).items():
            result.setdefault(name, []).append(sum(each[name] < true for each in drawn))
        progress(number + 1)
    return result


def uniformity(found: list[int]) -> float:
    """Return the probability of ranks that are less even than these, by χ² over the bins."""
    counts = np.histogram(found, bins=N_BINS, range=(-0.5, N_RANKED + 0.5))[0]
    return float(stats.chisquare(counts).pvalue)


# -- coverage ------------------------------------------------------------------------------------------------------


def coverage(kind: str, name: str, n_scenes: int, seed: int, data: Path | None, n_draws: int = 24) -> dict[str, Any]:
    """Return how far fluxes of galaxies of S/N > 10 of a set of scenes are off, fitted as one kind, with their errors.

    (flux,) each: `off` [counts], `error`, `flux` as fitted, `snr`, and `blended`, the share of the light under it
    that is not its own.
    """
    from rows import Row, described, unsolved
    from scene_sets import scene_sets

    from deblend import scene_from_positions

    make = scene_sets(data)[name].make
    names = "off", "error", "flux", "snr", "blended"
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(n_scenes):
        blend = make(seed, number)
        observation = blend.observation
        scene = scene_from_positions([observation], blend.x, blend.y, kind=kind, solve=False)
        scene = scene.with_sources(
            described(source.retyped("point") if is_star else source, Row(kind), {})
            for source, is_star in zip(scene.sources, blend.is_star, strict=True)
        )
        running = fit(unsolved(scene), [observation], FitSettings())
        fitted = running.run().scene
        errors = draw(running.program, n_samples=n_draws, seed=number).flux_errors
        for k in np.flatnonzero(~blend.is_star):
            for band in range(len(blend.bands)):
                snr = float(np.sqrt((blend.truth[k, band] ** 2 / blend.variance[band]).sum()))
                if snr > LEAST_SNR:
                    off = fitted.fluxes[k, band] - blend.flux[k, band]
                    values = off, errors[k, band], fitted.fluxes[k, band], snr, blend.blendedness[k]
                    for column, value in zip(found.values(), values, strict=True):
                        column.append(float(value))
        print(f"{kind} on {name}: {number + 1}", file=sys.stderr, flush=True)
    return {"kind": kind, "set": name, **found}


def bias_of(found: dict[str, Any]) -> float:
    """Return the share of a flux that, beside its error, makes 68 % of intervals hold the truth."""
    off, error, flux = (np.array(found[name]) for name in ("off", "error", "flux"))

    def held(share: float) -> float:
        return float(np.mean(np.abs(off) < np.hypot(error, share * flux)))

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if held(middle) < LEVEL else (low, middle)
    return high if held(0.0) < LEVEL else 0.0


def covered(found: dict[str, Any], share: float) -> Iterator[str]:
    """Yield which fraction of intervals hold the truth, as they are and widened by a share of the flux."""
    off, error, flux, snr = (np.array(found[name]) for name in ("off", "error", "flux", "snr"))
    for label, chosen in (("all", snr > 0), *((f"S/N {a}-{b}", (snr > a) & (snr < b)) for a, b in BINS)):
        if n := int(chosen.sum()):
            plain = np.mean(np.abs(off) < error, where=chosen)
            wide = np.mean(np.abs(off) < np.hypot(error, share * flux), where=chosen)
            yield (
                f"{found['kind']} on {found['set']}, {label}: {n} fluxes, errors hold {plain:.3f}, with "
                f"{100 * share:.1f} % of the flux beside them {wide:.3f} ± {np.sqrt(LEVEL * (1 - LEVEL) / n):.3f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pulls", "ranks", "coverage"))
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", default="gaussian", choices=("gaussian", "rto", "nuts"))
    parser.add_argument("--kind", nargs="+", default=["free-form", "starlet", "galaxy"])
    parser.add_argument("--set", nargs="+", default=["generated"], dest="sets")
    parser.add_argument("--data", type=Path, default=os.environ.get("DEBLEND_DATA"))
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    started = time.process_time()

    def progress(number: int) -> None:
        print(f"{number} of {given.scenes}, {time.process_time() - started:.0f} CPU s", file=sys.stderr, flush=True)

    saved: Any
    if given.what == "pulls":
        result = pulls(given.scenes, given.draws, given.seed, given.method, progress=progress)
        print("\n".join(told_of(result, given.draws)), f"{result.n_unsettled} not at a minimum", sep="\n")
        saved = {"values": result.values, "kinds": result.kinds, "snrs": result.snrs}
    elif given.what == "ranks":
        saved = ranks(given.scenes, given.seed, progress)
        for name, found in saved.items():
            print(f"{name:28s} p = {uniformity(found):.3f}  {np.bincount(np.array(found) // 4, minlength=5)}")
        print(f"all together: p = {uniformity([rank for found in saved.values() for rank in found]):.3f}")
    else:
        saved = []
        for kind in given.kind:
            for name in given.sets:
                each = coverage(kind, name, given.scenes, given.seed, given.data)
                print("\n".join(covered(each, bias_of(each))), flush=True)
                saved.append(each)
    if given.save is not None:
        given.save.write_text(json.dumps(saved), encoding="utf-8")


if __name__ == "__main__":
    main()
