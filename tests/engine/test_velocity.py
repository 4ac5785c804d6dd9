"""How fast something moves: injected stars on crowded, noisy epochs are tracked, and noise is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deblend import Channel, Observation, Status, empty_scene, make_source, moving_sources
from deblend.detect import find_velocity, taken_for_still
from deblend.sky import TangentWcs

SHAPE = (90, 100)
NIGHTS = 61000.0 + np.array([0.0, 0.4, 1.1, 2.0, 2.6, 3.3])
FIRST = (30.3, 62.6)
VELOCITY = (12.2, -9.1)
"""[pix/day]"""
SIGMA = 1.4


def star(x: float, y: float, flux: float, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rows, columns = np.indices(shape)
    return flux * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / SIGMA**2) / (2 * np.pi * SIGMA**2)


def epochs(flux: float, seed: int = 0, times: np.ndarray = NIGHTS, static: bool = True) -> Observation:
    """Return an image per time: stars that stand still, one that moves, noise of 1 nJy/pix."""
    rng = np.random.default_rng(seed)
    still = sum(star(*rng.uniform(5, 85, 2), 10 ** rng.uniform(2, 4)) for _ in range(25)) if static else 0.0
    places = [np.add(FIRST, np.multiply(VELOCITY, t - NIGHTS[0])) for t in times]
    images = np.stack([still + star(*place, flux) + rng.normal(size=SHAPE) for place in places])
    index = np.arange(-10, 11)
    psf = np.exp(-0.5 * (index[:, None] ** 2 + index**2) / SIGMA**2)
    channels = [Channel("LSST", "r", f"{t:.4f}") for t in times]
    return Observation.from_arrays(images, [psf / psf.sum()] * len(times), np.ones_like(images), channels=channels)


@pytest.mark.parametrize("clicked", [0, 3, 5])
def test_what_moves_is_tracked_over_stars_that_are_no_sources_yet(clicked: int) -> None:
    """Of signal to noise 20 at each epoch; lines lie a width of the PSF apart, and the fit does the rest."""
    data = epochs(100.0)
    scene = empty_scene([data])
    x, y = np.add(FIRST, np.multiply(VELOCITY, NIGHTS[clicked] - NIGHTS[0]))
    found = find_velocity([data], scene, [np.zeros_like(data.images)], x + 0.4, y - 0.3, NIGHTS[clicked])
    assert found.stands_out
    longest = np.abs(NIGHTS - NIGHTS[clicked]).max()
    np.testing.assert_allclose(found.velocity, VELOCITY, atol=1.5 * SIGMA / longest)


def test_a_click_beside_it_finds_no_line_through_one_epoch() -> None:
    """Where nothing is, at that epoch; each line through the place meets the thing at one other epoch at most."""
    data = epochs(200.0)
    x, y = np.add(np.add(FIRST, np.multiply(VELOCITY, 1.1)), (0.0, 15.0))
    found = find_velocity([data], empty_scene([data]), [np.zeros_like(data.images)], x, y, NIGHTS[0])
    assert not found.stands_out and found.velocity == (0.0, 0.0)


def test_what_was_taken_for_still_is_told_from_stars() -> None:
    data = epochs(150.0)
    scene = empty_scene([data])
    moving = moving_sources(scene.channels, *FIRST, VELOCITY)
    ghost, locked = (make_source("point", m.x + 0.5, m.y, n_channels=6) for m in (moving[1], moving[4]))
    stars = np.random.default_rng(0).uniform(5, 85, 2)
    star = make_source("point", *stars, n_channels=6)
    crossing = moving_sources(scene.channels, *stars, VELOCITY)
    scene = scene.add(ghost, locked.with_status(Status.LOCKED), star)
    assert [s.id for s in taken_for_still([data], scene, (*moving, *crossing))] == [ghost.id]


def test_two_epochs_are_enough() -> None:
    data = epochs(150.0, times=NIGHTS[[0, 3]])
    found = find_velocity([data], empty_scene([data]), [np.zeros_like(data.images)], *FIRST, NIGHTS[0])
    np.testing.assert_allclose(found.velocity, VELOCITY, atol=1.5 * SIGMA / 2.0)


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_goes_nowhere(seed: int) -> None:
    data = epochs(0.0, seed, static=False)
    found = find_velocity([data], empty_scene([data]), [np.zeros_like(data.images)], *FIRST, NIGHTS[0])
    assert found.signal_to_noise < 5.0
    assert found.velocity == (0.0, 0.0) and not found.stands_out


def test_epochs_on_pixels_of_their_own_and_masks() -> None:
    """Every other night the telescope points 7 px off, and a quarter of the first image is masked."""
    whole = epochs(120.0)
    wcs = TangentWcs((150.0, 2.0), (50.0, 45.0), ((-0.2, 0.0), (0.0, 0.2)))
    pieces = []
    for k in range(len(NIGHTS)):
        corner = 7 * (k % 2)
        image = whole.images[k : k + 1, corner:, corner:].copy()
        weights = np.ones_like(image)
        if k == 0:
            weights[:, :45, 50:] = 0.0
            image[:, :45, 50:] = 1e6
        pieces.append(
            Observation.from_arrays(
                image,
                whole.psf[k : k + 1],
                weights,
                channels=[whole.channels[k]],
                name=f"night {k}",
                wcs=wcs.shifted(corner, corner),
            )
        )
    scene = empty_scene(pieces)
    assert scene.grid.shape == SHAPE
    found = find_velocity(pieces, scene, [np.zeros_like(o.images) for o in pieces], *FIRST, NIGHTS[0])
    np.testing.assert_allclose(found.velocity, VELOCITY, atol=1.5 * SIGMA / 3.3)


def test_images_without_epochs_are_refused() -> None:
    data = epochs(1.0, times=NIGHTS[:1])
    with pytest.raises(ValueError, match="All images are of one epoch"):
        find_velocity([data], empty_scene([data]), [np.zeros_like(data.images)], 1.0, 1.0, NIGHTS[0])
    timeless = replace(data, channels=(Channel("LSST", "r"),))
    with pytest.raises(ValueError, match="has no epoch"):
        find_velocity([timeless], empty_scene([timeless]), [np.zeros_like(data.images)], 1.0, 1.0, NIGHTS[0])
