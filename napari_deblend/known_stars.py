"""Known stars in the window: a catalog is read, its stars are a quiet layer of dots, and all of it is one step.

They are no sources: nobody moves or deletes one of them, and their fluxes are solved for in every step of a fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points

from deblend import StarCatalog, StarField, read_stars
from napari_deblend.compat import on_screen, unwrap
from napari_deblend.document import Document
from napari_deblend.jobs import KNOWN_STARS
from napari_deblend.world import World

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

COLOR = "#9ecbff"
SCREEN_SIZE = (4, 8)
"""Smallest and largest diameter of a dot on the screen [screen pix]."""
FILTER = "Tables (*.ecsv *.csv *.fits *.vot *.xml *.parquet);;All files (*)"


class KnownStars:
    """A layer of dots while stars are known; it is written from the document and never changes it."""

    def __init__(self, viewer: Any, document: Document) -> None:
        self._viewer, self._document = unwrap(viewer), document
        self._world = World(None)
        self._shown: StarField | None = None
        self._is_hidden = False
        """Whether a person has deleted the layer: the stars are known all the same."""
        self.layer: Points | None = None
        self._viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def open(self, world: World) -> None:
        """Begin anew, on the grid of the document's scene."""
        self._clear()
        self._world, self._is_hidden = world, False
        self.show()

    def restore(self) -> None:
        """Make the layer again where a person has deleted it."""
        self._is_hidden = False
        self.show()

    def show(self) -> None:
        """Show the stars that the document knows; fluxes alone change nothing."""
        stars = self._document.scene.stars
        if stars is None:
            self._is_hidden = False
            self._clear()
        elif (self._shown is None or stars.x is not self._shown.x) and not self._is_hidden:
            self._make(stars)
        self._shown = stars if self.layer is not None else None

    def _make(self, stars: StarField) -> None:
        self._clear()
        active = self._viewer.layers.selection.active
        layer = Points(
            np.column_stack([stars.y.mean(axis=1), stars.x.mean(axis=1)]),
            ndim=2,
            name="known stars",
            symbol="cross",
            face_color=COLOR,
            border_width=0.0,
            size=1.5,
            canvas_size_limits=on_screen(self._viewer, SCREEN_SIZE),
            opacity=0.8,
            features={"name": np.array(stars.names, dtype=object)},
            **self._world.place(self._document.scene.grid),
        )
        # below the markers, which are what is clicked
        self._viewer.layers.insert(max(len(self._viewer.layers) - 1, 0), layer)
        self.layer = layer
        self._viewer.layers.selection.active = active

    def _clear(self) -> None:
        layer, self.layer = self.layer, None
        self._shown = None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer, self._shown, self._is_hidden = None, None, True


def read_known_stars(bench: Workbench, path: Path) -> None:
    """Have a table of stars read; they are known by and by."""
    observations = bench.document.observations
    bench.tell(f"Reading {path.name}…")
    bench.find(KNOWN_STARS, lambda: (observations, path.name, read_stars(path, observations)))


def take_stars(bench: Workbench, name: str, stars: StarCatalog) -> None:
    """Have the stars of a table, as one step."""
    try:
        bench.document.know_stars(stars)
    except ValueError as error:
        bench.tell(f"{name}: {error}")
        return
    known = bench.document.scene.stars
    count = 0 if known is None else len(known)
    sources = "; delete the sources that are among them" if bench.document.scene.sources else ""
    said = [f"{count} known {'star' if count == 1 else 'stars'} from {name}{sources}.", *stars.notes]
    bench.tell(" ".join(said))


def load_stars(bench: Workbench) -> None:
    """Ask for a table of stars of known places, and read it."""
    from qtpy.QtWidgets import QFileDialog

    if not bench.document.is_open:
        raise ValueError("No images are open; open FITS files first.")
    path, _ = QFileDialog.getOpenFileName(None, "Load known stars", "", FILTER)
    if path:
        read_known_stars(bench, Path(path))


def forget_stars(bench: Workbench) -> None:
    """Have no known stars any more."""
    if not bench.document.is_open or bench.document.scene.stars is None:
        raise ValueError("No stars are known; “Load known stars…” reads a catalog of them.")
    bench.document.know_stars(None)
