"""Fits of spectra that follow a law: HST F814W and the five bands of HSC driven by one spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from deblend import (
    BlackBody,
    Channel,
    CustomLaw,
    Law,
    Normal,
    Observation,
    Parameter,
    PowerLaw,
    Program,
    Scene,
    Source,
    Status,
    TangentWcs,
    Template,
    empty_scene,
    find_passband,
    fit,
    make_source,
    measure,
)
from deblend.infer.errors import draw
from deblend.observe import gaussian_psf
from deblend.render.spectra import Passbands

HST, HSC = Channel("HST", "F814W"), [Channel("HSC", band) for band in "grizy"]
CHANNELS = [HST, *HSC]
SHAPES = {"HST": (54, 56), "HSC": (27, 28)}
NOISE = {"HST": np.array([0.5]), "HSC": np.array([1.0, 1.0, 1.2, 1.6, 2.5])}
BANDS = Passbands([find_passband(c.survey, c.band) for c in CHANNELS])
I_BAND = 3

AT = np.linspace(1500.0, 12000.0, 600)
GALAXY = (AT / 4000.0) ** 0.3 * (0.35 + 0.65 / (1.0 + np.exp(-(AT - 3950.0) / 60.0))) * (1.0 - np.exp(-AT / 1e4))
"""f_ν of a galaxy with a break at 4000 Å."""
REDSHIFT, SLOPE = 0.52, -1.1
STAR_FLUX, GALAXY_FLUX = 260.0, 1400.0
"""In F814W [nJy]."""


def telescopes(images: list[np.ndarray] | None = None, without: str = "") -> list[Observation]:
    """Return both telescopes; the noise of that `without` which to do is a thousand times higher."""
    turn = np.radians(20.0)
    turned = 0.2 / 3600 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrices = {"HST": ((-0.1 / 3600, 0.0), (0.0, 0.1 / 3600)), "HSC": tuple(map(tuple, turned))}
    result = []
    for k, (name, shape) in enumerate(SHAPES.items()):
        channels = [HST] if name == "HST" else HSC
        cube = np.zeros((len(channels), *shape)) if images is None else images[k]
        sigma = NOISE[name] * (1000.0 if name == without else 1.0)
        weights = np.broadcast_to(sigma[:, None, None] ** -2.0, cube.shape)
        matrix = np.array(matrices[name]) * 3600
        wcs = TangentWcs((150.0, 2.0), ((shape[1] - 1) / 2, (shape[0] - 1) / 2), tuple(map(tuple, matrix)))
        psf = gaussian_psf(3.0 if name == "HST" else 3.6)
        result.append(Observation.from_arrays(cube, psf, weights, channels=channels, name=name, wcs=wcs))
    return result


def fluxes(law: Law, amplitude: float) -> np.ndarray:
    means = BANDS.means(law, {name: p.value for name, p in law.parameters.items()})
    return np.asarray(amplitude * means / means[0])


def template(redshift: float) -> Template:
    return Template.of(AT, GALAXY, per="frequency", redshift=redshift)


def power_law(slope: float, **options: Any) -> PowerLaw:
    return PowerLaw(slope=Parameter(slope, lower=-8.0, upper=8.0), **options)


def scene(star: Law | None, galaxy: Law | None, off: float = 0.0, flux: tuple[Any, Any] = (None, None)) -> Scene:
    start = empty_scene(telescopes())
    x, y = start.grid.shape[1] / 2, start.grid.shape[0] / 2
    return start.add(
        make_source("point", x - 6.3 + off, y - 3.2, n_channels=6, flux=flux[0], law=star),
        make_source(
            "gaussian", x + 4.2, y + 2.7 - off, n_channels=6, flux=flux[1], law=galaxy, half_light_radius=3.0 - off,
            radius=15,
        ),
    )  # fmt: skip


TRUTH = fluxes(power_law(SLOPE), STAR_FLUX), fluxes(template(REDSHIFT), GALAXY_FLUX)


@pytest.fixture(scope="module")
def seen() -> Callable[..., list[Observation]]:
    true = Program(telescopes(), scene(None, None, flux=TRUTH))
    models = [np.asarray(true.model(k), np.float64) for k in (0, 1)]

    def observed(seed: int, without: str = "") -> list[Observation]:
        rng = np.random.default_rng(seed)
        noisy = [
            m + rng.normal(size=m.shape) * NOISE[name][:, None, None] for m, name in zip(models, NOISE, strict=True)
        ]
        return telescopes(noisy, without)

    return observed


def fixed(source: Source, *names: str) -> Source:
    """Return a source whose shape and place are not fitted."""
    kept = source.with_status(Status.FIXED)
    component = kept.components[0]
    free = replace(component, spectrum=component.spectrum.with_status(Status.FREE), law=source.law)
    return replace(kept, components=(free,))


def test_one_spectrum_drives_both_telescopes(seen: Callable[..., list[Observation]]) -> None:
    """Pulls of eight numbers: an rms of 1 ± 0.25, and errors from 32 draws are known to 12 %."""
    pulls = []
    for seed in range(4):
        data = seen(seed)
        run = fit(scene(power_law(-2.5), template(0.40), off=0.4), data)
        best = run.run()
        assert best.outcome.is_success and run.state.iteration <= 6
        assert best.chi2 == pytest.approx(1.0, abs=0.06)
        star, galaxy = best.scene.sources
        draws = draw(Program(data, best.scene))
        for source, name, true, flux in ((star, "slope", SLOPE, TRUTH[0]), (galaxy, "redshift", REDSHIFT, TRUTH[1])):
            assert source.law is not None
            error = draws.law_errors(source.id)[name]
            pulls.append((source.law.parameters[name].value - true) / error)
            errors = draws.flux_errors[best.scene.index(source.id)]
            assert np.all(np.abs(source.flux - flux) < 4 * errors), "fluxes of both telescopes are those of the truth"
            on_law = fluxes(source.law, source.flux[0])
            np.testing.assert_allclose(source.flux, on_law, rtol=1e-4, err_msg="and of one spectrum")
    assert np.all(np.abs(pulls) < 3)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.6)


def test_a_law_fitted_to_one_telescope_foretells_the_other(seen: Callable[..., list[Observation]]) -> None:
    """HST sees next to nothing here, yet F814W is known to per cents from grizy."""
    data = seen(11, without="HST")
    best = fit(scene(power_law(-2.0), template(0.45)), data).run()
    program = Program(data, best.scene)
    errors = draw(program).flux_errors[:, 0]
    true = np.array([TRUTH[0][0], TRUTH[1][0]])
    assert np.all(errors < 0.04 * true)
    assert np.all(np.abs(best.scene.fluxes[:, 0] - true) < 3.5 * errors)
    table = measure(best.scene, data, program).table
    assert list(table["law"]) == ["power law", "template"]
    assert table["law_redshift"][1] == best.scene.sources[1].law.redshift.value  # type: ignore[union-attr]
    assert 0 < table["law_redshift_err"][1] < 0.02 and np.isnan(table["law_slope_err"][1])
    assert program.point_source_errors[0] * program.noise[0] > 50 * errors[0], "without a law it would be unknown"


def test_a_fixed_law_fits_an_amplitude_alone(seen: Callable[..., list[Observation]]) -> None:
    """The first, linear solution is that of least squares, and a fit that holds all else stays there."""
    data = seen(3)
    laws = power_law(SLOPE + 0.4).with_status(Status.FIXED), template(0.5).with_status(Status.FIXED)
    start = scene(*laws)
    start = start.with_sources(fixed(s) for s in start.sources)
    program = Program(data, start)
    design, target = [np.zeros(0), np.zeros(0)], np.zeros(0)
    for k, (observation, part) in enumerate(zip(data, (slice(0, 1), slice(1, 6)), strict=True)):
        root = np.sqrt(observation.weights)
        target = np.concatenate([target, (root * observation.images).ravel()])
        for row, columns in enumerate(program.columns()):
            picture = np.zeros(observation.images.shape)
            picture[:, *columns[k].window] = columns[k].patch
            colors = fluxes(laws[row], 1.0)[part, None, None]
            design[row] = np.concatenate([design[row], (root * colors * picture).ravel()])
    expected = np.linalg.lstsq(np.array(design).T, target, rcond=None)[0]
    np.testing.assert_allclose(program.scene.fluxes[:, 0], expected, rtol=1e-4)
    best = fit(program.scene, data).run()
    np.testing.assert_allclose(best.scene.fluxes[:, 0], expected, rtol=1e-3)
    np.testing.assert_allclose(best.scene.fluxes[0], fluxes(laws[0], best.scene.fluxes[0, 0]), rtol=1e-5)


def test_the_best_fit_is_that_of_a_solver_that_knows_the_law(seen: Callable[..., list[Observation]]) -> None:
    data = seen(4)
    start = scene(power_law(-3.0), template(0.6))
    start = start.with_sources(fixed(s) for s in start.sources)
    columns = Program(data, start).columns()

    def residuals(numbers: np.ndarray) -> np.ndarray:
        spectra = fluxes(power_law(numbers[1]), numbers[0]), fluxes(template(numbers[3]), numbers[2])
        result = []
        for k, (observation, part) in enumerate(zip(data, (slice(0, 1), slice(1, 6)), strict=True)):
            model = np.zeros(observation.images.shape)
            for spectrum, column in zip(spectra, columns, strict=True):
                model[:, *column[k].window] += spectrum[part, None, None] * column[k].patch
            result.append((np.sqrt(observation.weights) * (model - observation.images)).ravel())
        return np.concatenate(result)

    expected = least_squares(residuals, [250.0, SLOPE, 1400.0, REDSHIFT], x_scale=[10.0, 0.1, 10.0, 0.01])
    best = fit(start, data).run()
    star, galaxy = best.scene.sources
    found = [star.flux[0], star.law.slope.value, galaxy.flux[0], galaxy.law.redshift.value]  # type: ignore[union-attr]
    error = np.sqrt(np.diagonal(np.linalg.inv(expected.jac.T @ expected.jac)))
    np.testing.assert_array_less(np.abs(found - expected.x), 0.03 * error)
    draws = draw(Program(data, best.scene), n_samples=64)
    told = [draws.law_errors(star.id)["slope"], draws.law_errors(galaxy.id)["redshift"]]
    np.testing.assert_allclose(told, error[[1, 3]], rtol=0.3)


def test_priors_weigh_as_measurements_and_bounds_hold(seen: Callable[..., list[Observation]]) -> None:
    data = seen(5)
    free = fit(scene(power_law(-1.5), template(0.5)), data).run()
    slope = float(free.scene.sources[0].law.slope.value)  # type: ignore[union-attr]
    error = float(draw(Program(data, free.scene), n_samples=64).law_errors(free.scene.sources[0].id)["slope"])
    prior = {"slope": Normal(slope + 2 * error, error)}
    held = fit(scene(power_law(-1.5, priors=prior), template(0.5)), data).run()
    found = held.scene.sources[0].law
    assert found is not None and found.slope.value == pytest.approx(slope + error, abs=0.35 * error)
    assert held.loss - free.loss == pytest.approx(1.0, abs=0.3), "½ (1² + 1²)"
    told = draw(Program(data, held.scene), n_samples=64).law_errors(held.scene.sources[0].id)["slope"]
    assert told == pytest.approx(error / np.sqrt(2), rel=0.3)
    bound = PowerLaw(slope=Parameter(-2.5, lower=-6.0, upper=-1.6))
    least = fit(scene(bound, template(0.5)), data).run()
    assert least.outcome.is_success
    assert least.scene.sources[0].law.slope.value == pytest.approx(-1.6, abs=1e-6)  # type: ignore[union-attr]
    np.testing.assert_allclose(least.scene.sources[0].flux.sum(), TRUTH[0].sum(), rtol=0.1)


def test_no_change_of_a_law_compiles(
    seen: Callable[..., list[Observation]], compiles_nothing: Callable[[Callable[[], Any]], None]
) -> None:
    data = seen(6)
    program = Program(data, scene(power_law(-2.0), template(0.5)))
    running = fit(program.scene, data, program=program)
    for _ in range(3):
        next(running)
    own = CustomLaw(function=lambda at, bend: np.exp(bend * (at / 8000.0 - 1.0)), own={"bend": Parameter(0.3)})

    def edits() -> None:
        for law in (power_law(-1.0), BlackBody(), own, power_law(-1.0, priors={"slope": Normal(0.0, 0.1)}), None):
            current = running.state.scene
            running.edit(current.replace(current.sources[0].following(law)))
            for _ in range(2):
                next(running)
        current = running.state.scene
        galaxy = current.sources[1]
        running.edit(current.replace(galaxy.following(galaxy.law.with_status(Status.FIXED))))  # type: ignore[union-attr]
        next(running)

    compiles_nothing(edits)
    assert running.state.scene.sources[0].law is None
    assert np.all(running.state.scene.fluxes > 0)


def test_what_cannot_follow_a_law_is_told(seen: Callable[..., list[Observation]]) -> None:
    short = Template.of(AT[100:], GALAXY[100:], redshift=0.5)
    with pytest.raises(ValueError, match=r"template of source 2 reaches from 48\d\d to 18000 Å .* HSC g sees"):
        Program(seen(7), scene(None, short))
    dark = CustomLaw(function=lambda at: np.zeros(len(at)))
    with pytest.raises(ValueError, match="law of one's own of source 1 has no light in any passband"):
        Program(seen(7), scene(dark, None))
