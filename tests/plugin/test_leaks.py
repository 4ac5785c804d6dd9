"""A window that was closed leaves nothing behind: no widgets, no threads, no memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WARM_UP = 3
"""Cycles before what is held is compared: libraries are loaded, code is compiled, fonts are drawn."""
GROWTH = 0.05
"""Of the memory, at most, over all cycles; 0.05 % were measured over ten."""


def test_opening_and_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    """In a process of its own, whose memory no other test has grown."""
    cycles = WARM_UP + (3 if os.environ.get("CI") else 50)
    script = Path(__file__).with_name("open_and_close.py")
    # glibc gives each of many threads an arena of 12 MB here, up to eight for a core: that is growth, but no leak
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "DEBLEND_CONFIG": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(cycles)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    held = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(held) == cycles
    warm, last = held[WARM_UP - 1], held[-1]
    assert last["widgets"] <= warm["widgets"]
    assert last["threads"] <= warm["threads"]
    assert last["files"] <= warm["files"]
    # napari holds on to the last window until there is another
    assert len(last["alive"]) <= len(warm["alive"]), last["alive"]
    if sys.platform == "linux":
        assert last["memory"] <= (1 + GROWTH) * warm["memory"], [round(each["memory"]) for each in held]
