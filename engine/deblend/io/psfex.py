"""PSFEx models (Bertin 2011): a PSF that varies over an image as a polynomial of the place, evaluated at one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from jaxtyping import Float

from deblend.observe.kernel import on_model_pixels
from deblend.sky import PixelAffine

NAME = "PSF_DATA"


def is_psfex(path: Path) -> bool:
    """Tell whether a file holds a PSFEx model."""
    try:
        with fits.open(path) as file:
            return any(hdu.name == NAME for hdu in file)
    except (OSError, ValueError):
        return False


def read_psfex(path: Path, x: float, y: float) -> Float[np.ndarray, "side side"]:
    """Return the PSF at pixel (x, y), 0-based, on the pixels of the image, of sum 1.

    Raises ValueError, naming the file, where it depends on other things than the place, or is damaged.
    """
    try:
        with fits.open(path) as file:
            table = file[NAME]
            header, mask = table.header, np.asarray(table.data["PSF_MASK"][0], float)
        terms = _terms(header, x + 1.0, y + 1.0, path)
        step = float(header["PSF_SAMP"])
    except (KeyError, IndexError, TypeError, OSError) as error:
        raise ValueError(f"{path}[{NAME}]: is no whole PSFEx model ({error}); make it anew.") from error
    mask = mask if mask.ndim == 3 else mask[None]
    if len(terms) != len(mask) or not step > 0:
        raise ValueError(f"{path}[{NAME}]: has {len(mask)} images for {len(terms)} terms; make it anew.")
    stamp = np.tensordot(terms, mask, axes=1)
    # a sample stands for the light that a pixel of the image would have there
    native = on_model_pixels(stamp, PixelAffine(((step, 0.0), (0.0, step))))
    if not native.sum() > 0:
        raise ValueError(f"{path}[{NAME}]: the PSF at x {x:.1f}, y {y:.1f} has no light; the place is off its field.")
    return native / native.sum()


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
    return np.array([scaled[0] ** i * scaled[1] ** j for j in range(degree + 1) for i in range(degree + 1 - j)])
