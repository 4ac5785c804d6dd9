"""Sources from a catalog or from DS9 regions, added to those that there are, as one step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblend import Source, positions_within, scene_from_positions
from deblend.io import read_positions
from napari_deblend.exporting import TABLES
from napari_deblend.jobs import LOADED_SOURCES

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


def load_sources(bench: Workbench) -> None:
    """Ask for a catalog or regions, and add a source at every position."""
    from qtpy.QtWidgets import QFileDialog

    if not bench.document.is_open:
        raise ValueError("No images are open; open FITS files first.")
    path, _ = QFileDialog.getOpenFileName(None, "Add sources from a catalog or from DS9 regions", "", TABLES)
    if path:
        read_sources(bench, Path(path))


def read_sources(bench: Workbench, path: Path, name: str = "") -> None:
    """Have positions read and sources made of them; they come by and by. `name` is what a person calls the file."""
    observations, kind, box_scale = bench.document.observations, bench.kind, bench.box_scale
    name = name or path.name
    bench.tell(f"Reading {name}…")

    def job() -> tuple[Any, str, tuple[Source, ...], int, tuple[str, ...]]:
        positions = read_positions(path, observations[0])
        (x, y), outside = positions_within(observations, positions.x, positions.y)
        scene = scene_from_positions(observations, x, y, kind=kind, box_scale=box_scale, solve=False)
        return observations, name, scene.sources, outside, positions.notes

    bench.find(LOADED_SOURCES, job)


def take_sources(
    bench: Workbench, name: str, sources: tuple[Source, ...], outside: int, notes: tuple[str, ...]
) -> None:
    """Add what was read, as one step."""
    count = "1 source" if len(sources) == 1 else f"{len(sources)} sources"
    said = [f"{count} from {name}." if sources else f"{name}: none of its positions is on the images."]
    if outside and sources:
        said.append(f"{outside} of its positions lie outside of the images and are left aside.")
    bench.document.add(*(source.renamed("") for source in sources), label=f"Add {count} from {name}")
    bench.tell(" ".join((*said, *notes)))
