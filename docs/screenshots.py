#!/usr/bin/env python3
"""Make the pictures of the documentation anew, by driving the real window on a virtual display: `make screenshots`."""

from __future__ import annotations

import os
from pathlib import Path

from demo import Director, virtual_display

IMAGES = Path(__file__).resolve().parent / "images"


def main() -> None:
    os.environ.setdefault("QT_API", "pyqt5")
    with virtual_display():
        director = Director()
        director.open_sample()
        director.find_sources()
        director.start_fit()
        director.finish_fit()
        # the settled table shows signal-to-noise, which is measured once nothing changes any more
        director.rest(2.0)
        sources = director.bench.document.scene.sources
        brightest = max(sources, key=lambda source: source.flux.sum())
        director.bench.document.select([brightest.id])
        for view, name in (("data", "main"), ("model", "model"), ("residual", "residual"), ("component", "component")):
            director.look(f"look_at_{view}", IMAGES / f"{name}.png")
        director.viewer.close()


if __name__ == "__main__":
    main()
