"""A PSF from stars of the image, band by band: which of them serve, and what they leave over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from deblend.observe.effective_psf import EffectivePsf, fit_effective_psf
from deblend.observe.observation import Observation
from deblend.observe.psf import centroid, full_width_half_maximum, mend_psf
from deblend.observe.star_pixels import StarPixels
from deblend.observe.stars import foreign_pixels, objects_in, stacked, stars_in

LEAST_SNR = 10.0
"""A star of less says nothing of the PSF."""
ODD_RESIDUAL, ODD_TIMES = 0.05, 4.0
"""What is left in the middle of something that is no single star [peak], and how much more than in the others."""
REACH = 4.0
"""Half a side of the stamp, where none is given [full widths]."""
LEAST_HALF, MOST_HALF = 7, 40
CORE = 6
"""How far around a place its star is looked for [pix]."""
FURTHEST = 3.0
"""From where it was said to be a star may lie so far [pix]."""


@dataclass(frozen=True, eq=False)
class StarPsf:
    """A PSF made of stars, and what it leaves of them."""

    psf: Float[np.ndarray, "band side side"]
    """`oversampling` samples per pixel; odd, centered, integrated over pixels, sum 1."""
    oversampling: int
    x: Float[np.ndarray, " star"]
    """Places that were given, refined [pix]."""
    y: Float[np.ndarray, " star"]
    flux: Float[np.ndarray, "band star"]
    """In the unit of the images; NaN where a star was left out."""
    cutouts: Float[np.ndarray, "band star side side"]
    """The stars, without background, of peak 1; NaN where masked."""
    residuals: Float[np.ndarray, "band star side side"]
    """What is left of them, in the same unit."""
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> Bool[np.ndarray, "band star"]:
        """Which stars took part."""
        return np.isfinite(self.flux)


def psf_from_stars(
    observation: Observation, x: Any = None, y: Any = None, *, oversampling: int = 1, side: int | None = None
) -> StarPsf:
    """Fit the effective PSF of every band to stars of the image.

    Stars of a few pixels' accuracy in place will do; neighbours and cosmic rays are left out pixel by pixel, what is no
    single star as a whole. With a narrow PSF (below 2.5 px) and stars at many fractions of pixels, `oversampling` 2 or
    3 tells what lies between the pixels (Anderson & King 2000).

    Parameters
    ----------
    x, y
        Places [pix], 0-based; without them stars are sought, as by `find_stars`.
    oversampling
        Samples of the PSF per pixel, along each axis.
    side
        Of the stamp [pix]; odd. Without it, eight times the full width of the stars.

    Raises
    ------
    ValueError
        Where no star serves.
    """
    stars = None if x is None else (x, y)
    names = [channel.band for channel in observation.channels]
    where = observation.name
    return fit_stars(observation.images, observation.weights, stars, names, where, oversampling=oversampling, side=side)


def fit_stars(
    images: Float[np.ndarray, "band y x"],
    weights: Float[np.ndarray, "band y x"],
    stars: tuple[Any, Any] | None,
    bands: Sequence[str],
    name: str,
    *,
    oversampling: int = 1,
    side: int | None = None,
) -> StarPsf:
    """Do what `psf_from_stars` does, for images and their inverse variances; `stars` are x and y."""
    if oversampling not in (1, 2, 3, 4):
        raise ValueError(f"A PSF from stars has 1 to 4 samples per pixel, got {oversampling}.")
    stack, weight = stacked(images, weights)
    objects = objects_in(stack, weight)
    if stars is None:
        found = stars_in(images, weights, name)
        x, y, width = found.x, found.y, found.width
    else:
        x, y = (np.atleast_1d(np.asarray(value, float)) for value in stars)
        width = None
    places = _refined(stack, np.stack([y, x], axis=-1))
    if width is None:
        width = _width(stack, places)
    half = side // 2 if side is not None else int(np.clip(np.ceil(REACH * width), LEAST_HALF, MOST_HALF))
    foreign = foreign_pixels(objects.segments, places, half)
    fitted, kept, notes = [], np.zeros((len(images), len(x)), bool), []
    for k, (image, inverse_variance, band) in enumerate(zip(images, weights, bands, strict=True)):
        one, kept[k] = _fit_band(image, inverse_variance, places, half, foreign, oversampling, width, f"{name}, {band}")
        fitted.append(one)
    cube, mended = mend_psf([one.profile.stamp(half) for one in fitted], bands, oversampling=oversampling)
    flux = np.full(kept.shape, np.nan)
    cutouts, residuals = (np.full((*kept.shape, 2 * half + 1, 2 * half + 1), np.nan) for _ in range(2))
    for k, one in enumerate(fitted):
        flux[k, kept[k]] = one.stars.flux
        cutouts[k, kept[k]], residuals[k, kept[k]] = _pictures(one, np.floor(places[kept[k]] + 0.5), half)
        places[kept[k]] = one.stars.places
        left = np.flatnonzero(~kept[k])
        if left.size:
            said = ", ".join(f"({x[i]:.0f}, {y[i]:.0f})" for i in left[:5]) + (" …" if left.size > 5 else "")
            notes.append(
                f"{bands[k]}: {left.size} of {len(x)} stars are left out, at (x, y) = {said}: faint, masked or double."
            )
    widths = ", ".join(
        f"{band} {full_width_half_maximum(stamp) / oversampling:.2f}" for band, stamp in zip(bands, cube, strict=True)
    )
    count = kept.any(axis=0).sum()
    how = "found in the image" if stars is None else "given"
    notes.insert(0, f"{name}: PSF from {count} star{'s' if count > 1 else ''} {how}; FWHM [pix]: {widths}.")
    return StarPsf(cube, oversampling, places[:, 1], places[:, 0], flux, cutouts, residuals, (*notes, *mended))


def _fit_band(
    image: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, "y x"],
    places: Float[np.ndarray, "star 2"],
    half: int,
    foreign: Bool[np.ndarray, "star side side"],
    oversampling: int,
    width: float,
    where: str,
) -> tuple[EffectivePsf, Bool[np.ndarray, " star"]]:
    """Fit one band twice: without what the first time showed to be no star. Return which stars took part."""
    kept = np.array([_is_seen(image, weight, place) for place in places])
    while kept.any():
        pixels = StarPixels.around(image, weight, places[kept], half, foreign[kept])
        fitted = fit_effective_psf(pixels, places[kept], half, oversampling, width)
        good = _serve(fitted, places[kept], width)
        if good.all():
            return fitted, kept
        kept[np.flatnonzero(kept)[~good]] = False
    raise ValueError(
        f"{where}: none of the {len(places)} stars serves: too faint, masked, or not single; choose others."
    )


def _is_seen(image: np.ndarray, weight: np.ndarray, place: np.ndarray) -> bool:
    """Tell whether the middle of a star is on the image and unmasked."""
    row, column = np.floor(place + 0.5).astype(int)
    if not (1 <= row < image.shape[0] - 1 and 1 <= column < image.shape[1] - 1):
        return False
    return bool((weight[row - 1 : row + 2, column - 1 : column + 2] > 0).all())


def _serve(fitted: EffectivePsf, places: np.ndarray, width: float) -> Bool[np.ndarray, " star"]:
    """Tell which stars are single stars, bright enough and where they were said to be."""
    stars, pixels, n = fitted.stars, fitted.pixels, len(fitted.stars.flux)
    dy, dx = pixels.offsets(stars)
    share = fitted.profile(dy, dx)
    snr = stars.flux * np.sqrt(np.bincount(pixels.star, pixels.weight * share**2, n))
    core = np.hypot(dy, dx) < max(0.75 * width, 1.5)
    # what has no flux is too faint, whatever is left of it
    flux = np.where(stars.flux > 0, stars.flux, np.inf)[pixels.star]
    left = (pixels.value - stars.model(pixels, fitted.profile)) / flux
    noise = np.bincount(pixels.star, core / (pixels.weight * flux**2), n)
    squares = np.bincount(pixels.star, core * left**2, n)
    count = np.maximum(np.bincount(pixels.star, core, n), 1.0)
    excess = np.sqrt(np.maximum(squares - noise, 0.0) / count) / share.max()
    is_odd = (excess > ODD_RESIDUAL) & (excess > ODD_TIMES * np.median(excess))
    is_near = np.hypot(*(stars.places - places).T) < FURTHEST
    result: Bool[np.ndarray, " star"] = (snr > LEAST_SNR) & ~is_odd & is_near
    return result


def _refined(stack: Float[np.ndarray, "y x"], places: Float[np.ndarray, "star 2"]) -> Float[np.ndarray, "star 2"]:
    """Return places (y, x) moved to the middles of their stars, where one is near."""
    wide = np.pad(stack, CORE)
    result = places.astype(float).copy()
    for k, place in enumerate(places):
        row, column = np.floor(place + 0.5).astype(int)
        if 0 <= row < stack.shape[0] and 0 <= column < stack.shape[1]:
            piece = wide[row : row + 2 * CORE + 1, column : column + 2 * CORE + 1]
            off = np.array(centroid(piece - np.median(piece)))
            if np.hypot(*off) < FURTHEST:
                result[k] = np.array([row, column]) + off
    return result


def _width(stack: Float[np.ndarray, "y x"], places: Float[np.ndarray, "star 2"]) -> float:
    """Return the typical full width of stars [pix]."""
    wide = np.pad(stack, 2 * CORE)
    widths = []
    for row, column in np.floor(places + 0.5).astype(int):
        if 0 <= row < stack.shape[0] and 0 <= column < stack.shape[1]:
            piece = wide[row : row + 4 * CORE + 1, column : column + 4 * CORE + 1]
            widths.append(full_width_half_maximum(piece - np.median(piece)))
    if not widths:
        raise ValueError("None of the stars' places is on the image; places are 0-based pixels (x, y).")
    return float(np.median(widths))


def _pictures(
    fitted: EffectivePsf, middles: Float[np.ndarray, "star 2"], half: int
) -> tuple[Float[np.ndarray, "star side side"], Float[np.ndarray, "star side side"]]:
    """Return the stars without background, and what is left of them, both of peak 1; NaN where nothing was used."""
    pixels, stars = fitted.pixels, fitted.stars
    peak = stars.flux * float(fitted.profile(np.zeros(1), np.zeros(1))[0])
    side = 2 * half + 1
    row = (pixels.y - middles[pixels.star, 0]).astype(int) + half
    column = (pixels.x - middles[pixels.star, 1]).astype(int) + half
    seen, left = (np.full((len(middles), side, side), np.nan) for _ in range(2))
    at = pixels.star, row, column
    seen[at] = (pixels.value - stars.background[pixels.star]) / peak[pixels.star]
    left[at] = (pixels.value - stars.model(pixels, fitted.profile)) / peak[pixels.star]
    left[tuple(index[~fitted.explained] for index in at)] = np.nan
    return seen, left
