#!/usr/bin/env python3
"""Small galaxies on the light of a large one: how right their fluxes are, and how much of the large one is found.

    python benchmarks/companions.py --scenes 12 --seed 11

A galaxy of half-light radius 15 to 40 px, of index 1 to 4, as bright as 50,000 to 300,000 times the noise of a pixel,
and six small ones or stars within 90 px of its middle, in three bands of 240 × 240 px; drawn by GalSim, at true
positions and taken for galaxies, all of them. Truth is all light of the small ones; of the large one that within its
last box.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import galsim
import numpy as np
from jaxtyping import Float
from scores import print_flux_scores

from deblend import Channel, Observation, fit, scene_from_positions

SIDE = 240
BANDS = "gri"
FWHM = (4.2, 4.0, 3.8)
"""Of the PSF per band [pix]."""
PSF_SIDE = 61
FAR, NEAR = 90.0, 16.0
"""How far from the middle of the large one the others lie [pix]."""


@dataclass(frozen=True)
class Field:
    """A large galaxy, first, and its companions."""

    observation: Observation
    places: Float[np.ndarray, "source 2"]
    truth: Float[np.ndarray, "source y x"]
    """In r, as seen."""


def drawn(light: galsim.GSObject | None, place: np.ndarray, fwhm: float) -> Float[np.ndarray, "y x"]:
    """Return an object of flux 1 at (x, y), a star for None."""
    psf = galsim.Kolmogorov(fwhm=fwhm)
    both = psf if light is None else galsim.Convolve(light, psf)
    image = both.drawImage(nx=SIDE, ny=SIDE, scale=1.0, offset=tuple(place - (SIDE - 1) / 2), dtype=float)
    result: Float[np.ndarray, "y x"] = image.array
    return result


def field(seed: int, number: int) -> Field:
    """Return a scene of a seed."""
    rng = np.random.default_rng((seed, number, 21))

    def flattened(light: galsim.GSObject, least: float) -> galsim.GSObject:
        return light.shear(q=rng.uniform(least, 1.0), beta=rng.uniform(0, 180) * galsim.degrees)

    size = np.exp(rng.uniform(np.log(15.0), np.log(40.0)))
    lights: list[galsim.GSObject | None] = [
        flattened(galsim.Sersic(rng.uniform(1.0, 4.0), half_light_radius=size, trunc=6.0 * size), 0.4)
    ]
    middle = (SIDE - 1) / 2 + rng.uniform(-3.0, 3.0, 2)
    angles = np.cumsum(rng.uniform(0.6, 1.3, 6)) + rng.uniform(0, 2 * np.pi)
    away = rng.uniform(NEAR, FAR, 6)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = np.concatenate([middle[None], middle + away])
    brightness = [np.exp(rng.uniform(np.log(5e4), np.log(3e5)))]
    for _ in away:
        is_star = rng.random() < 0.2
        small = galsim.Sersic(rng.uniform(0.7, 2.5), half_light_radius=np.exp(rng.uniform(0.0, np.log(4.0))))
        lights.append(None if is_star else flattened(small, 0.4))
        brightness.append(np.exp(rng.uniform(np.log(800.0), np.log(6000.0))))
    colors = np.exp(rng.uniform(-0.5, 0.5, len(lights))[:, None] * np.linspace(-1.0, 1.0, len(BANDS)))
    flux = np.array(brightness)[:, None] * colors
    truth = np.stack([
        [f * drawn(light, place, fwhm) for f, fwhm in zip(own, FWHM, strict=True)]
        for light, place, own in zip(lights, places, flux, strict=True)
    ])  # fmt: skip
    images = truth.sum(axis=0) + rng.normal(size=(len(BANDS), SIDE, SIDE))
    psf = [
        galsim.Kolmogorov(fwhm=fwhm).drawImage(nx=PSF_SIDE, ny=PSF_SIDE, scale=1.0, dtype=float).array for fwhm in FWHM
    ]
    channels = [Channel("simulated", band) for band in BANDS]
    weights = np.ones_like(images)
    observation = Observation.from_arrays(images, np.stack(psf), weights, channels=channels, name="simulated")
    return Field(observation, places, truth[:, 1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    errors, large, chi2, steps = [], [], [], []
    for number in range(options.scenes):
        scene = field(options.seed, number)
        observation = scene.observation
        began = time.process_time()
        running = fit(scene_from_positions([observation], *scene.places.T), [observation])
        state = running.run()
        found = state.scene.fluxes[:, 1]
        box = state.scene.sources[0].components[0].radius
        y, x = np.mgrid[:SIDE, :SIDE]
        column, row = scene.places[0]
        within = np.maximum(abs(x - column), abs(y - row)) <= box
        large.append(found[0] / scene.truth[0][within].sum() - 1.0)
        errors.append(found[1:] / scene.truth[1:].sum(axis=(1, 2)) - 1.0)
        chi2.append(state.chi2)
        steps.append(state.iteration)
        print(
            f"scene {number}: large {large[-1]:+.3f}, companions {' '.join(f'{e:+.2f}' for e in errors[-1])}, chi² "
            f"{chi2[-1]:.3f}, {steps[-1]} iterations, {time.process_time() - began:.1f} CPU s",
            flush=True,
        )
    print_flux_scores("companions", errors)
    print(
        f"large ones: {np.median(large):+.3f} in the median, {np.abs(large).max():.3f} at most; chi² "
        f"{np.median(chi2):.3f} in the median, {np.max(chi2):.3f} at most; {np.median(steps):.0f} iterations"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
