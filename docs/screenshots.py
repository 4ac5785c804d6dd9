#!/usr/bin/env python3
"""Make the pictures of the documentation anew, by driving the real window on a virtual display: `make screenshots`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from demo import UNATTENDED, Director, on_virtual_display

IMAGES = Path(__file__).resolve().parent / "images"


def main() -> int:
    os.environ.setdefault("QT_API", "pyqt5")
    if UNATTENDED not in sys.argv:
        return on_virtual_display(__file__, UNATTENDED)
    with Director() as director:
        director.open_sample()
        director.find_sources()
        director.start_fit()
        director.finish_fit()
        director.find_missed()
        director.start_fit()
        director.finish_fit()
        # signal-to-noise is measured once nothing changes any more
        director.rest(2.0)
        sources = director.bench.document.scene.sources
        brightest = max(sources, key=lambda source: source.flux.sum())
        director.bench.document.select([brightest.id])
        director.do("next_telescope")
        director.look("look_at_data", IMAGES / "main.png")
        director.look("toggle_panels", IMAGES / "panels.png")
        director.do("next_telescope")
        for view, name in (("data", "ground"), ("residual", "residual")):
            director.look(f"look_at_{view}", IMAGES / f"{name}.png")
        director.show_constraints("preset_irregular", IMAGES / "constraints.png")
        director.do("undo")
        director.fold_constraints()
        director.do("show_parameters")
        director.unfold("show_plots", IMAGES / "plots.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
