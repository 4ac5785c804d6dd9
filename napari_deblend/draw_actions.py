"""Actions on draws, for keys and the command palette."""

from __future__ import annotations

from pathlib import Path

from napari_deblend.drawing import DrawKind
from napari_deblend.workbench import Workbench


def draw_or_pause(bench: Workbench) -> None:
    """Make draws around the present scene; have those that are being made wait, or go on."""
    if bench.sureness.is_busy:
        bench.sureness.pause()
    else:
        bench.sureness.begin()


def stop_drawing(bench: Workbench) -> None:
    """Make no more draws; those there are stay."""
    bench.sureness.stop()


def next_draw_view(bench: Workbench) -> None:
    """Look at the mean of the draws, at their deviation, at each of them, at what is data and what prior where that is
    known, at none again."""
    drawn = bench.sureness.drawn
    kinds = (None, *(DrawKind if drawn is None else drawn.kinds))
    bench.sureness.show(kinds[(kinds.index(bench.sureness.layers.kind) + 1) % len(kinds)])


def show_sureness(bench: Workbench) -> None:
    """Have what the draws say in view, or fold it away."""
    bench.sureness.wanted.emit()


def export_draws(bench: Workbench) -> None:
    """Ask for a folder, and write the draws into it."""
    from qtpy.QtWidgets import QFileDialog

    if bench.sureness.drawn is None:
        raise ValueError("There are no draws yet; choose a way to draw under “Method”, and draw.")
    if folder := QFileDialog.getExistingDirectory(None, "Write the draws into this folder"):
        bench.sureness.write(Path(folder))
