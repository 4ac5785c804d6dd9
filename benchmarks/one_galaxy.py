#!/usr/bin/env python3
"""Whether pairs that were fitted as one galaxy are told from single galaxies by what is likely of one.

    python benchmarks/one_galaxy.py --scenes 160 --data FOLDER

Single galaxies and pairs, 2 to 8 px apart and 1 to 5 in flux, as an HSC-like camera sees them in five bands at S/N 20
to 200: galaxies of the generator that the density of the package was learned from, and those that Hubble saw. Each is
fitted as one galaxy where it is brightest. What tells them is taken next to what is usual at that size and S/N (a
quadratic in their logarithms, of half of the generated single galaxies): the log density of the picture as one galaxy,
and what its correction costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blends import PIXEL, STAMP_PIXEL, Galaxies, Part, observed, spectrum_of
from jaxtyping import Float
from scene_sets import COLORS, STAMP_SIDE, generate
from scipy import ndimage

from deblend import Observation, fit, scene_from_positions
from deblend.infer.uneven import correction_costs
from deblend.measure.one_galaxy import log_prob_as_one
from deblend.priors.population import SEEING, draw_galaxy
from deblend.program import Program
from deblend.scene.learned import LEARNED_SIGMA

SNRS, RATIOS, DISTANCES = (20.0, 200.0), (0.2, 1.0), (2.0, 8.0)
"""Of the first galaxy, of the second one's to it, and between them [pix]."""
SIZES = (1.2, 5.0)
"""Range of half-light radii of generated galaxies behind the model PSF [pix]."""
MIDDLE, NEAR = 30.0, 12.0
FALSE_ALARMS = 0.02
CLASSES = (2.0, 3.5, 5.0, 6.5, 8.0)
"""Limits of the distances that are told apart [pix]."""


@dataclass(frozen=True)
class Fits:
    """What is known of scenes that were fitted as one galaxy each."""

    log_prob: Float[np.ndarray, " scene"]
    cost: Float[np.ndarray, " scene"]
    size: Float[np.ndarray, " scene"]
    snr: Float[np.ndarray, " scene"]
    distance: Float[np.ndarray, " scene"]

    def usual(self) -> Float[np.ndarray, "scene 6"]:
        """Return what a quadratic in the logarithms of size and S/N is made of."""
        a, b = np.log(self.size), np.log(self.snr)
        return np.column_stack([np.ones_like(a), a, b, a * a, a * b, b * b])


Draw = Callable[[np.random.Generator], tuple[Part, ...]]


def of_generator(rng: np.random.Generator) -> tuple[Part, ...]:
    """Return a galaxy of the generator, in one color."""
    galaxy = draw_galaxy(rng)
    size = max(galaxy.size_for(float(np.exp(rng.uniform(*np.log(SIZES)))), LEARNED_SIGMA), 0.05)
    y, x = galaxy.mode(SEEING / size)
    light = galaxy.shifted(-y, -x).drawn(STAMP_SIDE, size * PIXEL / STAMP_PIXEL, 0.3, (0.0, 0.0))
    colors = np.asarray(generate.fluxes(1.0, COLORS[rng.integers(len(COLORS))]))
    return (Part(spectrum_of(light / light.sum(), STAMP_PIXEL), colors),)


def fitted(draw: Draw, n: int, seed: int, *, is_pair: bool) -> Fits:
    """Return what was found of scenes of a seed."""
    found = []
    for number in range(n):
        rng = np.random.default_rng((seed, number, 9))
        snrs = [float(np.exp(rng.uniform(*np.log(SNRS))))]
        centers = np.array([[MIDDLE, MIDDLE]]) + rng.uniform(-0.5, 0.5, 2)
        things, distance = [draw(rng)], 0.0
        if is_pair:
            distance, angle = rng.uniform(*DISTANCES), rng.uniform(0, 2 * np.pi)
            snrs.append(snrs[0] * float(np.exp(rng.uniform(*np.log(RATIOS)))))
            things.append(draw(rng))
            centers = np.vstack([centers, centers[0] + distance * np.array([np.cos(angle), np.sin(angle)])])
        blend = observed(rng, things, [False] * len(things), snrs, centers)
        observation = Observation.from_arrays(blend.images, blend.psf, 1.0 / blend.variance, name="simulated")
        seen = ndimage.gaussian_filter(blend.images[2], 1.0)
        y, x = np.indices(seen.shape)
        near = np.where(np.hypot(y - MIDDLE, x - MIDDLE) < NEAR, seen, -np.inf)
        top_y, top_x = np.unravel_index(near.argmax(), near.shape)
        started = scene_from_positions([observation], [float(top_x)], [float(top_y)])
        scene = fit(started, [observation]).run().scene
        size = scene.sources[0].components[0].morphology.half_light_radius_guess
        log_prob, cost = log_prob_as_one(Program([observation], scene))[0], correction_costs(scene)[0]
        found.append((log_prob, cost, size, float(np.linalg.norm(snrs)), distance))
    columns = np.array([row for row in found if np.isfinite(row[0])]).T
    return Fits(*columns)


def rows(name: str, told: Callable[[Fits], np.ndarray], fits: Sequence[Fits]) -> None:
    """Print what share of each population is beyond the limits of single galaxies, generated ones and real ones."""
    single, pair, *real = fits
    learn = np.arange(len(single.size)) % 2 == 0
    usual = np.linalg.lstsq(single.usual()[learn], told(single)[learn], rcond=None)[0]
    single_off, pair_off, *real_off = (told(each) - each.usual() @ usual for each in fits)
    # those that the quadratic was not made of
    single_off = single_off[~learn]
    populations = [(single, single_off), (pair, pair_off), *zip(real, real_off, strict=True)]
    limits = {"generated": single_off} | ({"real": real_off[0]} if real_off else {})
    for of, singles in limits.items():
        limit = np.quantile(singles, 1.0 - FALSE_ALARMS)
        shares = [f"{np.mean(off > limit):.3f}" for _, off in populations]
        for each, off in populations[1::2]:
            own = np.digitize(each.distance, CLASSES)
            shares.append(" / ".join(f"{np.mean(off[own == k] > limit):.2f}" for k in range(1, len(CLASSES))))
        print(f"| {name} | {of} | " + " | ".join(shares) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--data", type=Path, help="folder of the stamps that Hubble saw; generated galaxies without it")
    options = parser.parse_args()
    draws: list[Draw] = [of_generator]
    if options.data is not None:
        galaxies = Galaxies.read(options.data)
        draws.append(lambda rng: (Part(*galaxies.draw(rng)),))
    fits = [
        fitted(draw, options.scenes, options.seed + 2 * k + is_pair, is_pair=bool(is_pair))
        for k, draw in enumerate(draws)
        for is_pair in (False, True)
    ]
    names = ["single", "pairs", "real", "real pairs"][: len(fits)]
    apart = [f"{name} by distance" for name in names[1::2]]
    print(f"| told by | {FALSE_ALARMS:.0%} of | " + " | ".join(names + apart) + " |")
    print("|---" * (2 + len(names) + len(apart)) + "|")
    rows("-ln p", lambda f: -f.log_prob, fits)
    rows("cost of the correction", lambda f: np.log(f.cost + 0.1), fits)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
