"""Pixels that a person has hidden: they count for nothing, as data, and come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblend import FitSettings, Program, Scene, fit
from deblend.detect import carried
from deblend.io.session import Session, read_session, write_session

HIDDEN = np.zeros((48, 48), bool)
HIDDEN[16:23, 17:24] = True


@pytest.fixture(scope="module")
def spoiled(systems: Any) -> tuple[Scene, Any]:
    """A scene of two Gaussians, and an observation of it with a cosmic ray beside the first one."""
    scene = systems.scene(("gaussian", 24.0, 22.0, (300.0, 400.0)), ("gaussian", 33.0, 30.0, (500.0, 250.0)))
    observation = systems.observe(scene)
    images = observation.images.copy()
    images[:, 17:22, 18:23] += 60.0
    return scene, replace(observation, images=images)


def test_what_is_hidden_counts_for_nothing(systems: Any, spoiled: tuple[Scene, Any]) -> None:
    scene, observation = spoiled
    unsolved = systems.without_fluxes(scene)
    hidden = unsolved.hiding(scene.channels[0], HIDDEN)
    program = Program([observation], hidden)
    reference = Program([observation.without(HIDDEN)], unsolved)
    np.testing.assert_allclose(program.scene.fluxes, reference.scene.fluxes, rtol=1e-5)
    assert program.chi2 == pytest.approx(reference.chi2, rel=1e-5)
    # by its errors, of a few parts in a hundred, it is the truth; with the cosmic ray it is far off
    np.testing.assert_allclose(program.scene.fluxes, scene.fluxes, rtol=0.15)
    assert Program([observation], unsolved).scene.fluxes[0, 0] > 1.3 * scene.fluxes[0, 0]
    assert np.all(program.residual_sigma()[:, HIDDEN] == 0)
    np.testing.assert_array_equal(program.noise, Program([observation], unsolved).noise)


def test_hiding_during_a_fit_compiles_nothing_and_is_taken_back(
    systems: Any, spoiled: tuple[Scene, Any], compiles_nothing: Callable[..., None]
) -> None:
    scene, observation = spoiled
    run = fit(scene, [observation], FitSettings(max_iterations=60))
    for _ in range(3):
        next(run)
    before = run.state.scene
    run.edit(before)
    next(run)
    compiles_nothing(lambda: (run.edit(before.hiding(scene.channels[0], HIDDEN)), next(run)))
    found = run.run()
    reference = fit(scene, [observation.without(HIDDEN)], FitSettings(max_iterations=60)).run()
    np.testing.assert_allclose(found.scene.fluxes, reference.scene.fluxes, rtol=0.01)
    assert found.chi2 == pytest.approx(reference.chi2, rel=1e-3) and found.scene.masks
    shown = Program([observation], before)
    shown.update(before)
    chi2, fluxes = shown.chi2, shown.scene.fluxes
    shown.update(before.hiding(scene.channels[0], HIDDEN))
    assert shown.chi2 < 0.9 * chi2
    shown.update(before)
    assert shown.chi2 == pytest.approx(chi2, rel=1e-4) and shown.observations[0].weights.all()
    np.testing.assert_allclose(shown.scene.fluxes, fluxes, rtol=1e-3)


def test_correlated_noise_has_no_hidden_neighbours(systems: Any, spoiled: tuple[Scene, Any]) -> None:
    scene, observation = spoiled
    clean = systems.observe(scene).with_measured_noise_correlation(systems.model(scene))
    correlated = replace(observation, noise_correlation=clean.noise_correlation)
    unsolved = systems.without_fluxes(scene)
    program = Program([correlated], unsolved)
    program.update(unsolved.hiding(scene.channels[0], HIDDEN))
    reference = Program([correlated.without(HIDDEN)], unsolved)
    np.testing.assert_allclose(program.scene.fluxes, reference.scene.fluxes, rtol=1e-4)


def test_masks_are_kept_and_checked(systems: Any, spoiled: tuple[Scene, Any], tmp_path: Path) -> None:
    scene, observation = spoiled
    channel = scene.channels[0]
    hidden = scene.hiding(channel, HIDDEN)
    path = tmp_path / "hidden.asdf"
    write_session(path, Session(hidden, (observation,), (), FitSettings(), (), ()))
    np.testing.assert_array_equal(read_session(path).scene.hidden_in(channel), HIDDEN)
    assert hidden.hiding(channel, np.zeros_like(HIDDEN)).masks == () and scene.hidden_in(channel) is None
    assert carried(hidden, [observation])[0].masks == ()
    with pytest.raises(ValueError, match="a mask needs a pixel per pixel"):
        Program([observation], scene.hiding(channel, HIDDEN[1:]))
    with pytest.raises(KeyError, match="no channel"):
        scene.hiding(channel._replace(band="K"), HIDDEN)
    with pytest.raises(ValueError, match=r"picture \(y, x\)"):
        scene.hiding(channel, HIDDEN[18])
