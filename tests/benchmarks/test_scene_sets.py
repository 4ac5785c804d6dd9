"""Scenes of known truth that quality is measured on, and the scores."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import PROJECT

FOLDERS = [str(PROJECT / "benchmarks"), str(PROJECT / "sample_data")]
SETS = (
    "generated",
    "easy",
    "crowded",
    "equal-colors",
    "spirals",
    "stars-on-galaxies",
    "missing-source",
    "wrong-psf",
    "correlated-noise",
)
N_PIXELS = 5 * 60 * 60


@pytest.fixture(scope="module", autouse=True)
def _in_path() -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = FOLDERS
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def sets() -> ModuleType:
    return importlib.import_module("scene_sets")


@pytest.fixture(scope="module")
def scores() -> ModuleType:
    return importlib.import_module("scores")


@pytest.mark.parametrize("name", SETS)
def test_truth_renders_to_the_images_within_noise(sets: ModuleType, name: str) -> None:
    """Chi² of the truth is 1 ± sqrt(2 / N); correlated noise has fewer independent pixels."""
    blend = sets.scene_sets(None)[name].make(3, 1)
    assert blend.images.shape == (5, 60, 60)
    # the autocorrelation of a Gaussian of 0.7 px covers 2 π 0.7² = 3.1 pixels in its square
    n_independent = N_PIXELS / (3.1 if name == "correlated-noise" else 1.0)
    assert abs(blend.chi2_of_truth - 1.0) < 4.0 * np.sqrt(2.0 / n_independent)
    # what is off the image is little, and no template is dark
    assert np.all(np.abs(blend.templates.sum(axis=(2, 3)) - 1.0) < 0.08)


@pytest.mark.parametrize("name", SETS)
def test_a_seed_gives_the_same_scene_again(sets: ModuleType, name: str) -> None:
    make = sets.scene_sets(None)[name].make
    first, again, other = make(3, 0), make(3, 0), make(3, 1)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


@pytest.mark.data
def test_real_galaxies_and_the_simulation(sets: ModuleType, data_folder) -> None:  # type: ignore[no-untyped-def]
    known = sets.scene_sets(data_folder)
    assert {"real", "sim-matched"} <= set(known)
    for name, n_pixels in (("real", N_PIXELS), ("sim-matched", 6 * 55 * 58)):
        blend = known[name].make(1, 0)
        assert abs(blend.chi2_of_truth - 1.0) < 5.0 * np.sqrt(2.0 / n_pixels)


def test_what_is_told_wrongly(sets: ModuleType) -> None:
    plain, missing, wrong = (sets.scene_sets(None)[n].make(3, 0) for n in ("generated", "missing-source", "wrong-psf"))
    assert missing.given.sum() == len(plain.x) - 1
    assert not missing.given[np.argmin(plain.snr)]
    y, x = np.indices(plain.psf.shape[1:]) - plain.psf.shape[1] // 2
    near = np.hypot(y, x) < 6
    widths = [np.sqrt((psf * (y**2 + x**2) * near).sum() / (psf * near).sum()) for psf in (plain.psf[2], wrong.psf[2])]
    # the wings are cut, so the width changes by less than what it was told
    assert 0.97 <= widths[1] / widths[0] < 0.99
    noises = [sets.scene_sets(None)[n].make(3, 0) for n in ("generated", "correlated-noise")]
    left = [(b.images - b.truth.sum(axis=0)) / np.sqrt(b.variance) for b in noises]
    neighbors = [float(np.mean(each[:, :, 1:] * each[:, :, :-1])) for each in left]
    assert abs(neighbors[0]) < 0.04
    assert neighbors[1] == pytest.approx(np.exp(-1 / (4 * 0.7**2)), abs=0.06)


def test_the_floor_is_unbiased_and_knows_its_noise(sets: ModuleType, scores: ModuleType) -> None:
    """Fluxes of true pictures: their pulls by the exact covariance are normal."""
    pulls = []
    for number in range(6):
        blend = sets.easy(3, number)
        columns = (blend.templates[:, 2] / np.sqrt(blend.variance[2])).reshape(len(blend.x), -1)
        errors = np.sqrt(np.diag(np.linalg.inv(columns @ columns.T)))
        pulls.append((blend.floor[:, 2] - blend.flux[:, 2]) / errors)
    every = np.concatenate(pulls)
    assert abs(every.mean()) < 4 / np.sqrt(every.size)
    assert abs(every.std() - 1.0) < 4 / np.sqrt(2 * every.size)


def test_scores_of_the_truth_and_of_a_known_error(sets: ModuleType, scores: ModuleType) -> None:
    blends = [sets.easy(3, number) for number in range(3)]
    results = []
    for blend in blends:
        flux = blend.flux * np.where(np.arange(5) == 2, 1.1, 1.0)
        results.append(scores.judged(blend, flux, 1.1 * blend.truth[:, 2], 1.0, 3, None, "CONVERGED"))
    galaxies = scores.Galaxies.of(results)
    assert scores.median_error(galaxies) == pytest.approx(0.1)
    assert scores.STATISTICS["bias"](galaxies) == pytest.approx(0.1)
    assert scores.color_scatter(galaxies) == pytest.approx(0.0, abs=1e-12)
    assert scores.STATISTICS["wrong by 50 %"](galaxies) == 0.0
    # scale is no matter of shape
    np.testing.assert_allclose(galaxies["likeness"], 1.0)
    np.testing.assert_allclose(galaxies["ssim"], 1.0)
    assert scores.likeness(np.eye(9), np.zeros((9, 9))) == 0.0
    value, error = scores.with_error(lambda take: float(np.mean(take)), 3)
    # of the mean of three draws of 0, 1, 2: sqrt(2/3 / 3)
    assert value == 1.0
    assert error == pytest.approx(np.sqrt(2 / 9), rel=0.15)
    assert len(scores.cells(results)) == len(scores.HEADER) - 3
    assert "+0.0000" in scores.change(results, results)
    with pytest.raises(ValueError, match="other scenes"):
        scores.change(results, results[:2])
