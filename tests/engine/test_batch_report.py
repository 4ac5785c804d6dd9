"""The report of a batch, used in a real browser as a person would."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from deblend.batch import Journal, OpenTile, Result
from deblend.batch.report import write_report
from deblend.infer import Outcome
from deblend.sky import PixelBox
from tests.conftest import PROJECT
from tests.engine.browser import opened

sys.path.insert(0, str(PROJECT / "benchmarks"))
from simulated_field import simulated

SIDE, BOX, N_BANDS = 200, 40, 2
FAILURE = "no pixel <b>counts</b> & all are masked"
FAILED, SLOW, WORST = 3, 5, 6
"""Blends that could not be fitted, that did not converge, and that has the highest chi²."""
NUMBERS = dict.fromkeys(("n_sources", "n_blends", "n_not_converged", "n_guests"), 9.0)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two tiles with nine blends, that were never fitted: what is known of them is made up."""
    folder = tmp_path_factory.mktemp("field of 'mine'")
    observation = simulated(SIDE, seed=2, n_sources=30, bands=N_BANDS).observation(N_BANDS)
    tiles = [OpenTile([observation], "north"), OpenTile([observation.piece(PixelBox((0, 100), (0, 100)))], "</script>")]
    results = []
    for k in range(9):
        corner = (20 + 60 * (k % 3), 20 + 60 * (k // 3)) if k < 8 else (30, 30)
        model = np.full((N_BANDS, BOX, BOX), 5.0, np.float32)
        found = Result(
            k, int(k == 8), corner, BOX, (2 * k, 2 * k + 1), model=model, chi2=1.0 + 0.1 * k, iterations=9 - k
        )
        results.append(replace(found, outcome=Outcome.CONVERGED.value))
    results[FAILED] = replace(results[FAILED], outcome="", failure=FAILURE, chi2=np.nan, model=None)
    results[SLOW] = replace(results[SLOW], outcome=Outcome.STOPPED_AT_LIMIT.value)
    results[WORST] = replace(results[WORST], chi2=7.0)
    with Journal(folder) as journal:
        for result in results:
            journal.keep(result)
    catalog = QTable()
    catalog["tile"] = np.repeat([tiles[r.tile].name for r in results], 2)
    catalog["blend"] = np.repeat(np.arange(9), 2)
    for axis, name in enumerate("xy"):
        catalog[name] = (np.repeat([r.corner[axis] for r in results], 2) + np.tile([15.0, 25.0], 9)) * u.pix
    catalog["flag_uneven"] = catalog["blend"] == 1
    catalog["flag_edge"] = np.arange(18) % 2 == 0
    catalog["flag_failed"] = catalog["blend"] == FAILED
    return write_report(folder, tiles, catalog, results, {}, {**NUMBERS, "n_failed": 1.0, "median_chi2": 1.3})


def test_a_person_finds_the_blends_that_went_wrong(report: Path, tmp_path: Path) -> None:
    with opened(report, tmp_path) as page:
        blends = "[...document.querySelectorAll('#rows tr')].map(r => Number(r.dataset.blend))"
        # what failed, then the highest chi²
        assert page.value(blends)[:3] == [FAILED, WORST, 8]
        assert FAILURE in page.value("document.querySelector('#blend').textContent")
        assert page.value("document.querySelectorAll('#gallery button').length") == 9
        assert page.value("[...document.images].every(i => i.complete && i.naturalWidth === 40)")
        page.click("th[data-key=iterations]")
        assert page.value(blends) == list(range(9))
        page.click("th[data-key=iterations]")
        assert page.value(blends) == list(range(8, -1, -1))
        # filters act together, on the table and the map
        before = page.value("map.toDataURL()")
        page.click("[data-kind=flag][data-value='1']")
        page.write("#least", "1.35")
        assert sorted(page.value(blends)) == [4, SLOW, WORST, 7, 8]
        page.click("[data-kind=state][data-value='1']")
        assert page.value(blends) == [SLOW]
        assert page.value("document.querySelector('#count').textContent") == "1 of 9 blends"
        assert page.value("map.toDataURL()") != before
        page.click("#all")
        assert len(page.value(blends)) == 9
        # the box of blend 4, in the middle of the map of 200 pixels: the command that opens it
        page.click("#map")
        command = page.value("document.querySelector('#command').textContent")
        assert shlex.split(command) == ["deblend", "view", str(report.parent), "--blend", "4"]
        assert "blend 4: converged" in page.value("document.querySelector('#tip').textContent")
        assert page.value("document.querySelector('#rows tr.on').dataset.blend") == "4"
        assert page.value("location.hash") == "#blend=4"
        # of another tile: its map comes with it
        page.click("#gallery [data-blend='8']")
        assert page.value("document.querySelector('#tile').value") == "1"
        assert "</script>" in page.value("document.querySelector('#blend').textContent")
        # a bar of the histogram leaves what it counts
        page.click("#of-chi2 rect.hit:last-of-type")
        assert page.value(blends) == [WORST]
        assert not page.faults


def test_nothing_in_the_report_comes_from_elsewhere(report: Path) -> None:
    """What can be said without a browser."""
    page = report.read_text("utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    told = json.loads(page.split('id="told">')[1].split("</script>")[0])
    assert told["blends"]["number"] == list(range(9)) and told["blends"]["chi2"][FAILED] is None
    assert told["flags"][0] == {**told["flags"][0], "name": "uneven", "count": 2}
    assert set(told["pictures"]["3"]) == {"data"} and len(told["pictures"]["4"]) == 3
