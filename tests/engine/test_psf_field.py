"""PSFs that vary over an image: stamps at some places, and what they say of the places between."""

from __future__ import annotations

import numpy as np
import pytest

from deblend import Observation
from deblend.observe import PsfField, full_width_half_maximum, gaussian_psf

SIDE = 25
NODES = np.arange(SIDE) - SIDE // 2


def round_psf(width: float) -> np.ndarray:
    line = np.exp(-0.5 * (NODES / width) ** 2)
    stamp = np.outer(line, line)
    return stamp / stamp.sum()


def field_of(positions: np.ndarray, widths: np.ndarray) -> PsfField:
    return PsfField(positions, np.stack([[round_psf(w), round_psf(1.2 * w)] for w in widths]))


def grid(columns: tuple[float, ...], rows: tuple[float, ...]) -> np.ndarray:
    return np.array([(x, y) for y in rows for x in columns])


def test_weights_of_a_grid_are_bilinear(rng: np.random.Generator) -> None:
    positions = rng.permutation(grid((0.0, 50.0, 80.0), (10.0, 90.0)))
    field = field_of(positions, np.full(6, 2.0))
    x, y = rng.uniform(0, 80, (4, 7)), rng.uniform(10, 90, (4, 7))
    weights = field.weights_at(x, y)
    assert weights.shape == (4, 7, 6) and weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0)
    # what is linear along x and along y is told exactly
    np.testing.assert_allclose(weights @ positions[:, 0], x)
    np.testing.assert_allclose(weights @ (positions[:, 0] ** 0 * positions[:, 1]), y)
    np.testing.assert_allclose(np.diag(field.weights_at(*positions.T)), 1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_weights_of_scattered_cells_sum_to_one_and_meet_the_cells(rng: np.random.Generator, count: int) -> None:
    positions = rng.uniform(0, 100, (count, 2))
    field = field_of(positions, np.linspace(1.5, 3.0, count))
    weights = field.weights_at(rng.uniform(-50, 150, 200), rng.uniform(-50, 150, 200))
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0)
    np.testing.assert_allclose(field.weights_at(*positions.T), np.eye(count), atol=1e-6)


def test_scattered_weights_do_not_jump(rng: np.random.Generator) -> None:
    field = field_of(rng.uniform(0, 100, (12, 2)), np.full(12, 2.0))
    x = np.linspace(0, 100, 20001)
    steps = np.abs(np.diff(field.weights_at(x, 0.31 * x + 20.0), axis=0))
    assert steps.max() < 0.01


def test_beyond_its_cells_a_field_stays_as_it_is() -> None:
    field = field_of(grid((10.0, 90.0), (10.0, 90.0)), np.array([2.0, 3.0, 2.5, 3.5]))
    np.testing.assert_allclose(field.at(-40.0, -7.0), field.at(10.0, 10.0))
    np.testing.assert_allclose(field.at(300.0, 50.0), field.at(90.0, 50.0))


def test_thinning_keeps_what_interpolation_cannot_tell() -> None:
    positions = grid(tuple(np.linspace(0, 200, 17)), tuple(np.linspace(0, 100, 9)))
    # along x the width bends, along y nothing changes
    widths = 2.0 + 0.4 * (positions[:, 0] / 200.0) ** 2
    field = field_of(positions, widths)
    thin = field.thinned(1e-2)
    assert thin.lines is not None and 3 <= len(thin.lines[0]) <= 8 and len(thin.lines[1]) == 2
    for x, y in ((33.0, 20.0), (111.0, 77.0), (180.0, 5.0)):
        np.testing.assert_allclose(thin.at(x, y), field.at(x, y), atol=1.2e-2 * field.stamps.max())
    assert field_of(positions, np.full(len(positions), 2.0)).thinned().n_cells == 1


def test_scattered_cells_are_thinned_too(rng: np.random.Generator) -> None:
    positions = rng.uniform(0, 100, (40, 2))
    field = field_of(positions, np.where(positions[:, 0] > 50, 3.0, 2.0))
    thin = field.thinned(1e-3)
    assert thin.n_cells < 40
    told = np.tensordot(thin.weights_at(*positions.T), thin.stamps, axes=1)
    assert np.abs(told - field.stamps).max() <= 1e-3 * field.stamps.max()


def test_an_observation_takes_its_psf_from_the_middle(rng: np.random.Generator) -> None:
    field = field_of(grid((0.0, 79.0), (0.0, 59.0)), np.array([2.0, 3.0, 2.0, 3.0]))
    seen = Observation.from_arrays(rng.normal(size=(2, 60, 80)), field, channels="gr")
    assert seen.psf_field is not None and seen.fine_psf is None
    np.testing.assert_allclose(seen.psf, field.at(39.5, 29.5))
    assert full_width_half_maximum(field.at(0.0, 0.0)[0]) < full_width_half_maximum(seen.psf[0])
    with pytest.raises(ValueError, match="3 bands need a PSF field for as many"):
        Observation.from_arrays(rng.normal(size=(3, 60, 80)), field)


def test_one_cell_is_a_psf_that_does_not_vary(rng: np.random.Generator) -> None:
    field, notes = PsfField.from_stamps([(3.0, 4.0)], [[gaussian_psf(3.0)[:, 1:-1] * 5]], ["g"])
    assert "summed to 5" in notes[0] and field.stamps.shape[2] % 2 == 1
    seen = Observation.from_arrays(rng.normal(size=(2, 60, 80)), field)
    assert seen.psf_field is None and seen.psf.shape[0] == 2


def test_stamps_and_places_must_belong_together() -> None:
    with pytest.raises(ValueError, match="needs positions"):
        PsfField(np.zeros((2, 2)), np.zeros((3, 1, 5, 5)))
    with pytest.raises(ValueError, match="2 places and 1 bands need as many stamps, got 1"):
        PsfField.from_stamps([(0, 0), (1, 1)], [[gaussian_psf(3.0)]], ["g"])
