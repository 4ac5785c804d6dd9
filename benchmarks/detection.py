#!/usr/bin/env python3
"""How many of the sources of crowded scenes are found, and how many that are found are there.

    python benchmarks/detection.py --scenes 30 --seed 1 --method sep starlet --rounds 2

Scenes are drawn by the generator of the sample data: stars and Sérsic galaxies thrown onto 64 × 64 px in g, r, i, as
close as they fall, with the sky's noise and their own. Round 0 is the detection in the images; each further round fits
plain profiles and adds what stands out of the residual. A source is found where something is within half a FWHM or its
own half-light radius, one to one. Completeness is that of all sources, of those of a signal to noise above 10 that are
at least 0.7 FWHM from any brighter one (`target`), and by signal to noise and distance; purity is the share of what
was found that is there. Errors come from drawing the scenes again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

# a thread each for small matrices costs more than it gains
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sample_data"))
import generate

from deblend import Channel, Observation, Scene, detect, fit, with_missed
from deblend.detect import plain

SHAPE = (64, 64)
BANDS = "GRI"
NUMBER = 12
"""Sources of a scene."""
MARGIN = 5.0
"""How far from the edge centers lie [pix]."""
SNR = 5.0, 300.0
"""Range of what the best possible measurement of a source alone would have, all bands, uniform in its logarithm."""
SIZES = 0.8, 4.0
"""Range of the half-light radius of galaxies, uniform in its logarithm [pix]."""
STAR_FRACTION = 0.3
STARS = (generate.G_STAR, generate.K_STAR, generate.M_STAR)
GALAXIES = (
    generate.STARBURST,
    generate.SPIRAL_ARM,
    generate.OLD_DISK,
    generate.BULGE,
    generate.ELLIPTICAL,
    generate.GREEN_VALLEY,
)
FWHM = min(generate.FWHM.values()) / generate.PIXEL_SCALE
"""Of the sharpest PSF [pix]."""
FOUND_WITHIN = 0.5
"""[FWHM]"""
TARGET_SNR, TARGET_DISTANCE = 10.0, 0.7
SNR_BINS = (5.0, 10.0, 20.0, 50.0, 100.0, 300.0)
DISTANCE_BINS = (0.0, 0.7, 1.0, 1.5, 2.5, np.inf)
"""From the nearest brighter source [FWHM]."""
N_DRAWS = 400


@dataclass(frozen=True)
class Crowd:
    """A crowded scene and its truth."""

    observation: Observation
    x: Float[np.ndarray, " source"]
    y: Float[np.ndarray, " source"]
    snr: Float[np.ndarray, " source"]
    is_star: Bool[np.ndarray, " source"]
    size: Float[np.ndarray, " source"]
    """Half-light radius before the PSF [pix]; 0 for stars."""

    @property
    def from_brighter(self) -> Float[np.ndarray, " source"]:
        """Distance of each source from the nearest brighter one [FWHM]; infinite for the brightest."""
        distance = np.hypot(self.x[:, None] - self.x, self.y[:, None] - self.y) / FWHM
        return np.where(self.snr[:, None] < self.snr, distance, np.inf).min(axis=1)

    @property
    def is_target(self) -> Bool[np.ndarray, " source"]:
        return (self.snr > TARGET_SNR) & (self.from_brighter >= TARGET_DISTANCE)


def make_crowd(
    seed: int,
    index: int,
    number: int = NUMBER,
    *,
    shape: tuple[int, int] = SHAPE,
    bands: str = BANDS,
    snr_range: tuple[float, float] = SNR,
    places: Float[np.ndarray, "source 2"] | None = None,
    star_fraction: float = STAR_FRACTION,
) -> Crowd:
    """Return crowd `index` of a seed; its sources lie at `places` (x, y) where these are given."""
    rng = np.random.default_rng((seed, index))
    height, width = shape
    if places is None:
        low, high = (MARGIN, MARGIN), (width - 1 - MARGIN, height - 1 - MARGIN)
        places = rng.uniform(low, high, (number, 2))
    sigma = np.array([generate.NOISE[band] for band in bands])[:, None, None]
    light = np.zeros((len(bands), *shape))
    is_star = rng.random(len(places)) < star_fraction
    snr = np.exp(rng.uniform(*np.log(snr_range), len(places)))
    size = np.where(is_star, 0.0, np.exp(rng.uniform(*np.log(SIZES), len(places))))
    for k, (x, y) in enumerate(places):
        if is_star[k]:
            thing = generate.star("", x, y, 1.0, STARS[rng.integers(len(STARS))])
        else:
            profile = generate.sersic(
                rng.uniform(0.7, 3.0),
                size[k],
                rng.uniform(0.3, 1.0),
                rng.uniform(0, 180),
            )
            thing = generate.Object(
                "", x, y, 1.0, (generate.Part(GALAXIES[rng.integers(len(GALAXIES))], 1.0, profile),)
            )
        template, _ = generate.render(thing, rng, shape, bands)
        light += snr[k] / np.sqrt(np.sum((template / sigma) ** 2)) * template
    variance = sigma**2 + generate.VARIANCE_PER_COUNT * light
    images = light + rng.normal(size=light.shape) * np.sqrt(variance)
    psf = [generate.binned(generate.fine_psf(band)) for band in bands]
    channels = [Channel("hsc", band.lower()) for band in bands]
    observation = Observation.from_arrays(images, psf, 1.0 / variance, channels=channels, name=f"crowd {index}")
    return Crowd(observation, places[:, 0], places[:, 1], snr, is_star, size)


def matched(crowd: Crowd, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the index of the true source that each position stands for; -1 for none."""
    distance = np.hypot(x[:, None] - crowd.x, y[:, None] - crowd.y) / np.maximum(FOUND_WITHIN * FWHM, crowd.size)
    result = np.full(len(x), -1)
    if len(x):
        rows, columns = linear_sum_assignment(np.where(distance <= 1.0, distance, 1e3))
        near = distance[rows, columns] <= 1.0
        result[rows[near]] = columns[near]
    return result


