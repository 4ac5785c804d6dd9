"""Two telescopes at once: a sharp one and a coarser, turned one, fitted on their own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from deblend import (
    Channel,
    FitSettings,
    Observation,
    Program,
    Scene,
    TangentWcs,
    detect,
    empty_scene,
    find_peaks,
    fit,
    make_source,
    measure,
    scene_from_positions,
    with_missed,
)
from deblend.observe import gaussian_psf
from deblend.program.goodness import chi2_per_observation, total_chi2

SHARP_SHAPE, COARSE_SHAPE = (90, 96), (40, 42)
NOISE = {"sharp": (1.0,), "coarse": (3.0, 4.0)}
PLACES = ((30.2, 40.7), (47.6, 52.1), (66.3, 31.9))
"""(x, y) on the sharp image."""
FLUXES = ((900.0, 1500.0, 800.0), (1400.0, 900.0, 1600.0), (500.0, 700.0, 700.0))


def telescopes(images: Sequence[np.ndarray] | None = None) -> list[Observation]:
    turn = np.radians(25.0)
    turned = 0.25 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    layouts = (
        ("sharp", SHARP_SHAPE, ((-0.1, 0.0), (0.0, 0.1)), ("f",), 3.2),
        ("coarse", COARSE_SHAPE, tuple(map(tuple, turned)), ("g", "r"), 3.4),
    )
    result = []
    for k, (name, shape, matrix, bands, width) in enumerate(layouts):
        cube = np.zeros((len(bands), *shape)) if images is None else images[k]
        weights = np.broadcast_to(np.array(NOISE[name])[:, None, None] ** -2.0, cube.shape)
        wcs = TangentWcs((150.0, 2.0), ((shape[1] - 1) / 2, (shape[0] - 1) / 2), matrix)
        channels = [Channel(name, band) for band in bands]
        result.append(
            Observation.from_arrays(cube, gaussian_psf(width), weights, channels=channels, name=name, wcs=wcs)
        )
    return result


def truth(observations: Sequence[Observation]) -> Scene:
    scene = empty_scene(observations)
    to_scene = observations[0].grid.affine_to(scene.grid)
    for (x, y), flux in zip(PLACES, FLUXES, strict=True):
        row, column = to_scene(y, x)
        options = {"flux": flux, "half_light_radius": 3.0, "radius": 15}
        scene = scene.add(make_source("gaussian", float(column), float(row), n_channels=3, **options))
    return scene


@pytest.fixture(scope="module")
def seen() -> list[Observation]:
    blank = telescopes()
    program = Program(blank, truth(blank))
    rng = np.random.default_rng(11)
    images = []
    for k, name in enumerate(("sharp", "coarse")):
        model = program.model(k).astype(float)
        images.append(model + rng.normal(size=model.shape) * np.array(NOISE[name])[:, None, None])
    return telescopes(images)


def test_sources_are_found_once_each_and_where_they_are(seen: list[Observation]) -> None:
    peaks = find_peaks(seen, 8.0)
    assert len(peaks) == len(PLACES)
    for x, y in PLACES:
        assert np.hypot(peaks.x - x, peaks.y - y).min() < 1.0
    # the same sky, told in pixels of the other image
    turned = find_peaks(seen[::-1], 8.0)
    on_sky = [o.wcs.pixel_to_sky(p.x, p.y) for o, p in ((seen[0], peaks), (seen[1], turned))]
    np.testing.assert_allclose(np.sort(on_sky[0][1]), np.sort(on_sky[1][1]), atol=1e-9)


def test_fluxes_of_both_telescopes_come_out_right(seen: list[Observation]) -> None:
    """Errors of the three sources are near those of the noise: nine pulls within 4, their rms below 2."""
    scene = detect(seen, 8.0, kind="gaussian", solve=False)
    states = list(fit(scene, seen, FitSettings(max_iterations=40)))
    assert states[-1].outcome.is_success
    assert 0.9 < states[-1].chi2 < 1.1
    for chi2 in states[-1].chi2_per_observation.values():
        assert 0.85 < chi2 < 1.15
    table = measure(states[-1].scene, seen).table
    pulls = []
    for (x, y), flux in zip(PLACES, FLUXES, strict=True):
        row = int(np.argmin(np.hypot(table["x"].value - x, table["y"].value - y)))
        assert np.hypot(table["x"].value[row] - x, table["y"].value[row] - y) < 0.3
        assert table["half_light_radius"].value[row] == pytest.approx(3.0, rel=0.1)
        for channel, value in zip(("sharp_f", "coarse_g", "coarse_r"), flux, strict=True):
            error = table[f"flux_err_{channel}"].value[row]
            pulls.append((table[f"flux_{channel}"].value[row] - value) / error)
    assert np.abs(pulls).max() < 4.0
    assert np.sqrt(np.mean(np.square(pulls))) < 2.0


def test_a_telescope_that_does_not_see_a_source_says_nothing_of_it(seen: list[Observation]) -> None:
    """The coarse image cut to its upper half: sources below keep what the sharp one says."""
    upper = replace(
        seen[1],
        images=seen[1].images[:, 22:],
        weights=seen[1].weights[:, 22:],
        wcs=seen[1].wcs.shifted(0.0, 22.0),
    )
    pair = [seen[0], upper]
    program = Program(pair, truth(pair))
    model = program.model(1)
    whole = Program(seen, truth(seen)).model(1)
    np.testing.assert_allclose(model, whole[:, 22:], atol=2e-3 * whole.max())


def test_what_lies_beyond_the_grid_says_nothing(seen: list[Observation]) -> None:
    """On the sky that both images share, the model is the same, and only its pixels count."""
    whole, shared = truth(seen), empty_scene(seen, cover="intersection")
    to_shared = whole.grid.affine_to(shared.grid)
    for source in whole.sources[:2]:
        y, x = to_shared(source.y, source.x)
        options = {"flux": source.flux, "half_light_radius": 3.0, "radius": 15}
        shared = shared.add(make_source("gaussian", float(x), float(y), n_channels=3, **options))
    program, expected = Program(seen, shared), Program(seen, whole.with_sources(whole.sources[:2]))
    # the sharp image lies within the coarse one
    assert [o.n_unmasked < given.n_unmasked for o, given in zip(program.observations, seen, strict=True)] == [
        False,
        True,
    ]
    for k, observation in enumerate(program.observations):
        counted = observation.weights > 0
        difference = np.abs(program.model(k) - expected.model(k))[counted]
        assert difference.max() < 5e-3 * expected.model(k).max()
        assert np.isfinite(program.chi2_per_observation[observation.name])


def test_sources_are_looked_for_where_they_are_to_live(seen: list[Observation]) -> None:
    """Of a sharp image of the left part alone only what both images show; the rest of the coarse one is left aside."""
    left = replace(seen[0], images=seen[0].images[..., :56], weights=seen[0].weights[..., :56])
    union = detect([seen[1], left], 8.0, kind="gaussian", solve=False)
    shared = detect([seen[1], left], 8.0, kind="gaussian", solve=False, cover="intersection", oversampling=2)
    assert (len(union), len(shared)) == (3, 2)
    assert shared.grid.shape[1] < 2 * 57 < 2 * union.grid.shape[1]
    state = fit(shared, [seen[1], left]).run()
    models = [state.model(k) for k in range(2)]
    # the third source is in the residual of the coarse image, but off the grid
    assert len(with_missed(state.scene, [seen[1], left], models, solve=False)) == 2
    with pytest.raises(ValueError, match="is not on what all images share of the image of 42×40 px"):
        scene_from_positions([seen[1], left], [0.0], [0.0], cover="intersection")


def test_one_telescope_with_a_narrow_psf_is_fitted_on_finer_pixels() -> None:
    """Fluxes of two stars behind a PSF of 1.5 px, within 3 % where noise makes 0.5 %."""
    shape, noise = (41, 43), 0.5
    wcs = TangentWcs((150.0, 2.0), (21.0, 20.0), ((-0.1, 0.0), (0.0, 0.1)))
    images = np.zeros((1, *shape))
    options = {"channels": [Channel("sharp", "i")], "name": "sharp", "wcs": wcs}
    blank = Observation.from_arrays(images, gaussian_psf(1.5), np.full(images.shape, noise**-2.0), **options)
    scene = empty_scene([blank])
    to_scene = blank.grid.affine_to(scene.grid)
    assert to_scene.scale == pytest.approx(2.0)
    for (x, y), flux in zip(((14.3, 17.6), (26.8, 22.1)), (400.0, 250.0), strict=True):
        row, column = to_scene(y, x)
        scene = scene.add(make_source("point", float(column), float(row), n_channels=1, flux=[flux], radius=15))
    noisy = Program([blank], scene).model() + np.random.default_rng(4).normal(size=images.shape) * noise
    seen = Observation.from_arrays(noisy, gaussian_psf(1.5), np.full(images.shape, noise**-2.0), **options)
    start = detect([seen], 10.0, kind="point", solve=False)
    assert len(start) == 2
    state = fit(start, [seen]).run()
    assert state.chi2 == pytest.approx(1.0, abs=0.15)
    table = measure(state.scene, [seen], errors=False).table
    table.sort("x")
    np.testing.assert_allclose(table["x"].value, [14.3, 26.8], atol=0.05)
    np.testing.assert_allclose(table["flux_sharp_i"].value, [400.0, 250.0], rtol=0.03)


def test_observations_of_one_name_are_told_apart() -> None:
    """As arrays are called that nobody has named."""
    images = np.zeros((1, 12, 12))
    channels = [[Channel("a", "g")], [Channel("b", "g")]]
    pair = [
        Observation.from_arrays(images + k, np.ones((1, 1, 1)), images + 1.0, channels=c)
        for k, c in enumerate(channels)
    ]
    each = chi2_per_observation(pair, [images, images])
    assert each == {"image": 0.0, "image (2)": 1.0}
    assert total_chi2(pair, each) == 0.5
