"""Images of many sizes share what is compiled: beyond their own pixels there is room that counts for nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Observation, compilations, empty_scene
from deblend.infer.block_inverse import first_inverse
from deblend.program.layout import roomy

TRUTH = (
    ("galaxy", 21.8, 20.4, (900.0, 1300.0), {"half_light_radius": 2.6}),
    ("galaxy", 27.5, 17.1, (500.0, 350.0), {"half_light_radius": 1.8}),
    ("point", 38.5, 30.6, (300.0, 420.0)),
)
HEIGHT, WIDTH = 36, 43


def cut(observation: Observation, height: int, width: int) -> Observation:
    """Return the lower left part of an observation."""
    images, weights = observation.images[:, :height, :width], observation.weights[:, :height, :width]
    return Observation.from_arrays(images, observation.psf, weights, channels=list(observation.channels))


@pytest.mark.parametrize(
    ("length", "room"), [(1, 16), (48, 48), (49, 64), (64, 64), (100, 112), (130, 160), (600, 640)]
)
def test_room_is_a_little_more_than_what_is_asked_for(length: int, room: int) -> None:
    assert roomy(length) == room
    assert roomy(room) == room


def test_images_of_other_sizes_compile_nothing_and_are_fitted_as_if_what_lies_beyond_were_masked(systems: Any) -> None:
    truth = systems.scene(*TRUTH)
    whole = systems.observe(truth)
    is_seen = np.zeros(whole.shape, bool)
    is_seen[:HEIGHT, :WIDTH] = True
    masked, part = replace(whole, weights=whole.weights * is_seen), cut(whole, HEIGHT, WIDTH)
    start = systems.without_fluxes(truth)
    expected = systems.fit(start, [masked])
    expected.run()
    before = compilations()
    found = systems.fit(empty_scene([part]).add(*start.sources), [part])
    best = found.run()
    assert compilations() == before
    assert best.model().shape == (2, HEIGHT, WIDTH)
    fluxes = best.scene.fluxes
    np.testing.assert_allclose(fluxes, expected.best.scene.fluxes, rtol=2e-3, atol=2.0)
    assert found.state.loss == pytest.approx(expected.state.loss, rel=1e-3)
    np.testing.assert_allclose(best.model(), expected.best.model()[:, :HEIGHT, :WIDTH], atol=0.1)


def test_only_rows_in_use_are_inverted() -> None:
    rng = np.random.default_rng(3)
    n, used = 150, 70
    root = rng.normal(size=(n, 2 * n))
    matrix, is_free = root @ root.T / n, np.zeros(n)
    is_free[:used] = rng.random(used) < 0.8
    chosen = np.flatnonzero(is_free)
    expected = np.zeros((n, n))
    expected[np.ix_(chosen, chosen)] = np.linalg.inv(matrix[np.ix_(chosen, chosen)])
    found = first_inverse(matrix.astype(np.float32), is_free.astype(np.float32), np.int32(used))
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
