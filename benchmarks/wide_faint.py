#!/usr/bin/env python3
"""Wide galaxies whose light lies below the noise of a pixel: how much of it is found.

    python benchmarks/wide_faint.py --scenes 16 --seed 0

Eight galaxies of half-light radius 3 to 12 px, of index 0.6 to 2 and signal to noise 10 to 80, at least 26 px from each
other on 180 × 180 px, seen in one band and in three; drawn by GalSim, at true positions.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import galsim
import numpy as np
from jaxtyping import Float

from deblend import Observation, fit, scene_from_positions

SIDE, FWHM, PSF_SIDE = 180, 3.5, 41
"""Of the images, the PSF and its picture [pix]."""
N_GALAXIES, APART, EDGE = 8, 26.0, 22.0
SIZES, SNRS = (3.0, 5.0, 8.0, 12.0), (10.0, 25.0, 80.0)
"""Limits of the classes that are told apart."""


def field(
    seed: int, number: int, n_bands: int
) -> tuple[Observation, Float[np.ndarray, "galaxy 2"], Float[np.ndarray, "galaxy 3"]]:
    """Return what is seen, where galaxies are, and of each flux per band, half-light radius and signal to noise."""
    rng = np.random.default_rng((seed, number, 5))
    psf = galsim.Kolmogorov(fwhm=FWHM)
    places: list[np.ndarray] = []
    while len(places) < N_GALAXIES:
        place = rng.uniform(EDGE, SIDE - EDGE, 2)
        if all(np.hypot(*(place - other)) > APART for other in places):
            places.append(place)
    image, truth = np.zeros((SIDE, SIDE)), []
    for place in places:
        size = np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[-1])))
        index, snr = rng.uniform(0.6, 2.0), np.exp(rng.uniform(np.log(SNRS[0]), np.log(SNRS[-1])))
        light = galsim.Sersic(index, half_light_radius=size)
        light = galsim.Convolve(light.shear(q=rng.uniform(0.4, 1.0), beta=rng.uniform(0, 180) * galsim.degrees), psf)
        offset = tuple(place - (SIDE - 1) / 2)
        drawn = light.drawImage(nx=SIDE, ny=SIDE, scale=1.0, offset=offset, dtype=float).array
        flux = snr / float(np.sqrt(n_bands * (drawn**2).sum()))
        truth.append((flux, size, snr))
        image += flux * drawn
    images = image + rng.normal(size=(n_bands, SIDE, SIDE))
    stamp = psf.drawImage(nx=PSF_SIDE, ny=PSF_SIDE, scale=1.0, dtype=float).array
    observation = Observation.from_arrays(images, np.stack([stamp] * n_bands), np.ones_like(images), name="simulated")
    return observation, np.array(places), np.array(truth)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    errors, truths, radii = [], [], []
    for number in range(options.scenes):
        for n_bands in (1, 3):
            observation, places, truth = field(options.seed, number, n_bands)
            scene = fit(scene_from_positions([observation], *places.T), [observation]).run().scene
            errors.append(scene.fluxes.mean(axis=1) / truth[:, 0] - 1.0)
            truths.append(truth)
            radii.append([source.radius for source in scene.sources])
    error, (_, size, snr), radius = np.concatenate(errors), np.concatenate(truths).T, np.concatenate(radii)
    print("| half-light radius [px] | S/N | galaxies | median ΔF/F | mean, cut at 1 | 1 / (S/N) | box [px] |")
    print("|---|---|---|---|---|---|---|")
    for least, most in pairwise(SIZES):
        for faint, bright in pairwise(SNRS):
            own = (size >= least) & (size < most) & (snr >= faint) & (snr < bright)
            if own.any():
                print(
                    f"| {least:.0f}-{most:.0f} | {faint:.0f}-{bright:.0f} | {own.sum()} | {np.median(error[own]):+.3f} "
                    f"| {np.minimum(abs(error[own]), 1.0).mean():.3f} | {np.mean(1.0 / snr[own]):.3f} "
                    f"| {np.median(radius[own]):.0f} |"
                )
    print(f"all: {np.median(error):+.3f} in the median, mean {np.minimum(abs(error), 1.0).mean():.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
