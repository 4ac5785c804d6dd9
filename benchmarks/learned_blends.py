"""Blends of two galaxies, the same ones as telescopes of several PSFs see them, with their truth.

The first galaxy is in the middle of the image and the other a few pixels away, as networks that take a blend apart in
one pass have learned to expect (Reiman & Göhre 2019). PSFs are Gaussians, pixels included.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from blends import FREQUENCIES, PIXEL, Blend, Galaxies, drawn
from jaxtyping import Float
from scene_sets import COLORS, generate

from deblend.priors import draw_galaxy
from deblend.priors.population import SEEING
from deblend.scene.learned import LEARNED_SIGMA

SIDE = 40
"""Of the images [pix]."""
BANDS = "gri"
TRAINING = "training"
PSFS = {"narrower": 1.1, TRAINING: 1.5, "wider": 2.1}
"""Standard deviation of the PSF [pix]."""
RADII = 1.5, 4.0
"""Range of half-light radii behind the model's PSF, uniform in the logarithm [pix]."""
SNR = 30.0, 200.0
"""Range of the signal to noise in i of a galaxy that were alone behind the training PSF, uniform in its logarithm."""
SEPARATION = 3.5, 8.0
"""[pix]"""
OFF_CENTER = 0.5
"""Range of how far off the middle the first galaxy is, per axis [pix]."""
PSF_SIDE = 21

Template = Callable[[float, float, float], Float[np.ndarray, "y x"]]
"""(standard deviation of the PSF, x, y) to the picture of a galaxy in the image."""
Draw = Callable[[np.random.Generator], tuple[Template, Float[np.ndarray, " band"]]]
"""Some galaxy, and its flux per band where i has 1."""


def generated(rng: np.random.Generator) -> tuple[Template, Float[np.ndarray, " band"]]:
    """Return a galaxy of the generator that the priors have learned from."""
    galaxy = draw_galaxy(rng)
    size = galaxy.size_for(float(np.exp(rng.uniform(*np.log(RADII)))), LEARNED_SIGMA)
    y0, x0 = galaxy.mode(SEEING / size) if size > 0 else (0.0, 0.0)
    galaxy = galaxy.shifted(-y0, -x0)
    colors = generate.fluxes(1.0, COLORS[rng.integers(len(COLORS))])[: len(BANDS)]

    def template(sigma: float, x: float, y: float) -> Float[np.ndarray, "y x"]:
        # boxes of the generator are odd
        picture = galaxy.drawn(SIDE + 1, size, sigma, (y - SIDE // 2, x - SIDE // 2))
        return picture[:SIDE, :SIDE]

    return template, colors


def real(galaxies: Galaxies, rng: np.random.Generator) -> tuple[Template, Float[np.ndarray, " band"]]:
    """Return a galaxy that Hubble saw."""
    spectrum, colors = galaxies.draw(rng)
    squared = FREQUENCIES[:, None] ** 2 + FREQUENCIES**2

    def template(sigma: float, x: float, y: float) -> Float[np.ndarray, "y x"]:
        return drawn(spectrum * np.exp(-2.0 * np.pi**2 * (sigma * PIXEL) ** 2 * squared), x, y, SIDE)

    return template, colors[: len(BANDS)]


def families(data: Path | None) -> dict[str, Draw]:
    """Return what blends can be made of; real galaxies where their stamps are there."""
    result: dict[str, Draw] = {"generated": generated}
    if data is not None and (data / "cosmos_stamps").is_dir():
        result["real"] = partial(real, Galaxies.read(data / "cosmos_stamps"))
    return result


def psf_of(sigma: float) -> Float[np.ndarray, "side side"]:
    profile = np.exp(-0.5 * ((np.arange(PSF_SIDE) - PSF_SIDE // 2) / sigma) ** 2)
    return np.outer(profile, profile) / profile.sum() ** 2


def make(draw: Draw, seed: int, number: int, sigma: float) -> Blend:
    """Return blend `number` of a seed behind a PSF; galaxies, fluxes and noise are the same behind all."""
    rng = np.random.default_rng((seed, number))
    middle = SIDE // 2 + rng.uniform(-OFF_CENTER, OFF_CENTER, 2)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*SEPARATION)
    centers = np.array([middle, middle + distance * np.array([np.cos(angle), np.sin(angle)])])
    templates, fluxes = [], []
    for x, y in centers:
        template, colors = draw(rng)
        reference, own = template(PSFS[TRAINING], x, y), template(sigma, x, y)
        snr = float(np.exp(rng.uniform(*np.log(SNR))))
        # fluxes are of what is in the image, of every method alike
        fluxes.append(colors * snr * reference.sum() / np.sqrt((reference**2).sum()))
        templates.append(np.broadcast_to(own / own.sum(), (len(BANDS), SIDE, SIDE)))
    flux, pictures = np.array(fluxes), np.array(templates)
    noise = rng.normal(size=(len(BANDS), SIDE, SIDE))
    images = np.einsum("kc,kcyx->cyx", flux, pictures) + noise
    psf = np.broadcast_to(psf_of(sigma), (len(BANDS), PSF_SIDE, PSF_SIDE))
    x, y = centers.T
    return Blend(images, np.ones_like(images), psf, x, y, np.zeros(2, bool), flux, pictures, bands=BANDS)
