"""Fits of a part of a scene: what takes no part stays, to the last digit, and as free as it was."""

from __future__ import annotations

import numpy as np

from deblend import FitSettings, Status, empty_scene, fit, make_source
from deblend.infer import holding, neighbours, set_free
from deblend.observe import Observation, gaussian_psf
from deblend.program import Program

PLACES = ((14.0, 15.0), (22.0, 16.0), (48.0, 40.0))


def two_close_and_one_far() -> Observation:
    y, x = np.mgrid[:56, :64]
    image = sum(300 / (2 * np.pi * 4) * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in PLACES)
    images = np.stack([image, 1.5 * image]) + np.random.default_rng(1).normal(size=(2, 56, 64))
    return Observation.from_arrays(images, gaussian_psf(3.0), channels=["g", "r"], name="HSC")


def test_only_what_takes_part_is_fitted() -> None:
    observation = two_close_and_one_far()
    scene = empty_scene([observation]).add(
        *(make_source("gaussian", x + 0.5, y, n_channels=2, radius=9) for x, y in PLACES)
    )
    scene = Program([observation], scene).scene
    first, second, third = scene.sources
    locked = scene.replace(second.with_status(Status.LOCKED))
    held = holding(locked, [first.id])
    assert [s.center.status for s in held.sources] == [Status.FREE, Status.LOCKED, Status.FIXED]
    best = fit(held, [observation], FitSettings(max_iterations=4)).run()
    after = set_free(best.scene, locked, [first.id])
    assert after.sources[2] is third
    np.testing.assert_array_equal(after.sources[1].center.value, second.center.value)
    assert abs(after.sources[0].x - PLACES[0][0]) < 0.2 and after.sources[0].center.is_free
    # what was added meanwhile, and has no fluxes yet, takes part
    more = locked.add(make_source("point", 30.0, 30.0, n_channels=2))
    assert holding(more, [first.id]).sources[-1].center.is_free


def test_neighbours_share_a_box() -> None:
    observation = two_close_and_one_far()
    scene = empty_scene([observation]).add(*(make_source("gaussian", x, y, n_channels=2, radius=9) for x, y in PLACES))
    first, second, third = (source.id for source in scene.sources)
    assert neighbours(scene, [first]) == (first, second)
    assert neighbours(scene, [third]) == (third,)
