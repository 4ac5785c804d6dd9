"""What the window says of the pixel under the pointer: place, light, and whose light it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_deblend.hover import NOTHING, Reading
from napari_deblend.views import View

pytestmark = pytest.mark.gui


@pytest.fixture
def known(opened: Any, wait: Callable[..., None]) -> Any:
    """The workbench, knowing who owns its pixels."""
    wait(lambda: opened.ownership.owners is not None)
    return opened


def test_shares_are_those_of_the_component_pictures(known: Any) -> None:
    owners, machine = known.ownership.owners, known.runner._machine
    components = np.stack([machine.shown.component(k, 0) for k in range(3)])
    weights = np.sqrt(known.document.observations[0].weights)
    rng = np.random.default_rng(1)
    for row, column in zip(rng.integers(15, 50, 20), rng.integers(12, 55, 20), strict=True):
        for band in (None, 1):
            light = np.maximum(components[:, :, row, column], 0.0) * weights[:, row, column]
            expected = light.sum(axis=1) if band is None else light[:, band]
            found = dict(owners.at(int(row), int(column), band))
            if not found:
                assert expected.sum() <= 0.02
                continue
            for source, share in zip(known.document.scene.sources, expected / expected.sum(), strict=True):
                assert found.get(source.id, 0.0) == pytest.approx(share, abs=0.006)


def test_the_pointer_tells_place_light_and_owner(known: Any, make_hands: Any, wait: Callable[..., None]) -> None:
    _, widget = known.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    hands, readings = make_hands(known), []
    known.hover.read.connect(readings.append)
    source = known.document.scene.sources[2]
    hands.hover(30.0, 10.0)
    hands.hover(source.x, source.y)
    wait(lambda: readings and "star 3" in readings[-1].owners)
    reading: Reading = readings[-1]
    ra, dec = known.document.observations[0].wcs.pixel_to_sky(source.x, source.y)
    assert reading.place.startswith("10:00:2") and f"{abs(float(dec)):.0f}" in reading.place
    assert float(ra) == pytest.approx(150.1, abs=0.01)
    share = int(reading.owners.split("star 3: ")[1].split(" %")[0])
    assert share > 60
    row, column = round(source.y), round(source.x)
    light = known.document.observations[0].images[:, row, column]
    assert reading.light.endswith("nJy/pix") and f"g {light[0]:.4g}" in reading.light
    assert widget.looking.under_pointer.text() == "\n".join(reading)


def test_the_light_is_that_of_the_picture_in_view(known: Any, wait: Callable[..., None]) -> None:
    source, observation = known.document.scene.sources[0], known.document.observations[0]
    position = (0, 0, *known.markers.layer.data_to_world((source.y, source.x)))
    row, column = round(source.y), round(source.x)
    model = known.runner._machine.shown.model(0)
    known.layers.look_at(View.MODEL)
    wait(lambda: f"g {model[0, row, column]:.4g}" in known.hover.reading(position).light)
    known.layers.look_at(View.RESIDUAL)
    sigma = (observation.images - model) * np.sqrt(observation.weights)
    band = known.layers.band
    wait(lambda: known.hover.reading(position).light.endswith("σ"))
    wait(
        lambda: (
            float(known.hover.reading(position).light.split()[1]) == pytest.approx(sigma[band, row, column], rel=1e-3)
        )
    )
    assert known.hover.reading((0, 0, 1e4, 1e4)) == NOTHING


def test_owners_follow_an_edit(known: Any, settle: Callable[[Any], None], wait: Callable[..., None]) -> None:
    first = known.document.scene.sources[0]
    owners = known.ownership.owners
    known.document.delete([first.id])
    settle(known)
    assert first.name not in known.ownership.text(round(first.y), round(first.x), None).split()
    wait(lambda: known.ownership.owners is not owners)
    assert first.id not in known.ownership.owners.source_ids


def test_the_pointer_costs_little(known: Any) -> None:
    source = known.document.scene.sources[0]
    position = (0, 0, *known.markers.layer.data_to_world((source.y, source.x)))
    costs = []
    for _ in range(200):
        begin = time.thread_time()
        known.hover.reading(position)
        costs.append(time.thread_time() - begin)
    assert np.median(costs) <= 0.002
