"""The list of what a model leaves over: where, how much, and in which band."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import residual_blobs, source_from_residual

BRIGHT = ("gaussian", 22.0, 24.0, (6000.0, 9000.0), {"half_light_radius": 2.5})
FAINT = ("point", 33.6, 14.3, (170.0, 240.0))


def test_noise_alone_leaves_little_over(systems: Any) -> None:
    truth = systems.scene(BRIGHT)
    blobs = residual_blobs([systems.observe(truth)], [systems.model(truth)], truth.grid)
    assert all(abs(b.significance) < 5.5 for b in blobs)
    assert len(blobs) <= 2


def test_a_missing_source_is_first_with_its_place_and_significance(systems: Any) -> None:
    observation, fitted = systems.observe(systems.scene(BRIGHT, FAINT)), systems.scene(BRIGHT)
    blob = residual_blobs([observation], [systems.model(fitted)], fitted.grid)[0]
    assert np.hypot(blob.x - FAINT[1], blob.y - FAINT[2]) < 0.3
    assert blob.band is None and blob.channel is None, "it is clearest in both bands together"
    star = systems.model(systems.scene(FAINT))
    best = np.sqrt((star**2 * observation.weights).sum())
    assert 0.8 * best < blob.significance < 1.05 * best


def test_what_one_band_alone_has_is_found_there_and_too_much_light_is_negative(systems: Any) -> None:
    truth, fitted = systems.scene(BRIGHT), systems.scene(BRIGHT, ("point", 33.6, 14.3, (0.0, 240.0)))
    observation = systems.observe(truth)
    blob = residual_blobs([observation], [systems.model(fitted)], truth.grid)[0]
    assert blob.significance < -10
    assert blob.band == 1 and blob.channel == observation.channels[1]
    assert np.hypot(blob.x - 33.6, blob.y - 14.3) < 0.3


def test_masked_pixels_have_nothing_left_over_and_the_list_is_short(systems: Any) -> None:
    observation, fitted = systems.observe(systems.scene(BRIGHT, FAINT)), systems.scene(BRIGHT)
    weights = observation.weights.copy()
    weights[:, 8:21, 27:41] = 0.0
    masked = replace(observation, weights=weights)
    blobs = residual_blobs([masked], [systems.model(fitted)], fitted.grid)
    assert all(np.hypot(b.x - FAINT[1], b.y - FAINT[2]) > 5 for b in blobs)
    everything = residual_blobs([observation], [0.0 * systems.model(fitted)], fitted.grid, threshold=1.0, most=3)
    assert len(everything) == 3
    assert np.all(np.diff([abs(b.significance) for b in everything]) <= 0)
    with pytest.raises(ValueError, match="must be positive, got 0"):
        residual_blobs([observation], [systems.model(fitted)], fitted.grid, threshold=0.0)


def test_a_source_of_the_residual_has_the_size_of_what_is_left_over(systems: Any) -> None:
    observation, fitted = systems.observe(systems.scene(BRIGHT, FAINT)), systems.scene(BRIGHT)
    models = [systems.model(fitted)]
    source = source_from_residual([observation], models, fitted, 33.0, 14.0, "galaxy")
    assert (source.x, source.y) == (33.0, 14.0) and source.kind == "galaxy"
    assert np.isnan(source.flux).all(), "fluxes are solved for with those of the neighbours"
    assert source.center_scatter >= 1.0
