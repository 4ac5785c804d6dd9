#!/usr/bin/env python3
"""Make the pictures of docs/first_hour.md anew: a first hour with real images, by mouse and keys in the real window.

    python docs/first_hour.py [--data FOLDER] [hsc_cosmos_35] [cosmos_hsc_hst]

The images are named by DEBLEND_DATA; they do not come with the program.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from camera import Guest
from demo import PROJECT, UNATTENDED, on_virtual_display

PICTURES = Path(__file__).resolve().parent / "images" / "first_hour"
DRAWS = 200


def begin(guest: Guest, name: str, threshold: float) -> None:
    """What both hours begin with: rings at a threshold [sigma], sources, a first model."""
    bench = guest.bench
    guest.widget.detection.number.setValue(threshold)
    guest.rest(1.5)
    guest.photograph(PICTURES / f"{name}_1_open.png")
    guest.press("find_sources")
    guest.wait(lambda: bench.document.scene.sources, "Detection")
    guest.wait(lambda: guest.is_answered, "The first model")
    guest.press("look_at_model")


def one_telescope(guest: Guest, data: Path) -> None:
    """A blend as HSC sees it, from files to a saved session."""
    from qtpy.QtCore import Qt

    from deblend import Method
    from napari_deblend.drawing import DrawKind, DrawPhase, DrawSettings

    bench, widget, folder = guest.bench, guest.widget, data / "hsc_cosmos_35"
    guest.load([folder / f"calexp-HSC-{band}.fits" for band in "GRIZY"], [])
    begin(guest, "hsc", 5.0)
    guest.fit()
    guest.show_part(widget.fitting)
    guest.photograph(PICTURES / "hsc_3_fit.png")
    # what is left over, worst first
    guest.press("look_at_residual")
    guest.wait(lambda: bench.leftovers.blobs is not None, "The list of what is left over")
    guest.press("next_residual")
    guest.rest(0.5)
    guest.photograph(PICTURES / "hsc_4_residual.png", guest.canvas)
    count = len(bench.document.scene.sources)
    blob = next(b for b in bench.leftovers.blobs if b.significance > 0)
    guest.hands.click(blob.x, blob.y, Qt.KeyboardModifier.ShiftModifier)
    guest.wait(lambda: len(bench.document.scene.sources) > count and guest.is_answered, "A source from the residual")
    guest.fit()
    guest.viewer.fit_to_view()
    # the brightest one is a spiral: what belongs to it, and how it looks alone
    brightest = max(bench.document.scene.sources, key=lambda source: float(np.sum(source.flux)))
    guest.select(brightest.id)
    guest.press("look_at_data")
    y, x = bench.handles.layer.data[0]
    let_go = guest.drag((x, y), (x + 0.5 * (x - brightest.x), y + 0.5 * (y - brightest.y)))
    guest.wait(lambda: bench.dragging.pictures is not None, "The pictures before and after")
    guest.rest(0.4)
    guest.photograph(PICTURES / "hsc_5_drag.png", guest.canvas)
    let_go()
    guest.press("undo")
    guest.press("look_at_isolated")
    guest.press("next_isolation")
    guest.rest(0.5)
    guest.photograph(PICTURES / "hsc_6_alone.png", guest.canvas)
    guest.press("look_at_data")
    # its numbers, with errors
    bench.sureness.choose(Method.GAUSSIAN)
    bench.sureness.settings = DrawSettings(draws=DRAWS, seed=1)
    guest.press("draw_or_pause")
    guest.wait(lambda: bench.sureness.phase is DrawPhase.DONE, "The draws", 600.0)
    guest.do("show_plots")
    guest.wait(lambda: bench.source_looks.look is not None, "The plots")
    guest.rest(1.0)
    guest.show_part(widget.sources)
    guest.photograph(PICTURES / "hsc_7_numbers.png", widget.sources, widget.source_plots)
    guest.do("show_plots")
    bench.sureness.show(DrawKind.DEVIATION)
    guest.press("show_sureness")
    guest.rest(3.0)
    guest.show_part(widget.sureness)
    guest.photograph(PICTURES / "hsc_8_sureness.png")
    guest.press("show_sureness")
    bench.sureness.show(None)
    guest.press("toggle_panels")
    guest.rest(1.0)
    guest.photograph(PICTURES / "hsc_9_side_by_side.png", guest.canvas)


def two_telescopes(guest: Guest, data: Path) -> None:
    """The same patch of sky from HSC and from Hubble, fitted together."""
    folder = data / "cosmos_hsc_hst"
    bench, widget = guest.bench, guest.widget
    guest.load(
        [folder / name for name in ("hsc_grizy.fits", "hst_f814w.fits")],
        [folder / name for name in ("hsc_psf.fits", "hst_psf.fits")],
    )
    begin(guest, "both", 20.0)
    guest.fit()
    # each telescope beside what the model makes of it
    brightest = max(bench.document.scene.sources, key=lambda source: float(np.sum(source.flux)))
    guest.select(brightest.id)
    guest.press("toggle_panels")
    guest.rest(1.0)
    guest.photograph(PICTURES / "both_3_hsc.png", guest.canvas)
    guest.press("next_telescope")
    guest.rest(1.0)
    guest.photograph(PICTURES / "both_4_hst.png", guest.canvas)
    guest.press("toggle_panels")
    guest.press("show_constraints")
    guest.do("preset_spiral")
    guest.wait(lambda: bench.constraining.thumbnails is not None and guest.is_answered, "The constrained component")
    guest.show_part(widget.constraints)
    guest.photograph(PICTURES / "both_5_constraints.png", widget.constraints)


HOURS = {"hsc_cosmos_35": one_telescope, "cosmos_hsc_hst": two_telescopes}


def main() -> int:
    os.environ.setdefault("QT_API", "pyqt5")
    data = Path(os.environ.get("DEBLEND_DATA", PROJECT.parent / "shared" / "data"))
    chosen = [name for name in HOURS if name in sys.argv[1:]] or list(HOURS)
    for name in chosen:
        if not (data / name).is_dir():
            raise SystemExit(f"{data / name} is not there; name the folder of the test images with DEBLEND_DATA.")
    if UNATTENDED not in sys.argv:
        # a window each: nothing of one hour is left for the other
        return max(on_virtual_display(__file__, UNATTENDED, name) for name in chosen)
    with Guest() as guest:
        HOURS[chosen[0]](guest, data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
