"""Starting profiles: how the light of each source falls off, before the PSF.

A round galaxy behind a PSF that is itself a sum of Gaussians is a sum of Gaussians, linear in its amplitudes, so its
rings give them by one small non-negative least-squares problem. Sources are taken in turn, brightest first, each
after the light of the others was taken off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from deblend.detect.stack import Stack, cutout, on_both_sides, rings
from deblend.scene import LEAST_SHARE, PROFILE_SIGMAS, Galaxy, Source

SWEEPS = 2
PSF_WIDTHS = 12
"""Gaussians that a PSF is described by."""
LARGE = 31
"""Radius of a box beyond which a source is a large one [pix]."""
SEEN = 5.0
"""Signal to noise from which on the light of a source tells its profile."""
MODEL_ERROR = 0.1
"""Of the light of a ring: galaxies are neither round nor smooth."""
LEAST_OF_TWO = 0.545
"""By how many σ the median of the smaller one of two noisy values lies below that of one."""
FAMILIARITY = 1.0
"""Standard deviation of each Gaussian's share of the light around that of a galaxy of this size."""


@dataclass(frozen=True)
class Round:
    """Concentric round Gaussians."""

    flux: Float[np.ndarray, " gaussian"]
    variance: Float[np.ndarray, " gaussian"]

    def behind(self, psf: Round) -> Round:
        """Return these Gaussians as seen behind a PSF."""
        variance = self.variance[:, None] + psf.variance
        return Round((self.flux[:, None] * psf.flux).ravel(), variance.ravel())

    def at(self, radius: Float[np.ndarray, " ring"]) -> Float[np.ndarray, " ring"]:
        """Return the surface brightness at a radius [1/pix²]."""
        return _brightness(radius, self.variance) @ self.flux


def _brightness(radius: np.ndarray, variance: np.ndarray) -> Float[np.ndarray, "ring gaussian"]:
    """Return the surface brightness of Gaussians of flux 1."""
    result: Float[np.ndarray, "ring gaussian"]
    result = np.exp(-0.5 * radius[:, None] ** 2 / variance) / (2.0 * np.pi * variance)
    return result


