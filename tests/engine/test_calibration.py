"""Images that are off what their files say: moved, above a sky that is not zero, brighter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import (
    Calibration,
    Channel,
    Observation,
    Parameter,
    Program,
    Scene,
    Status,
    empty_scene,
    fit,
    make_source,
    measure,
)
from deblend.infer.errors import draw
from deblend.measure import calibration_lines
from deblend.observe import gaussian_psf
from tests.engine.test_joint import telescopes, truth

SHIFT = np.array([0.31, -0.24])
"""Of the second band, (x, y) [pix of the scene]."""


def sources(systems: Any) -> Scene:
    return systems.scene(
        ("gaussian", 14.3, 12.6, (900.0, 1200.0), {"half_light_radius": 2.0}),
        ("gaussian", 33.2, 16.1, (800.0, 650.0), {"half_light_radius": 2.4}),
        ("point", 24.4, 34.7, (700.0, 800.0)),
    )


def off(scene: Scene, **second: Any) -> Scene:
    """Return the scene whose last channel is off."""
    calibrations = [Calibration() for _ in scene.channels]
    parameters = {name: Parameter(value, Status.FIXED) for name, value in second.items()}
    calibrations[-1] = replace(calibrations[-1], **parameters)
    return scene.with_calibrations(calibrations)


def test_an_image_that_is_moved_shows_its_sources_moved(systems: Any) -> None:
    scene = sources(systems)
    moved = scene.with_sources(s.moved(s.x + SHIFT[0], s.y + SHIFT[1]) for s in scene.sources)
    plain, shifted, expected = (systems.model(s) for s in (scene, off(scene, shift=SHIFT), moved))
    assert np.abs(shifted[0] - plain[0]).max() < 1e-5 * plain[0].max()
    assert np.abs(shifted[1] - expected[1]).max() < 1e-3 * expected[1].max()


def test_scale_and_background_are_what_they_say(systems: Any) -> None:
    scene = sources(systems)
    plain = systems.model(scene)
    seen = systems.model(off(scene, flux_scale=1.2, background=3.0, background_slope=(0.5, -1.0)))
    u = np.linspace(-1.0, 1.0, plain.shape[2])
    v = np.linspace(-1.0, 1.0, plain.shape[1])[:, None]
    np.testing.assert_allclose(seen[0], plain[0], atol=1e-4)
    np.testing.assert_allclose(seen[1], 1.2 * plain[1] + 3.0 + 0.5 * u - v, atol=1e-3)


def test_models_from_columns_are_those_of_the_fit(systems: Any) -> None:
    scene = off(sources(systems), shift=SHIFT, flux_scale=1.1, background=2.0)
    observation = systems.observe(scene)
    first = next(systems.fit(scene, [observation]))
    drawn = systems.program([observation], scene).model()
    assert np.abs(first.model() - drawn).max() < 1e-3 * drawn.max()


def test_an_injected_shift_is_recovered(systems: Any) -> None:
    """Summed S/N of the band is above 300, so that 0.02 px are asked for; its own error, which allows for offsets of
    each source, is larger than the noise would make it."""
    true = sources(systems)
    observation = systems.observe(off(true, shift=SHIFT), seed=3)
    start = true.with_sources(s.moved(s.x + 0.1, s.y - 0.1) for s in true.sources).calibrating("shift")
    running = systems.fit(start, [observation])
    best = running.run()
    running.program.take(best.scene)
    found = best.scene.calibrations[1].shift.value
    errors = draw(running.program).calibration_errors
    assert errors is not None
    assert np.all(np.abs(found - SHIFT) < 0.02)
    assert np.all(np.abs(found - SHIFT) < 3 * errors[1, :2])
    assert np.all(errors[1, :2] > 1e-3)
    assert np.all(errors[0] == 0), "the reference stays"
    assert best.scene.calibrations[0].is_trivial
    assert best.chi2 == pytest.approx(1.0, abs=5 * np.sqrt(2 / observation.n_unmasked))


def test_a_sky_that_is_not_zero_is_recovered_with_its_error(systems: Any) -> None:
    """Pulls of the six numbers of two bands; five of them is the chance of 1e-6."""
    true = sources(systems)
    sky = {"background": 1.5, "background_slope": (0.8, -0.6)}
    observation = systems.observe(off(true, **sky), seed=4)
    best = systems.fit(true.calibrating("background", "background_slope"), [observation]).run()
    catalog = measure(best.scene, [observation])
    table = catalog.calibration
    assert table is not None
    expected = {"background": (0.0, 1.5), "background_slope_x": (0.0, 0.8), "background_slope_y": (0.0, -0.6)}
    pulls = [
        (table[name][band].value - values[band]) / table[f"{name}_err"][band].value
        for name, values in expected.items()
        for band in (0, 1)
    ]
    assert np.abs(pulls).max() < 5
    assert 0.2 < np.sqrt(np.mean(np.square(pulls))) < 2.2
    assert np.all(table["flux_scale_err"].value == 0)


def test_a_flux_scale_is_recovered_where_spectra_are_known(systems: Any) -> None:
    true = sources(systems)
    observation = systems.observe(off(true, flux_scale=1.07), seed=5)
    held = true.with_sources(
        systems.with_spectrum(s, s.components[0].spectrum.with_status(Status.FIXED)) for s in true.sources
    )
    best = systems.fit(held.calibrating("flux_scale"), [observation]).run()
    found = float(best.scene.calibrations[1].flux_scale.value)
    catalog = measure(best.scene, [observation])
    assert catalog.calibration is not None
    error = catalog.calibration["flux_scale_err"][1].value
    assert abs(found - 1.07) < 4 * error < 0.02


def test_a_psf_that_is_given_too_narrow_is_refined(systems: Any) -> None:
    """Six per cent wider than given: second moments by 1.06² - 1. With stars, a tenth of that is much."""
    true = systems.scene(
        ("point", 13.3, 12.6, (1500.0, 1800.0)),
        ("point", 34.2, 17.1, (1300.0, 1500.0)),
        ("gaussian", 24.4, 34.7, (700.0, 800.0), {"half_light_radius": 2.0}),
    )
    wider = (gaussian_psf(2.8), gaussian_psf(1.06 * 3.3))
    blank = systems.blank()
    seen_wider = Observation.from_arrays(blank.images, wider, blank.weights, channels=list(systems.bands))
    observation = systems.seen(np.asarray(systems.program([seen_wider], true).model(), float), seed=6)
    plain = systems.fit(true, [observation]).run()
    best = systems.fit(true.calibrating("psf_growth"), [observation]).run()
    table = measure(best.scene, [observation]).calibration
    assert table is not None
    for axes in ("xx", "yy"):
        found, error = table[f"psf_growth_{axes}"][1].value, table[f"psf_growth_{axes}_err"][1].value
        assert abs(found - 0.1236) < max(4 * error, 0.015)
        assert 0.001 < error < 0.03
    assert abs(table["psf_growth_xy"][1].value) < 0.02
    assert best.chi2 == pytest.approx(1.0, abs=5 * np.sqrt(2 / observation.n_unmasked))
    assert plain.chi2 > best.chi2 + 0.02, "sources that may change their shape hide a wrong PSF, but not in stars"


def test_a_telescope_of_other_pixels_may_be_moved_too() -> None:
    observations = telescopes()
    scene = truth(observations)
    moved = scene.with_calibrations(
        replace(Calibration(), shift=Parameter(SHIFT if channel.survey == "coarse" else (0, 0), Status.FIXED))
        for channel in scene.channels
    )
    noise = np.random.default_rng(8)
    images = [
        next(fit(moved, observations)).model(i) + noise.normal(size=o.images.shape) / np.sqrt(o.weights)
        for i, o in enumerate(observations)
    ]
    best = fit(scene.calibrating("shift"), telescopes(images)).run()
    for channel in (Channel("coarse", "g"), Channel("coarse", "r")):
        assert np.abs(best.scene.calibration(channel).shift.value - SHIFT).max() < 0.15
    assert best.chi2 == pytest.approx(1.0, abs=0.03)
    table = measure(best.scene, telescopes(images)).calibration
    assert table is not None
    # 0.1 arcsec a pixel
    off_by = table["shift_x"][1:].to_value("mas") - 100.0 * SHIFT[0]
    assert np.all(np.abs(off_by) < 4 * table["shift_x_err"][1:].to_value("mas"))


def test_nothing_is_compiled_or_held_where_nothing_is_off(systems: Any) -> None:
    scene = sources(systems)
    assert scene.with_calibrations(Calibration() for _ in scene.channels).calibrations == ()
    program = systems.program([systems.blank()], scene)
    assert program.parameters.calibration is None
    assert program.data.calibration is None
    assert not program.layout.is_calibrated


def test_what_cannot_be_freed_is_said(systems: Any) -> None:
    with pytest.raises(ValueError, match="no 'tilt' to fit; choose of shift, flux_scale, psf_growth"):
        sources(systems).calibrating("tilt")
    with pytest.raises(ValueError, match="expected 2, got 1"):
        sources(systems).with_calibrations([Calibration()])
    with pytest.raises(KeyError, match="no channel elsewhere z"):
        sources(systems).calibrating("shift", reference=Channel("elsewhere", "z"))


INJECTED = 2600.0
"""Rotation of a telescope [arcsec]."""


def turned(scene: Scene, survey: str, rotation: float) -> Scene:
    """Return the scene with one survey turned [arcsec]."""
    return scene.with_calibrations(
        replace(Calibration(), rotation=Parameter(rotation if channel.survey == survey else 0.0, Status.FIXED))
        for channel in scene.channels
    )


def test_an_image_that_is_turned_shows_its_sources_about_its_middle() -> None:
    observations = telescopes()
    scene = truth(observations)
    # far enough to be seen, and little enough for sources to look the same
    rotation = 1800.0
    angle = np.radians(rotation / 3600.0)
    plain, seen = next(fit(scene, observations)), next(fit(turned(scene, "coarse", rotation), observations))
    coarse = next(i for i, o in enumerate(observations) if o.channels[0].survey == "coarse")
    to_scene = observations[coarse].grid.affine_to(scene.grid)
    height, width = observations[coarse].shape
    middle = np.array(to_scene(0.5 * (height - 1), 0.5 * (width - 1)))[::-1]
    moved = scene.with_sources(
        s.moved(
            *(middle + [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]] @ (s.center.value - middle))
        )
        for s in scene.sources
    )
    expected = next(fit(moved, observations))
    assert np.abs(seen.model(1 - coarse) - plain.model(1 - coarse)).max() < 1e-5 * plain.model(1 - coarse).max()
    off_by = np.abs(seen.model(coarse) - expected.model(coarse)).max() / expected.model(coarse).max()
    assert off_by < 0.01 < np.abs(plain.model(coarse) - expected.model(coarse)).max() / expected.model(coarse).max()


def test_an_injected_rotation_is_recovered() -> None:
    """Corners are half a pixel off, too far for one linear step."""
    observations = telescopes()
    blank = empty_scene(observations)
    scene = blank.add(
        *(
            make_source("point", x, y, n_channels=3, flux=(4000.0, 5000.0, 6000.0))
            for x, y in ((35.3, 40.1), (98.4, 44.7), (40.6, 99.2), (95.1, 93.5), (66.2, 70.4))
        )
    )
    off = turned(scene, "coarse", INJECTED)
    running = fit(off, observations)
    noise = np.random.default_rng(12)
    first = next(running)
    seen = telescopes(
        [first.model(i) + noise.normal(size=o.images.shape) / np.sqrt(o.weights) for i, o in enumerate(observations)]
    )
    running = fit(scene.calibrating("rotation"), seen)
    best = running.run()
    assert running.state.iteration < 12
    assert best.chi2 == pytest.approx(1.0, abs=5 * np.sqrt(2 / sum(o.n_unmasked for o in seen)))
    table = measure(best.scene, seen).calibration
    assert table is not None
    found, error = (table[name].to_value("arcsec") for name in ("rotation", "rotation_err"))
    assert found[0] == error[0] == 0, "the first telescope is the reference"
    assert found[1] == found[2], "images of one survey and epoch turn together"
    assert np.abs(found[1] - INJECTED) < 3 * error[1] < 0.1 * INJECTED
    assert "turned by" in calibration_lines(table)[1]


def test_pixels_that_were_the_models_may_turn_in_a_program_that_runs() -> None:
    shape = (40, 44)
    observations = [
        Observation.from_arrays(
            np.zeros((1, *shape)), gaussian_psf(3.0), np.ones((1, *shape)), channels=[Channel(name, "r")], name=name
        )
        for name in ("before", "after")
    ]
    scene = empty_scene(observations).add(make_source("point", 8.2, 30.4, n_channels=2, flux=(900.0, 900.0)))
    off = turned(scene, "after", 3600.0)
    program = Program(observations, scene)
    straight = program.model(1)
    assert np.abs(straight - program.model(0)).max() == 0
    program.take(off)
    edited = program.model(1)
    np.testing.assert_allclose(edited, Program(observations, off).model(1), atol=1e-4 * edited.max())
    rows, columns = np.indices(shape)
    found = np.array([np.sum(axis * edited[0]) for axis in (columns, rows)]) / edited[0].sum()
    angle, middle = np.radians(1.0), np.array([21.5, 19.5])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert np.abs(found - (middle + turn @ ([8.2, 30.4] - middle))).max() < 5e-3
    program.take(scene)
    np.testing.assert_allclose(program.model(1), straight, atol=1e-4 * straight.max())
    with pytest.raises(ValueError, match="are one observation and turn together"):
        both = [Channel("same", "g"), Channel("same", "r")]
        one = Observation.from_arrays(np.zeros((2, *shape)), gaussian_psf(3.0), np.ones((2, *shape)), channels=both)
        apart = [Calibration(), replace(Calibration(), rotation=Parameter(9.0, Status.FIXED))]
        Program([one], empty_scene([one]).with_calibrations(apart))
