"""FITS into layers: every observation is one image layer (band, y, x), placed on the sky by its WCS.

All layers of a window share one world in arcsec, so a file that is opened later lands where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import napari
import numpy as np

from deblend import Observation
from deblend.io import is_session, overviews
from napari_deblend.overview import overview_options
from napari_deblend.remembered import recall_stretch
from napari_deblend.request import Request
from napari_deblend.views import METADATA_KEY, data_layer_options, light_range, planes
from napari_deblend.world import World

LayerData = tuple[Any, dict[str, Any], str]
AnyPath = str | PathLike[str]
_IMAGES = re.compile(r"\.((fits?|fts)(\.(gz|fz|bz2))?|asdf)$", re.IGNORECASE)


def get_reader(path: AnyPath | Sequence[AnyPath]) -> Callable[[Any], list[LayerData]] | None:
    """Return the reader where all paths are FITS or ASDF files, or folders that hold some."""
    paths = _listed(path)
    return read if paths and all(_is_readable(Path(p)) for p in paths) else None


def read(path: AnyPath | Sequence[AnyPath]) -> list[LayerData]:
    """Return a layer per observation, or the overview of a file that is too large to be read whole.

    A session makes its own layers, and the widget comes with them.

    Raises ValueError with a sentence where a file cannot be read.
    """
    paths = [fspath(p) for p in _listed(path)]
    if len(paths) == 1 and is_session(Path(paths[0])):
        return _open_session(Path(paths[0]))
    request = Request.of(paths)
    return [overview_of(request)] if request.needs_cutout else layers_of(request.read())


def _open_session(path: Path) -> list[LayerData]:
    from napari_deblend.commands import open_session_file

    viewer = napari.current_viewer()
    if viewer is None:
        raise ValueError(f"{path}: a session is opened in a window; start napari and open it there.")
    open_session_file(viewer, path)
    # what napari takes for nothing to add
    return [(None,)]  # type: ignore[list-item]


def overview_of(request: Request) -> LayerData:
    """Return the first, coarse overview of a large file; the workbench refines it, and asks for a piece."""
    view = next(overviews(request.first))
    world = World.around(view.grid, _present_center())
    return view.pixels.astype(np.float32), overview_options(view, world, request), "image"


def layers_of(observations: Sequence[Observation]) -> list[LayerData]:
    """Return a layer per observation, in the world of the window that is open."""
    world = World.of(observations, _present_center())
    n_bands = max(len(o.channels) for o in observations)
    layers: list[LayerData] = []
    stretch = recall_stretch()
    for observation in observations:
        options = data_layer_options(observation, world, light_range(observation).levels(stretch))
        options["metadata"][METADATA_KEY]["offered"] = True
        layers.append((planes(observation, n_bands), options, "image"))
    return layers


def _present_center() -> tuple[float, float] | None:
    """Return where the world of the present window touches the sky; None where no layer says it."""
    viewer = napari.current_viewer()
    for layer in viewer.layers if viewer is not None else ():
        center = layer.metadata.get(METADATA_KEY, {}).get("world_center")
        if center is not None:
            return float(np.float64(center[0])), float(np.float64(center[1]))
    return None


def _is_readable(path: Path) -> bool:
    if path.is_dir():
        return any(_IMAGES.search(p.name) for p in path.iterdir())
    return bool(_IMAGES.search(re.sub(r"\[[^\]]*\]$", "", fspath(path))))


def _listed(path: AnyPath | Sequence[AnyPath]) -> list[AnyPath]:
    return [path] if isinstance(path, str | PathLike) else list(path)
