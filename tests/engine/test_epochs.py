"""Many epochs of one band: what stands still has one flux, a transient has many, what moves stays on its line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Channel, Observation, Program, Scene, empty_scene, fit, make_source, measure, moving_sources
from deblend.infer.errors import draw
from deblend.observe import gaussian_psf
from deblend.program.ties import center_ties, flux_tie
from deblend.scene import fitted_motion

SHAPE = (44, 44)
NOISE = 1.0


def channels(times: Any) -> list[Channel]:
    return [Channel("LSST", "r", f"{time:.4f}") for time in times]


def observation(times: Any, images: np.ndarray | None = None) -> Observation:
    """Return an epoch per time, each with a seeing of its own."""
    seeing = 3.0 + 0.7 * np.sin(1.0 + 2.0 * np.arange(len(times)))
    cube = np.zeros((len(times), *SHAPE)) if images is None else images
    weights = np.full(cube.shape, NOISE**-2.0)
    return Observation.from_arrays(cube, [gaussian_psf(s) for s in seeing], weights, channels=channels(times))


def seen(scene: Scene, times: Any, seed: int) -> Observation:
    model = np.asarray(Program([observation(times)], scene).model(), float)
    return observation(times, model + NOISE * np.random.default_rng(seed).normal(size=model.shape))


TIMES = 61000.0 + 3.0 * np.arange(12)
BEFORE = 3
"""Epochs before it explodes, when there is only its host."""
LIGHT_CURVE = 400.0 * np.exp(-0.5 * ((np.arange(12) - 5.5) / 2.5) ** 2) * (np.arange(12) >= BEFORE)
"""Of the supernova [nJy]."""
HOST = 900.0


def supernova(kind: str = "gaussian") -> Scene:
    scene = empty_scene([observation(TIMES)])
    host = make_source(kind, 21.4, 22.3, n_channels=12, flux=np.full(12, HOST), half_light_radius=2.8, radius=15)
    star = make_source("point", 24.2, 20.6, n_channels=12, flux=LIGHT_CURVE)
    return scene.add(host, star.varying().shining_in(np.arange(12) >= BEFORE))


def test_a_supernova_on_its_host_has_its_light_curve() -> None:
    """Pulls of 27 fluxes: their rms is 1 ± 0.14, and errors from 32 draws are known to 12 %."""
    pulls = []
    program = None
    for seed in (1, 2, 3):
        data = seen(supernova(), TIMES, seed)
        best = fit(supernova("galaxy"), [data]).run()
        assert best.chi2 == pytest.approx(1.0, abs=0.04)
        host, star = best.scene.sources
        assert np.ptp(host.flux) < 1e-4 * HOST, "one flux at all epochs"
        program = Program([data], best.scene)
        errors = draw(program).flux_errors
        assert np.ptp(errors[0]) < 1e-3 * errors[0, 0]
        assert abs(host.flux[0] - HOST) < 4 * errors[0, 0] < 0.1 * HOST
        assert np.all(star.flux[:BEFORE] == 0)
        pulls.append((star.flux - LIGHT_CURVE)[BEFORE:] / errors[1, BEFORE:])
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.4)


def test_fluxes_that_are_tied_are_solved_for_together() -> None:
    """An edit solves the linear problem alone: against least squares over all epochs at once."""
    data = seen(supernova(), TIMES, 4)
    unsolved = supernova().with_sources(with_flux(s, np.full(12, np.nan)) for s in supernova().sources)
    program = Program([data], unsolved)
    columns = [c[0] for c in program.columns()]
    host, star = (np.zeros((12, *SHAPE)) for _ in columns)
    for cube, column in ((host, columns[0]), (star, columns[1])):
        cube[:, *column.window] = column.patch
    each = np.zeros((12, 12, *SHAPE))
    each[np.arange(12), np.arange(12)] = star
    design = np.concatenate([host.reshape(1, -1), each[BEFORE:].reshape(12 - BEFORE, -1)])
    expected = np.linalg.lstsq(design.T, data.images.ravel(), rcond=None)[0]
    fluxes = program.scene.fluxes
    np.testing.assert_allclose(fluxes[0], expected[0], rtol=1e-3)
    np.testing.assert_allclose(fluxes[1, BEFORE:], np.maximum(expected[1:], 0), rtol=1e-2, atol=0.5)
    assert np.all(fluxes[1, :BEFORE] == 0)


NIGHTS = 61000.0 + np.array([0.0, 0.4, 1.1, 2.0, 2.6, 3.3])
VELOCITY = (4.2, -3.1)
"""[pix/day]"""
FIRST = (14.3, 32.6)


def with_flux(source: Any, flux: np.ndarray) -> Any:
    (component,) = source.components
    return replace(source, components=(replace(component, spectrum=component.spectrum.at(flux)),))


def asteroid(x: float, y: float, velocity: tuple[float, float], **options: Any) -> Scene:
    scene = empty_scene([observation(NIGHTS)])
    host = make_source("gaussian", 20.4, 27.3, n_channels=6, flux=np.full(6, 700.0), half_light_radius=2.4, radius=15)
    return scene.add(host, *moving_sources(scene.channels, x, y, velocity, name="asteroid", **options))


def test_a_moving_source_has_its_motion() -> None:
    truth = asteroid(*FIRST, VELOCITY)
    shining = truth.with_sources(with_flux(s, np.nan_to_num(s.flux, nan=250.0)) for s in truth.sources)
    data = seen(shining, NIGHTS, 5)
    # expected most of a pixel off, and to go another way by the seeing over all nights
    best = fit(asteroid(FIRST[0] + 0.7, FIRST[1] - 0.6, (3.6, -3.5)), [data]).run()
    assert best.chi2 == pytest.approx(1.0, abs=0.04)
    (track,) = best.scene.motions
    motion = best.scene.motions[track]
    members = [row for row, s in enumerate(best.scene.sources) if s.track]
    draws = draw(Program([data], best.scene))
    changes = [fitted_motion(NIGHTS, sample[members]).velocity for sample in draws.centers]
    errors = np.sqrt(np.mean(np.square(changes), axis=0))
    assert np.all(errors < 0.05)
    assert np.all(np.abs(np.subtract(motion.velocity, VELOCITY)) < 3.5 * errors)
    on_line = [motion.at(time) for time in NIGHTS]
    np.testing.assert_allclose([best.scene.sources[row].center.value for row in members], on_line, atol=1e-3)
    table = measure(best.scene, [data], errors=False).table
    for k, row in enumerate(members):
        lit = np.array([table[f"flux_LSST_r_{time:.4f}".replace(".", "_")][row].value for time in NIGHTS])
        assert np.flatnonzero(lit).tolist() == [k], "each shines at its own epoch"


def test_projections_keep_what_is_tied_and_nothing_else() -> None:
    keys = [Channel("A", "r", "1"), Channel("A", "g", "1"), Channel("A", "r", "2")]
    noise = np.array([1.0, 2.0, 4.0])
    tie = flux_tie(keys, noise, is_variable=False)
    np.testing.assert_allclose(tie @ tie, tie, atol=1e-12)
    np.testing.assert_allclose(tie, tie.T)
    kept = tie @ (np.array([3.0, 5.0, 9.0]) / noise) * noise
    assert kept[0] == pytest.approx(kept[2])
    assert kept[1] == pytest.approx(5.0)
    np.testing.assert_array_equal(flux_tie(keys, noise, is_variable=True), np.eye(3))
    sources = asteroid(*FIRST, VELOCITY).sources
    lines, offsets = center_ties([[(source, 0) for source in sources]], [8])
    np.testing.assert_array_equal(offsets, np.eye(8))
    np.testing.assert_allclose(lines @ lines, lines, atol=1e-12)
    on_line = np.zeros(8)
    on_line[1:7] = 2.0 - 0.3 * (NIGHTS - NIGHTS[0])
    np.testing.assert_allclose(lines @ on_line, on_line, atol=1e-9)
    assert np.trace(lines) == pytest.approx(1 + 2 + 1), "the host, the line, the empty slot"


def test_what_moves_needs_times() -> None:
    with pytest.raises(ValueError, match="LSST r has no epoch; what moves needs to know when"):
        moving_sources([Channel("LSST", "r")], 3.0, 4.0)
    with pytest.raises(ValueError, match="All images are of one epoch"):
        moving_sources([Channel("LSST", "r", "61000")], 3.0, 4.0)
    with pytest.raises(ValueError, match="'last week' of LSST r is no date; give an MJD"):
        moving_sources([Channel("LSST", "r", "last week")], 3.0, 4.0)
    assert Channel("LSST", "r", "2026-11-21T12:00:00").time == pytest.approx(61365.5)
