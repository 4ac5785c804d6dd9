"""The map of χ²: 1 in noise, high where something is not explained, nothing where all is masked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend.measure import chi2_map

BRIGHT = ("gaussian", 22.0, 24.0, (6000.0, 9000.0), {"half_light_radius": 2.5})
FAINT = ("point", 33.6, 14.3, (170.0, 240.0))


def test_it_is_one_in_noise_and_stands_out_at_what_is_missing(systems: Any) -> None:
    truth, fitted = systems.scene(BRIGHT, FAINT), systems.scene(BRIGHT)
    observation = systems.observe(truth)
    right, wrong = (chi2_map(observation, systems.model(scene)) for scene in (truth, fitted))
    assert right.shape == observation.shape
    assert right.mean() == pytest.approx(1.0, abs=0.05)
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    assert np.hypot(column - FAINT[1], row - FAINT[2]) < 1.0 and wrong.max() > 5.0


def test_masked_pixels_count_for_nothing(systems: Any) -> None:
    truth = systems.scene(BRIGHT)
    observation = systems.observe(truth)
    weights, images = observation.weights.copy(), observation.images.copy()
    weights[:, 30:40, 30:40] = 0.0
    images[:, 30:40, 30:40] = 1e6
    holed = replace(observation, images=images, weights=weights)
    found = chi2_map(holed, systems.model(truth))
    assert np.isnan(found[34:36, 34:36]).all()
    assert np.nanmax(found) < 3.0
