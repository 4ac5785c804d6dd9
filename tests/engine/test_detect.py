"""Detection: all that is there, nothing that is not, and a start from which a fit finds its way."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from deblend import (
    Observation,
    Program,
    Scene,
    detect,
    empty_scene,
    find_peaks,
    scene_from_positions,
    start_source,
)
from deblend.detect import box_radius, signal_to_noise
from deblend.observe import full_width_half_maximum, gaussian_psf
from deblend.scene import MODEL_PSF_SIGMA
from deblend.sky import TangentWcs

SHAPE = (96, 120)
FWHM = (2.8, 3.3)
PLACES = [(15.0 + 29.7 * k, 14.0 + 33.3 * j) for j in range(3) for k in range(4)]
"""(x, y) of twelve sources."""
SIZES = [0.0, 1.2, 2.0, 2.8] * 3
"""Widths of Gaussians, before the PSF [pix]."""
FLUXES = [300.0 * 1.3**k for k in range(12)]


def blobs(
    places: list[tuple[float, float]] = PLACES,
    sizes: list[float] = SIZES,
    fluxes: list[float] = FLUXES,
    seed: int = 1,
    **options: Any,
) -> Observation:
    """Return round Gaussians in two bands with noise of 1 nJy, drawn without the engine."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    images = rng.normal(size=(2, *SHAPE))
    for image, fwhm in zip(images, FWHM, strict=True):
        for (x0, y0), size, flux in zip(places, sizes, fluxes, strict=True):
            variance = (fwhm / 2.3548) ** 2 + 1 / 12 + size**2
            image += flux / (2 * np.pi * variance) * np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / variance)
    options = {"weights": np.ones_like(images), "channels": ["g", "i"], **options}
    return Observation.from_arrays(images, [gaussian_psf(f) for f in FWHM], **options)


@pytest.fixture(scope="module")
def observation() -> Observation:
    return blobs()


@pytest.fixture(scope="module")
def scene(observation: Observation) -> Scene:
    return detect([observation])


