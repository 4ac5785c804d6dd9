"""Blends of real galaxies with known truth.

Galaxies are single ones that Hubble saw in COSMOS, each with its PSF and its magnitudes in five HSC bands. Their own
PSF is divided out, they are magnified, reflected and transposed, and drawn as a camera like HSC would see them: all
of it in Fourier space, on one set of frequencies, so that no picture is ever interpolated. The truth holds what images
of finite depth can show: far from a galaxy, where its stamp is nothing but noise, the stamp is set to zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from jaxtyping import Complex, Float
from scipy import ndimage
from scipy.optimize import nnls
from scipy.special import gamma, kv

from deblend import Channel, Observation

SIDE = 60
"""Of the images [pix]."""
PIXEL = 0.168
"""[arcsec]"""
STAMP_PIXEL = 0.03
"""Of the galaxies and their PSFs [arcsec]."""
BANDS = "grizy"
FWHM = (0.80, 0.72, 0.58, 0.66, 0.70)
"""Of the PSF per band [arcsec]."""
MOFFAT_BETA = 3.5
PSF_SIDE = 43
NOISE = (0.0128, 0.0142, 0.0204, 0.0334, 0.0667)
"""Of the sky per pixel and band [counts of zero point 27]; only their ratios matter."""
SNR = 10.0, 300.0
"""Range of the signal to noise in i of a source that were alone, uniform in its logarithm."""
SEPARATION = 3.0, 12.0
"""Range of the distance to the nearest neighbor, and least distance of any two [pix]."""
MARGIN = 12.0
"""How far from the edge every center lies [pix]."""
MAGNIFICATION = 1.0, 2.2
STAR_FRACTION = 0.15
STAR_COLORS = ((0.50, 0.17, 0.06, 0.03), (0.95, 0.38, 0.18, 0.09), (1.35, 1.15, 0.55, 0.30))
"""g-r, r-i, i-z, z-y of a few kinds of stars."""
LEAST_STAMP_SNR = 15.0
"""Galaxies that Hubble saw with less are not used."""

PERIOD = 16.0
"""The sky repeats itself after that; larger than an image and a galaxy [arcsec]."""
FREQUENCIES = np.arange(-80, 81) / PERIOD
"""Up to where no PSF here lets anything pass [1/arcsec]."""
LEAST_RESPONSE = 1e-3
"""Where the own PSF of a galaxy lets less than this pass, no more is divided out."""

Spectrum = Complex[np.ndarray, "fy fx"]


@dataclass(frozen=True)
class Blend:
    """A blend, what is told of it, and its truth."""

    images: Float[np.ndarray, "band y x"]
    variance: Float[np.ndarray, "band y x"]
    psf: Float[np.ndarray, "band side side"]
    """As it is told."""
    x: Float[np.ndarray, " source"]
    y: Float[np.ndarray, " source"]
    is_star: np.ndarray
    flux: Float[np.ndarray, "source band"]
    templates: Float[np.ndarray, "source band y x"]
    """Every source per unit flux, as seen."""
    bands: str = BANDS
    is_given: np.ndarray | None = None
    """Which sources are told of; None for all."""
    things: tuple[tuple[Part, ...], ...] = ()
    """What the sources are made of, where they were drawn here."""

    @property
    def given(self) -> np.ndarray:
        return np.ones(len(self.x), bool) if self.is_given is None else self.is_given

    @property
    def band_i(self) -> int:
        return self.bands.index("i")

    @property
    def observation(self) -> Observation:
        channels = [Channel("hsc", band) for band in self.bands]
        return Observation.from_arrays(self.images, self.psf, 1.0 / self.variance, channels=channels, name="blend")

    @property
    def truth(self) -> Float[np.ndarray, "source band y x"]:
        return self.flux[:, :, None, None] * self.templates

    @property
    def snr(self) -> Float[np.ndarray, " source"]:
        """Signal to noise in i, were the source alone."""
        return np.sqrt((self.truth[:, self.band_i] ** 2 / self.variance[self.band_i]).sum(axis=(1, 2)))

    @property
    def blendedness(self) -> Float[np.ndarray, " source"]:
        """Share of the light under a source, in i, that is not its own."""
        own = self.truth[:, self.band_i]
        return 1.0 - (own**2).sum(axis=(1, 2)) / (own * own.sum(axis=0)).sum(axis=(1, 2))

    @property
    def chi2_of_truth(self) -> float:
        """Per pixel."""
        return float(np.mean((self.images - self.truth.sum(axis=0)) ** 2 / self.variance))

    @property
    def floor(self) -> Float[np.ndarray, "source band"]:
        """Non-negative fluxes for the true pictures of all sources, those that are not told of, too."""
        result = np.zeros_like(self.flux)
        for band, (image, variance) in enumerate(zip(self.images, self.variance, strict=True)):
            columns = (self.templates[:, band] / np.sqrt(variance)).reshape(len(self.x), -1).T
            result[:, band] = nnls(columns, (image / np.sqrt(variance)).ravel())[0]
        return result


def waves(positions: Float[np.ndarray, " n"]) -> Complex[np.ndarray, "f n"]:
    """Return exp(-2πi f p) for positions [arcsec]."""
    return np.exp(-2j * np.pi * FREQUENCIES[:, None] * positions)


def spectrum_of(stamp: Float[np.ndarray, "y x"], pixel: float) -> Spectrum:
    """Return the Fourier transform of a stamp around its middle, of flux 1."""
    height, width = stamp.shape
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel for n in (height, width))
    result: Spectrum = waves(y) @ stamp @ waves(x).T
    return result / stamp.sum()


def drawn(spectrum: Spectrum, x: float, y: float, side: int = SIDE) -> Float[np.ndarray, "y x"]:
    """Return a picture of a spectrum around (x, y) [pix]."""
    index = np.arange(side)
    back_y, back_x = (np.conj(waves((index - center) * PIXEL)) for center in (y, x))
    return np.real(back_y.T @ spectrum @ back_x) * (PIXEL / PERIOD) ** 2


@lru_cache(maxsize=1)
def transfers() -> list[Spectrum]:
    """Return the Fourier transforms of PSF and pixel per band."""
    distance = np.hypot(FREQUENCIES[:, None], FREQUENCIES)
    pixel = np.sinc(FREQUENCIES * PIXEL)
    result = []
    for fwhm in FWHM:
        core = fwhm / 2 / np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
        order = MOFFAT_BETA - 1
        z = np.maximum(2 * np.pi * core * distance, 1e-6)
        result.append(2 / gamma(order) * (z / 2) ** order * kv(order, z) * pixel[:, None] * pixel)
    return result


def without_noise(stamp: Float[np.ndarray, "y x"], sigma: float) -> tuple[Float[np.ndarray, "y x"], float]:
    """Return a stamp that is softly set to zero where it holds no light of its galaxy, and its signal to noise."""
    width = 2.5
    smooth = ndimage.gaussian_filter(stamp, width, mode="constant") * np.sqrt(4 * np.pi) * width / sigma
    labels, _ = ndimage.label(smooth > 2.0)
    own = labels == labels[np.unravel_index(np.argmax(smooth), smooth.shape)]
    near = ndimage.distance_transform_edt(~own)
    keep = 1 / (1 + np.exp((near - 4.0) / 1.0))
    inside = keep > 0.5
    return stamp * keep, float(stamp[inside].sum() / sigma / np.sqrt(inside.sum()))


@dataclass(frozen=True)
class Galaxies:
    """All that Hubble saw well enough."""

    stamps: list[Float[np.ndarray, "y x"]]
    psfs: list[Float[np.ndarray, "y x"]]
    colors: list[Float[np.ndarray, " band"]]
    """Flux relative to i."""

    @staticmethod
    def read(folder: Path) -> Galaxies:
        """Read `galaxies.fits`, `psfs.fits` and `catalog.csv`."""
        catalog = Table.read(folder / "catalog.csv")
        stamps, psfs, colors = [], [], []
        with fits.open(folder / "galaxies.fits") as images, fits.open(folder / "psfs.fits") as own:
            for row in catalog:
                hdu = int(row["hdu"])
                stamp, snr = without_noise(images[hdu].data.astype(float), float(np.sqrt(row["noise_variance"])))
                if snr < LEAST_STAMP_SNR:
                    continue
                magnitudes = np.array([row[f"hsc_{band}"] for band in BANDS])
                stamps.append(stamp)
                psfs.append(own[hdu].data.astype(float))
                colors.append(10 ** (-0.4 * (magnitudes - magnitudes[2])))
        return Galaxies(stamps, psfs, colors)

    def draw(self, rng: np.random.Generator) -> tuple[Spectrum, Float[np.ndarray, " band"]]:
        """Return some galaxy before any PSF, around its middle, and its colors."""
        index = int(rng.integers(len(self.stamps)))
        pixel = STAMP_PIXEL * rng.uniform(*MAGNIFICATION)
        own = spectrum_of(self.psfs[index], pixel)
        spectrum = spectrum_of(self.stamps[index], pixel) * np.conj(own)
        spectrum = spectrum * (1 + LEAST_RESPONSE**2) / (np.abs(own) ** 2 + LEAST_RESPONSE**2)
        if rng.random() < 0.5:
            spectrum = spectrum.T
        spectrum = spectrum[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        dx, dy = middle(drawn(spectrum * transfers()[2], SIDE / 2, SIDE / 2))
        shift = np.outer(waves(np.array([-dy * PIXEL]))[:, 0], waves(np.array([-dx * PIXEL]))[:, 0])
        return spectrum * shift, self.colors[index]

    def irregular(self) -> Galaxies:
        """Return the large and asymmetric ones: of the larger half the more asymmetric half."""
        sizes = np.array([np.sqrt(np.count_nonzero(stamp > 0.1 * stamp.max())) for stamp in self.stamps])
        asymmetry = np.array([_asymmetry(stamp) for stamp in self.stamps])
        large = sizes >= np.median(sizes)
        chosen = np.flatnonzero(large & (asymmetry >= np.median(asymmetry[large])))
        return Galaxies(*([column[i] for i in chosen] for column in (self.stamps, self.psfs, self.colors)))


def _asymmetry(stamp: Float[np.ndarray, "y x"]) -> float:
    """Return Σ |I - I turned| / 2 Σ |I|, turned by 180° about the centroid (Conselice 2003, without its search)."""
    middle = (np.array(stamp.shape) - 1) / 2
    centered = ndimage.shift(stamp, middle - ndimage.center_of_mass(np.maximum(stamp, 0.0)), order=1)
    return float(np.abs(centered - centered[::-1, ::-1]).sum() / (2 * np.abs(centered).sum()))


def middle(picture: Float[np.ndarray, "y x"], width: float = 2.0) -> tuple[float, float]:
    """Return where a galaxy is (x, y), from the middle of the image [pix]: the centroid under a Gaussian there."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] - SIDE / 2
    dx = dy = 0.0
    for _ in range(30):
        weight = picture * np.exp(-0.5 * ((x - dx) ** 2 + (y - dy) ** 2) / width**2)
        dx, dy = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    return float(dx), float(dy)


