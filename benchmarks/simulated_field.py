"""A field of galaxies and stars with known fluxes, of any size, from a seed.

Galaxies are elliptical exponential disks as sums of Gaussians (Hogg & Lang 2013), and the PSF is a sum of two Gaussians
per band, so that every picture is a sum of Gaussians and its flux is known exactly. Places are random but for a part of
the sources that lies near another one. Numbers fall with brightness as they do on the sky.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend import Observation
from deblend.sky import TangentWcs

BANDS = "grizy"
PIXEL = 0.168
"""[arcsec]"""
SIGMAS = np.array([1.95, 1.8, 1.5, 1.65, 1.75])
"""Width of the core of the PSF per band [pix]."""
WING, WING_WIDTH = 0.15, 2.0
"""Share of the PSF's light in its wide Gaussian, and how much wider that is."""
STAMP = 43
NOISE = np.array([6.0, 7.0, 9.0, 15.0, 30.0])
"""Per pixel and band [nJy]."""
COLORS = np.array([[0.35, 0.6, 1.0, 1.25, 1.4], [0.75, 0.9, 1.0, 1.05, 1.1], [0.2, 0.5, 1.0, 1.4, 1.7]])
"""Fluxes relative to i of a few kinds of sources."""
DISK = np.array([0.00077, 0.01017, 0.07313, 0.37188, 1.39727, 3.56054, 4.74340, 1.78732])
DISK_VARIANCE = np.array([2.393e-4, 0.002, 0.01177, 0.05283, 0.19791, 0.65010, 1.91410, 5.05090]) / 2.0
"""Of the exponential disk: amplitudes, and variances about, in units of the squared half-light radius."""
AREA = 1677.0
"""Sky per source [pix²]: 10,000 on 4096²."""
SNR = 8.0, 400.0
"""Range of the signal to noise in i of a point source."""
CLOSE = 0.35
"""Share of the sources that have a neighbor within CLOSE_BY [pix]."""
CLOSE_BY = 4.0, 12.0
STARS = 0.15
EDGE = 6.0
"""How far from the edge every center lies [pix]."""


@dataclass(frozen=True, eq=False)
class Field:
    """Images and their truth."""

    images: Float[np.ndarray, "band y x"]
    """float32 [nJy/pix]"""
    x: Float[np.ndarray, " source"]
    y: Float[np.ndarray, " source"]
    fluxes: Float[np.ndarray, "source band"]
    """[nJy]"""
    wcs: TangentWcs

    @property
    def psf(self) -> Float[np.ndarray, "band side side"]:
        """The PSF on pixels, per band."""
        index = np.arange(STAMP) - STAMP // 2
        squared = index[:, None] ** 2 + index**2
        stamps = [
            sum(
                share * np.exp(-0.5 * squared / variance) / (2.0 * np.pi * variance)
                for share, variance in zip(_SHARES, _psf_variances(band), strict=True)
            )
            for band in range(len(BANDS))
        ]
        return np.stack([stamp / stamp.sum() for stamp in stamps])

    def observation(self, bands: int = len(BANDS)) -> Observation:
        """Return the first bands as an observation."""
        weights = np.broadcast_to(NOISE[:bands, None, None] ** -2.0, (bands, *self.images.shape[1:]))
        options = {"channels": list(BANDS[:bands]), "name": "simulated", "wcs": self.wcs}
        return Observation.from_arrays(self.images[:bands], self.psf[:bands], weights, **options)


_SHARES = (1.0 - WING, WING)


def _psf_variances(band: int) -> tuple[float, float]:
    return SIGMAS[band] ** 2, (WING_WIDTH * SIGMAS[band]) ** 2


def simulated(side: int, seed: int = 1, n_sources: int | None = None, bands: int = len(BANDS)) -> Field:
    """Return a square field of a side [pix]; without `n_sources` as many as on the sky of `AREA` each."""
    rng = np.random.default_rng(seed)
    n = max(round(side**2 / AREA), 1) if n_sources is None else n_sources
    x, y = _places(rng, n, side)
    least, most = (1.0 / snr**1.2 for snr in SNR)
    snr = (least + rng.uniform(size=n) * (most - least)) ** (-1.0 / 1.2)
    star_error = NOISE[2] * np.sqrt(4.0 * np.pi) * SIGMAS[2]
    is_star = rng.uniform(size=n) < STARS
    size = np.where(is_star, 0.0, rng.uniform(1.0, 2.5, n) * (snr / 20.0) ** 0.25)
    # as much light more as the source is wider than a star
    flux_i = snr * star_error * np.sqrt(1.0 + (size / SIGMAS[2]) ** 2)
    mix = rng.dirichlet(np.ones(len(COLORS)), n)
    fluxes = flux_i[:, None] * (mix @ COLORS)
    axis, angle = rng.uniform(0.35, 1.0, n), rng.uniform(0.0, np.pi, n)
    images = np.zeros((bands, side, side), np.float32)
    for k in range(n):
        _draw(images, x[k], y[k], fluxes[k, :bands], size[k], axis[k], angle[k])
    for band, plane in enumerate(images):
        plane += rng.normal(0.0, NOISE[band], plane.shape).astype(np.float32)
    scale = PIXEL
    middle = ((side - 1) / 2.0, (side - 1) / 2.0)
    return Field(images, x, y, fluxes[:, :bands], TangentWcs((150.1, 2.2), middle, ((-scale, 0.0), (0.0, scale))))


def _places(rng: np.random.Generator, n: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    places = rng.uniform(EDGE, side - 1 - EDGE, (n, 2))
    for k in range(1, n):
        if rng.uniform() < CLOSE:
            angle, distance = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(*CLOSE_BY)
            host = places[rng.integers(k)]
            places[k] = np.clip(host + distance * np.array([np.cos(angle), np.sin(angle)]), EDGE, side - 1 - EDGE)
    return places[:, 0], places[:, 1]


def _draw(
    images: Float[np.ndarray, "band y x"],
    x: float,
    y: float,
    flux: Float[np.ndarray, " band"],
    size: float,
    axis: float,
    angle: float,
) -> None:
    """Add a source; a size of 0 is a star."""
    variances = size**2 * DISK_VARIANCE if size else np.zeros(1)
    shares = DISK / DISK.sum() if size else np.ones(1)
    reach = int(np.ceil(5.0 * np.sqrt(variances.max() + (WING_WIDTH * SIGMAS.max()) ** 2)))
    side = images.shape[-1]
    rows = np.arange(max(int(y) - reach, 0), min(int(y) + reach + 1, side))
    columns = np.arange(max(int(x) - reach, 0), min(int(x) + reach + 1, side))
    dy, dx = np.meshgrid(rows - y, columns - x, indexing="ij")
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    for band in range(len(images)):
        light = np.zeros_like(dx)
        for share, variance in zip(shares, variances, strict=True):
            for of_psf, blur in zip(_SHARES, _psf_variances(band), strict=True):
                long, short = variance / axis + blur, variance * axis + blur
                square = along**2 / long + across**2 / short
                light += share * of_psf * np.exp(-0.5 * square) / (2.0 * np.pi * np.sqrt(long * short))
        images[band][window] += (flux[band] * light).astype(np.float32)
