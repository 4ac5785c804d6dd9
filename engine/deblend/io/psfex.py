"""PSFEx models (Bertin 2011): a PSF that varies over an image as a polynomial of the place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.guard import reason_of
from deblend.io.fits_file import opened
from deblend.observe import PsfField

NAME = "PSF_DATA"
HIGHEST_DEGREE = 20
"""Of a polynomial; PSFEx makes a few."""
LINES = 17
"""Places along each axis of an image at which a model is compared with what fewer cells tell."""


def is_psfex(path: Path) -> bool:
    """Tell whether a file holds a PSFEx model."""
    try:
        with opened(path) as file:
            return any(hdu.name == NAME for hdu in file)
    except ValueError:
        return False


@dataclass(frozen=True, eq=False)
class PsfexModel:
    """A PSF as a sum of images, each times a polynomial of the place."""

    path: Path
    images: Float[np.ndarray, "term side side"]
    """Samples: each stands for the light that a pixel of the image would have there."""
    step: float
    """Distance of the samples [pix of the image]."""
    cards: Any
    """Its header, which says what the polynomials are."""

    def at(self, x: float, y: float) -> Float[np.ndarray, "side side"]:
        """Return the PSF at pixel (x, y), 0-based, on its own samples; raises ValueError where it has no light."""
        terms = _terms(self.cards, x + 1.0, y + 1.0, self.path)
        if len(terms) != len(self.images):
            raise ValueError(
                f"{self.path}[{NAME}]: has {len(self.images)} images for {len(terms)} terms; make it anew."
            )
        stamp: Float[np.ndarray, "side side"] = np.tensordot(terms, self.images, axes=1)
        if not stamp.sum() > 0:
            raise ValueError(
                f"{self.path}[{NAME}]: the PSF at x {x:.1f}, y {y:.1f} has no light; the place is off its field."
            )
        return stamp

    def over(self, corner: tuple[float, float], shape: tuple[int, int]) -> PsfField:
        """Return the PSF over an image whose first pixel is `corner` (x, y) of the model's, in as few cells as will do.

        The cells lie in the image's own pixels, the stamps on the model's samples.
        """
        height, width = shape
        x, y = (np.linspace(0.0, n - 1.0, LINES) for n in (width, height))
        places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        stamps = np.stack([self.at(corner[0] + px, corner[1] + py) for px, py in places])
        stamps /= stamps.sum(axis=(1, 2), keepdims=True)
        return PsfField(places, stamps[:, None]).thinned()


def read_psfex(path: Path) -> PsfexModel:
    """Read a model.

    Raises ValueError, naming the file, where it depends on other things than the place, or is damaged.
    """
    try:
        with opened(path) as file:
            table = file[NAME]
            header, mask = table.header.copy(), np.asarray(table.data["PSF_MASK"][0], float)
        step = float(header["PSF_SAMP"])
        mask = mask if mask.ndim == 3 else mask[None]
        model = PsfexModel(path, mask, step, header)
        _terms(header, 1.0, 1.0, path)
    except Exception as error:  # what astropy's tables and headers raise where they are damaged
        raise ValueError(f"{path}[{NAME}]: is no whole PSFEx model ({reason_of(error)}); make it anew.") from error
    if not step > 0:
        raise ValueError(f"{path}[{NAME}]: has samples {step:g} px apart; make it anew.")
    return model


def _terms(header: Any, x: float, y: float, path: Path) -> Float[np.ndarray, " term"]:
    """Return the terms of the polynomial at (x, y), 1-based [pix]: powers of x run fastest."""
    n_axes = int(header.get("POLNAXIS", 0))
    if n_axes == 0:
        return np.ones(1)
    names = [str(header[f"POLNAME{i + 1}"]).strip().upper() for i in range(n_axes)]
    if n_axes != 2 or not (names[0].startswith("X") and names[1].startswith("Y")):
        raise ValueError(f"{path}[{NAME}]: depends on {', '.join(names)}; only a place (x, y) is understood.")
    scaled = [
        (place - float(header[f"POLZERO{i + 1}"])) / float(header[f"POLSCAL{i + 1}"]) for i, place in enumerate((x, y))
    ]
    degree = int(header["POLDEG1"])
    if not 0 <= degree <= HIGHEST_DEGREE:
        raise ValueError(f"{path}[{NAME}]: has a polynomial of degree {degree}; make it anew.")
    return np.array([scaled[0] ** i * scaled[1] ** j for j in range(degree + 1) for i in range(degree + 1 - j)])
