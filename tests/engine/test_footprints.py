"""Footprints and groups: what has to be fitted together is in one group, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from deblend import Scene, empty_scene, make_source
from deblend.detect import footprints, groups, propose_components, stacked, with_bulge_and_disk
from deblend.scene import Status
from tests.engine.blobs import seen

PLACES = ((15.0, 15.0, 900.0, 0.0), (20.0, 18.0, 900.0, 0.0), (62.0, 15.0, 900.0, 0.0), (15.0, 58.0, 9000.0, 3.0))


def scene_of(radius: int) -> tuple[Scene, list]:
    image = seen(*PLACES)
    scene = empty_scene([image])
    return scene.add(*(make_source("galaxy", x, y, n_channels=2, radius=radius) for x, y, *_ in PLACES)), [image]


def test_footprints_are_connected_light() -> None:
    found = footprints(stacked([seen(*PLACES)]), level=4.0, margin=0)
    assert len(found) == 3
    labels = [found.labels[round(y), round(x)] for x, y, *_ in PLACES]
    assert labels[0] == labels[1] and len(set(labels)) == 3 and min(labels) > 0
    wider = footprints(stacked([seen(*PLACES)]), level=4.0, margin=3)
    assert wider.areas.sum() > found.areas.sum()
    np.testing.assert_array_equal(found.areas, np.bincount(found.labels.ravel())[1:])
    for number, box in enumerate(found.boxes, 1):
        inside = np.zeros_like(found.labels)
        inside[box.slices] = 1
        assert np.all(inside[found.labels == number])
    assert len(footprints(stacked([seen()]), level=6.0)) == 0


def test_groups_touch_by_light_or_by_models() -> None:
    scene, images = scene_of(5)
    found = groups(scene, images, level=4.0)
    assert [group.sources for group in found] == [(0, 1), (2,), (3,)]
    for group in found:
        assert group.box is not None
        for k in group.sources:
            x, y = scene.sources[k].x, scene.sources[k].y
            assert group.box.x[0] <= x - 5 and group.box.x[1] > min(x + 5, 79)
            assert group.box.y[0] <= y - 5 and group.box.y[1] > min(y + 5, 71)
    wide, images = scene_of(20)
    assert groups(wide, images, level=4.0)[0].sources == (0, 1, 3), "no light, but boxes touch"
    assert groups(wide.with_sources(()), images) == ()


def test_what_makes_no_sense_is_said() -> None:
    stack = stacked([seen()])
    with pytest.raises(ValueError, match="level of footprints must be positive, got 0"):
        footprints(stack, level=0.0)
    with pytest.raises(ValueError, match="margin of footprints must not be negative, got -1"):
        footprints(stack, margin=-1)


def test_bright_and_resolved_sources_are_worth_two_components() -> None:
    image = seen()
    sources = [
        make_source("gaussian", 30.0, 30.0, n_channels=2, flux=[1.0, 1.0], half_light_radius=size)
        for size in (4.0, 4.0, 0.5)
    ]
    scene = empty_scene([image]).add(*sources)
    pictures = [[np.full((2, 72, 80), level)] for level in (5.0, 0.1, 5.0)]
    proposals = propose_components(scene, [image], pictures)
    assert [p.n_components for p in proposals] == [2, 1, 1]
    assert proposals[0].snr == pytest.approx(5.0 * np.sqrt(2 * 72 * 80))
    assert proposals[0].size == pytest.approx(4.0 / 1.5, rel=0.05)
    both = with_bulge_and_disk(scene.sources[0])
    np.testing.assert_allclose(both.flux, scene.sources[0].flux)
    bulge, disk = (component.morphology for component in both.components)
    assert bulge.index.value == 4.0 and disk.index.value == 1.0 and bulge.index.status is Status.FIXED
    assert bulge.half_light_radius.value < disk.half_light_radius.value
    with pytest.raises(ValueError, match="several components already"):
        with_bulge_and_disk(both)
    with pytest.raises(ValueError, match="no fluxes to share"):
        with_bulge_and_disk(make_source("galaxy", 3.0, 3.0, n_channels=2))
