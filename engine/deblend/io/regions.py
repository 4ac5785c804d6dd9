"""DS9's regions as positions of sources: the centers of points, circles and ellipses."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.sky import TangentWcs

SHAPES = ("Point", "Circle", "Ellipse")
"""Regions that have a source in their middle."""


def is_regions(path: Path) -> bool:
    """Tell whether a file holds regions, by its name."""
    return path.suffix.lower() in (".reg", ".ds9")


def read_regions(
    path: Path, wcs: TangentWcs | None, image: str, origin: int | None = None
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"], tuple[str, ...]]:
    """Return the centers (x, y), 0-based [pix of the image], in the order of the file, and what was assumed.

    Regions are in pixels of the image, which DS9 counts from 1, or on the sky in any frame. Raises ValueError, naming
    the file, where there is none, or the image has no WCS to place it by.
    """
    try:
        from regions import PixelRegion, Regions
    except ImportError as error:
        raise ValueError(
            f"{path}: reading regions needs the library regions; install it (pip install regions), or give a table."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Regions.read(path, format="ds9")
    except Exception as error:  # the parser raises whatever it stumbles over
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"{path}: cannot be read as DS9 regions ({reason}); give a table instead.") from error
    marks = [region for region in found if type(region).__name__.startswith(SHAPES)]
    if not marks:
        raise ValueError(f"{path}: holds no point, circle or ellipse; leave --peaks out to have the sources detected.")
    is_pixel = [isinstance(region, PixelRegion) for region in marks]
    if not all(is_pixel) and wcs is None:
        raise ValueError(f"{path}: is on the sky, and {image} has no WCS; give image coordinates instead.")
    counted = 1 if origin is None else origin
    # the library has taken 1 off, as DS9 means it
    places = [
        (region.center.x + 1 - counted, region.center.y + 1 - counted)
        if isinstance(region, PixelRegion)
        else _on_image(region.center, wcs)
        for region in marks
    ]
    notes = []
    if any(is_pixel):
        assumed = " (as DS9 does; --peaks-origin says otherwise)" if origin is None else ""
        notes.append(f"{path.name}: image coordinates are counted from {counted}{assumed}.")
    if len(marks) < len(found):
        notes.append(f"{path.name}: {len(found) - len(marks)} regions that are no point, circle or ellipse left aside.")
    x, y = np.array(places, dtype=np.float64).T
    return x, y, tuple(notes)


def _on_image(center: Any, wcs: TangentWcs | None) -> tuple[float, float]:
    place = center.icrs
    assert wcs is not None, "the caller has looked"
    x, y = wcs.sky_to_pixel(place.ra.deg, place.dec.deg)
    return float(x), float(y)