@dataclass(frozen=True)
class Found:
    """What was found in one scene by one round."""

    crowd: Crowd
    of: np.ndarray
    """The true source of each one; -1 for none."""

    @property
    def is_found(self) -> Bool[np.ndarray, " source"]:
        return np.isin(np.arange(len(self.crowd.x)), self.of)


def look(crowd: Crowd, method: str, rounds: int, threshold: float = 5.0) -> tuple[list[Found], Scene]:
    """Detect, fit and look again, so many times; return what each round had, and the scene of the last."""
    observations = [crowd.observation]
    scene = detect(observations, threshold, method=method, solve=False)
    found = [_found(crowd, scene)]
    running = None
    for _ in range(rounds):
        if not len(scene):
            found.append(found[-1])
            continue
        if running is None:
            running = fit(plain(scene), observations)
        elif len(scene) > len(running.best.scene):
            running.edit(plain(scene))
        best = running.run()
        scene = with_missed(best.scene, observations, [best.model(0)], solve=False)
        found.append(_found(crowd, scene))
    return found, scene


def _found(crowd: Crowd, scene: Scene) -> Found:
    x, y = (np.array([getattr(source, axis) for source in scene.sources]) for axis in "xy")
    return Found(crowd, matched(crowd, x, y))


# -- statistics ------------------------------------------------------------------------------------------------


def completeness(found: Sequence[Found], which: Any = None) -> tuple[float, int]:
    """Return the share of sources that were found, and of how many; `which` picks them from a crowd."""
    is_found = np.concatenate([f.is_found if which is None else f.is_found[which(f.crowd)] for f in found])
    return (float(is_found.mean()) if is_found.size else np.nan), is_found.size


def purity(found: Sequence[Found]) -> float:
    of = np.concatenate([f.of for f in found])
    return float((of >= 0).mean()) if of.size else np.nan


def target(crowd: Crowd) -> np.ndarray:
    return crowd.is_target


def between(name: str, low: float, high: float) -> Any:
    """Return the choice of target-like sources with a number in a range."""

    def which(crowd: Crowd) -> np.ndarray:
        value = getattr(crowd, name)
        other = crowd.snr > TARGET_SNR if name == "from_brighter" else crowd.from_brighter >= TARGET_DISTANCE
        return (value >= low) & (value < high) & other

    return which


def spread(found: Sequence[Found], statistic: Any) -> float:
    rng = np.random.default_rng(1)
    draws = [[found[i] for i in rng.integers(0, len(found), len(found))] for _ in range(N_DRAWS)]
    return float(np.nanstd([statistic(draw) for draw in draws]))


def show(title: str, found: Sequence[Found]) -> None:
    (share, n), pure = completeness(found, target), purity(found)
    share_error = spread(found, lambda draw: completeness(draw, target)[0])
    everything, n_all = completeness(found)
    print(
        f"{title}: target {share:.3f} ± {share_error:.3f} of {n}, purity {pure:.3f} ± {spread(found, purity):.3f} of "
        f"{sum(len(f.of) for f in found)}; all sources {everything:.3f} of {n_all}"
    )


def show_table(found: Sequence[Found]) -> None:
    for name, title, bins in (
        ("snr", "S/N (≥ 0.7 FWHM from brighter ones)", SNR_BINS),
        ("from_brighter", "FWHM from a brighter one (S/N > 10)", DISTANCE_BINS),
    ):
        cells = []
        for low, high in pairwise(bins):
            share, n = completeness(found, between(name, low, high))
            cells.append(f"{low:g}-{high:g}: {share:.2f} ({n})")
        print(f"  {title}: " + ", ".join(cells))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--sources", type=int, default=NUMBER)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--method", nargs="+", default=["sep", "starlet"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threshold", type=float, default=5.0)
    options = parser.parse_args()
    crowds = [make_crowd(options.seed, index, options.sources) for index in range(options.scenes)]
    print(f"{options.scenes} scenes of {options.sources} sources, seed {options.seed}, {options.threshold:g} sigma")
    for method in options.method:
        started = time.process_time()
        results = [look(crowd, method, options.rounds, options.threshold)[0] for crowd in crowds]
        for number, found in enumerate(zip(*results, strict=True)):
            show(f"{method}, round {number}", found)
        show_table([of_scene[-1] for of_scene in results])
        print(f"  {time.process_time() - started:.1f} CPU s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
