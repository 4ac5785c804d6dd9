"""Channels that see a source a little off its center."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Parameter, Status, make_source
from deblend.program.aspects import outward, per_channel
from deblend.scene import CHANNEL_OFFSET_SCATTER


def off(source: Any, offsets: Any) -> Any:
    """Return a source whose channels see it (x, y) off its center [pix]."""
    return replace(source, channel_offsets=Parameter(np.asarray(offsets, float)))


def test_an_offset_moves_the_centroid_and_keeps_the_flux() -> None:
    y, x = np.mgrid[-10:11, -10:11].astype(np.float32)
    picture = np.exp(-0.5 * (x**2 + y**2) / 4.0)
    picture /= picture.sum()
    aspect = np.array([[0.0, 0.0, 0.0], [0.15, -0.08, 0.0]], np.float32)
    seen = np.asarray(per_channel(picture, aspect, outward(21, np.float32(1.0))))
    np.testing.assert_allclose(seen.sum(axis=(1, 2)), 1.0, atol=1e-6)
    np.testing.assert_allclose((seen * y).sum(axis=(1, 2)), [0.0, 0.15], atol=2e-6)
    np.testing.assert_allclose((seen * x).sum(axis=(1, 2)), [0.0, -0.08], atol=2e-6)


@pytest.mark.parametrize("kind", ["point", "galaxy", "free-form"])
def test_an_offset_of_a_bright_source_is_found(systems: Any, kind: str) -> None:
    """Bands 0.16 px apart: the center takes the mean. Errors of single centroids are below 0.01 px."""
    options = {} if kind == "point" else {"half_light_radius": 2.0}
    truth = systems.scene((kind, 24.0, 24.0, (2000.0, 2000.0), options))
    shift = np.array([[0.08, 0.0], [-0.08, 0.0]])
    moved = truth.with_sources([off(truth.sources[0], shift)])
    found = systems.fit(truth, [systems.observe(moved)], tolerance=1e-4).run().scene.sources[0]
    between = found.channel_offsets.value[0] - found.channel_offsets.value[1]
    np.testing.assert_allclose(between, shift[0] - shift[1], atol=0.03)
    # offsets that all bands share are a moved center: only priors tell them apart, and for an extended source pixels,
    # too, can carry the light a little to one side
    np.testing.assert_allclose(found.center.value, [24.0, 24.0], atol=0.05 if kind == "point" else 0.1)


def test_a_faint_source_is_believed_to_be_in_one_place(systems: Any) -> None:
    """What noise would move by half a pixel stays within what the prior allows."""
    truth = systems.scene(("point", 24.0, 24.0, (12.0, 12.0)))
    for seed in range(4):
        found = systems.fit(truth, [systems.observe(truth, seed)]).run().scene.sources[0]
        assert np.all(np.abs(found.channel_offsets.value) < 2.0 * CHANNEL_OFFSET_SCATTER)


@pytest.mark.parametrize("status", [Status.FIXED, Status.LOCKED])
def test_where_the_center_is_held_no_channel_moves(systems: Any, status: Status) -> None:
    truth = systems.scene(("point", 24.0, 24.0, (500.0, 500.0)))
    seen = systems.observe(truth.with_sources([off(truth.sources[0], [[0.2, 0.0], [-0.2, 0.1]])]))
    source = truth.sources[0]
    held = replace(source, center=source.center.with_status(status))
    found = systems.fit(truth.with_sources([held]), [seen]).run().scene.sources[0]
    np.testing.assert_array_equal(found.channel_offsets.value, 0.0)


def test_one_channel_has_no_offset_of_its_own(systems: Any) -> None:
    from deblend import Observation, empty_scene, fit

    seen = systems.observe(systems.scene(("point", 24.3, 24.0, (500.0, 500.0))))
    only = Observation.from_arrays(seen.images[:1], seen.psf[:1], seen.weights[:1], channels=["g"])
    scene = empty_scene([only]).add(make_source("point", 24.0, 24.0, n_channels=1, radius=7))
    found = fit(scene, [only]).run().scene.sources[0]
    assert found.x == pytest.approx(24.3, abs=0.05)
    np.testing.assert_array_equal(found.channel_offsets.value, 0.0)


def test_an_offset_goes_through_the_program_and_back_and_moves_with_its_source(systems: Any) -> None:
    source = off(make_source("point", 20.0, 21.0, n_channels=2, flux=(5.0, 6.0), radius=7), [[0.1, -0.2], [0.0, 0.05]])
    program = systems.program([systems.blank()], systems.empty().add(source))
    back = program.snapshot()(program.parameters).sources[0]
    np.testing.assert_allclose(back.channel_offsets.value, source.channel_offsets.value, atol=1e-7)
    assert source.moved(30.0, 30.0).channel_offsets is source.channel_offsets
    assert source.with_status(Status.LOCKED).channel_offsets.status is Status.LOCKED
