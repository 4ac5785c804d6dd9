"""DS9's regions: as positions of sources, the centers of points, circles, ellipses; or as a mask of what they cover.

And sources as regions: an ellipse of half the light, named; a point for a star.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from deblend.guard import AnyPath
from deblend.replacing import replacing
from deblend.scene import Scene, Source
from deblend.sky import PixelGrid, TangentWcs

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
    found = _regions_of(path)
    marks = [region for region in found if type(region).__name__.startswith(SHAPES)]
    if not marks:
        raise ValueError(f"{path}: holds no point, circle or ellipse; leave --peaks out to have the sources detected.")
    is_pixel = [_is_pixel(region) for region in marks]
    _require_wcs(path, all(is_pixel) or wcs is not None, image)
    counted = 1 if origin is None else origin
    # the library has taken 1 off, as DS9 means it
    places = [
        (region.center.x + 1 - counted, region.center.y + 1 - counted)
        if _is_pixel(region)
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


def write_regions(path: AnyPath, scene: Scene, image: PixelGrid) -> None:
    """Write an ellipse of the half-light radius around every source, with its name, and a point for what has none.

    On the sky where there is a WCS, else in pixels of the image, counted from 1 as DS9 does.
    """
    path = Path(path)
    from astropy.wcs import WCS
    from regions import Regions

    wcs = scene.grid.wcs
    regions = [region for source in scene.sources for region in (_region_of(source, scene, image),)]
    if wcs is not None:
        projection = WCS(wcs.to_header())
        regions = [region.to_sky(projection) for region in regions]
    for region, source in zip(regions, scene.sources, strict=True):
        region.meta["text"] = source.name
        region.visual["color"] = "orange" if source.kind == "point" else "cyan"
    with replacing(path) as part:
        Regions(regions).write(str(part), format="ds9", overwrite=True, precision=8)


def _region_of(source: Source, scene: Scene, image: PixelGrid) -> Any:
    """Return a source as a region in pixels of the scene where that has a WCS, else of the image."""
    from astropy import units
    from regions import EllipsePixelRegion, PixCoord, PointPixelRegion

    x, y, scale = source.x, source.y, 1.0
    if scene.grid.wcs is None:
        to_image = scene.grid.affine_to(image)
        (y, x), scale = (float(v) for v in to_image(y, x)), to_image.scale
    center, size = PixCoord(x, y), max(c.morphology.half_light_radius_guess for c in source.components)
    if source.kind == "point" or not size > 0:
        return PointPixelRegion(center)
    shape = source.components[0].morphology.parameters.get("ellipticity")
    e1, e2 = (0.0, 0.0) if shape is None else shape.value
    stretch, angle = np.exp(np.hypot(e1, e2) / 2), 0.5 * np.degrees(np.arctan2(e2, e1))
    return EllipsePixelRegion(
        center, 2 * scale * size * stretch, 2 * scale * size / stretch, angle=float(angle) * units.deg
    )


def _on_image(center: Any, wcs: TangentWcs | None) -> tuple[float, float]:
    place = center.icrs
    assert wcs is not None, "the caller has looked"
    x, y = wcs.sky_to_pixel(place.ra.deg, place.dec.deg)
    return float(x), float(y)


def covered_by(
    path: Path, shape: tuple[int, int], wcs: TangentWcs | None, corner: tuple[int, int], image: str
) -> Bool[np.ndarray, "y x"]:
    """Return which pixels of an image have their middle in one of the regions of a file.

    Regions are in pixels of the image's file, of which the first one here is `corner` (x, y), or on the sky. Raises
    ValueError, naming the file, where there is no region with an area, or the image has no WCS to place it by.
    """
    from astropy.wcs import WCS
    from regions import PixCoord

    areas = [region for region in _regions_of(path) if hasattr(region, "contains") and not _is_mark(region)]
    if not areas:
        raise ValueError(f"{path}: holds no region with an area; draw circles, ellipses, boxes or polygons.")
    _require_wcs(path, wcs is not None or all(map(_is_pixel, areas)), image)
    y, x = np.indices(shape)
    result = np.zeros(shape, bool)
    for region in areas:
        if _is_pixel(region):
            result |= region.contains(PixCoord(x + corner[0], y + corner[1]))
        elif wcs is not None:
            result |= region.to_pixel(WCS(wcs.to_header())).contains(PixCoord(x, y))
    return result


def _regions_of(path: Path) -> Any:
    try:
        from regions import Regions
    except ImportError as error:
        raise ValueError(
            f"{path}: reading regions needs the library regions; install it (pip install regions), or give a table."
        ) from error
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Regions.read(path, format="ds9")
    except Exception as error:  # the parser raises whatever it stumbles over
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"{path}: cannot be read as DS9 regions ({reason}); give another file.") from error


def _is_pixel(region: Any) -> bool:
    from regions import PixelRegion

    return isinstance(region, PixelRegion)


def _is_mark(region: Any) -> bool:
    """Tell whether a region has no area."""
    return type(region).__name__.startswith(("Point", "Text", "Line"))


def _require_wcs(path: Path, is_there: bool, image: str) -> None:
    if not is_there:
        raise ValueError(f"{path}: is on the sky, and {image} has no WCS; give image coordinates instead.")
