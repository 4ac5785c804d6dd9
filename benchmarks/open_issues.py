#!/usr/bin/env python3
"""The open issues that scarlet's authors named in 2019, each with a measured answer of this program.

    python benchmarks/open_issues.py                      # all of them
    python benchmarks/open_issues.py --only recentering --seeds 200

Recentering was slow and failed at times; fits of sources of one color converged slowly; the PSF made optimization slow;
symmetry and monotonicity failed for irregulars and spirals; and three normalizations were compared. Scenes are those
of the generator in `scene_sets.py`, five bands of 60 × 60 px.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.fft
from blends import FWHM, PIXEL, SIDE, SNR, Blend, observed, star
from jaxtyping import Float
from rows import ROWS, described, fitted, unsolved
from scene_sets import easy, equal_colors, smooth, spirals

from deblend import Constraint, ConstraintKind, Fit, FitSettings, fit, scene_from_positions

SEEING = FWHM[2] / PIXEL
"""FWHM in i [pix]."""
MISPLACED = 2.0
"""How far from the truth a source starts [pix]."""
RECOVERED = 0.1
"""[pix]"""
NEAR_BEST = 1.001
"""Of the best loss: from there on a fit counts as done."""
PATIENT = FitSettings(max_iterations=100, tolerance=1e-9)


def answer(blend: Blend, x: np.ndarray, y: np.ndarray, settings: FitSettings | None = None) -> Fit:
    """Return a default fit of sources at x, y, stars as points, that has not begun."""
    observation = blend.observation
    scene = scene_from_positions([observation], x, y, solve=False)
    scene = scene.with_sources(
        described(source.retyped("point") if is_star else source, ROWS["default"], {})
        for source, is_star in zip(scene.sources, blend.is_star, strict=True)
    )
    return fit(unsolved(scene), [observation], settings)


# -- recentering -----------------------------------------------------------------------------------------------


def pair(seed: int, number: int, snr: tuple[float, float]) -> tuple[Blend, np.ndarray]:
    """Return a source and its neighbor, one to three FWHM away, and where the source is said to be, 2 px off.

    The source has a signal to noise in a range, its neighbor any; each is a star or a Sérsic galaxy, one in two.
    """
    rng = np.random.default_rng((seed, number, 9))
    direction, wrong = rng.uniform(0, 2 * np.pi, 2)
    center = (SIDE - 1) / 2 + rng.uniform(-0.5, 0.5, 2)
    away = SEEING * rng.uniform(1.0, 3.0) * np.array([np.cos(direction), np.sin(direction)])
    is_star = list(rng.random(2) < 0.5)
    things = [star(rng) if each else smooth(rng) for each in is_star]
    levels = [float(np.exp(rng.uniform(*np.log(each)))) for each in (snr, SNR)]
    blend = observed(rng, things, is_star, levels, np.stack([center, center + away]))
    return blend, center + MISPLACED * np.array([np.cos(wrong), np.sin(wrong)])


def least_error(blend: Blend) -> float:
    """Return the Cramér-Rao error of the first source's center, per axis, were its picture and all else known [pix]."""
    picture = blend.truth[0]
    information = [float(np.sum(np.gradient(picture, axis=axis) ** 2 / blend.variance)) for axis in (1, 2)]
    return float(np.sqrt(np.mean(1.0 / np.array(information))))


@dataclass(frozen=True)
class Recentered:
    """How far from the truth, and from where a fit ends that starts there, a misplaced source ended [pix]."""

    from_truth: float
    from_best: float
    least: float
    is_star: bool
    is_well: bool
    """Whether all numbers are finite and the fit ended well."""


def recentered(seed: int, number: int, snr: tuple[float, float]) -> Recentered:
    blend, told = pair(seed, number, snr)
    ends = []
    running = None
    for x, y in ((blend.x[0], blend.y[0]), told):
        running = answer(blend, np.array([x, blend.x[1]]), np.array([y, blend.y[1]]))
        source = running.run().scene.sources[0]
        ends.append(np.array([source.x, source.y]))
    assert running is not None
    truth = np.array([blend.x[0], blend.y[0]])
    is_well = bool(np.all(np.isfinite(ends[1]))) and running.state.outcome.is_success
    distances = (float(np.hypot(*(ends[1] - other))) for other in (truth, ends[0]))
    return Recentered(*distances, least_error(blend), bool(blend.is_star[0]), is_well)


