"""Pictures: what one file says, before files of one grid are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from deblend.io.fits_file import FitsImage, Piece
from deblend.observe import measured_sigma, measured_weights
from deblend.sky import PixelGrid, TangentWcs

NOISE_TOLERANCE = 0.3
"""A given noise that differs by more than this fraction from the measured one is said aloud."""
PROJECTION_TOLERANCE = 0.1
"""A projection that an affine map misses by more than this is said aloud [pix]."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The planes of one file with their weights and names."""

    path: Path
    images: Float[np.ndarray, "band y x"]
    """[unit/pix]"""
    weights: Float[np.ndarray, "band y x"]
    """Inverse variances [1/(unit/pix)²]; 0 masks the pixel."""
    bands: tuple[str, ...]
    survey: str | None
    unit: str
    njy_per_unit: float
    wcs: TangentWcs | None
    remarks: tuple[str, ...] = ()
    """What was assumed: ends of sentences that begin with the file."""
    unnamed: str | None = None
    """The remark that no band is named; it falls away where a person names them."""
    piece: Piece | None = None
    """What part of the file's image this is; None for the whole."""

    @property
    def corner(self) -> tuple[int, int]:
        """Pixel (x, y) of the file's image that is the first one here, for whatever is said in its pixels."""
        return (0, 0) if self.piece is None else (self.piece.box.x[0], self.piece.box.y[0])

    @property
    def grid(self) -> PixelGrid:
        return PixelGrid((self.images.shape[1], self.images.shape[2]), self.wcs)

    def with_bands(self, bands: Sequence[str]) -> Picture:
        return replace(self, bands=tuple(bands), unnamed=None)

    def with_survey(self, survey: str) -> Picture:
        return replace(self, survey=survey)


def wcs_of(image: FitsImage) -> tuple[TangentWcs | None, list[str]]:
    """Return the WCS of an image, and remarks on it; raises ValueError, naming the file, where it is unusable."""
    shape = (image.data.shape[-2], image.data.shape[-1])
    axis = str(image.cards.own.get("CTYPE1", ""))
    if axis.startswith(("GLON", "GLAT", "ELON", "ELAT")):
        return None, [f"its WCS is not in right ascension and declination ({axis}) and is left aside."]
    try:
        wcs = TangentWcs.from_header(image.cards.own, shape)
    except ValueError as error:
        # the library that reads it says what is wrong in its last line
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise ValueError(
            f"{image.where}: its WCS cannot be used ({reason}); mend or remove its cards CTYPE, CRVAL, CRPIX and CD "
            "or PC and CDELT."
        ) from error
    if wcs is None:
        return None, ["has no WCS; positions are known in pixels only."]
    remarks = []
    if wcs.residual > PROJECTION_TOLERANCE:
        remarks.append(f"its projection is replaced by an affine map that is off by up to {wcs.residual:.2f} px.")
    frame = str(image.cards.get("RADESYS", "RADECSYS") or "ICRS").upper()
    if frame != "ICRS":
        remarks.append(f"its frame {frame} is taken as ICRS.")
    return wcs, remarks


def weights_from_inverse_variance(
    values: Float[np.ndarray, "band y x"], noun: str
) -> tuple[Float[np.ndarray, "band y x"], list[str]]:
    """Return weights without undefined or negative ones, and a remark on how many pixels that masked."""
    undefined, negative = ~np.isfinite(values), values < 0
    remarks = [
        f"{np.count_nonzero(bad)} pixels of {what} {noun} are masked."
        for what, bad in (("undefined", undefined), ("negative", negative))
        if bad.any()
    ]
    return np.where(undefined | negative, 0.0, values), remarks


def weights_from_variance(
    values: Float[np.ndarray, "band y x"],
) -> tuple[Float[np.ndarray, "band y x"], list[str]]:
    """Return 1/variance, 0 where it is undefined, zero or negative, and a remark on how many pixels that masked."""
    good = np.isfinite(values) & (values > 0)
    remarks = [
        f"{np.count_nonzero(bad)} pixels of {what} variance are masked."
        for what, bad in (("undefined", ~np.isfinite(values)), ("negative", values < 0), ("zero", values == 0))
        if bad.any()
    ]
    return np.divide(1.0, values, out=np.zeros_like(values), where=good), remarks


def weights_from_noise(
    images: Float[np.ndarray, "band y x"],
    usable: Bool[np.ndarray, "band y x"],
    bands: Sequence[str],
    unit: str,
    where: str,
) -> tuple[Float[np.ndarray, "band y x"], list[str]]:
    """Return weights from the noise measured in the images, and a remark that says so.

    Raises ValueError where an image has no noise to measure.
    """
    try:
        weights, sentence = measured_weights(np.where(usable, images, np.nan), bands, unit)
    except ValueError as error:
        raise ValueError(f"{where}, {error}") from error
    return weights, [f"has no variance; {sentence}"]


def noise_remarks(
    images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"], bands: Sequence[str]
) -> list[str]:
    """Return a remark for every band whose given noise differs from the measured one."""
    remarks = []
    for plane, weight, band in zip(images, weights, bands, strict=True):
        usable = (weight > 0) & np.isfinite(plane)
        try:
            ratio = measured_sigma(np.where(usable, plane * np.sqrt(weight), np.nan))
        except ValueError:  # too few neighbours to compare with
            continue
        if not 1.0 - NOISE_TOLERANCE <= ratio <= 1.0 + NOISE_TOLERANCE:
            remarks.append(
                f"the noise measured between neighbouring pixels of band {band} is {ratio:.2f} times that of the "
                "weights; check them."
            )
    return remarks


def check_usable(
    images: Float[np.ndarray, "band y x"],
    weights: Float[np.ndarray, "band y x"],
    bands: Sequence[str],
    where: str,
) -> None:
    """Raise ValueError where a band has not one pixel that is defined and has a weight."""
    for plane, weight, band in zip(images, weights, bands, strict=True):
        if not np.isfinite(plane).any():
            raise ValueError(f"{where}, band {band}: every pixel is undefined (NaN); leave this band out.")
        if not (np.isfinite(plane) & (weight > 0)).any():
            raise ValueError(
                f"{where}, band {band}: every pixel is masked or without weight; leave this band out or give other "
                "--weights."
            )
