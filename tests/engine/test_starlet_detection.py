"""Detection at many scales: the noise of each is known, what lies within what is told, nothing is made of noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deblend import Observation, Peaks, detect, find_peaks
from deblend.detect import stacked
from deblend.detect.starlet import deviations, filled, n_scales, prominent, structures
from deblend.observe import gaussian_psf
from deblend.render.starlet import starlets
from tests.engine.blobs import FWHM, SHAPE, seen


def nearest(peaks: Peaks, x: float, y: float) -> int:
    return int(np.hypot(peaks.x - x, peaks.y - y).argmin())


def test_structures_are_those_of_the_transform(rng: np.random.Generator, double: None) -> None:
    picture = rng.normal(size=SHAPE)
    np.testing.assert_allclose(structures(picture), starlets(picture, n_scales(SHAPE))[:-1], atol=1e-12)


def test_the_noise_of_every_scale_is_known_to_the_edges() -> None:
    """Far from edges that of the filter; everywhere that of 300 pictures of unequal noise, to a few of their errors."""
    inner = [d[64, 64] for d in deviations(np.ones((128, 128)))]
    first = np.sqrt(1 - 2 * (6 / 16) ** 2 + (70 / 256) ** 2)
    np.testing.assert_allclose(inner[0], first, rtol=1e-12)
    # Starck & Murtagh (2006, Astronomical Image and Data Analysis, table 2.1), from simulations
    np.testing.assert_allclose(inner, [0.889, 0.200, 0.086, 0.041, 0.020], rtol=0.025)
    rng = np.random.default_rng(3)
    shape = (40, 48)
    variance = 1.0 + 3.0 * rng.random(shape)
    drawn = np.stack([structures(np.sqrt(variance) * rng.normal(size=shape)) for _ in range(300)])
    ratio = drawn.std(axis=0) / deviations(variance)
    # the error of a standard deviation of 300 is 0.041
    assert np.abs(ratio - 1).max() < 5.5 * 0.041
    assert np.abs(ratio.mean(axis=(1, 2)) - 1).max() < 0.03


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_star_within_a_large_galaxy_is_its_child(seed: int) -> None:
    peaks = find_peaks([seen((40.0, 36.0, 20000.0, 7.0), (51.3, 41.6, 600.0, 0.0), seed=seed)], 5.0, "starlet")
    assert len(peaks) == 2
    galaxy, star = nearest(peaks, 40.0, 36.0), nearest(peaks, 51.3, 41.6)
    assert np.hypot(peaks.x[star] - 51.3, peaks.y[star] - 41.6) < 0.3
    assert peaks.parent[star] == galaxy and peaks.parent[galaxy] == -1
    assert peaks.scale[galaxy] > peaks.scale[star]


def test_what_is_large_and_faint_is_found_at_a_coarse_scale() -> None:
    """Its signal to noise is 20 as a whole and 5 as a point: one of seven pixels has 0.5 of the noise."""
    found = [find_peaks([seen((40.0, 36.0, 480.0, 5.0), seed=seed)], 5.0, "starlet") for seed in range(8)]
    assert [len(peaks) for peaks in found] == [1] * 8
    for peaks in found:
        assert np.hypot(peaks.x[0] - 40.0, peaks.y[0] - 36.0) < 4.0
        assert peaks.scale[0] >= 3
    by_sep = [find_peaks([seen((40.0, 36.0, 480.0, 5.0), seed=seed)], 5.0) for seed in range(8)]
    assert sum(len(peaks) == 1 for peaks in by_sep) < 8


def test_noise_alone_is_empty() -> None:
    """At 5 sigma, 30 images of 5,760 pixels have 0.1 false ones; correlated noise is measured."""
    assert sum(len(find_peaks([seen(seed=50 + seed)], 5.0, "starlet")) for seed in range(30)) <= 1
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(10):
        white = rng.normal(size=(1, SHAPE[0] + 2, SHAPE[1] + 2))
        smooth = sum(white[:, dy : SHAPE[0] + dy, dx : SHAPE[1] + dx] for dy in range(3) for dx in range(3)) / 3.0
        image = Observation.from_arrays(smooth, gaussian_psf(FWHM), np.ones_like(smooth))
        counts.append(len(find_peaks([image], 5.0, "starlet")))
    assert np.mean(counts) < 1.0


def test_a_bright_smooth_galaxy_is_one() -> None:
    peaks = find_peaks([seen((40.2, 35.7, 60000.0, 5.0))], 5.0, "starlet")
    assert len(peaks) == 1
    assert np.hypot(peaks.x[0] - 40.2, peaks.y[0] - 35.7) < 0.3


def test_weights_and_masks_count() -> None:
    weights = np.ones((2, *SHAPE))
    weights[:, :, 40:] = 1 / 36
    weights[:, 30:33] = 0
    image = seen((20.0, 15.0, 60.0, 0.0), (60.0, 15.0, 60.0, 0.0), (20.0, 55.0, 60.0, 0.0), weights=weights)
    peaks = find_peaks([image], 5.0, "starlet")
    assert len(peaks) == 2, "behind six times the noise it is no source, and a hole is none"
    assert peaks.x.max() < 25
    light, variance = filled(stacked([image]))
    assert np.all(np.isfinite(light)) and np.all(variance > 0)
    dark = Observation.from_arrays(image.images, image.psf, np.zeros((2, *SHAPE)) + (np.arange(80) < 1))
    assert len(find_peaks([dark], 5.0, "starlet")) == 0


def test_hills_are_told_by_the_way_between_them() -> None:
    line = np.array([0, 5, 9, 6, 8, 2, 7, 0.0, 3, 0])
    picture = np.stack([np.zeros(10), line, np.zeros(10)])
    rows, columns = prominent(picture, 1.0, 3.0)
    assert set(columns.tolist()) == {2, 6, 8} and set(rows.tolist()) == {1}
    assert set(prominent(picture, 1.0, 1.5)[1].tolist()) == {2, 4, 6, 8}


def test_peaks_keep_their_parents_in_any_order() -> None:
    peaks = Peaks(*np.arange(12.0).reshape(3, 4), np.array([1, 2, 3, 1]), np.array([-1, 0, 1, -1]))
    some = peaks.take(np.array([2, 0]))
    np.testing.assert_array_equal(some.parent, [1, -1])
    both = Peaks.joined([some, peaks.take(np.array([0, 1]))])
    for k in np.flatnonzero(both.parent >= 0):
        assert both.x[both.parent[k]] == 0.0


def test_detection_takes_the_method() -> None:
    image = seen((40.0, 36.0, 20000.0, 7.0), (51.3, 41.6, 600.0, 0.0))
    scene: Any = detect([image], method="starlet", solve=False)
    assert len(scene) == 2
    with pytest.raises(ValueError, match="no way to detect called 'eye'; choose one of sep, starlet"):
        find_peaks([image], 5.0, "eye")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold must be positive"):
        find_peaks([image], 0.0, "starlet")
