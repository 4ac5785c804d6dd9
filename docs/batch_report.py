#!/usr/bin/env python3
"""Make the picture of a batch's report anew: a simulated field with a satellite's trail that nobody has masked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parents[1]
SIDE, SEED = 640, 3
ROWS, COLUMNS = slice(300, 302), slice(200, 420)
TRAIL = 400.0
"""Light of a pixel of the trail [nJy]."""


def main() -> None:
    sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]
    from batch import write
    from simulated_field import simulated

    from deblend.cli import main as deblend
    from tests.engine.browser import opened

    with TemporaryDirectory() as temporary:
        # what the page shows of paths is as short as a person's
        os.chdir(temporary)
        field = simulated(SIDE, seed=SEED)
        field.images[:, ROWS, COLUMNS] += TRAIL
        words = write(field, Path("images"))
        assert deblend(["batch", *words, "--errors", "full", "--passes", "1", "--workers", "1", "--out", "field"]) == 0
        with opened(Path("field/report.html").absolute(), Path(temporary) / "browser") as page:
            (PROJECT / "docs" / "images" / "batch_report.png").write_bytes(page.screenshot())


if __name__ == "__main__":
    main()
