"""Correlated noise: how the noise of a pixel goes with that of its neighbours, measured in blank sky.

Pixels count in units of the noise that their weights say. Whatever is measured comes from whole neighbourhoods of
blank pixels, taken as they are and turned by 180°, so that its matrix is positive by construction, and the errors of
a prediction are those that were seen (the "modified covariance method" for spectra of time series, e.g. Marple 1987,
"Digital Spectral Analysis with Applications"). So χ² is 1 per pixel of blank sky even where the noise repeats with
the phase of a resampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from deblend.observe.whitening import REACH, SIZES, STENCIL, neighbours_there, shifted, whiten

SMOOTHING = 2.0
"""Before light is sought [pix]."""
LIGHT = 3.5
"""Smoothed pixels so far above the sky hold light, in units of the scatter below it."""
WINGS = 4
"""How far light may reach on below that [pix]."""
WINDOWS_PER_NEIGHBOUR = 40
"""Blank neighbourhoods that are wanted for each neighbour of a prediction: it errs by 1/40 more than it could."""
FLOOR = 1e-3
"""Variance that predictions take for independent from pixel to pixel, relative to all: what sampling, or a model of
the PSF, gets wrong on the smallest scales must not be worth a thousand pixels."""
LARGE_SCALE = 0.35
"""Correlation over `REACH` that no resampling brings about: 0.2 for pixels of a third of those that were exposed."""
CHUNK = 2048
"""Patterns of missing neighbours that are solved for in one call."""


@dataclass(frozen=True, eq=False)
class NoiseCorrelation:
    """Covariances of the noise of a pixel and of its preceding neighbours, per band.

    In units of the variance that the weights say; make it with `measured` or `of_lags`.
    """

    covariance: Float[np.ndarray, "band neighbour neighbour"]
    """Of the pixels of `deblend.observe.whitening.STENCIL`; the first one is the pixel itself."""
    n_neighbours: tuple[int, ...]
    """How many of the neighbours, from the nearest on, each band's predictions use."""

    @classmethod
    def of_lags(cls, covariance: Float[np.ndarray, "band y x"]) -> NoiseCorrelation:
        """Make it of known covariances by lag, (0, 0) in the middle; beyond the edge they are 0.

        Raises
        ------
        ValueError
            Where there is no middle, or it is no covariance: not the same at opposite lags, or not positive.
        """
        covariance = np.asarray(covariance, np.float64)
        n_bands, height, width = covariance.shape
        if not (height % 2 and width % 2):
            raise ValueError(f"Covariances by lag need odd sides with lag 0 in the middle, got {height}×{width}.")
        if not np.allclose(covariance, covariance[:, ::-1, ::-1]):
            raise ValueError("Covariances by lag must be the same at opposite lags.")
        reach = 2 * REACH
        wide = np.pad(covariance, ((0, 0), (reach, reach), (reach, reach)))
        y, x = (np.array([o[axis] for o in STENCIL]) for axis in (0, 1))
        middle = height // 2 + reach, width // 2 + reach
        matrix = wide[:, middle[0] + y[:, None] - y, middle[1] + x[:, None] - x]
        if np.linalg.eigvalsh(matrix).min() < -1e-6 * matrix[:, 0, 0].max() or not np.all(matrix[:, 0, 0] > 0):
            raise ValueError(
                "These numbers are the covariance of no noise: some of its patterns would vary negatively."
            )
        return cls(matrix, (SIZES[-1],) * n_bands)

    @classmethod
    def measured(
        cls, noise: Float[np.ndarray, "band y x"], usable: Bool[np.ndarray, "band y x"], names: Sequence[str]
    ) -> NoiseCorrelation:
        """Measure it in the blank sky of images in units of their noise.

        Raises
        ------
        ValueError
            Where a band, named as in `names`, has too little blank sky, or none without light.
        """
        skies, blanks, matrices, sizes = zip(
            *(_sky(image, good, name) for image, good, name in zip(noise, usable, names, strict=True)), strict=True
        )
        n_blank = np.count_nonzero(blanks, axis=(1, 2))
        rough = cls(np.stack(matrices), sizes)
        # the level of the sky was taken from the same pixels, and with it the variance of their mean
        of_mean = 1.0 / rough.inverse_power(np.zeros(()), np.zeros(())) / n_blank
        rough = cls(rough.covariance + of_mean[:, None, None], sizes)
        # whole neighbourhoods tell the shape; how large it is, every blank pixel, whatever is masked around it
        white = whiten(rough.whitening(np.stack(blanks).astype(float)), np.stack(skies), np)
        size = np.sum(white**2, axis=(1, 2)) / (n_blank - np.array(sizes))
        return cls(rough.covariance * size[:, None, None], sizes)

    @property
    def variance(self) -> Float[np.ndarray, " band"]:
        """Variance of a pixel, in units of what the weights say."""
        return self.covariance[:, 0, 0]

    def at(self, offset: tuple[int, int]) -> Float[np.ndarray, " band"]:
        """Return the correlation with the neighbour at an offset (y, x) of the stencil, from -1 to 1."""
        other = STENCIL.index(offset)
        return self.covariance[:, 0, other] / np.sqrt(self.variance * self.covariance[:, other, other])

    @cached_property
    def predictor(self) -> Float[np.ndarray, "band neighbour"]:
        """The row of L of a pixel that has all of its neighbours."""
        whole = np.ones((1, len(STENCIL) - 1), bool)
        return np.stack([self._rows(band, whole)[0] for band in range(len(self.covariance))])

    def whitening(self, weights: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "neighbour band y x"]:
        """Return L for images of these weights (inverse variances; 0 where masked): see `whitening.whiten`.

        Near masks and edges a pixel is predicted from the neighbours that are there; rows of masked pixels are 0.
        """
        result = np.zeros((len(STENCIL), *weights.shape))
        for band, weight in enumerate(weights):
            usable = weight > 0
            there = neighbours_there(usable)[1:, usable]
            used = there[: self.n_neighbours[band]]
            code = (1 << np.arange(len(used))) @ used
            _, first, pattern = np.unique(code, return_index=True, return_inverse=True)
            result[:, band, usable] = self._rows(band, there[:, first].T)[pattern].T
            result[:, band] *= np.sqrt(neighbours_there(weight))
        return result

    def inverse_power(self, y: np.ndarray, x: np.ndarray) -> Float[np.ndarray, "band *frequency"]:
        """Return one over the power of the noise at frequencies along y and x [1/pix]; 1 for white noise."""
        phases = np.stack([np.exp(2j * np.pi * (dy * y + dx * x)) for dy, dx in STENCIL])
        return np.abs(np.tensordot(self.predictor, phases, axes=1)) ** 2

    def star_information(self, psf: Float[np.ndarray, "band side side"]) -> Float[np.ndarray, " band"]:
        """Return the inverse variance of the flux of a star alone, where that of a pixel is said to be 1.

        For white noise it is Σ PSF².
        """
        n = psf.shape[-1] + 2 * REACH
        frequency = np.fft.fftfreq(n)
        power = np.abs(np.fft.fft2(psf, s=(n, n))) ** 2
        return np.mean(power * self.inverse_power(frequency[:, None], frequency[None]), axis=(1, 2))

    def _rows(self, band: int, there: Bool[np.ndarray, "pattern neighbour"]) -> Float[np.ndarray, "pattern n"]:
        """Return the row of L for every pattern of neighbours that are there."""
        matrix, n = self.covariance[band], self.n_neighbours[band]
        rows = np.zeros((len(there), len(STENCIL)))
        rows[:, 0] = 1.0
        firm = matrix[1 : n + 1, 1 : n + 1] + FLOOR * matrix[0, 0] * np.eye(n)
        for start in range(0, len(there), CHUNK):
            part = slice(start, start + CHUNK)
            is_there = there[part, :n].astype(float)
            system = firm * is_there[:, :, None] * is_there[:, None] + np.eye(n) * (1.0 - is_there)[:, None]
            rows[part, 1 : n + 1] = -np.linalg.solve(system, (matrix[1 : n + 1, 0] * is_there)[..., None])[..., 0]
        # by the covariance as it is: the mean square of what the noise shows, whatever the predictor is
        error = np.einsum("ki,ij,kj->k", rows, matrix, rows)
        result: Float[np.ndarray, "pattern n"] = rows / np.sqrt(error)[:, None]
        return result