def distances(x: np.ndarray, y: np.ndarray, places: list[tuple[float, float]]) -> np.ndarray:
    """Return, for every place, how far the nearest position is."""
    px, py = np.array(places).T
    return np.hypot(x[:, None] - px, y[:, None] - py).min(axis=0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twelve_of_twelve(seed: int) -> None:
    peaks = find_peaks([blobs(seed=seed)], 5.0)
    assert len(peaks) == 12
    assert distances(peaks.x, peaks.y, PLACES).max() < 0.3
    assert np.all(np.diff(peaks.snr) <= 0), "brightest first"
    assert peaks.snr.min() >= 5.0


def test_signal_to_noise_is_that_of_a_point_source() -> None:
    """As if all bands had the PSF of their stack, which they nearly have."""
    found = find_peaks([blobs([(60.3, 48.2)], [0.0], [200.0])], 5.0)
    assert len(found) == 1
    squares = [200.0**2 * np.sum(gaussian_psf(f) ** 2) for f in FWHM]
    assert found.snr[0] == pytest.approx(np.sqrt(np.sum(squares)), rel=0.1)


def test_a_lower_threshold_finds_what_a_higher_one_found_and_more(observation: Observation) -> None:
    found = [find_peaks([observation], threshold) for threshold in (40.0, 20.0, 10.0, 5.0, 3.0)]
    counts = [len(peaks) for peaks in found]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    for few, many in pairwise(found):
        places = list(zip(few.x, few.y, strict=True))
        assert not places or distances(many.x, many.y, places).max() < 1.0


def test_noise_alone_is_empty() -> None:
    """At 5 sigma, 20 images of 11,520 pixels have 0.1 false peaks; at 4 sigma about 7, and 20 would be far too many."""
    counts = dict.fromkeys((5.0, 4.0), 0)
    for seed in range(20):
        noise = blobs([], [], [], seed=50 + seed)
        for threshold in counts:
            counts[threshold] += len(find_peaks([noise], threshold))
    assert counts[5.0] <= 1
    assert counts[4.0] <= 20


def test_close_pairs_are_two() -> None:
    pair = [(40.0, 40.0), (45.5, 42.0)]
    peaks = find_peaks([blobs(pair, [0.0, 0.0], [900.0, 500.0])], 5.0)
    assert len(peaks) == 2
    assert distances(peaks.x, peaks.y, pair).max() < 0.4


def test_bands_are_stacked_by_their_information() -> None:
    faint = blobs([(60.0, 48.0)], [0.0], [28.0], seed=5)
    picture = signal_to_noise([faint])
    assert np.std(picture) == pytest.approx(1.0, abs=0.05)
    single = [Observation.from_arrays(faint.images[b], faint.psf[b], faint.weights[b]) for b in (0, 1)]
    both = find_peaks([faint], 3.0)
    at = np.hypot(both.x - 60, both.y - 48).argmin()
    for alone in single:
        peaks = find_peaks([alone], 2.0)
        near = np.hypot(peaks.x - 60, peaks.y - 48) < 2
        assert not near.any() or peaks.snr[near].max() < both.snr[at]


@pytest.mark.parametrize("threshold", [0.0, -3.0, np.nan])
def test_a_threshold_is_positive(observation: Observation, threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be positive"):
        find_peaks([observation], threshold)


def test_masked_pixels_hold_no_sources() -> None:
    images = np.array(blobs().images)
    weights = np.ones_like(images)
    images[:, 60:64, :] = np.nan
    weights[:, :, 55:58] = 0
    images[:, 30, 55:58] = 1e6
    seen = Observation.from_arrays(images, [gaussian_psf(f) for f in FWHM], weights)
    peaks = find_peaks([seen], 5.0)
    assert len(peaks) == 12
    assert distances(peaks.x, peaks.y, PLACES).max() < 0.5
    found = detect([seen])
    assert np.all(np.isfinite(found.fluxes)) and np.all(found.fluxes >= 0)


def test_a_scene_of_what_was_found(scene: Scene, observation: Observation) -> None:
    assert len(scene) == 12 and scene.is_solved
    assert {s.kind for s in scene.sources} == {"galaxy"}
    assert [s.name for s in scene.sources] == [str(k + 1) for k in range(12)]
    assert scene.channels == observation.channels and scene.grid.is_same_as(observation.grid)


def test_starting_fluxes_are_those_of_a_joint_solution(scene: Scene) -> None:
    """About right before any fit, although sizes are guessed and positions are peaks."""
    assert np.all(scene.fluxes >= 0)
    order = [int(np.hypot(s.x - np.array(PLACES)[:, 0], s.y - np.array(PLACES)[:, 1]).argmin()) for s in scene.sources]
    ratios = scene.fluxes / np.array(FLUXES)[order][:, None]
    # stars, which are taken for galaxies here, are off by most
    assert np.all(np.abs(ratios - 1) < 0.45) and np.median(np.abs(ratios - 1)) < 0.15


def test_boxes_and_sizes_grow_with_the_sources(observation: Observation) -> None:
    picture = signal_to_noise([observation])
    radii = [box_radius(picture, x, y) for x, y in PLACES]
    assert radii[11] > radii[8] and radii[11] > radii[3]
    large, small = (start_source([observation], empty_scene([observation]), *PLACES[k]) for k in (11, 8))
    guesses = [s.components[0].morphology.half_light_radius_guess for s in (large, small)]
    assert guesses[0] > guesses[1]
    # a width of 2.8 px before the PSF is a half-light radius of 3.3 px
    assert guesses[0] == pytest.approx(3.3, rel=0.4)


def test_a_start_is_not_the_blurred_image(observation: Observation) -> None:
    """A picture that has the PSF in it, taken for one before the PSF, is blurred twice."""
    start = scene_from_positions([observation], *np.array(PLACES).T, kind="free-form")
    blurred = []
    for source in start.sources:
        component, radius = source.components[0], source.radius
        padded = np.pad(observation.images[0], radius)
        rows, columns = (slice(round(v), round(v) + 2 * radius + 1) for v in (source.y, source.x))
        pixels = component.morphology.pixels.at(np.maximum(padded[rows, columns], 0))
        morphology = component.morphology.with_parameters(pixels=pixels)
        spectrum = component.spectrum.at(np.full(2, np.nan))
        blurred.append(replace(source, components=(replace(component, morphology=morphology, spectrum=spectrum),)))
    ours, theirs = (Program([observation], scene).chi2 for scene in (start, start.with_sources(blurred)))
    assert ours < 6
    assert ours < theirs


@pytest.mark.parametrize("kind", ["point", "galaxy"])
def test_a_click_makes_a_source_that_is_still_to_be_solved_for(
    scene: Scene, observation: Observation, kind: str
) -> None:
    source = start_source([observation], scene, 44.2, 15.1, kind)
    assert (source.x, source.y, source.kind) == (44.2, 15.1, kind)
    assert source.anchor == (44.2, 15.1) and np.all(np.isnan(source.flux)) and len(source.flux) == 2
    # on blank sky, and at the very edge, there is a source of a star's size
    for x, y in ((75.0, 30.0), (0.0, 95.0)):
        blank = start_source([observation], scene, x, y)
        assert 3 <= blank.radius <= 15
        assert blank.components[0].morphology.half_light_radius_guess < 3


def test_the_scale_of_boxes(observation: Observation) -> None:
    x, y = np.array(PLACES[:3]).T
    plain, larger = (scene_from_positions([observation], x, y, box_scale=scale) for scale in (1.0, 1.5))
    for a, b in zip(plain.sources, larger.sources, strict=True):
        assert b.radius == round(1.5 * a.radius)


def test_positions_are_on_the_image(observation: Observation) -> None:
    with pytest.raises(ValueError, match=r"Position 1 \(x 130\.0, y 4\.0\) is not on the image of 120×96 px"):
        scene_from_positions([observation], [3.0, 130.0], [4.0, 4.0])
    assert len(scene_from_positions([observation], [], [])) == 0


def test_a_narrow_psf_gets_a_narrower_model_psf(observation: Observation) -> None:
    images = np.random.default_rng(1).normal(size=(1, 40, 40))
    sharp = Observation.from_arrays(images, gaussian_psf(1.6))
    sigma = empty_scene([sharp]).model_psf_sigma
    assert sigma < full_width_half_maximum(sharp.psf[0]) / 2.3548
    assert 0.5 <= sigma < MODEL_PSF_SIGMA
    assert empty_scene([observation]).model_psf_sigma <= MODEL_PSF_SIGMA


def test_an_observation_on_other_pixels_does_not_vote(observation: Observation) -> None:
    wcs = TangentWcs((150.0, 2.0), (0.0, 0.0), ((-0.2, 0.0), (0.0, 0.2)))
    here = replace(observation, wcs=wcs)
    elsewhere = replace(
        here,
        name="other",
        wcs=replace(wcs, matrix=((-0.1, 0.0), (0.0, 0.1))),
        images=np.full_like(observation.images, 1e3),
        channels=tuple(c._replace(survey="other") for c in here.channels),
    )
    np.testing.assert_array_equal(signal_to_noise([here, elsewhere]), signal_to_noise([here]))