def recentering(seeds: int, scenes: int, seed: int) -> None:
    """Print how many of misplaced sources come home, by signal to noise."""
    for snr, n in (((100.0, 300.0), seeds), ((5.0, 100.0), seeds // 2)):
        found = [recentered(seed, number, snr) for number in range(n)]
        for title, chosen in (
            ("all", found),
            ("stars", [f for f in found if f.is_star]),
            ("galaxies", [f for f in found if not f.is_star]),
        ):
            truth, best, least = (
                np.array([getattr(f, k) for f in chosen]) for k in ("from_truth", "from_best", "least")
            )
            # of a source that were as well placed as its noise allows
            possible = np.mean(1.0 - np.exp(-0.5 * (RECOVERED / least) ** 2))
            print(
                f"recentering, S/N {snr[0]:g}-{snr[1]:g}, {title} ({len(chosen)}): within {RECOVERED:g} px of the "
                f"truth {np.mean(truth < RECOVERED):.1%} (noise alone would allow {possible:.1%}), of where a fit from "
                f"the truth ends {np.mean(best < RECOVERED):.1%}; median from truth {np.median(truth):.3f} px, "
                f"99 % within {np.quantile(truth, 0.99):.2f} px, furthest {truth.max():.2f} px; further than placed "
                f"{np.mean(truth > MISPLACED):.1%}; ended badly {np.sum([not f.is_well for f in chosen])}",
                flush=True,
            )


# -- the others ------------------------------------------------------------------------------------------------


def iterations_to_best(blend: Blend) -> int:
    """Return how many iterations a fit takes to 1.001 of the lowest loss that it ever reaches."""
    losses = [state.loss for state in answer(blend, blend.x, blend.y, PATIENT)]
    return next(k for k, loss in enumerate(losses) if loss <= NEAR_BEST * min(losses))


def convergence(seeds: int, scenes: int, seed: int) -> None:
    """Print iterations to 1.001 of the best loss."""
    for title, make, goal in (("easy", easy, 25), ("equal colors", equal_colors, 60)):
        counts = np.array([iterations_to_best(make(seed, number)) for number in range(scenes)])
        print(
            f"convergence, {title} ({scenes} scenes): {NEAR_BEST:g} of the best loss after {np.median(counts):.0f} "
            f"iterations in the median, {counts.max()} at most (goal: {goal})",
            flush=True,
        )


def cpu(action: Callable[[], object], n: int) -> float:
    """Return CPU seconds of one of `n` calls."""
    began = time.process_time()
    for _ in range(n):
        action()
    return (time.process_time() - began) / n


def psf_cost(seeds: int, scenes: int, seed: int) -> None:
    """Print what an iteration takes, next to a bare convolution."""
    settings = FitSettings(max_iterations=8, tolerance=1e-9)
    blend = easy(seed, 0)
    answer(blend, blend.x, blend.y, settings).run()
    running = answer(blend, blend.x, blend.y, settings)
    next(running)
    began, before = time.process_time(), running.state.iteration
    running.run()
    iteration = (time.process_time() - began) / (running.state.iteration - before)
    shape = tuple(scipy.fft.next_fast_len(SIDE + blend.psf.shape[-1], real=True) for _ in range(2))
    images = blend.images.astype(np.float32)
    kernel = scipy.fft.rfft2(blend.psf.astype(np.float32), shape)
    one = cpu(lambda: scipy.fft.irfft2(scipy.fft.rfft2(images, shape) * kernel, shape), 100)
    print(
        f"PSF: an iteration takes {1e3 * iteration:.1f} CPU ms, a convolution of its {len(images)} bands by FFT "
        f"{1e3 * one:.2f}: as much as {iteration / one:.0f} of them, of which the step's linear system asks for up to "
        f"{2 * settings.inner_iterations}",
        flush=True,
    )


def shapes(seeds: int, scenes: int, seed: int) -> None:
    """Print what constraints do to spirals and irregulars, and to their neighbors."""
    make = spirals(None)
    for name in ("default", "free-form, positive", "free-form, symmetric and monotonic"):
        own, other = [], []
        for number in range(scenes):
            blend = make(seed, number)
            result = fitted(blend, ROWS[name], np.zeros((len(blend.x), 2)), {})
            i = blend.band_i
            error = np.array(result.flux)[:, i] / np.array(result.truth)[:, i] - 1.0
            # every other source is an ordinary galaxy
            own.append(error[::2])
            other.append(error[1::2])
        for title, errors in (("themselves", own), ("their neighbors", other)):
            e: Float[np.ndarray, " galaxy"] = np.concatenate(errors)
            print(
                f"spirals and irregulars, {name}, {title} ({e.size}): median |ΔF/F| {np.median(np.abs(e)):.3f}, "
                f"bias {np.median(e):+.3f}, wrong by 50 % {np.mean(np.abs(e) > 0.5):.0%}",
                flush=True,
            )


NORMALIZED = {"none": None, "A": "spectrum", "S": "sum", "Smax": "peak", "interval": "interval"}
"""What is 1 on the way of a first-order solver."""


def normalization(seeds: int, scenes: int, seed: int) -> None:
    """Print how many iterations of AdaProx each normalization takes for free-form sources, and how right it ends."""
    for called, make in (("equal colors", equal_colors), ("easy", easy)):
        blends = [make(seed, number) for number in range(min(scenes, 5))]
        runs = {name: [_normalized_run(blend, of) for blend in blends] for name, of in NORMALIZED.items()}
        lowest = [min(min(losses) for losses, _ in each) for each in zip(*runs.values(), strict=True)]
        for name, found in runs.items():
            counts = [_first_below(losses, 1.01 * low) for (losses, _), low in zip(found, lowest, strict=True)]
            excess = [min(losses) / low - 1.0 for (losses, _), low in zip(found, lowest, strict=True)]
            errors = np.concatenate([error for _, error in found])
            print(
                f"normalization, {called}, {name}: iterations of 14 steps to 1.01 of the lowest loss {counts}, ends "
                f"above it by {np.max(excess):.1e} at most, median |dF/F| {np.median(errors):.3f}, 90 % within "
                f"{np.quantile(errors, 0.9):.3f}",
                flush=True,
            )


def _normalized_run(blend: Blend, of: str | None) -> tuple[list[float], np.ndarray]:
    """Return the losses of a fit of free-form sources, and |dF/F| of its galaxies in i."""
    given = blend.given
    scene = scene_from_positions([blend.observation], blend.x[given], blend.y[given], kind="free-form", solve=False)
    scene = scene.with_sources(
        source.retyped("point") if is_star else source
        for source, is_star in zip(scene.sources, blend.is_star[given], strict=True)
    )
    if of is not None:
        scene = scene.with_constraint(Constraint(ConstraintKind.NORMALIZATION, settings=(("of", of),)))
    running = fit(
        unsolved(scene), [blend.observation], FitSettings(solver="adaprox", max_iterations=40, tolerance=1e-9)
    )
    losses = [state.loss for state in running]
    truth = blend.flux[given][:, blend.band_i]
    error = np.abs(running.best.scene.fluxes[:, blend.band_i] / truth - 1.0)
    return losses, error[~blend.is_star[given]]


def _first_below(losses: list[float], bound: float) -> int | None:
    return next((k for k, loss in enumerate(losses) if loss <= bound), None)


ISSUES: dict[str, Callable[[int, int, int], None]] = {
    "recentering": recentering,
    "convergence": convergence,
    "psf": psf_cost,
    "normalization": normalization,
    "shapes": shapes,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ISSUES), default=list(ISSUES))
    parser.add_argument("--seeds", type=int, default=200, help="misplaced sources")
    parser.add_argument("--scenes", type=int, default=10, help="of everything else")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in options.only:
        ISSUES[name](options.seeds, options.scenes, options.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