def places(rng: np.random.Generator, number: int) -> Float[np.ndarray, "source 2"]:
    """Return centers (x, y), each a few pixels from another one [pix]."""
    result = [SIDE / 2 + rng.uniform(-4, 4, 2)]
    while len(result) < number:
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*SEPARATION)
        place = result[rng.integers(len(result))] + distance * np.array([np.cos(angle), np.sin(angle)])
        is_inside = np.all((place > MARGIN) & (place < SIDE - 1 - MARGIN))
        if is_inside and min(np.hypot(*(place - other)) for other in result) >= SEPARATION[0]:
            result.append(place)
    return np.array(result)


@dataclass(frozen=True)
class Part:
    """Light of one color and one shape."""

    spectrum: Spectrum
    """Fourier transform of the picture before the PSF, of flux 1."""
    colors: Float[np.ndarray, " band"]
    """Flux per band, where i of the whole has 1."""
    sersic: tuple[float, float, float, float] | None = None
    """Index, half-light radius [pix], axis ratio and angle [deg] of a Sérsic profile; None where it is none."""


def star(rng: np.random.Generator) -> tuple[Part, ...]:
    """Return a star of one of a few kinds."""
    g_r, r_i, i_z, z_y = STAR_COLORS[rng.integers(len(STAR_COLORS))]
    spectrum = np.ones((FREQUENCIES.size, FREQUENCIES.size), complex)
    return (Part(spectrum, 10 ** (-0.4 * np.array([g_r + r_i, r_i, 0.0, -i_z, -i_z - z_y]))),)


