#!/usr/bin/env python3
"""Galaxies that stand alone, from small to large and from faint to bright: how much of their light is found.

    python benchmarks/alone.py --galaxies 8 --seed 0

The simplest case, and a hard one for boxes and profiles: one galaxy at its true position in the middle of 161 × 161 px,
in three bands, drawn by GalSim. Half-light radius and signal to noise are those of the table; half of the galaxies have
a Sérsic profile of index 0.8 to 4, cut at six half-light radii, half are a bulge in a disk of another axis ratio and
the same color. Truth is all their light, however far out.
"""

from __future__ import annotations

import argparse
import time

import galsim
import numpy as np
from jaxtyping import Float

from deblend import Observation, fit, scene_from_positions

SIDE, FWHM, PSF_SIDE = 161, 3.5, 61
"""Of the images, the PSF and its picture [pix]."""
N_BANDS = 3
SIZES, SNRS = (1.5, 3.0, 6.0, 12.0), (30.0, 150.0, 1000.0)
CUT = 6.0
"""Where light ends [half-light radii]."""


def light_of(rng: np.random.Generator, size: float) -> galsim.GSObject:
    """Return a galaxy of flux 1 of a half-light radius [pix]."""
    turned = rng.uniform(0.0, 180.0)
    if rng.random() < 0.5:
        light = galsim.Sersic(rng.uniform(0.8, 4.0), half_light_radius=size, trunc=CUT * size)
        return light.shear(q=rng.uniform(0.3, 1.0), beta=turned * galsim.degrees)
    share = rng.uniform(0.1, 0.6)
    bulge = galsim.DeVaucouleurs(half_light_radius=0.4 * size, trunc=CUT * size)
    disk = galsim.Exponential(half_light_radius=1.2 * size)
    return share * bulge.shear(q=rng.uniform(0.7, 1.0), beta=turned * galsim.degrees) + (1.0 - share) * disk.shear(
        q=rng.uniform(0.25, 0.9), beta=(turned + rng.uniform(-20.0, 20.0)) * galsim.degrees
    )


def seen(seed: int, number: int, size: float, snr: float) -> tuple[Observation, Float[np.ndarray, "2"], float]:
    """Return what is seen of a galaxy, its (x, y) [pix], and its flux in each band [noise of a pixel]."""
    rng = np.random.default_rng((seed, number, round(100 * size), round(snr)))
    psf, place = galsim.Kolmogorov(fwhm=FWHM), rng.uniform(-0.5, 0.5, 2)
    drawn = galsim.Convolve(light_of(rng, size).withFlux(1.0), psf).drawImage(
        nx=SIDE, ny=SIDE, scale=1.0, offset=tuple(place), dtype=float
    )
    flux = snr / float(np.sqrt(N_BANDS * (drawn.array**2).sum()))
    images = flux * drawn.array + rng.normal(size=(N_BANDS, SIDE, SIDE))
    stamp = psf.drawImage(nx=PSF_SIDE, ny=PSF_SIDE, scale=1.0, dtype=float).array
    observation = Observation.from_arrays(images, np.stack([stamp] * N_BANDS), np.ones_like(images), name="simulated")
    return observation, place + SIDE // 2, flux


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=8, help="of every size and signal to noise")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| half-light radius [px] | S/N | median ΔF/F | mean, cut at 1 | worst | 1 / (S/N) | box [px] | chi², most | "
        "iterations | CPU s |"
    )
    print("|" + "---|" * 10)
    for size in SIZES:
        for snr in SNRS:
            errors, radii, chi2, steps, seconds = [], [], [], [], []
            for number in range(options.galaxies):
                observation, place, flux = seen(options.seed, number, size, snr)
                began = time.process_time()
                state = fit(scene_from_positions([observation], *place[:, None]), [observation]).run()
                seconds.append(time.process_time() - began)
                errors.append(float(state.scene.fluxes[0].mean()) / flux - 1.0)
                radii.append(state.scene.sources[0].radius)
                chi2.append(state.chi2)
                steps.append(state.iteration)
            print(
                f"| {size} | {snr:.0f} | {np.median(errors):+.3f} | {np.minimum(np.abs(errors), 1.0).mean():.3f} "
                f"| {max(errors, key=abs):+.3f} | {1.0 / snr:.3f} | {np.median(radii):.0f} | {max(chi2):.3f} "
                f"| {np.median(steps):.0f} | {np.median(seconds):.1f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
