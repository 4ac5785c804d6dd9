"""Known stars in the window: read from a table, shown as a quiet layer, fitted, detected around, taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from napari_deblend.actions import perform
from napari_deblend.known_stars import read_known_stars
from tests.plugin.conftest import STARS

pytestmark = pytest.mark.gui

PSF_SIGMA = 3.5 / 2.3548


@pytest.fixture
def table(observation: Any, tmp_path: Path) -> Path:
    """A catalog of two of the three stars, and one far away."""
    x, y = np.array([STARS[0][0], STARS[1][0], 9000.0]), np.array([STARS[0][1], STARS[1][1], 9000.0])
    ra, dec = observation.wcs.pixel_to_sky(x, y)
    path = tmp_path / "gaia.ecsv"
    Table({"source_id": ["a", "b", "far"], "ra": ra, "dec": dec}).write(path)
    return path


def layers(bench: Any) -> list[str]:
    return [layer.name for layer in bench.viewer.layers]


def test_stars_are_known_found_around_forgotten_and_taken_back(
    bench: Any, observation: Any, table: Path, wait: Callable[..., None], settle: Callable[[Any], None]
) -> None:
    bench.open([observation])
    document = bench.document
    said: list[str] = []
    bench.told.connect(said.append)
    read_known_stars(bench, table)
    wait(lambda: document.scene.stars is not None)
    assert document.scene.stars.names == ("a", "b") and document.undo_label == "Know 2 stars"
    assert "2 known stars from gaia.ecsv" in said[-1] and "lie on none of the images" in said[-1]
    layer = bench.known_stars.layer
    np.testing.assert_allclose(layer.data, [(y, x) for x, y, _ in STARS[:2]], atol=1e-3)
    assert layers(bench)[-1] == "sources"
    assert bench.viewer.layers.selection.active is bench.markers.layer
    settle(bench)
    # they have the light that a PSF of 3.5 px finds in blobs of 2.2 px: 2 p² / (p² + b²) of it
    share = 2 * PSF_SIGMA**2 / (PSF_SIGMA**2 + 2.2**2)
    np.testing.assert_allclose(document.scene.stars.flux.mean(axis=1), [share * f for _, _, f in STARS[:2]], rtol=0.1)
    assert bench.known_stars.layer is layer
    perform(bench, "find_sources")
    wait(lambda: document.scene.sources)
    (third,) = document.scene.sources
    assert (third.x, third.y) == pytest.approx(STARS[2][:2], abs=0.5)
    assert len(document.scene.stars) == 2
    # deleted, the layer comes back; the stars were known all the time
    bench.viewer.layers.remove(layer)
    settle(bench)
    assert "known stars" not in layers(bench) and document.scene.stars is not None
    perform(bench, "show_layers")
    assert "known stars" in layers(bench)
    # also where nothing was drawn in between
    bench.viewer.layers.remove(bench.known_stars.layer)
    perform(bench, "show_layers")
    assert "known stars" in layers(bench)
    perform(bench, "forget_stars")
    assert document.scene.stars is None and "known stars" not in layers(bench)
    document.undo()
    assert len(document.scene.stars) == 2 and "known stars" in layers(bench)
    settle(bench)
    perform(bench, "forget_stars")
    perform(bench, "forget_stars")
    assert "No stars are known" in said[-1]


def test_a_table_that_cannot_be_used_is_one_sentence(
    bench: Any, observation: Any, wait: Callable[..., None], tmp_path: Path
) -> None:
    bench.open([observation])
    path = tmp_path / "nothing.csv"
    path.write_text("name,color\na,red\n")
    failures: list[tuple[str, str]] = []
    bench.failed.connect(lambda job, sentence: failures.append((job, sentence)))
    read_known_stars(bench, path)
    wait(lambda: failures)
    assert "nothing.csv" in failures[0][1] and "\n" not in failures[0][1]
    assert bench.document.scene.stars is None and bench.document.undo_label is None