def blank_pixels(image: Float[np.ndarray, "y x"], usable: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return the pixels of sky without light, for an image in units of its noise.

    Light is what stands out of the scatter of faint pixels after some smoothing, and its surroundings. Noise alone
    keeps nearly all of its pixels, whatever its correlation, so that none of its swings goes uncounted; the faint half
    would lack the large ones.
    """
    total = ndimage.gaussian_filter(np.where(usable, image, 0.0), SMOOTHING)
    share = ndimage.gaussian_filter(usable.astype(float), SMOOTHING)
    smooth = total / np.maximum(share, 1e-3)
    sky = usable
    for _ in range(20):
        level = np.median(smooth[sky]) if sky.any() else 0.0
        below = level - smooth[sky & (smooth <= level)]
        scatter = 1.4826 * np.median(below) if below.size else 0.0
        shrunk = usable & (smooth <= level + LIGHT * scatter)
        if np.array_equal(shrunk, sky):
            break
        sky = shrunk
    light = ndimage.distance_transform_edt(~(usable & ~sky)) <= WINGS if np.any(usable & ~sky) else ~usable
    result: Bool[np.ndarray, "y x"] = usable & ~light
    return result


def _sky(
    image: Float[np.ndarray, "y x"], usable: Bool[np.ndarray, "y x"], name: str
) -> tuple[Float[np.ndarray, "y x"], Bool[np.ndarray, "y x"], Float[np.ndarray, "n n"], int]:
    """Return the noise of blank sky, where that is, its covariances, and how many neighbours they are good for."""
    blank = blank_pixels(image, usable)
    sky = np.where(blank, image - image[blank].mean(), 0.0) if blank.any() else image
    there = neighbours_there(blank)
    counts = [int(np.count_nonzero(there[: size + 1].all(axis=0))) for size in SIZES]
    good = [size for size, count in zip(SIZES, counts, strict=True) if count >= WINDOWS_PER_NEIGHBOUR * size]
    if not good:
        raise ValueError(
            f"band {name}: only {np.count_nonzero(blank)} pixels are blank, too few to measure how their noise is "
            "correlated; take a larger part of the sky, or let the noise count as white."
        )
    if not np.any(sky[blank]):
        raise ValueError(f"band {name}: its blank pixels hold no noise; let the noise count as white.")
    if (far := _far_correlation(sky, blank)) > LARGE_SCALE:
        raise ValueError(
            f"band {name}: its faintest pixels go together by {far:.2f} over {REACH} px, which is light or background "
            "and no noise; take it off before, or let the noise count as white."
        )
    n = good[-1] + 1
    matrix = np.zeros((n, n))
    total = 0
    # seen from behind it is the same noise
    for turned, free in ((sky, blank), (sky[::-1, ::-1], blank[::-1, ::-1])):
        whole = neighbours_there(free)[:n].all(axis=0)
        values = np.stack([shifted(turned, offset, np)[whole] for offset in STENCIL[:n]])
        matrix += values @ values.T
        total += values.shape[1]
    full = np.eye(len(STENCIL)) * matrix[0, 0] / total
    full[:n, :n] = matrix / total
    return sky, blank, full, good[-1]


def _far_correlation(sky: Float[np.ndarray, "y x"], blank: Bool[np.ndarray, "y x"]) -> float:
    """Return the correlation of blank pixels that lie `REACH` apart along y or x."""
    pairs = [(sky * shifted(sky, o, np))[blank & shifted(blank, o, np)] for o in ((0, -REACH), (-REACH, 0))]
    products = np.concatenate(pairs)
    return float(products.mean() / np.mean(sky[blank] ** 2)) if products.size else 0.0
