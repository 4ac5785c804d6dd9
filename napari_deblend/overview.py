"""The small picture of a large file, as a layer that lies where the file's image does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deblend.io import Overview
from napari_deblend.pictures import asinh_colormap
from napari_deblend.views import METADATA_KEY
from napari_deblend.world import World, sky_text

BRIGHT = 99.7
"""Percentile of the pixels from which on an overview is white."""


def overview_options(overview: Overview, world: World, request: Any) -> dict[str, Any]:
    """Return the options of its layer: place, stretch and what it is an overview of."""
    limits, softening = _stretch(overview.pixels)
    return {
        "name": f"{overview.path.name} overview",
        "colormap": asinh_colormap(1.0 / softening),
        "contrast_limits": limits,
        "metadata": {METADATA_KEY: {"observation": None, "world_center": world.center, "request": request}},
        **world.place(overview.grid) | {"affine": world.affine(overview.grid) @ _from_small(overview.step)},
    }


def overview_status(overview: Overview, world: World) -> Callable[[Any], tuple[str, str]]:
    """Return what the status bar says over an overview: the sky, and the pixel of the file."""
    to_pixel, wcs = np.linalg.inv(world.affine(overview.grid)), overview.grid.wcs

    def status(position: Any) -> tuple[str, str]:
        y, x, _ = to_pixel @ np.array([position[-2], position[-1], 1.0])
        place = f"x {x:.0f}  y {y:.0f}"
        if wcs is None:
            return place, ""
        ra, dec = wcs.pixel_to_sky(x, y)
        return f"{sky_text(float(ra), float(dec))}   {place}", ""

    return status


def _from_small(step: int) -> np.ndarray:
    """Return the affine from pixels of an overview to those of the image."""
    middle = (step - 1) / 2.0
    return np.array([[step, 0.0, middle], [0.0, step, middle], [0.0, 0.0, 1.0]])


def _stretch(pixels: np.ndarray) -> tuple[tuple[float, float], float]:
    """Return contrast limits, and the softening as a fraction of their range."""
    defined = pixels[np.isfinite(pixels)]
    if not defined.size:
        return (0.0, 1.0), 0.1
    sky = float(np.median(defined))
    noise = 1.4826 * float(np.median(np.abs(defined - sky)))
    bottom, top = sky - 2.0 * noise, max(float(np.percentile(defined, BRIGHT)), sky + 10.0 * noise)
    if not top > bottom:
        return (sky - 1.0, sky + 1.0), 0.1
    return (bottom, top), float(np.clip(3.0 * noise / (top - bottom), 1e-3, 1.0))
