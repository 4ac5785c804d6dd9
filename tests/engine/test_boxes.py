"""Boxes that follow their sources: when, how far, and what it does to fluxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Fit, FitSettings, Observation, Outcome, Program, Scene, Status, StopRule, fit, make_source
from deblend.infer.boxes import radii_of, wanted_radius
from deblend.observe import gaussian_psf
from deblend.program.layout import SIDES, GroupLayout, bucket
from deblend.scene import LEAST_SHARE, PROFILE_SIGMAS, Galaxy, filling

SIDE = 63


def disk(size: float) -> np.ndarray:
    y, x = np.mgrid[-31:32, -31:32]
    picture = np.exp(-1.678 * np.hypot(y, x) / size)
    return picture / picture.sum()


@pytest.mark.parametrize("side", SIDES[1:])
def test_a_box_stays_in_what_is_compiled(side: int) -> None:
    least, most = radii_of(side)
    assert bucket(least, SIDES[1]) == bucket(most, SIDES[1]) == side


def test_a_box_grows_where_light_is_seen_at_its_edge_and_more_lies_outside() -> None:
    cut = disk(8.0) * (np.maximum(*np.abs(np.mgrid[-31:32, -31:32])) <= 17)
    assert 17 < wanted_radius(cut, 3000.0, 17, (16, 31)) <= 31
    assert wanted_radius(disk(8.0), 3000.0, 31, (16, 31)) == 31, "there is no more room"
    assert wanted_radius(cut, 20.0, 17, (16, 31)) == 17, "nobody sees it"
    small = disk(2.0)
    assert wanted_radius(small, 1e5, 17, (16, 31)) == 17, "next to nothing is outside"


def test_a_box_shrinks_to_where_there_is_light() -> None:
    assert wanted_radius(disk(1.0), 300.0, 31, (16, 31)) == 16
    assert wanted_radius(disk(8.0), 300.0, 31, (16, 31)) == 31
    # between growing and shrinking lies a gap: a box that has just shrunk, or grown, stays
    for size in np.geomspace(0.5, 12.0, 25):
        for flux in (30.0, 300.0, 1e4):
            away = np.maximum(*np.abs(np.mgrid[-31:32, -31:32]))
            wanted = wanted_radius(disk(size), flux, 31, (16, 31))
            assert wanted_radius(disk(size) * (away <= wanted), flux, wanted, (16, 31)) == wanted


@pytest.fixture(scope="module")
def wide() -> tuple[Observation, Scene, Program]:
    """Two galaxies whose light goes on for 30 px, and a program for boxes of that size."""
    blank = Observation.from_arrays(
        np.zeros((1, 80, 80)), [gaussian_psf(3.0)], np.ones((1, 80, 80)), channels=["i"], name="wide"
    )
    from deblend import empty_scene

    truth = empty_scene([blank]).add(
        make_source("galaxy", 30.3, 40.2, n_channels=1, flux=[9000.0], radius=31, half_light_radius=9.0, scale=2.0)
    )
    program = Program([blank], truth)
    noise = np.random.default_rng(4).normal(size=(1, 80, 80))
    seen = Observation.from_arrays(
        program.model() + noise, [gaussian_psf(3.0)], np.ones((1, 80, 80)), channels=["i"], name="wide"
    )
    return seen, truth, Program([seen], truth)


def in_boxes(scene: Scene, radius: int) -> Scene:
    """Return a scene in boxes of a radius [pix] that a fit may change."""
    return scene.with_sources(
        replace(s, components=tuple(c.resized(radius) for c in s.components)) for s in scene.sources
    )


def fitted(wide: Any, radius: int, **settings: Any) -> Fit:
    seen, truth, program = wide
    start = in_boxes(truth, radius)
    running = fit(start, [seen], FitSettings(**settings), program)
    running.run()
    return running


def test_a_box_that_is_too_small_grows_and_the_flux_is_right(wide: Any, compiles_nothing: Any) -> None:
    held = fitted(wide, 17, grow_boxes=False)
    grown: list[Fit] = []
    compiles_nothing(lambda: grown.append(fitted(wide, 17, compile_larger=False)))
    errors = [abs(float(running.best.scene.fluxes[0, 0]) / 9000.0 - 1) for running in (held, grown[0])]
    assert held.best.scene.sources[0].radius == 17 and grown[0].best.scene.sources[0].radius > 23
    assert errors[1] < 0.5 * errors[0]
    assert grown[0].best.chi2 < held.best.chi2
    assert grown[0].state.iteration <= held.state.iteration + 5


@pytest.mark.parametrize("status", [Status.FREE, Status.LOCKED])
def test_what_a_person_has_sized_or_locked_keeps_its_box(wide: Any, status: Status) -> None:
    seen, truth, program = wide
    held = truth.with_sources(s.resized(17).with_status(status) for s in truth.sources)
    running = fit(held, [seen], FitSettings(max_iterations=4), program)
    assert running.run().scene.sources[0].radius == 17


def test_where_a_fit_would_end_a_box_goes_on_beyond_what_was_compiled(wide: Any) -> None:
    """Light is cut off at 15 px: the flux within is known to 1 %, and a third of all light lies outside."""
    errors = []
    for grows in (False, True):
        running = fitted(wide, 15, grow_boxes=grows)
        best = running.best.scene
        errors.append(abs(float(best.fluxes[0, 0]) / 9000.0 - 1))
        assert running.state.outcome is Outcome.CONVERGED
        assert (best.sources[0].radius > 15) is grows
    assert errors[0] > 0.08 and errors[1] < 0.04


def test_boxes_take_the_room_that_there_is_where_nothing_may_compile(wide: Any, compiles_nothing: Any) -> None:
    radii = []
    for room in ((), (GroupLayout("galaxy", 63),)):
        seen, truth, _ = wide
        start = in_boxes(truth, 15)
        program = Program([seen], start, room=room)
        running = fit(start, [seen], FitSettings(compile_larger=False), program)
        next(running)
        compiles_nothing(running.run)
        radii.append(running.best.scene.sources[0].radius)
    assert radii[0] == 15 < radii[1]


def test_a_rough_fit_does_not_wait_for_larger_boxes(wide: Any) -> None:
    running = fitted(wide, 15, stop=StopRule.ROUGH)
    assert running.best.scene.sources[0].radius == 15


def test_a_larger_box_has_a_profile_that_fills_it() -> None:
    galaxy = Galaxy.of_size(4.0, 15)
    larger = galaxy.resized(40)
    assert 0.8 * filling(40) < larger.scale < 1.8 * filling(40) and galaxy.resized(15).scale == galaxy.scale == 1.0
    for before, after in ((galaxy, larger), (galaxy, galaxy.resized(60))):
        old, new = (np.asarray(PROFILE_SIGMAS) * g.scale for g in (before, after))
        light, wider = before.amplitudes.value, after.amplitudes.value
        assert wider.sum() == pytest.approx(light.sum()) and np.all(wider > 0)
        # the mean width squared is that of before but for what every Gaussian gets
        least = LEAST_SHARE * np.sum(new**2)
        assert np.sum(light * old**2) <= np.sum(wider * new**2) <= np.sum(light * old**2) + 1.01 * least
    assert larger.resized(15).scale == larger.scale, "what was seen further out is not forgotten"


def test_a_profile_that_leaves_light_to_others_further_out_does_not_take_it_in_a_larger_box() -> None:
    galaxy = Galaxy.of_size(3.0, 15)
    inner = np.where(np.arange(6) < 4, galaxy.amplitudes.value, 0.0)
    larger = galaxy.with_parameters(amplitudes=galaxy.amplitudes.at(inner)).resized(40)
    reaching = np.asarray(PROFILE_SIGMAS) * larger.scale > PROFILE_SIGMAS[4]
    assert np.all(larger.amplitudes.value[reaching] == 0.0) and larger.amplitudes.value.sum() == pytest.approx(
        inner.sum()
    )
