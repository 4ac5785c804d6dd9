#!/usr/bin/env python3
"""Blends seen by a sharp telescope in one band and a blurred one in several: how right fluxes and colors are.

    python benchmarks/two_telescopes.py --scenes 12 --seed 21

Nine galaxies and stars of a field of 7.5″, on 250 × 250 px of 0.03″ (FWHM 0.1″) and, turned by 20°, on 50 × 50 px of
0.168″ (FWHM 0.5″ to 0.8″) in five bands; drawn by GalSim, at true positions and taken for galaxies, all of them. Some
are seen well by one of the two alone. Truth is all their light.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import galsim
import numpy as np
from astropy.wcs import WCS
from jaxtyping import Float
from scores import print_flux_scores

from deblend import Channel, Observation, fit, scene_from_positions

SHARP, BLURRED = 0.03, 0.168
"""Pixels [arcsec]."""
SIDES = (250, 50)
BANDS = "grizy"
FWHM = (0.8, 0.7, 0.6, 0.65, 0.65)
TURNED = 20.0
"""The blurred telescope against the sharp one [deg]."""
PSF_SIDE = 81
N_SOURCES = 9
APART = 0.5
"""Least distance between two sources [arcsec]."""


@dataclass(frozen=True)
class Blend:
    """A scene as both telescopes see it."""

    observations: tuple[Observation, Observation]
    places: Float[np.ndarray, "source 2"]
    """(x, y) [sharp pixels]."""
    flux: Float[np.ndarray, "source channel"]


def world(side: int, scale: float, angle: float) -> WCS:
    """Return where pixels of a scale [arcsec], turned by an angle [deg], are on the sky."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [(side + 1) / 2] * 2
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    wcs.wcs.cd = np.array([[-cosine, sine], [sine, cosine]]) * scale / 3600.0
    return wcs


def blend(seed: int, number: int) -> Blend:
    """Return a scene of a seed."""
    rng = np.random.default_rng((seed, number, 22))
    reach = 0.42 * SIDES[0] * SHARP
    at: list[np.ndarray] = []
    while len(at) < N_SOURCES:
        place = rng.uniform(-reach, reach, 2)
        if all(np.hypot(*(place - other)) > APART for other in at):
            at.append(place)
    lights, flux = [], []
    for _ in at:
        size = np.exp(rng.uniform(np.log(0.08), np.log(0.8)))
        light = galsim.Sersic(rng.uniform(0.7, 3.0), half_light_radius=size)
        light = light.shear(q=rng.uniform(0.4, 1.0), beta=rng.uniform(0.0, 180.0) * galsim.degrees)
        lights.append(None if rng.random() < 0.2 else light)
        colors = np.exp(rng.uniform(-0.8, 0.8) * np.array([0.2, -1.0, -0.4, 0.1, 0.5, 0.8]))
        flux.append(np.exp(rng.uniform(np.log(150.0), np.log(8000.0))) * colors)
    true = np.array(flux)

    sharp, blurred = world(SIDES[0], SHARP, 0.0), world(SIDES[1], BLURRED, TURNED)
    places = np.array(at) / SHARP + (SIDES[0] - 1) / 2

    def seen(band: int, side: int, psf: galsim.GSObject, by: WCS) -> np.ndarray:
        def own(place: np.ndarray) -> np.ndarray:
            return np.array(by.all_world2pix(*sharp.all_pix2world(*place, 0), 0))

        picture = np.zeros((side, side))
        for place, light, each in zip(places, lights, true, strict=True):
            x, y = (own(place + step) - own(place - step) for step in 0.5 * np.eye(2))
            body = None if light is None else light.dilate(1.0 / SHARP).transform(x[0], y[0], x[1], y[1])
            both = psf if body is None else galsim.Convolve(body.withFlux(1.0), psf)
            offset = tuple(own(place) - (side - 1) / 2)
            picture += each[band] * both.drawImage(nx=side, ny=side, scale=1.0, offset=offset, dtype=float).array
        return picture + rng.normal(size=picture.shape)

    def stamp(psf: galsim.GSObject) -> np.ndarray:
        drawn: np.ndarray = psf.drawImage(nx=PSF_SIDE, ny=PSF_SIDE, scale=1.0, dtype=float).array
        return drawn

    space = galsim.Airy(lam_over_diam=0.09 / SHARP, obscuration=0.3)
    ground = [galsim.Moffat(beta=3.5, fwhm=fwhm / BLURRED) for fwhm in FWHM]
    fine = seen(0, SIDES[0], space, sharp)[None]
    coarse = np.stack([seen(1 + k, SIDES[1], psf, blurred) for k, psf in enumerate(ground)])
    observations = (
        Observation.from_arrays(
            fine, stamp(space)[None], np.ones_like(fine), channels=[Channel("sharp", "w")], wcs=sharp
        ),
        Observation.from_arrays(
            coarse,
            np.stack([stamp(psf) for psf in ground]),
            np.ones_like(coarse),
            channels=[Channel("blurred", band) for band in BANDS],
            wcs=blurred,
        ),
    )
    return Blend(observations, places, true)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=21)
    options = parser.parse_args()
    errors, chi2, steps, seconds = [], [], [], []
    for number in range(options.scenes):
        true = blend(options.seed, number)
        began = time.process_time()
        running = fit(scene_from_positions(true.observations, *true.places.T), true.observations)
        state = running.run()
        seconds.append(time.process_time() - began)
        errors.append(state.scene.fluxes / true.flux - 1.0)
        chi2.append(state.chi2)
        steps.append(state.iteration)
        radii = [source.radius for source in state.scene.sources]
        print(
            f"scene {number}: sharp {' '.join(f'{e:+.2f}' for e in errors[-1][:, 0])}, i "
            f"{' '.join(f'{e:+.2f}' for e in errors[-1][:, 3])}, boxes {radii}, chi² {chi2[-1]:.3f}, "
            f"{steps[-1]} iterations, {seconds[-1]:.0f} CPU s",
            flush=True,
        )
    print_flux_scores("sharp", [each[:, 0] for each in errors])
    print_flux_scores("blurred i", [each[:, 3] for each in errors])
    print(
        f"chi² {np.median(chi2):.3f}, {np.median(steps):.0f} iterations, {np.median(seconds):.0f} CPU s in the median"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
