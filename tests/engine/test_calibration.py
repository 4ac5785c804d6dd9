"""Images that are off what their files say: moved, above a sky that is not zero, brighter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deblend import Calibration, Channel, Observation, Parameter, Scene, Status, fit, measure
from deblend.infer.errors import draw
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
