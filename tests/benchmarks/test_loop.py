"""The table of waits: what is met, and in which unit it is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from loop import SCENES, Wait, files_of


def test_a_wait_is_judged_by_its_quantile() -> None:
    seconds = [0.05] * 9 + [0.4]
    assert Wait("s", "edit", "median", 0.1, seconds).is_met
    late = Wait("s", "edit", "95 %", 0.15, seconds, quantile=0.95)
    assert not late.is_met and late.line.endswith("MISSED") and "≤ 150 ms" in late.line


def test_a_rate_is_met_from_below() -> None:
    assert Wait("s", "fit", "pictures", 5.0, [6.0], unit="1/s").is_met
    slow = Wait("s", "fit", "pictures", 5.0, [4.0], unit="1/s")
    assert not slow.is_met and "≥ 5 1/s" in slow.line


def test_images_that_are_not_there_are_named(tmp_path: Path) -> None:
    images, psfs = files_of("two_telescopes", tmp_path)
    assert all(Path(path).exists() for path in (*images, *psfs))
    with pytest.raises(SystemExit, match=r"calexp-HSC-G\.fits is not there"):
        files_of(SCENES[0], tmp_path)