def observed(
    rng: np.random.Generator,
    things: Sequence[tuple[Part, ...]],
    is_star: Sequence[bool],
    snr: Sequence[float],
    centers: Float[np.ndarray, "source 2"],
) -> Blend:
    """Return the image of things at centers (x, y), each of a signal to noise in i that it would have alone."""
    sigma = np.array(NOISE)
    templates, fluxes = [], []
    for parts, wanted, (x, y) in zip(things, snr, centers, strict=True):
        light = np.zeros((len(BANDS), SIDE, SIDE))
        for part in parts:
            drawings = [drawn(part.spectrum * transfer, x, y) for transfer in transfers()]
            light += part.colors[:, None, None] * np.stack(drawings)
        colors = np.sum([part.colors for part in parts], axis=0)
        template = light / colors[:, None, None]
        fluxes.append(colors / colors[2] * wanted * sigma[2] / np.sqrt((template[2] ** 2).sum()))
        templates.append(template)
    psf = np.stack([drawn(transfer, PSF_SIDE // 2, PSF_SIDE // 2, PSF_SIDE) for transfer in transfers()])
    flux, templates_ = np.array(fluxes), np.array(templates)
    noise = rng.normal(size=(len(BANDS), SIDE, SIDE)) * sigma[:, None, None]
    images = np.einsum("kc,kcyx->cyx", flux, templates_) + noise
    variance = np.broadcast_to(sigma[:, None, None] ** 2, images.shape)
    x, y = centers.T
    return Blend(images, variance, psf, x, y, np.array(is_star), flux, templates_, things=tuple(things))


def make_blend(galaxies: Galaxies, seed: int, number: int) -> Blend:
    """Return blend `number` of a seed: two to six stars and galaxies."""
    rng = np.random.default_rng((seed, number))
    centers = places(rng, int(rng.integers(2, 7)))
    things, stars, snr = [], [], []
    for _ in centers:
        is_star = bool(rng.random() < STAR_FRACTION)
        things.append(star(rng) if is_star else (Part(*galaxies.draw(rng)),))
        stars.append(is_star)
        snr.append(np.exp(rng.uniform(*np.log(SNR))))
    return observed(rng, things, stars, snr, centers)
