"""The window on its own: `python -m napari_deblend [FILE…]`, as `deblend view` opens it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

NOTHING_THERE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Open a window with the widget and what was named, and wait until it is closed; return the exit status."""
    parser = argparse.ArgumentParser(prog="deblend view", description="Open images, or a session, in the window.")
    parser.add_argument("paths", metavar="FILE", nargs="*")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args(argv)
    paths, data = arguments.paths, arguments.data
    for path in paths:
        if not Path(path.split("[")[0]).exists():
            print(f"deblend: {path}: there is no such file; check the path.", file=sys.stderr)
            return NOTHING_THERE

    import napari

    from napari_deblend.workbench import Workbench

    viewer = napari.Viewer(title="Deblend")
    viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    if paths:
        bench = Workbench.of(viewer)
        if data is not None and len(paths) == 1:
            bench.keeper.open(Path(paths[0]), data)
        else:
            bench.load(paths)
    napari.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
