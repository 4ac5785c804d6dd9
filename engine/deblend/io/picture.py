"""Pictures: what one file says, before files of one grid are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.io.fits_file import Cards, Piece
from deblend.observe.weight_form import WeightOrigin
from deblend.sky import PixelGrid, TangentWcs


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
    is_noise_measured: bool = False
    """Whether the weights come from the noise of the image itself."""
    weight_origins: tuple[WeightOrigin | None, ...] = ()
    """What the weights of each band were made of; None where they come from the noise of the image alone."""
    cards: Cards | None = None
    """Header cards, where the file has some."""
    epoch: str | None = None
    """When it was taken, where that tells it from others of its band."""
    psf: Path | None = None
    """The HDU of its file with its PSF, as FILE[HDU]; None where it has none."""
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