def round_psf(psf: Float[np.ndarray, "side side"]) -> Round:
    """Return about the PSF, as round Gaussians of total flux 1."""
    around = rings(psf.shape[0] // 2)
    variance = np.geomspace(0.5, max(psf.shape[0] / 4.0, 2.0), PSF_WIDTHS) ** 2
    root = np.sqrt(around.counts)
    flux, _ = nnls(_brightness(around.radius, variance) * root[:, None], around.medians(psf) * root)
    return Round(flux / flux.sum(), variance)


@dataclass(frozen=True, eq=False)
class Peeled:
    """Sources with profiles that follow the light around where they were placed, and what these leave."""

    stack: Stack
    sources: list[Source]
    light: dict[int, Round]
    """Of galaxies, by their number, before the PSF."""
    left: Float[np.ndarray, "y x"]
    """The stack without the light of galaxies [nJy/pix]."""
    psf: Round

    def outshone(self, least: float, share: float = 0.0) -> list[int]:
        """Return the galaxies in whose middle there is more light of others than that [nJy/pix], and than a share of
        their own."""
        found = []
        for k, shape in self.light.items():
            x, y = self.sources[k].center.value
            row, column = (
                int(np.clip(np.floor(v + 0.5), 0, n - 1)) for v, n in zip((y, x), self.left.shape, strict=True)
            )
            away = np.array([np.hypot(row - y, column - x)])
            of_all = self.stack.light[row, column] - self.left[row, column]
            own = float(shape.behind(self.psf).at(away)[0])
            if of_all - own > max(least, share * own):
                found.append(k)
        return found

    def alone(self, numbers: Sequence[int]) -> Iterator[tuple[int, Float[np.ndarray, "y x"]]]:
        """Yield galaxies, and for each the signal to noise of the stack without the light of all others; it holds until
        the next one is asked for."""
        root = np.sqrt(self.stack.weight)
        picture = self.left * root
        for k in numbers:
            _add(picture, self.sources[k], self.light[k], self.psf, root)
            yield k, picture
            _add(picture, self.sources[k], self.light[k], self.psf, -root)


def peeled(stack: Stack, sources: Sequence[Source]) -> Peeled:
    """Return the sources, galaxies among them with profiles that follow the light around where they were placed."""
    psf = round_psf(stack.psf)
    left = stack.light.copy()
    shapes: dict[int, Round] = {}
    order = sorted(range(len(sources)), key=lambda k: _precedence(stack, sources[k]), reverse=True)
    for _ in range(SWEEPS if len(sources) > 1 else 1):
        for k in order:
            source = sources[k]
            galaxy = source.components[0].morphology
            if not isinstance(galaxy, Galaxy):
                continue
            if k in shapes:
                _add(left, source, shapes[k], psf, 1.0)
            shapes[k] = _profile(stack, left, source, galaxy, psf)
            _add(left, source, shapes[k], psf, -1.0)
    shaped = [_shaped(source, shapes[k].flux) if k in shapes else source for k, source in enumerate(sources)]
    return Peeled(stack, shaped, shapes, left, psf)


def _precedence(stack: Stack, source: Source) -> tuple[float, float]:
    """Return what sources are taken by, the largest first: the light of large ones, then the peaks of all.

    What lies on the light of a large one may have the brighter peak, and would take that light.
    """
    peak = float(np.nanmax(cutout(stack.light, source.x, source.y, 1), initial=0.0))
    if source.components[0].radius <= LARGE:
        return 0.0, peak
    return float(np.sum(np.prod(_falling(stack, stack.light, source), axis=0))), peak


def _falling(
    stack: Stack, left: Float[np.ndarray, "y x"], source: Source
) -> tuple[Float[np.ndarray, " ring"], Float[np.ndarray, " ring"]]:
    """Return the light of the rings around a source [nJy/pix], and how many pixels each has."""
    box = cutout(left, source.x, source.y, source.components[0].radius)
    around = rings(source.components[0].radius)
    return around.medians(on_both_sides(box, LEAST_OF_TWO * stack.noise)), around.counts


def _profile(stack: Stack, left: Float[np.ndarray, "y x"], source: Source, galaxy: Galaxy, psf: Round) -> Round:
    """Return the Gaussians of a source that its rings ask for."""
    light, counts = _falling(stack, left, source)
    around = rings(source.components[0].radius)
    error = np.hypot(MODEL_ERROR * light, 1.5 * stack.noise / np.sqrt(counts))
    variance = (np.asarray(PROFILE_SIGMAS) * galaxy.scale) ** 2
    columns = np.stack([Round(np.ones(1), v[None]).behind(psf).at(around.radius) for v in variance], axis=1)
    typical = galaxy.amplitudes.value
    expected = columns @ typical
    information = float((expected**2 / error**2).sum())
    total = float((light * expected / error**2).sum()) / information
    if total * np.sqrt(information) < SEEN:
        return Round(typical * max(total, 0.0), variance)
    prior = np.eye(len(typical)) / (FAMILIARITY * total)
    allowed = typical > 0
    flux = np.zeros(len(typical))
    flux[allowed], _ = nnls(
        np.vstack([columns / error[:, None], prior])[:, allowed],
        np.concatenate([light / error, prior @ typical * total]),
    )
    return Round(flux, variance)


def _add(
    left: Float[np.ndarray, "y x"],
    source: Source,
    shape: Round,
    psf: Round,
    factor: float | Float[np.ndarray, "y x"],
) -> None:
    """Add a source's light, times a factor, to a picture."""
    reach = source.components[0].radius
    x, y = source.center.value
    height, width = left.shape
    rows = slice(max(int(y) - reach, 0), max(min(int(y) + reach + 1, height), 0))
    columns = slice(max(int(x) - reach, 0), max(min(int(x) + reach + 1, width), 0))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    distance = np.hypot(np.arange(rows.start, rows.stop)[:, None] - y, np.arange(columns.start, columns.stop) - x)
    grid = np.arange(0.0, distance.max() + 1.0, 0.25)
    here = factor if isinstance(factor, float) else factor[rows, columns]
    left[rows, columns] += here * np.interp(distance, grid, shape.behind(psf).at(grid))


def _shaped(source: Source, flux: Float[np.ndarray, " gaussian"]) -> Source:
    """Return the source with a profile of these amplitudes."""
    galaxy = source.components[0].morphology
    assert isinstance(galaxy, Galaxy)
    if not flux.sum() > 0:
        return source
    return with_amplitudes(source, np.where(galaxy.amplitudes.value > 0, flux / flux.sum() + LEAST_SHARE, 0.0))


def with_amplitudes(source: Source, amplitudes: Float[np.ndarray, " gaussian"]) -> Source:
    """Return a galaxy with other amplitudes, brought to sum 1; those of 0 are no part of its profile."""
    component = source.components[0]
    galaxy = component.morphology
    assert isinstance(galaxy, Galaxy)
    shaped = galaxy.with_parameters(amplitudes=galaxy.amplitudes.at(amplitudes / amplitudes.sum()))
    return replace(source, components=(replace(component, morphology=shaped),))
